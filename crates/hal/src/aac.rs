//! AAC out of samples.

use std::mem;

use bytes::Bytes;
use syom::{EncodeOptions, Encoder};

/// Samples of an access unit.
const UNIT: i64 = 1024;

/// AAC-LC, mono.
pub(super) struct AacEncoder {
    encoder: Box<Encoder>,
    /// Place of the first sample of the next unit since the beginning.
    next: i64,
    /// The unit that only fills the decoder comes first; nobody needs it.
    is_primed: bool,
}

impl AacEncoder {
    /// An encoder of so many samples and bits each second; `None` if AAC has no such rate.
    pub(super) fn new(sample_rate: u32, bits_per_second: u32) -> Option<Self> {
        let mut options = EncodeOptions::raw();
        options.bitrate_bps = bits_per_second;
        let encoder = Encoder::new(sample_rate, 1, &options).ok()?;
        Some(Self {
            encoder: Box::new(encoder),
            next: 0,
            is_primed: false,
        })
    }

    /// Its `AudioSpecificConfig`.
    pub(super) fn config(&self) -> Bytes {
        Bytes::copy_from_slice(self.encoder.asc())
    }

    /// Takes samples in, and calls `out` with each unit that is complete and the place of its first
    /// sample since the beginning. The encoder's delay is taken off.
    pub(super) fn feed(&mut self, samples: &[f32], mut out: impl FnMut(i64, Bytes)) {
        let (next, is_primed) = (&mut self.next, &mut self.is_primed);
        let fed = self.encoder.feed(&[samples], |unit| {
            if mem::replace(is_primed, true) {
                out(*next, Bytes::copy_from_slice(unit.payload));
                *next += UNIT;
            }
            Ok(())
        });
        assert!(fed.is_ok(), "samples are valid: {fed:?}");
    }
}
