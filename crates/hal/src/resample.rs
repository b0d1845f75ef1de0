//! Resampling of 16-bit PCM from any rate to any other: a windowed sinc, from a table of weights.
//!
//! State is carried over from block to block. Codecs and mixing do not belong here.

/// Converts PCM between sample rates, pitch unchanged. Frequencies that the new rate does
/// not have are left out. Pure.
///
/// A sample is the sum of those around it, weighted by a windowed sinc. What it holds is bounded by
/// the widest window, and does not depend on how odd the rates are.
#[derive(Debug)]
pub(super) struct Resampler {
    from: u64,
    to: u64,
    channels: usize,
    /// Weights of [`PHASES`] places between two samples and the next one, each of `width` samples.
    weights: Vec<f32>,
    width: usize,
    /// Position of the next sample between two, in parts of `to`.
    phase: u64,
    /// Samples that came in and are still needed, interleaved.
    waiting: Vec<i16>,
}

const PHASES: usize = 32;
/// Zeros of the sinc on each side.
const ZEROS: f64 = 6.0;
/// Share of the lower rate's band that is kept.
const BAND: f64 = 0.94;

impl Resampler {
    /// A conversion from one rate, in samples per second, to another one.
    pub(super) fn new(from: u32, to: u32, channels: u8) -> Self {
        let (from, to) = (from.max(1), to.max(1));
        let channels = usize::from(channels.max(1));
        let cutoff = BAND * (f64::from(to) / f64::from(from)).min(1.0);
        let half = (ZEROS / cutoff).ceil();
        let width = 2 * half as usize;
        let phases = (0..=PHASES).map(|phase| phase as f64 / PHASES as f64);
        let weights = phases.flat_map(|phase| {
            let weight = |index| weight(f64::from(index) - (half - 1.0) - phase, cutoff, half);
            let weights: Vec<_> = (0..width as u32).map(weight).collect();
            let sum: f64 = weights.iter().sum();
            weights.into_iter().map(move |weight| (weight / sum) as f32)
        });
        Self {
            from: u64::from(from),
            to: u64::from(to),
            channels,
            weights: weights.collect(),
            width,
            phase: 0,
            // Silence, so that the first sample has something before it.
            waiting: vec![0; (half as usize - 1) * channels],
        }
    }

    /// Takes whole samples of all channels in; those that can be made stand behind `out`.
    pub(super) fn push(&mut self, samples: impl Iterator<Item = i16>, out: &mut Vec<u8>) {
        self.waiting.extend(samples);
        let span = self.width * self.channels;
        let mut start = 0;
        while let Some(around) = self.waiting.get(start..start + span) {
            let place = self.phase as f32 / self.to as f32 * PHASES as f32;
            let (phase, between) = (place as usize, place.fract());
            let row = |phase: usize| self.weights[phase * self.width..].iter();
            for channel in 0..self.channels {
                let samples = around.iter().skip(channel).step_by(self.channels);
                let weights = row(phase).zip(row(phase + 1));
                let weighted = samples.zip(weights).map(|(sample, (one, next))| {
                    f32::from(*sample) * (one + (next - one) * between)
                });
                let sum: f32 = weighted.sum();
                out.extend((sum.round() as i16).to_le_bytes());
            }
            self.phase += self.from;
            start += (self.phase / self.to) as usize * self.channels;
            self.phase %= self.to;
        }
        // A window is wider than a step, so what is passed over has come.
        self.waiting.drain(..start);
    }
}

/// Weight of a sample at this distance: a sinc, and a Hann window of `half` on each side.
fn weight(distance: f64, cutoff: f64, half: f64) -> f64 {
    use std::f64::consts::PI;
    if distance.abs() >= half {
        return 0.0;
    }
    let angle = PI * cutoff * distance;
    let sinc = if angle == 0.0 {
        1.0
    } else {
        angle.sin() / angle
    };
    sinc * (0.5 + 0.5 * (PI * distance / half).cos())
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    /// An eighth of a second of a tone that becomes one of another rate, in pieces of odd sizes.
    fn resampled(frequency: f64, from: u32, to: u32, channels: u8) -> Vec<i16> {
        let tone = (0..from / 8).map(|index| {
            let angle = TAU * frequency * f64::from(index) / f64::from(from);
            (angle.sin() * 8_000.0) as i16
        });
        let interleaved = tone.flat_map(|sample| vec![sample; usize::from(channels)]);
        let interleaved: Vec<i16> = interleaved.collect();
        let mut resampler = Resampler::new(from, to, channels);
        let mut out = Vec::new();
        for piece in interleaved.chunks(usize::from(channels) * 37) {
            resampler.push(piece.iter().copied(), &mut out);
        }
        let samples = out.chunks_exact(2);
        samples
            .map(|two| i16::from_le_bytes([two[0], two[1]]))
            .collect()
    }

    /// Share of the power that a tenth of a second of a sound has at a frequency, of which it has whole
    /// periods.
    fn purity(samples: &[i16], frequency: f64, rate: u32) -> f64 {
        let samples = &samples[64..][..rate as usize / 10];
        let (mut real, mut imaginary, mut all) = (0.0, 0.0, 0.0);
        for (index, sample) in samples.iter().enumerate() {
            let (sample, angle) = (
                f64::from(*sample),
                TAU * frequency * index as f64 / f64::from(rate),
            );
            real += sample * angle.cos();
            imaginary += sample * angle.sin();
            all += sample * sample;
        }
        2.0 * (real * real + imaginary * imaginary) / (all * samples.len() as f64)
    }

    #[test]
    fn a_tone_stays_as_high_as_it_was() {
        const RATES: [u32; 10] = [
            8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 44_101, 192_000,
        ];
        for from in RATES {
            for to in [8_000, 16_000, 44_100, 48_000] {
                let found = resampled(1_000.0, from, to, 1);
                let long = found.len().abs_diff(to as usize / 8);
                assert!(long <= to as usize / 250, "{from} to {to}: {long} samples");
                let pure = purity(&found, 1_000.0, to);
                assert!(pure > 0.999, "{from} to {to}: {pure}");
            }
        }
    }

    #[test]
    fn what_the_new_rate_does_not_have_is_left_out() {
        let found = resampled(7_000.0, 16_000, 8_000, 1);
        let loudest = found[64..].iter().map(|sample| sample.unsigned_abs()).max();
        assert!(loudest < Some(80), "{loudest:?}");
    }

    #[test]
    fn channels_stay_apart() {
        let found = resampled(1_000.0, 44_100, 16_000, 2);
        let (left, right): (Vec<_>, Vec<_>) =
            found.chunks_exact(2).map(|two| (two[0], two[1])).unzip();
        assert_eq!(left, right);
        assert!(purity(&left, 1_000.0, 16_000) > 0.999);
    }

    #[test]
    fn no_rate_makes_it_hold_much() {
        for (from, to) in [(191_999, 8_000), (8_001, 48_000), (4_000, 47_999)] {
            let mut resampler = Resampler::new(from, to, 2);
            let mut out = Vec::new();
            resampler.push((0..40_000).map(|_| 0), &mut out);
            assert!(resampler.weights.len() < 12_000, "{from} to {to}");
            assert!(resampler.waiting.len() < 1_000, "{from} to {to}");
        }
    }
}
