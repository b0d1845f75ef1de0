use peercam_proto::{
    error::{Error, ErrorKind},
    media::ChannelId,
};

/// Error of a device that ends.
pub(super) fn shutting_down() -> Error {
    Error::new(ErrorKind::Unavailable, "the device is shutting down")
}

/// Error of a camera that does not deliver.
pub(super) fn off(channel: ChannelId, reason: &str) -> Error {
    let reason = format!("the camera of channel {channel} is off: {reason}");
    Error::new(ErrorKind::Unavailable, reason)
}
