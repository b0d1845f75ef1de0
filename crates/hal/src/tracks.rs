//! Tracks of sound, as every source describes them. What sound costs goes by its rate and its channels:
//! what no camera has is refused here, whichever source says it.

use bytes::Bytes;
use peercam_proto::{
    media::{AudioCodec, AudioTrack},
    voice::{AacConfig, AacError},
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

/// G.711 that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "G.711 with {channels} channels at {sample_rate} Hz; 1 to 8 channels at 8000 to 96000 Hz are taken"
)]
pub(super) struct G711Error {
    channels: u16,
    sample_rate: u32,
}

/// G.711: `codec` says which.
pub(super) fn g711(
    codec: AudioCodec,
    sample_rate: u32,
    channels: u16,
) -> Result<AudioTrack, G711Error> {
    let refused = G711Error {
        channels,
        sample_rate,
    };
    match u8::try_from(channels) {
        Ok(channels @ 1..=8) if (8_000..=96_000).contains(&sample_rate) => Ok(AudioTrack {
            codec,
            config: Bytes::new(),
            sample_rate,
            channels,
        }),
        _ => Err(refused),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_of_rates_and_channels_that_no_camera_has_is_refused() {
        for (sample_rate, channels, is_taken) in [
            (8_000, 1, true),
            (96_000, 8, true),
            (7_999, 1, false),
            (96_001, 1, false),
            (4_000_000_000, 2, false),
            (0, 1, false),
            (8_000, 0, false),
            (8_000, 9, false),
            (8_000, 257, false),
        ] {
            let track = g711(AudioCodec::PcmA, sample_rate, channels);
            assert_eq!(track.is_ok(), is_taken, "{sample_rate} Hz, {channels}");
        }
        // An explicit rate of 24 bits, AAC-LC, mono.
        for (sample_rate, is_taken) in [
            (0, false),
            (1, false),
            (7_350, true),
            (96_000, true),
            (96_001, false),
            (0xff_ffff, false),
        ] {
            let bits = (2_u64 << 59) | (15 << 55) | (sample_rate << 31) | (1 << 27);
            let config = Bytes::copy_from_slice(&bits.to_be_bytes()[..5]);
            assert_eq!(aac(config).is_ok(), is_taken, "{sample_rate} Hz");
        }
    }
}
