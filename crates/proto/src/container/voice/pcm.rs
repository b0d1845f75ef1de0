//! Blocks of PCM and G.711, in the byte order of speakers.

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};

use super::declared::ByteOrder;
use crate::media::{AudioBlock, AudioCoding, AudioFormat};

/// Duration of a block, in milliseconds: the default of RTP for audio (RFC 3551, 4.2).
const BLOCK_MILLIS: usize = 20;

/// Samples of a continuous stream, cut into blocks.
#[derive(Debug)]
pub(super) struct Pcm {
    format: Arc<AudioFormat>,
    order: ByteOrder,
    buffer: BytesMut,
    /// Bytes of sound still to come, if known.
    left: Option<u64>,
    has_ended: bool,
}

impl Pcm {
    /// Creates one whose sound reaches to the end of the body.
    pub(super) fn new(format: AudioFormat) -> Self {
        Self::of_length(format, None)
    }

    /// Creates one of `length` bytes of sound; bytes behind them are ignored.
    pub(super) fn of_length(format: AudioFormat, length: Option<u64>) -> Self {
        Self {
            format: Arc::new(format),
            order: ByteOrder::Little,
            buffer: BytesMut::new(),
            left: length,
            has_ended: false,
        }
    }

    /// Sets the byte order of the samples fed.
    pub(super) fn in_order(mut self, order: ByteOrder) -> Self {
        self.order = order;
        self
    }

    pub(super) fn format(&self) -> &AudioFormat {
        &self.format
    }

    pub(super) fn buffered(&self) -> usize {
        self.buffer.len()
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        let taken = match &mut self.left {
            None => bytes,
            Some(left) => {
                let most = usize::try_from(*left).unwrap_or(usize::MAX);
                let taken = &bytes[..bytes.len().min(most)];
                *left -= taken.len() as u64;
                taken
            }
        };
        self.buffer.extend_from_slice(taken);
    }

    pub(super) fn finish(&mut self) {
        self.has_ended = true;
    }

    pub(super) fn next_block(&mut self) -> Option<AudioBlock> {
        let sample = sample_size(&self.format);
        let rate = self.format.sample_rate as usize;
        let block = (rate * BLOCK_MILLIS / 1000).max(1) * sample;
        let has_ended = self.has_ended || self.left == Some(0);
        let size = match self.buffer.len() {
            length if length >= block => block,
            length if has_ended => length / sample * sample,
            _ => return None,
        };
        // A copy: a block that waits must not hold what came with it.
        let data = self.in_one_order(size);
        self.buffer.advance(size);
        if data.is_empty() {
            // Half a sample is none.
            self.buffer.advance(self.buffer.len());
            return None;
        }
        let micros = micros(&self.format, data.len());
        Some(AudioBlock {
            format: Arc::clone(&self.format),
            data,
            micros,
        })
    }

    /// Copy of the next `size` bytes, little-endian as speakers take them.
    fn in_one_order(&mut self, size: usize) -> Bytes {
        let bytes = &self.buffer[..size];
        if self.order == ByteOrder::Either {
            let channels = usize::from(self.format.channels.max(1));
            // Silence does not say; it is the same in both.
            self.order = smoother(bytes, channels).unwrap_or(ByteOrder::Either);
        }
        if self.order != ByteOrder::Big {
            return Bytes::copy_from_slice(bytes);
        }
        let swapped = bytes.chunks_exact(2).flat_map(|two| [two[1], two[0]]);
        swapped.collect::<Vec<_>>().into()
    }
}

/// Byte order in which successive samples of a channel differ less; `None` if both are equal.
fn smoother(bytes: &[u8], channels: usize) -> Option<ByteOrder> {
    // In the wrong order the low byte, which is nearly noise, is the high one: neighbours differ by
    // much more than in sound.
    let roughness = |sample: fn([u8; 2]) -> i16| -> u64 {
        let samples = bytes.chunks_exact(2).map(|two| sample([two[0], two[1]]));
        let later = samples.clone().skip(channels);
        let steps = samples.zip(later);
        steps.map(|(one, next)| u64::from(one.abs_diff(next))).sum()
    };
    let (little, big) = (roughness(i16::from_le_bytes), roughness(i16::from_be_bytes));
    match little.cmp(&big) {
        std::cmp::Ordering::Less => Some(ByteOrder::Little),
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Greater => Some(ByteOrder::Big),
    }
}

/// Bytes of one sample of all channels; 1 for what has no samples of equal size.
fn sample_size(format: &AudioFormat) -> usize {
    let one = match format.coding {
        AudioCoding::Pcm => 2,
        AudioCoding::PcmA | AudioCoding::PcmU | AudioCoding::Aac(_) => 1,
    };
    one * usize::from(format.channels.max(1))
}

/// Duration of so many bytes, in microseconds.
fn micros(format: &AudioFormat, bytes: usize) -> i64 {
    let samples = (bytes / sample_size(format)) as i64;
    samples * 1_000_000 / i64::from(format.sample_rate.max(1))
}
