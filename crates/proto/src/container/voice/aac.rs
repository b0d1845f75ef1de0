//! Configuration of AAC streams: `AudioSpecificConfig` and what ADTS heads stand for.

use bytes::Bytes;

use super::damaged;
use crate::{
    error::Error,
    media::{AudioCoding, AudioFormat},
};

/// Samples per channel in an access unit.
pub(super) const UNIT: i64 = 1024;

/// Samples per second for each `samplingFrequencyIndex`; 13 and 14 are reserved.
const RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];
/// `audioObjectType` of AAC-LC.
const LOW_COMPLEXITY: u64 = 2;

/// Parsed `AudioSpecificConfig` (ISO/IEC 14496-3, 1.6.2.1), as far as players need it. Extensions
/// behind these fields are ignored: encoders put some there that say no more than "no SBR".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AacConfig {
    /// Samples per second and channel.
    pub sample_rate: u32,
    /// 1 = mono, 2 = stereo, up to 7.
    pub channels: u8,
}

/// Error for a configuration that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AacError {
    /// Configuration that is cut off, or has a reserved rate.
    #[error("the AAC configuration is damaged")]
    Damaged,
    /// Explicit sample rate that no encoder has: the duration of a unit, and the memory that depends
    /// on it, would be unbounded.
    #[error("AAC at {0} Hz; 7350 to 96000 Hz are taken")]
    Rate(u32),
    /// Another audio object type or channel configuration.
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
    /// Parses a configuration.
    ///
    /// # Errors
    /// [`AacError`] if it is damaged, or not AAC-LC of a known rate and 1 to 7 channels.
    pub fn parse(config: &[u8]) -> Result<Self, AacError> {
        const EXPLICIT_RATE: u64 = 15;
        let mut start = [0; 8];
        let known = config.len().min(start.len());
        start[..known].copy_from_slice(&config[..known]);
        // 5 bits `audioObjectType`, 4 `samplingFrequencyIndex` (15: 24 bits with the rate follow), 4
        // `channelConfiguration`. The escape of object types (31) is none that is taken.
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

    /// Converts to the format of a speaker, which has at most two channels.
    pub(super) fn format(self, config: Bytes) -> Result<AudioFormat, Error> {
        if self.channels > 2 {
            let reason = format!(
                "AAC with {} channels is not played; 1 or 2 are",
                self.channels
            );
            return Err(damaged(reason));
        }
        Ok(AudioFormat {
            coding: AudioCoding::Aac(config),
            sample_rate: self.sample_rate,
            channels: self.channels,
        })
    }

    /// Duration of an access unit, in microseconds.
    pub(super) fn unit_micros(self) -> i64 {
        UNIT * 1_000_000 / i64::from(self.sample_rate)
    }
}

/// `AudioSpecificConfig` of the fields of an ADTS head (ISO/IEC 14496-3, 1.A.2.2), whose `profile` is
/// the object type minus 1.
pub(super) fn config_of_adts(profile: u8, rate_index: u8, channels: u8) -> Bytes {
    let bits = u16::from(profile + 1) << 11 | u16::from(rate_index) << 7 | u16::from(channels) << 3;
    Bytes::copy_from_slice(&bits.to_be_bytes())
}
