use std::sync::Arc;

use peercam_hal::{BoxFuture, RecordingIndex};
use peercam_proto::media::ChannelId;

/// Recorder, as the device sees it.
pub trait RecordingControl: Send + Sync {
    /// State of the card.
    fn state(&self) -> CardState;

    /// Recordings of a channel.
    fn index(&self, channel: ChannelId) -> Arc<dyn RecordingIndex>;

    /// Selection of what is recorded of a channel.
    fn mode(&self, channel: ChannelId) -> RecordMode;

    /// Deletes all recordings of all channels; returns whether that was done. What is being
    /// recorded goes on in new files.
    fn erase(&self) -> BoxFuture<'_, bool>;
}

/// Selection of what is recorded of a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecordMode {
    /// All there is.
    #[default]
    Always,
    /// Events, with what was before them.
    Event,
    /// No frames.
    Off,
}

impl RecordMode {
    /// Returns the word that the configuration and the property have for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Event => "event",
            Self::Off => "off",
        }
    }
}

/// State of the card that recordings go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardState {
    /// Set once it was looked at.
    pub is_known: bool,
    /// Reason why nothing is written at the moment; `None` if something is.
    pub problem: Option<String>,
    /// Set if what was written can be read nevertheless.
    pub is_readable: bool,
    /// Bytes of all recordings.
    pub bytes: u64,
    /// Number of files.
    pub files: usize,
    /// Bytes that were free when something was written last; `None` if that is not known.
    pub free: Option<u64>,
}
