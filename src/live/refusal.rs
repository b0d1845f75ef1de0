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

/// Error of a channel that is not one of these.
pub(super) fn no_such_channel<'a>(existing: impl Iterator<Item = &'a ChannelId>) -> Error {
    let existing: Vec<String> = existing.map(ChannelId::to_string).collect();
    let reason = if existing.is_empty() {
        "there is no such channel".to_owned()
    } else {
        let existing = existing.join(", ");
        format!("there is no such channel; this device has {existing}")
    };
    Error::new(ErrorKind::NotFound, reason)
}
