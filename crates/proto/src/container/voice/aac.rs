use bytes::Bytes;

use super::damaged;
use crate::{
    error::Error,
    media::{SoundCoding, SoundFormat},
};

/// Samples of an access unit, for each channel.
pub(super) const UNIT: i64 = 1024;

const RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];
const LOW_COMPLEXITY: u64 = 2;

/// What an `AudioSpecificConfig` says (ISO/IEC 14496-3, 1.6.2.1), as far as players need it:
/// encoders put extensions behind it that say no more than "no SBR".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AacConfig {
    /// Samples per second and channel.
    pub sample_rate: u32,
    /// 1 = mono, 2 = stereo, up to 7.
    pub channels: u8,
}

/// Why such a configuration is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AacError {
    /// It cannot be read.
    #[error("the AAC configuration is damaged")]
    Damaged,
    /// It has a rate that no encoder has: what a unit of it lasts, and what is made for it, would be
    /// without bounds.
    #[error("AAC at {0} Hz; 7350 to 96000 Hz are taken")]
    Rate(u32),
    /// It is of another profile.
    #[error(
        "AAC with object type {object_type} and channel configuration {channels}; AAC-LC with 1 to 7 channels is taken"
    )]
    Unsupported {
        /// MPEG-4 audio object type.
        object_type: u64,
        /// Channel configuration.
        channels: u8,
    },
}

impl AacConfig {
    /// Reads a configuration.
    ///
    /// # Errors
    /// [`AacError`]
    pub fn parse(config: &[u8]) -> Result<Self, AacError> {
        const EXPLICIT_RATE: u64 = 15;
        let mut start = [0; 8];
        let known = config.len().min(start.len());
        start[..known].copy_from_slice(&config[..known]);
        let bits = u64::from_be_bytes(start);
        let field = |at: u32, width: u32| bits << at >> (64 - width);
        let (object_type, index) = (field(0, 5), field(5, 4));
        let (sample_rate, channels_at) = match RATES.get(index as usize) {
            Some(&rate) => (rate, 9),
            None if index == EXPLICIT_RATE => (field(9, 24) as u32, 33),
            None => return Err(AacError::Damaged),
        };
        let channels = field(channels_at, 4) as u8;
        if config.len() * 8 < channels_at as usize + 4 {
            return Err(AacError::Damaged);
        }
        if object_type != LOW_COMPLEXITY || !(1..=7).contains(&channels) {
            return Err(AacError::Unsupported {
                object_type,
                channels,
            });
        }
        if !(7_350..=96_000).contains(&sample_rate) {
            return Err(AacError::Rate(sample_rate));
        }
        Ok(Self {
            sample_rate,
            channels,
        })
    }

    /// The same in words of speakers, which have at most two channels.
    pub(super) fn format(self, config: Bytes) -> Result<SoundFormat, Error> {
        if self.channels > 2 {
            let reason = format!(
                "AAC with {} channels is not played; 1 or 2 are",
                self.channels
            );
            return Err(damaged(reason));
        }
        Ok(SoundFormat {
            coding: SoundCoding::Aac(config),
            sample_rate: self.sample_rate,
            channels: self.channels,
        })
    }

    /// How long an access unit sounds.
    pub(super) fn unit_micros(self) -> i64 {
        UNIT * 1_000_000 / i64::from(self.sample_rate)
    }
}

/// The configuration that an ADTS head stands for (ISO/IEC 14496-3, 1.A.2.2).
pub(super) fn config_of_adts(profile: u8, rate_index: u8, channels: u8) -> Bytes {
    let bits = u16::from(profile + 1) << 11 | u16::from(rate_index) << 7 | u16::from(channels) << 3;
    Bytes::copy_from_slice(&bits.to_be_bytes())
}
