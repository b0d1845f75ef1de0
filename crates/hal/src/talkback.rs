use peercam_proto::media::AudioFormat;

use super::HalError;

/// A speaker.
pub trait Talkback: Send + Sync {
    /// Checks that the speaker could be opened now, if nobody else had it.
    ///
    /// # Errors
    /// Why it could not.
    fn check(&self) -> Result<(), HalError> {
        Ok(())
    }

    /// Opens the speaker for one talker.
    ///
    /// A speaker must take PCM; what else it takes is played as it comes, and what it does not
    /// take is decoded for it.
    ///
    /// # Errors
    /// [`HalError::Busy`] while somebody else holds it; [`HalError::Unsupported`] for a format it
    /// does not play.
    fn open(&self, format: &AudioFormat) -> Result<Box<dyn TalkSink>, HalError>;

    /// Returns the sound that it has played lately, if it keeps that.
    fn heard(&self) -> Option<PlayedAudio> {
        None
    }
}

/// An open speaker. Dropping it hangs up: what it was given sounds to its end, if that is soon.
pub trait TalkSink: Send {
    /// Plays a block after what was pushed before: of PCM any number of whole samples, of AAC an
    /// access unit. Never blocks: what the speaker has no room for is lost, oldest first.
    fn push(&mut self, block: &[u8]);

    /// Changes the format of what follows. Blocks pushed before sound first; `false` if the speaker is
    /// to be opened anew instead, once this is dropped.
    ///
    /// # Errors
    /// As [`Talkback::open`].
    fn change(&mut self, _format: &AudioFormat) -> Result<bool, HalError> {
        Ok(false)
    }

    /// Drops the blocks that were pushed and do not sound yet: somebody else may want the
    /// speaker. Dropped next.
    fn cut(&mut self) {}
}

/// Sound that a speaker has played: mono PCM, up to now.
#[derive(Clone, Debug, PartialEq)]
pub struct PlayedAudio {
    /// Samples per second.
    pub sample_rate: u32,
    /// The samples; silence where nothing was played.
    pub samples: Vec<i16>,
    /// Time at which the first of them sounded, in milliseconds since 1970.
    pub start_millis: i64,
}

impl PlayedAudio {
    /// Loudness of the last tenth of a second: the root mean square, of which 1 is full scale.
    pub fn level(&self) -> f64 {
        let count = (self.sample_rate / 10) as usize;
        let last = &self.samples[self.samples.len().saturating_sub(count)..];
        let squares: f64 = last.iter().map(|sample| f64::from(*sample).powi(2)).sum();
        (squares / last.len().max(1) as f64).sqrt() / f64::from(i16::MAX)
    }

    /// A WAV file of it.
    pub fn wav(&self) -> Vec<u8> {
        let data = self.samples.len() as u32 * 2;
        let mut file = Vec::with_capacity(44 + data as usize);
        file.extend_from_slice(b"RIFF");
        file.extend_from_slice(&(36 + data).to_le_bytes());
        file.extend_from_slice(b"WAVEfmt ");
        file.extend_from_slice(&16_u32.to_le_bytes());
        for word in [1, 1] {
            file.extend_from_slice(&u16::to_le_bytes(word));
        }
        for rate in [self.sample_rate, self.sample_rate * 2] {
            file.extend_from_slice(&rate.to_le_bytes());
        }
        for word in [2, 16] {
            file.extend_from_slice(&u16::to_le_bytes(word));
        }
        file.extend_from_slice(b"data");
        file.extend_from_slice(&data.to_le_bytes());
        file.extend(self.samples.iter().flat_map(|sample| sample.to_le_bytes()));
        file
    }
}
