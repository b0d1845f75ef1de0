//! Tracks of sound, as every source describes them.

use bytes::Bytes;

use crate::{
    media::{AudioCodec, AudioTrack},
    proto::voice::{AacConfig, AacError},
};

/// AAC with this `AudioSpecificConfig`.
pub(super) fn aac(config: Bytes) -> Result<AudioTrack, AacError> {
    let parsed = AacConfig::parse(&config)?;
    Ok(AudioTrack {
        codec: AudioCodec::Aac,
        config,
        sample_rate: parsed.sample_rate,
        channels: parsed.channels,
    })
}

/// G.711: `codec` says which.
pub(super) fn g711(codec: AudioCodec, sample_rate: u32, channels: u8) -> AudioTrack {
    AudioTrack {
        codec,
        config: Bytes::new(),
        sample_rate,
        channels,
    }
}
