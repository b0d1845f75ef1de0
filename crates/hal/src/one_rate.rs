//! A speaker that takes PCM of one rate: what is talked is decoded, mixed and resampled for it.
//!
//! The conversion keeps its state between blocks, so that blocks of any size join without a click.

use std::sync::Arc;

use peercam_proto::media::{AudioCoding, AudioFormat};

use super::{HalError, PlayedAudio, TalkSink, Talkback, resample::Resampler};

/// A speaker that takes one rate only: what comes at another one is made so.
pub struct OneRate {
    speaker: Arc<dyn Talkback>,
    form: Form,
}

/// Coding that such a speaker takes.
#[derive(Clone, Copy)]
struct Form {
    sample_rate: u32,
    is_mono: bool,
}

impl OneRate {
    /// `speaker`, which takes PCM of this rate, and one channel only if it is mono.
    pub fn new(speaker: Arc<dyn Talkback>, sample_rate: u32, is_mono: bool) -> Self {
        let form = Form {
            sample_rate,
            is_mono,
        };
        Self { speaker, form }
    }
}

impl Form {
    /// Returns the format in which the speaker gets this one.
    fn of(self, format: &AudioFormat) -> Result<AudioFormat, HalError> {
        let taken = AudioFormat {
            sample_rate: self.sample_rate,
            channels: if self.is_mono { 1 } else { format.channels },
            coding: format.coding.clone(),
        };
        if taken != *format && format.coding != AudioCoding::Pcm {
            let coding = format.coding.as_str();
            return Err(HalError::Unsupported(format!("{coding} of another rate")));
        }
        Ok(taken)
    }
}

impl Talkback for OneRate {
    fn check(&self) -> Result<(), HalError> {
        self.speaker.check()
    }

    fn open(&self, format: &AudioFormat) -> Result<Box<dyn TalkSink>, HalError> {
        let taken = self.form.of(format)?;
        Ok(Box::new(Sink {
            sink: self.speaker.open(&taken)?,
            form: self.form,
            conversion: Conversion::needed(format, &taken),
            taken,
        }))
    }

    fn heard(&self) -> Option<PlayedAudio> {
        self.speaker.heard()
    }
}

/// Conversion from one form of PCM to another.
struct Conversion {
    from: AudioFormat,
    to: AudioFormat,
    resampler: Resampler,
    from_channels: usize,
    /// Set if all channels become one; otherwise they stay apart.
    is_mixed: bool,
    converted: Vec<u8>,
}

impl Conversion {
    /// `None` if it is taken as it is.
    fn needed(from: &AudioFormat, to: &AudioFormat) -> Option<Self> {
        (from != to).then(|| Self {
            from: from.clone(),
            to: to.clone(),
            resampler: Resampler::new(from.sample_rate, to.sample_rate, to.channels),
            from_channels: usize::from(from.channels.max(1)),
            is_mixed: to.channels < from.channels,
            converted: Vec::new(),
        })
    }

    fn convert(&mut self, block: &[u8]) -> &[u8] {
        self.converted.clear();
        let samples = block
            .chunks_exact(2)
            .map(|two| i16::from_le_bytes([two[0], two[1]]));
        if self.is_mixed {
            let channels = self.from_channels;
            let mixed = block.chunks_exact(2 * channels).map(|frame| {
                let samples = frame.chunks_exact(2);
                let samples = samples.map(|two| i32::from(i16::from_le_bytes([two[0], two[1]])));
                (samples.sum::<i32>() / channels as i32) as i16
            });
            self.resampler.push(mixed, &mut self.converted);
        } else {
            self.resampler.push(samples, &mut self.converted);
        }
        &self.converted
    }
}

struct Sink {
    sink: Box<dyn TalkSink>,
    form: Form,
    /// Format for which the speaker is open.
    taken: AudioFormat,
    conversion: Option<Conversion>,
}

impl TalkSink for Sink {
    fn push(&mut self, block: &[u8]) {
        let block = match &mut self.conversion {
            Some(conversion) => conversion.convert(block),
            None => block,
        };
        if !block.is_empty() {
            self.sink.push(block);
        }
    }

    fn change(&mut self, format: &AudioFormat) -> Result<bool, HalError> {
        let taken = self.form.of(format)?;
        if taken != self.taken && !self.sink.change(&taken)? {
            return Ok(false);
        }
        let conversion = self.conversion.as_ref();
        // Its weights are worked out once.
        if !conversion.is_some_and(|known| known.from == *format && known.to == taken) {
            self.conversion = Conversion::needed(format, &taken);
        }
        self.taken = taken;
        Ok(true)
    }

    fn cut(&mut self) {
        self.sink.cut();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peercam_task::boundary::Guarded;

    /// Formats for which the speaker was opened, and the samples that it was given.
    type Log = Arc<Guarded<Vec<(u32, u8, usize)>>>;

    struct Speaker(Log);

    struct Open(Log, AudioFormat);

    impl Talkback for Speaker {
        fn open(&self, format: &AudioFormat) -> Result<Box<dyn TalkSink>, HalError> {
            Ok(Box::new(Open(Arc::clone(&self.0), format.clone())))
        }
    }

    impl TalkSink for Open {
        fn push(&mut self, block: &[u8]) {
            let Self(log, format) = self;
            let entry = (format.sample_rate, format.channels, block.len());
            log.lock().push(entry);
        }

        fn change(&mut self, format: &AudioFormat) -> Result<bool, HalError> {
            self.1 = format.clone();
            Ok(true)
        }
    }

    /// Keeps what it was given.
    struct Tape(Arc<Guarded<Vec<u8>>>);

    impl Talkback for Tape {
        fn open(&self, _format: &AudioFormat) -> Result<Box<dyn TalkSink>, HalError> {
            Ok(Box::new(Self(Arc::clone(&self.0))))
        }
    }

    impl TalkSink for Tape {
        fn push(&mut self, block: &[u8]) {
            self.0.lock().extend_from_slice(block);
        }
    }

    #[test]
    fn a_change_to_the_same_format_begins_nothing_anew() {
        let heard = |is_told: bool| {
            let tape = Arc::new(Guarded::default());
            let speaker = OneRate::new(Arc::new(Tape(Arc::clone(&tape))), 16_000, true);
            let mut sink = speaker.open(&pcm(8_000, 1)).expect("free");
            for _ in 0..3 {
                if is_told {
                    // The first is what a decoder is asked for before it gives PCM.
                    let aac = AudioFormat {
                        coding: AudioCoding::PcmA,
                        ..pcm(8_000, 1)
                    };
                    assert!(sink.change(&aac).is_err());
                    assert_eq!(sink.change(&pcm(8_000, 1)), Ok(true));
                }
                sink.push(&[0x12; 320]);
            }
            tape.lock().clone()
        };
        assert_eq!(heard(true), heard(false));
    }

    fn pcm(sample_rate: u32, channels: u8) -> AudioFormat {
        AudioFormat {
            coding: AudioCoding::Pcm,
            sample_rate,
            channels,
        }
    }

    #[test]
    fn whatever_comes_has_the_rate_that_the_speaker_takes() {
        for (is_mono, channels) in [(true, 1), (false, 2)] {
            let log = Log::default();
            let speaker = OneRate::new(Arc::new(Speaker(Arc::clone(&log))), 16_000, is_mono);
            let mut sink = speaker.open(&pcm(8_000, 1)).expect("free");
            sink.push(&[0; 1_600]);
            // The same program goes on.
            for format in [pcm(48_000, 2), pcm(16_000, 2), pcm(16_000, 1)] {
                assert_eq!(sink.change(&format), Ok(true));
                let second = format.sample_rate as usize / 10 * 2 * usize::from(format.channels);
                sink.push(&vec![0; second]);
            }
            let log = log.lock();
            for ((rate, found, bytes), expected) in log.iter().zip([1, channels, channels, 1]) {
                assert_eq!((*rate, *found), (16_000, expected));
                let whole = 3_200 * usize::from(expected);
                assert!((whole - 64..=whole).contains(bytes), "{bytes} of {whole}");
            }
            assert_eq!(log.len(), 4);
        }
        // What it might decode itself has the right rate, or is decoded before it comes.
        let speaker = OneRate::new(Arc::new(Speaker(Log::default())), 8_000, true);
        let law = |sample_rate| AudioFormat {
            coding: AudioCoding::PcmA,
            ..pcm(sample_rate, 1)
        };
        assert!(speaker.open(&law(8_000)).is_ok());
        let other = speaker.open(&law(16_000)).err();
        assert!(matches!(other, Some(HalError::Unsupported(_))));
    }
}
