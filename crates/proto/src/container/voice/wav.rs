//! Head of a WAV file, up to its first sample.

use bytes::{Buf, BytesMut};

use super::damaged;
use crate::{
    error::Error,
    media::{AudioCoding, AudioFormat},
};

/// Incremental parser of the head of a WAV (RIFF WAVE, Microsoft and IBM 1991), chunk by chunk. No
/// more of a chunk is held than the fields that are read, whatever length it claims.
#[derive(Debug)]
pub(super) struct WavHead {
    buffer: BytesMut,
    /// Offset of the buffer in the file.
    position: u64,
    /// Bytes still to come of a chunk that is skipped.
    skipping: u64,
    format: Option<AudioFormat>,
}

/// Result of the head: the format, and the start of the sound.
pub(super) struct Wav {
    pub(super) format: AudioFormat,
    /// Bytes of sound; `None` if the file does not know, as one written to a pipe.
    pub(super) length: Option<u64>,
    /// First bytes of the sound.
    pub(super) sound: BytesMut,
}

/// Upper bound of the offset at which the sound begins, in bytes.
const MAX_HEAD: u64 = 64 << 10;
/// Bytes of the longest form of the chunk `fmt `, `WAVEFORMATEXTENSIBLE`.
const FORMAT: usize = 40;
/// `wFormatTag` of PCM.
const PCM: u16 = 1;
const ALAW: u16 = 6;
const ULAW: u16 = 7;
/// `WAVE_FORMAT_EXTENSIBLE`: the tag is the start of `SubFormat`, 24 bytes into the chunk.
const EXTENSIBLE: u16 = 0xfffe;

impl WavHead {
    /// Creates a parser for a file that begins with `RIFF….WAVE`.
    pub(super) fn new() -> Self {
        Self {
            buffer: BytesMut::new(),
            position: 0,
            skipping: 12,
            format: None,
        }
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    pub(super) fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Parses on; `None` if more is needed.
    ///
    /// # Errors
    /// [`Error::bad_request`] for a file that is damaged, or whose sound cannot be played.
    pub(super) fn next(&mut self) -> Result<Option<Wav>, Error> {
        loop {
            let here = self.skipping.min(self.buffer.len() as u64);
            self.advance(here as usize);
            self.skipping -= here;
            if self.skipping > 0 {
                return Ok(None);
            }
            let Some(&[k0, k1, k2, k3, s0, s1, s2, s3]) = self.buffer.first_chunk() else {
                return Ok(None);
            };
            let size = u32::from_le_bytes([s0, s1, s2, s3]);
            let kind = [k0, k1, k2, k3];
            if kind == *b"data" {
                let format = self.format.take();
                let format = format.ok_or_else(|| damaged("the WAV does not say what it is"))?;
                self.advance(8);
                // FFmpeg writes 0xffffffff into a pipe, others leave 0.
                return Ok(Some(Wav {
                    format,
                    length: (!matches!(size, 0 | u32::MAX)).then_some(u64::from(size)),
                    sound: std::mem::take(&mut self.buffer),
                }));
            }
            // Chunks begin at even bytes.
            let whole = u64::from(size) + u64::from(size & 1);
            if self.position + whole > MAX_HEAD {
                return Err(damaged("the WAV has no sound in its first 64 KiB"));
            }
            if kind == *b"fmt " {
                let end = 8 + FORMAT.min(size as usize);
                let Some(chunk) = self.buffer.get(8..end) else {
                    return Ok(None);
                };
                self.format = Some(format_of(chunk)?);
            }
            self.advance(8);
            self.skipping = whole;
        }
    }

    fn advance(&mut self, count: usize) {
        self.buffer.advance(count);
        self.position += count as u64;
    }
}

fn format_of(chunk: &[u8]) -> Result<AudioFormat, Error> {
    let word = |at: usize| match chunk.get(at..at + 2) {
        Some(two) => Ok(u16::from_le_bytes([two[0], two[1]])),
        None => Err(damaged("the WAV is damaged: its format is too short")),
    };
    let tag = match word(0)? {
        EXTENSIBLE => word(24)?,
        tag => tag,
    };
    // Tag, channels, samples per second (4 bytes), bytes per second (4), bytes per sample, bits.
    let sample_rate = u32::from(word(4)?) | u32::from(word(6)?) << 16;
    let channels = word(2)?;
    let coding = match (tag, word(14)?) {
        (PCM, 16) => AudioCoding::Pcm,
        (ALAW, 8) => AudioCoding::PcmA,
        (ULAW, 8) => AudioCoding::PcmU,
        (tag, bits) => {
            return Err(damaged(format!(
                "the WAV has format {tag} with {bits} bits; PCM with 16 and G.711 are played"
            )));
        }
    };
    if !(1..=2).contains(&channels) || !(4_000..=192_000).contains(&sample_rate) {
        return Err(damaged(format!(
            "the WAV has {channels} channels at {sample_rate} Hz; 1 or 2 at 4 to 192 kHz are played"
        )));
    }
    Ok(AudioFormat {
        coding,
        sample_rate,
        channels: channels as u8,
    })
}
