use std::sync::Arc;

use bytes::Bytes;

/// Format of sound on its way to a speaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioFormat {
    /// Coding of its samples.
    pub coding: AudioCoding,
    /// Samples per second and channel.
    pub sample_rate: u32,
    /// 1 = mono, 2 = interleaved stereo.
    pub channels: u8,
}

/// Coding of samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AudioCoding {
    /// Signed 16-bit little-endian PCM.
    Pcm,
    /// G.711 A-law.
    PcmA,
    /// G.711 µ-law.
    PcmU,
    /// AAC-LC: the `AudioSpecificConfig` (ISO/IEC 14496-3). A block is an access unit.
    Aac(Bytes),
}

impl AudioCoding {
    /// Returns the name that people know it by.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Pcm => "PCM",
            Self::PcmA => "G.711 A-law",
            Self::PcmU => "G.711 µ-law",
            Self::Aac(_) => "AAC",
        }
    }
}

/// A block of sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioBlock {
    /// Its format, shared by successive blocks.
    pub format: Arc<AudioFormat>,
    /// Its samples, coded as `format` says.
    pub data: Bytes,
    /// Duration, in microseconds.
    pub micros: i64,
}
