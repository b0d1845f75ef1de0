use super::HalError;

/// A speaker.
pub trait Talkback: Send + Sync {
    /// Opens the speaker for one talker.
    ///
    /// # Errors
    /// [`HalError::Busy`] while another talker holds it; [`HalError::Unsupported`] for a format it
    /// does not play.
    fn open(&self, format: TalkFormat) -> Result<Box<dyn TalkSink>, HalError>;
}

/// Sound as it reaches a speaker: signed 16-bit little-endian PCM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TalkFormat {
    /// Samples per second and channel.
    pub sample_rate: u32,
    /// 1 = mono, 2 = interleaved stereo.
    pub channels: u8,
}

/// An open speaker. Dropping it hangs up.
pub trait TalkSink: Send {
    /// Plays `samples` (interleaved) after what was pushed before. Never blocks: what the speaker
    /// has no room for is lost, oldest first.
    fn push(&mut self, samples: &[i16]);
}
