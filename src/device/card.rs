use std::time::Duration;

use peercam_hal::BoxFuture;
use peercam_proto::media::ChannelId;

/// Whoever records, as the device sees it.
pub trait RecordingControl: Send + Sync {
    /// How it stands with the card.
    fn state(&self) -> CardState;

    /// Something of this kind happens at a channel, for so long or as long as usual. Whether the
    /// channel is recorded.
    fn event(&self, channel: ChannelId, kind: u32, length: Option<Duration>) -> bool;

    /// Deletes all recordings of all channels; whether that was done. What is being recorded goes
    /// on in new files.
    fn erase(&self) -> BoxFuture<'_, bool>;
}

/// How it stands with the card that recordings go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardState {
    /// Why nothing is written at the moment; `None` if it is.
    pub problem: Option<String>,
    /// Whether what was written can be read nevertheless.
    pub is_readable: bool,
    /// Bytes of all recordings.
    pub bytes: u64,
    /// How many files they are.
    pub files: usize,
}
