//! AAC out of sound that players at the other end do not know.

use audio_codec_algorithms::{decode_alaw, decode_ulaw};
use peercam_proto::media::{AudioCodec, AudioTrack, Frame, MediaTime, TrackKind};

use crate::aac::AacEncoder;

/// Sound that comes by so much off its time has a gap before it, or its clock was set.
const GAP_MICROS: i64 = 80_000;

/// Makes AAC of G.711, which browsers and mini-programs do not play.
pub(super) struct Transcoder {
    decode: fn(u8) -> i16,
    encoder: AacEncoder,
    /// Track that it makes.
    track: AudioTrack,
    /// A moment, and how many samples had been taken in then.
    anchor: Option<(MediaTime, i64)>,
    taken: i64,
    samples: Vec<f32>,
}

impl Transcoder {
    /// A transcoder of this track; `None` if it is to be left as it is.
    pub(super) fn new(track: &AudioTrack) -> Option<Self> {
        let decode = match track.codec {
            AudioCodec::PcmA => decode_alaw,
            AudioCodec::PcmU => decode_ulaw,
            AudioCodec::Aac => return None,
        };
        if track.channels != 1 {
            return None;
        }
        // 3 bits for each sample: 24 kbit/s of 8 kHz, beside 64 of G.711.
        let encoder = AacEncoder::new(track.sample_rate, track.sample_rate.saturating_mul(3))?;
        let made = AudioTrack {
            codec: AudioCodec::Aac,
            config: encoder.config(),
            ..track.clone()
        };
        Some(Self {
            decode,
            encoder,
            track: made,
            anchor: None,
            taken: 0,
            samples: Vec::new(),
        })
    }

    /// Track that it makes.
    pub(super) fn track(&self) -> &AudioTrack {
        &self.track
    }

    /// Takes a block in and gives the units that are complete.
    pub(super) fn push(&mut self, frame: &Frame) -> Vec<Frame> {
        let due = self.anchor.map(|anchor| self.time(anchor, self.taken));
        let is_on_time =
            |due: MediaTime| frame.time.micros_since(due).saturating_abs() < GAP_MICROS;
        if !due.is_some_and(is_on_time) {
            self.anchor = Some((frame.time, self.taken));
        }
        self.samples.clear();
        let decoded = frame.data.iter().map(|&byte| (self.decode)(byte));
        self.samples
            .extend(decoded.map(|sample| f32::from(sample) / -f32::from(i16::MIN)));
        self.taken += self.samples.len() as i64;
        let mut units = Vec::new();
        self.encoder
            .feed(&self.samples, |place, data| units.push((place, data)));
        let anchor = self.anchor.unwrap_or((frame.time, 0));
        let units = units.into_iter().map(|(place, data)| Frame {
            track: TrackKind::Audio,
            key: true,
            time: self.time(anchor, place),
            composition_micros: 0,
            data,
        });
        units.collect()
    }

    fn time(&self, (moment, taken): (MediaTime, i64), place: i64) -> MediaTime {
        moment.plus_micros((place - taken) * 1_000_000 / i64::from(self.track.sample_rate))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_gap_stays_a_gap() {
        let track = AudioTrack {
            codec: AudioCodec::PcmA,
            config: Bytes::new(),
            sample_rate: 8_000,
            channels: 1,
        };
        let mut transcoder = Transcoder::new(&track).expect("G.711");
        let made = transcoder.track().clone();
        assert_eq!((made.codec, made.sample_rate), (AudioCodec::Aac, 8_000));
        assert!(Transcoder::new(&made).is_none());
        let mut times = Vec::new();
        for block in 0..200_i64 {
            // 40 ms each; after 4 s there is none for a second.
            let start = block * 40_000 + if block < 100 { 0 } else { 1_000_000 };
            let block = Frame {
                track: TrackKind::Audio,
                key: true,
                time: MediaTime::from_micros(5_000_000 + start),
                composition_micros: 0,
                data: vec![0xd5; 320].into(),
            };
            let made = transcoder.push(&block);
            times.extend(made.iter().map(|frame| frame.time.as_micros() - 5_000_000));
        }
        assert_eq!(times[0], 0, "the encoder's delay is taken off");
        let steps: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let gaps = steps.iter().filter(|&&step| step != 128_000).count();
        assert_eq!(gaps, 1, "{steps:?}");
        assert!(
            times
                .last()
                .is_some_and(|last| (8_600_000..9_000_000).contains(last))
        );
    }
}
