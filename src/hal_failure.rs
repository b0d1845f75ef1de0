//! Failures of hardware, as a viewer is told of them: the one table from a [`HalError`] to a kind of
//! refusal and its words.

use peercam_hal::HalError;
use peercam_proto::{
    error::{Error, ErrorKind},
    media::ChannelId,
};

/// A camera that does not do what it was asked to.
pub(crate) fn camera(channel: ChannelId, error: &HalError) -> Error {
    let kind = match error {
        HalError::Busy => ErrorKind::Busy,
        HalError::Unsupported(_) => ErrorKind::Unsupported,
        HalError::NoAnswer(_) => ErrorKind::NoAnswer,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, format!("the camera of channel {channel}: {error}"))
}

/// A camera that was asked for a still.
pub(crate) fn still(channel: ChannelId, error: &HalError) -> Error {
    match error {
        HalError::Unsupported(_) => no_stills(channel),
        HalError::Busy => {
            let reason = format!("the still camera of channel {channel} is in use");
            Error::new(ErrorKind::Busy, reason)
        }
        error => still_failed(channel, &error.to_string()),
    }
}

/// A camera that gave no still, for a reason of its own or of ours.
pub(crate) fn still_failed(channel: ChannelId, why: &str) -> Error {
    let reason = format!("the camera of channel {channel} gave no still: {why}");
    Error::new(ErrorKind::Unavailable, reason)
}

/// A camera that never gives a still.
pub(crate) fn no_stills(channel: ChannelId) -> Error {
    let reason = format!(
        "the camera of channel {channel} hands over no JPEG; a picture of H.264 or H.265 is none, and this device has no decoder (of a camera that gives JPEGs by HTTP: snapshot_url of an RTSP source, or a source of the kind jpeg)"
    );
    Error::new(ErrorKind::Unsupported, reason)
}

/// A speaker that cannot be opened.
pub(crate) fn speaker(error: &HalError) -> Error {
    let (kind, reason) = match error {
        HalError::Busy => (
            ErrorKind::Busy,
            "the speaker is still playing what was said before, or something else on the device uses it; try again in 2 s".to_owned(),
        ),
        HalError::Unsupported(what) => (
            ErrorKind::Unsupported,
            format!("the speaker does not take {what}"),
        ),
        error => (
            ErrorKind::Unavailable,
            format!("the speaker cannot be used: {error}"),
        ),
    };
    Error::new(kind, reason)
}

/// Recordings that cannot be read.
pub(crate) fn recordings(error: &HalError) -> Error {
    match error {
        HalError::Missing => Error::new(ErrorKind::NotFound, "there is no such recording any more"),
        error => Error::new(
            ErrorKind::Unavailable,
            format!("the recordings cannot be read: {error}"),
        ),
    }
}

/// A recorded file that cannot be opened.
pub(crate) fn file(error: &HalError) -> Error {
    match error {
        HalError::Missing => no_such_file(),
        error => recordings(error),
    }
}

/// A file that is not there, or not for this viewer.
pub(crate) fn no_such_file() -> Error {
    let reason = "there is no such file; get_file_list tells the names";
    Error::new(ErrorKind::NotFound, reason)
}
