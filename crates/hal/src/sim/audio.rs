//! The simulated microphone: a 1 kHz beep of 100 ms on every second of the wall clock.

use crate::aac::AacEncoder;
use audio_codec_algorithms::{encode_alaw, encode_ulaw};
use bytes::Bytes;
use peercam_proto::media::{AudioCodec, AudioTrack, Frame, MediaTime, TrackKind};

/// Coding of the simulated sound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AudioKind {
    /// AAC-LC, 16 kHz mono.
    #[default]
    Aac,
    /// G.711 A-law, 8 kHz mono.
    Pcma,
    /// G.711 µ-law, 8 kHz mono.
    Pcmu,
    /// No sound.
    None,
}

/// A running microphone and its encoder.
pub(super) struct Microphone {
    codec: Codec,
    sample_rate: u32,
    /// Index of the next sample since the clock's origin.
    next_sample: i64,
    pcm: Vec<f32>,
}

enum Codec {
    Aac {
        encoder: AacEncoder,
        /// Index of the first sample that it was given.
        start: i64,
    },
    G711 {
        encode: fn(i16) -> u8,
    },
}

impl AudioKind {
    /// The track as a viewer sees it; `None` without sound.
    pub(super) fn track(self) -> Option<AudioTrack> {
        let (codec, config) = match self {
            Self::None => return None,
            Self::Aac => (AudioCodec::Aac, aac_encoder().config()),
            Self::Pcma => (AudioCodec::PcmA, Bytes::new()),
            Self::Pcmu => (AudioCodec::PcmU, Bytes::new()),
        };
        Some(AudioTrack {
            codec,
            config,
            sample_rate: self.sample_rate(),
            channels: 1,
        })
    }

    fn sample_rate(self) -> u32 {
        if self == Self::Aac { AAC_RATE } else { 8_000 }
    }
}

const AAC_RATE: u32 = 16_000;

fn aac_encoder() -> AacEncoder {
    AacEncoder::new(AAC_RATE, 32_000).expect("16 kHz mono is a standard AAC format")
}

impl Microphone {
    /// A microphone that listens from `start` on; `None` if there is no sound.
    pub(super) fn new(kind: AudioKind, start: MediaTime) -> Option<Self> {
        let sample_rate = kind.sample_rate();
        let next_sample = sample_at(start, sample_rate);
        let codec = match kind {
            AudioKind::None => return None,
            AudioKind::Aac => Codec::Aac {
                encoder: aac_encoder(),
                start: next_sample,
            },
            AudioKind::Pcma => Codec::G711 {
                encode: encode_alaw,
            },
            AudioKind::Pcmu => Codec::G711 {
                encode: encode_ulaw,
            },
        };
        Some(Self {
            codec,
            sample_rate,
            next_sample,
            pcm: Vec::new(),
        })
    }

    /// Records up to `end` and gives the blocks that are complete. `wall_offset_millis` is the
    /// wall clock minus the media clock.
    pub(super) fn record(&mut self, end: MediaTime, wall_offset_millis: i64) -> Vec<Frame> {
        let end_sample = sample_at(end, self.sample_rate);
        let rate = i64::from(self.sample_rate);
        self.pcm.clear();
        self.pcm
            .extend((self.next_sample..end_sample).map(|sample| {
                beep(
                    (sample + wall_offset_millis * rate / 1000).rem_euclid(rate) as u32,
                    self.sample_rate,
                )
            }));
        let start = self.next_sample;
        self.next_sample = start.max(end_sample);
        let sample_rate = self.sample_rate;
        let mut frames = Vec::new();
        match &mut self.codec {
            Codec::Aac { encoder, start } => encoder.feed(&self.pcm, |place, unit| {
                frames.push(frame(time_of(*start + place, sample_rate), unit));
            }),
            Codec::G711 { encode } => {
                let coded: Vec<u8> = self
                    .pcm
                    .iter()
                    .map(|sample| encode((sample * f32::from(i16::MAX)) as i16))
                    .collect();
                if !coded.is_empty() {
                    frames.push(frame(time_of(start, sample_rate), coded.into()));
                }
            }
        }
        frames
    }
}

fn frame(time: MediaTime, data: Bytes) -> Frame {
    Frame {
        track: TrackKind::Audio,
        key: true,
        time,
        composition_micros: 0,
        data,
    }
}

fn sample_at(time: MediaTime, sample_rate: u32) -> i64 {
    (i128::from(time.as_micros()) * i128::from(sample_rate) / 1_000_000) as i64
}

fn time_of(sample: i64, sample_rate: u32) -> MediaTime {
    MediaTime::from_micros((i128::from(sample) * 1_000_000 / i128::from(sample_rate)) as i64)
}

/// Amplitude at sample `at` of a second.
fn beep(at: u32, sample_rate: u32) -> f32 {
    const PITCH_HZ: f32 = 1000.0;
    const LENGTH_SECONDS: f32 = 0.1;
    const FADE_SECONDS: f32 = 0.002;
    let seconds = at as f32 / sample_rate as f32;
    if seconds >= LENGTH_SECONDS {
        return 0.0;
    }
    let fade = (seconds / FADE_SECONDS)
        .min((LENGTH_SECONDS - seconds) / FADE_SECONDS)
        .min(1.0);
    0.5 * fade * (std::f32::consts::TAU * PITCH_HZ * seconds).sin()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record_all(kind: AudioKind, millis: i64) -> Vec<Frame> {
        let mut microphone =
            Microphone::new(kind, MediaTime::from_micros(40_000)).expect("has sound");
        (1..=millis / 40)
            .flat_map(|tick| microphone.record(MediaTime::from_micros(40_000 + tick * 40_000), 0))
            .collect()
    }

    #[test]
    fn blocks_follow_each_other_without_gap() {
        let aac = record_all(AudioKind::Aac, 4000);
        assert_eq!(
            aac[0].time,
            MediaTime::from_micros(40_000),
            "the delay is taken off"
        );
        assert!(
            aac.windows(2)
                .all(|pair| pair[1].time.micros_since(pair[0].time) == 64_000)
        );
        let g711 = record_all(AudioKind::Pcma, 1000);
        assert_eq!(g711.len(), 25);
        assert!(g711.iter().all(|block| block.data.len() == 320));
        assert!(Microphone::new(AudioKind::None, MediaTime::default()).is_none());
    }

    #[test]
    fn the_beep_is_on_the_second_and_nowhere_else() {
        let loud: Vec<i64> = record_all(AudioKind::Pcmu, 2400)
            .iter()
            .filter(|block| {
                block
                    .data
                    .iter()
                    .any(|&byte| audio_codec_algorithms::decode_ulaw(byte).abs() > 8000)
            })
            .map(|block| block.time.as_micros() / 1000)
            .collect();
        assert_eq!(loud, [40, 80, 1000, 1040, 1080, 2000, 2040, 2080]);
    }
}
