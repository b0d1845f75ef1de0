//! The simulated speaker: nobody hears it, and it remembers what it played.

use std::{
    collections::VecDeque,
    sync::{Arc, MutexGuard, atomic::Ordering},
};

use peercam_proto::media::{AudioCoding, AudioFormat, MediaTime};

use super::{Fault, shared::Shared};
use crate::{HalError, PlayedAudio, TalkSink, Talkback};

/// Length of its memory, in seconds.
const MEMORY: i64 = 10;
/// Rate of what it plays, whatever came in.
const RATE: u32 = 16_000;
/// Delay with which it begins to sound after silence, in microseconds.
const START: i64 = 60_000;
/// Sound that may wait for the speaker, in microseconds; a fuller one loses its oldest.
const QUEUE_MICROS: i64 = 500_000;

/// A speaker that one talker can hold.
pub(super) struct SimSpeaker {
    shared: Arc<Shared>,
}

/// Samples that were played, the last of which sounds at `until`.
#[derive(Debug, Default)]
pub(super) struct Memory {
    samples: VecDeque<i16>,
    until: Option<MediaTime>,
}

impl Memory {
    /// Silence up to `now`, if nothing was played.
    fn fall_silent(&mut self, now: MediaTime) {
        let until = self.until.unwrap_or(now);
        let gap = samples_in(now.micros_since(until).clamp(0, MEMORY * 1_000_000));
        self.samples.extend(std::iter::repeat_n(0, gap));
        self.until = Some(until.max(now));
        self.forget();
    }

    /// Plays samples behind what waits.
    fn play(&mut self, samples: impl Iterator<Item = i16>, now: MediaTime) {
        self.fall_silent(now);
        if self.until == Some(now) {
            // It was silent: like a sound card, it begins with a little in hand.
            self.samples
                .extend(std::iter::repeat_n(0, samples_in(START)));
            self.until = Some(now.plus_micros(START));
        }
        let before = self.samples.len();
        self.samples.extend(samples);
        let micros = (self.samples.len() - before) as i64 * 1_000_000 / i64::from(RATE);
        self.until = self.until.map(|until| until.plus_micros(micros));
        // What does not fit pushes out the oldest of what waits.
        let waiting = self.until.map_or(0, |until| until.micros_since(now));
        let over = samples_in((waiting - QUEUE_MICROS).max(0));
        let waiting_from = self.samples.len().saturating_sub(samples_in(waiting));
        self.samples
            .drain(waiting_from..(waiting_from + over).min(self.samples.len()));
        self.until = self
            .until
            .map(|until| until.min(now.plus_micros(QUEUE_MICROS)));
        self.forget();
    }

    fn forget(&mut self) {
        let most = (MEMORY * i64::from(RATE)) as usize;
        let over = self.samples.len().saturating_sub(most);
        self.samples.drain(..over);
    }
}

fn samples_in(micros: i64) -> usize {
    usize::try_from(micros * i64::from(RATE) / 1_000_000).unwrap_or(0)
}

impl SimSpeaker {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

fn memory(shared: &Shared) -> MutexGuard<'_, Memory> {
    shared.heard.lock()
}

impl Talkback for SimSpeaker {
    fn open(&self, format: &AudioFormat) -> Result<Box<dyn TalkSink>, HalError> {
        if format.coding != AudioCoding::Pcm {
            return Err(HalError::Unsupported(format.coding.as_str().to_owned()));
        }
        if !(1..=2).contains(&format.channels) || !(8_000..=48_000).contains(&format.sample_rate) {
            return Err(HalError::Unsupported(format!(
                "{} channels at {} Hz; 1 or 2 at 8 to 48 kHz",
                format.channels, format.sample_rate
            )));
        }
        let taken_by_fault = self
            .shared
            .config
            .faults
            .strikes(Fault::SpeakerBusy, self.shared.frame_now());
        if taken_by_fault || self.shared.speaker_held.swap(true, Ordering::AcqRel) {
            return Err(HalError::Busy);
        }
        Ok(Box::new(OpenSpeaker {
            shared: Arc::clone(&self.shared),
            step: u64::from(format.sample_rate),
            channels: usize::from(format.channels),
            phase: 0,
        }))
    }

    fn heard(&self) -> Option<PlayedAudio> {
        let clock = self.shared.clock;
        let (now, wall) = (clock.now(), clock.wall_millis());
        let mut memory = memory(&self.shared);
        memory.fall_silent(now);
        // What still waits has not sounded.
        let until = memory.until.unwrap_or(now);
        let waiting = samples_in(until.micros_since(now));
        let sounded = memory.samples.len().saturating_sub(waiting);
        let samples: Vec<i16> = memory.samples.iter().take(sounded).copied().collect();
        let start_millis = wall - samples.len() as i64 * 1000 / i64::from(RATE);
        Some(PlayedAudio {
            sample_rate: RATE,
            samples,
            start_millis,
        })
    }
}

struct OpenSpeaker {
    shared: Arc<Shared>,
    /// Samples that come in per second.
    step: u64,
    channels: usize,
    /// Rest of the last step, in parts of [`RATE`].
    phase: u64,
}

impl TalkSink for OpenSpeaker {
    fn push(&mut self, block: &[u8]) {
        let mono = block.chunks_exact(2 * self.channels).map(|sample| {
            // The left one, of two.
            i16::from_le_bytes([sample[0], sample[1]])
        });
        // The nearest one before: good enough for a beep.
        let mut resampled = Vec::new();
        for sample in mono {
            self.phase += u64::from(RATE);
            while self.phase >= self.step {
                self.phase -= self.step;
                resampled.push(sample);
            }
        }
        let now = self.shared.clock.now();
        memory(&self.shared).play(resampled.into_iter(), now);
    }
}

impl Drop for OpenSpeaker {
    fn drop(&mut self) {
        self.shared.speaker_held.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Camera,
        clock::Clock,
        sim::{Config, SimCamera},
    };

    fn pcm(sample_rate: u32, channels: u8) -> AudioFormat {
        AudioFormat {
            coding: AudioCoding::Pcm,
            sample_rate,
            channels,
        }
    }

    #[test]
    fn one_talker_at_a_time() {
        let camera = SimCamera::new(Clock::start(), Config::default());
        let speaker = camera.capabilities().talkback.expect("has a speaker");
        let held = speaker.open(&pcm(16_000, 1)).expect("free");
        assert_eq!(speaker.open(&pcm(16_000, 1)).err(), Some(HalError::Busy));
        drop(held);
        assert!(speaker.open(&pcm(16_000, 1)).is_ok());
        for format in [
            pcm(1, 9),
            AudioFormat {
                coding: AudioCoding::PcmA,
                ..pcm(8_000, 1)
            },
        ] {
            let refused = speaker.open(&format).err();
            assert!(matches!(refused, Some(HalError::Unsupported(_))));
        }
    }

    #[test]
    fn it_remembers_what_it_played_and_when() {
        let at = MediaTime::from_micros;
        let mut memory = Memory::default();
        memory.play([1; 1600].into_iter(), at(0));
        memory.play([2; 1600].into_iter(), at(100_000));
        // Nothing for a second.
        memory.play([3; 160].into_iter(), at(1_200_000));
        let samples: Vec<i16> = memory.samples.iter().copied().collect();
        let start = samples_in(START);
        assert_eq!(samples.len(), 1600 * 12 + start + 160);
        let sounding = samples[start..].iter().step_by(1600).take(3);
        assert_eq!(sounding.copied().collect::<Vec<_>>(), [1, 2, 0]);
        assert_eq!(samples[1600 * 12 + start], 3);
        // Two seconds at once: half a second has room.
        memory.play(
            (0..32_000).map(|sample| (sample / 100) as i16),
            at(1_210_000),
        );
        assert_eq!(memory.until, Some(at(1_210_000 + QUEUE_MICROS)));
        assert_eq!(memory.samples.back(), Some(&319));
        memory.fall_silent(at(60_000_000));
        assert_eq!(memory.samples.len(), 160_000);
        assert!(memory.samples.iter().all(|sample| *sample == 0));
    }

    #[test]
    fn other_rates_sound_as_long() {
        for (rate, channels) in [(8_000, 1), (44_100, 2)] {
            let camera = SimCamera::new(Clock::start(), Config::default());
            let speaker = camera.capabilities().talkback.expect("has a speaker");
            let mut sink = speaker.open(&pcm(rate, channels)).expect("free");
            sink.push(&vec![0x11; rate as usize / 5 * 2 * usize::from(channels)]);
            let heard = loop {
                let heard = speaker.heard().expect("it remembers");
                let sounding = heard.samples.iter().filter(|sample| **sample != 0).count();
                // A fifth of a second sounds for a fifth of a second.
                if heard.samples.len() > 3200 + 2 * samples_in(START) {
                    break sounding;
                }
                std::thread::yield_now();
            };
            assert!(heard.abs_diff(3200) <= 1, "{rate}: {heard}");
        }
    }
}
