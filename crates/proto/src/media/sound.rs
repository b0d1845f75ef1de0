use std::sync::Arc;

use bytes::Bytes;

/// Sound on its way to a speaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoundFormat {
    /// How its samples are coded.
    pub coding: SoundCoding,
    /// Samples per second and channel.
    pub sample_rate: u32,
    /// 1 = mono, 2 = interleaved stereo.
    pub channels: u8,
}

/// How samples are coded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SoundCoding {
    /// Signed 16-bit little-endian PCM.
    Pcm,
    /// G.711 A-law.
    PcmA,
    /// G.711 µ-law.
    PcmU,
    /// AAC-LC: the `AudioSpecificConfig` (ISO/IEC 14496-3). A block is an access unit.
    Aac(Bytes),
}

impl SoundCoding {
    /// The name that people know it by.
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
pub struct SoundBlock {
    /// What it is.
    pub format: Arc<SoundFormat>,
    /// Its samples, as the format says.
    pub data: Bytes,
    /// How long it sounds, in microseconds.
    pub micros: i64,
}
