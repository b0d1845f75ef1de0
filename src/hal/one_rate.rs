use std::sync::Arc;

use super::{HalError, Heard, TalkSink, Talkback, resample::Resampler};
use crate::media::{SoundCoding, SoundFormat};

/// A speaker that takes one rate only: what comes at another one is made so.
pub struct OneRate {
    speaker: Arc<dyn Talkback>,
    form: Form,
}

/// What such a speaker takes.
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
    /// What the speaker gets of this format, and how, if it is not taken as it is.
    fn of(self, format: &SoundFormat) -> Result<(SoundFormat, Option<Conversion>), HalError> {
        let taken = SoundFormat {
            sample_rate: self.sample_rate,
            channels: if self.is_mono { 1 } else { format.channels },
            coding: format.coding.clone(),
        };
        if taken == *format {
            return Ok((taken, None));
        }
        match format.coding {
            SoundCoding::Pcm => {
                let conversion = Conversion::new(format, &taken);
                Ok((taken, Some(conversion)))
            }
            _ => {
                let coding = format.coding.as_str();
                Err(HalError::Unsupported(format!("{coding} of another rate")))
            }
        }
    }
}

impl Talkback for OneRate {
    fn check(&self) -> Result<(), HalError> {
        self.speaker.check()
    }

    fn open(&self, format: &SoundFormat) -> Result<Box<dyn TalkSink>, HalError> {
        let (taken, conversion) = self.form.of(format)?;
        Ok(Box::new(Sink {
            sink: self.speaker.open(&taken)?,
            form: self.form,
            taken,
            conversion,
        }))
    }

    fn heard(&self) -> Option<Heard> {
        self.speaker.heard()
    }
}

/// From one form of PCM to another.
struct Conversion {
    resampler: Resampler,
    /// As many as come in become one, or stay apart.
    from_channels: usize,
    is_mixed: bool,
    converted: Vec<u8>,
}

impl Conversion {
    fn new(from: &SoundFormat, to: &SoundFormat) -> Self {
        Self {
            resampler: Resampler::new(from.sample_rate, to.sample_rate, to.channels),
            from_channels: usize::from(from.channels.max(1)),
            is_mixed: to.channels < from.channels,
            converted: Vec::new(),
        }
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
    /// What it is open for.
    taken: SoundFormat,
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

    fn change(&mut self, format: &SoundFormat) -> Result<bool, HalError> {
        let (taken, conversion) = self.form.of(format)?;
        if taken != self.taken && !self.sink.change(&taken)? {
            return Ok(false);
        }
        (self.taken, self.conversion) = (taken, conversion);
        Ok(true)
    }

    fn cut(&mut self) {
        self.sink.cut();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boundary::Guarded;

    /// What it was opened for, and what it was given.
    type Log = Arc<Guarded<Vec<(u32, u8, usize)>>>;

    struct Speaker(Log);

    struct Open(Log, SoundFormat);

    impl Talkback for Speaker {
        fn open(&self, format: &SoundFormat) -> Result<Box<dyn TalkSink>, HalError> {
            Ok(Box::new(Open(Arc::clone(&self.0), format.clone())))
        }
    }

    impl TalkSink for Open {
        fn push(&mut self, block: &[u8]) {
            let Self(log, format) = self;
            let entry = (format.sample_rate, format.channels, block.len());
            log.lock().push(entry);
        }

        fn change(&mut self, format: &SoundFormat) -> Result<bool, HalError> {
            self.1 = format.clone();
            Ok(true)
        }
    }

    fn pcm(sample_rate: u32, channels: u8) -> SoundFormat {
        SoundFormat {
            coding: SoundCoding::Pcm,
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
        let law = |sample_rate| SoundFormat {
            coding: SoundCoding::PcmA,
            ..pcm(sample_rate, 1)
        };
        assert!(speaker.open(&law(8_000)).is_ok());
        let other = speaker.open(&law(16_000)).err();
        assert!(matches!(other, Some(HalError::Unsupported(_))));
    }
}
