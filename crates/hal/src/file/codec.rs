//! Decoder configurations as files hold them, brought to the one form that frames use.

use bytes::{Bytes, BytesMut};
use peercam_proto::{
    media::{AudioTrack, TrackKind, VideoCodec, VideoTrack},
    voice::AacError,
};
use shiguredo_mp4::bitstream::{h264, h265};

use super::Problem;
use crate::tracks;

/// A video configuration, and how long the NAL lengths of its samples are.
#[derive(Clone, Debug)]
pub(super) struct VideoConfig {
    pub(super) track: VideoTrack,
    length_size: usize,
}

impl VideoConfig {
    /// Reads an `avcC` or `hvcC` record.
    pub(super) fn parse(codec: VideoCodec, record: &[u8]) -> Result<Self, Problem> {
        let (size_at, dimensions) = match codec {
            VideoCodec::H264 => (4, h264_size(record)),
            VideoCodec::H265 => (21, h265_size(record)),
        };
        let Some(length_size) = record.get(size_at).map(|byte| usize::from(byte & 3) + 1) else {
            return Err(Problem::Damaged(
                "in the decoder configuration of the video track".to_owned(),
            ));
        };
        if codec == VideoCodec::H265 && record.get(22) == Some(&0) {
            let codec = "H.265 with its parameter sets in the stream alone (hev1)".to_owned();
            return Err(Problem::UnsupportedCodec {
                track: TrackKind::Video,
                codec,
            });
        }
        let (width, height) = dimensions.ok_or_else(|| {
            Problem::Damaged("in the sequence parameter set of the video track".to_owned())
        })?;
        let mut config = BytesMut::from(record);
        config[size_at] |= 3;
        let track = VideoTrack {
            codec,
            config: config.freeze(),
            width,
            height,
            frame_rate: 0.0,
        };
        Ok(Self { track, length_size })
    }

    /// Brings NAL lengths to 4 bytes. `None` if the sample is damaged.
    pub(super) fn normalize(&self, sample: Bytes) -> Option<Bytes> {
        if self.length_size == 4 {
            return is_well_formed(&sample).then_some(sample);
        }
        let mut out = BytesMut::with_capacity(sample.len() + 64);
        let mut rest = &sample[..];
        while !rest.is_empty() {
            let (length, after) = rest.split_at_checked(self.length_size)?;
            let length = length
                .iter()
                .fold(0, |value, &byte| value << 8 | usize::from(byte));
            let (nal, after) = after.split_at_checked(length)?;
            out.extend_from_slice(&u32::try_from(length).ok()?.to_be_bytes());
            out.extend_from_slice(nal);
            rest = after;
        }
        Some(out.freeze())
    }
}

/// Returns whether 4-byte lengths lead exactly to the end.
fn is_well_formed(sample: &[u8]) -> bool {
    let mut rest = sample;
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        match after.get(u32::from_be_bytes(*length) as usize..) {
            Some(next) => rest = next,
            None => return false,
        }
    }
    rest.is_empty() && !sample.is_empty()
}

fn h264_size(record: &[u8]) -> Option<(u32, u32)> {
    let sps = length_prefixed(record.get(6..)?)?;
    let sps = h264::parse_sps(sps).ok()?;
    Some((sps.width.into(), sps.height.into()))
}

fn h265_size(record: &[u8]) -> Option<(u32, u32)> {
    const SPS: u8 = 33;
    let mut rest = record.get(23..)?;
    for _ in 0..*record.get(22)? {
        let [kind, c0, c1] = *rest.first_chunk::<3>()?;
        rest = &rest[3..];
        for _ in 0..u16::from_be_bytes([c0, c1]) {
            let nal = length_prefixed(rest)?;
            if kind & 0x3f == SPS {
                let sps = h265::parse_sps(nal).ok()?;
                return Some((sps.width.into(), sps.height.into()));
            }
            rest = &rest[2 + nal.len()..];
        }
    }
    None
}

fn length_prefixed(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.get(..usize::from(u16::from_be_bytes(*length)))
}

/// A track of AAC with this `AudioSpecificConfig`.
pub(super) fn aac_track(config: &[u8]) -> Result<AudioTrack, Problem> {
    tracks::aac(Bytes::copy_from_slice(config)).map_err(|error| match error {
        AacError::Damaged => {
            Problem::Damaged("in the AAC configuration of the audio track".to_owned())
        }
        AacError::Rate(rate) => Problem::UnsupportedCodec {
            track: TrackKind::Audio,
            codec: format!("AAC at {rate} Hz"),
        },
        AacError::Unsupported {
            object_type,
            channels,
        } => Problem::UnsupportedCodec {
            track: TrackKind::Audio,
            codec: format!(
                "AAC with object type {object_type} and channel configuration {channels}"
            ),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(length_size: usize) -> VideoConfig {
        let track = VideoTrack {
            codec: VideoCodec::H264,
            config: Bytes::new(),
            width: 0,
            height: 0,
            frame_rate: 0.0,
        };
        VideoConfig { track, length_size }
    }

    #[test]
    fn lengths_become_four_bytes() {
        let expected = Bytes::from_static(&[0, 0, 0, 2, 7, 8, 0, 0, 0, 1, 9]);
        for (size, sample) in [
            (1, &[2, 7, 8, 1, 9][..]),
            (2, &[0, 2, 7, 8, 0, 1, 9][..]),
            (4, &expected[..]),
        ] {
            assert_eq!(
                config(size).normalize(Bytes::copy_from_slice(sample)),
                Some(expected.clone())
            );
        }
        for size in [1, 2, 4] {
            assert_eq!(
                config(size).normalize(Bytes::from_static(&[9; 7])),
                None,
                "{size}"
            );
        }
        assert_eq!(config(4).normalize(Bytes::new()), None);
    }

    #[test]
    fn damaged_configurations_are_errors() {
        for codec in [VideoCodec::H264, VideoCodec::H265] {
            for length in 0..40 {
                assert!(
                    VideoConfig::parse(codec, &vec![0xff; length]).is_err(),
                    "{codec:?} {length}"
                );
            }
        }
        for length in 0..2 {
            assert!(aac_track(&[0x12, 0x10][..length]).is_err());
        }
    }

    #[test]
    fn aac_configurations_as_encoders_write_them() {
        let read =
            |config: &[u8]| aac_track(config).map(|track| (track.sample_rate, track.channels));
        assert_eq!(read(&[0x12, 0x10]).expect("plain"), (44_100, 2));
        assert_eq!(
            read(&[0x12, 0x10, 0x56, 0xe5, 0x00]).expect("as FFmpeg writes it"),
            (44_100, 2)
        );
        assert_eq!(read(&[0x14, 0x08]).expect("16 kHz mono"), (16_000, 1));
        assert_eq!(
            read(&[0x17, 0x80, 0x1f, 0x40, 0x08]).expect("an explicit rate"),
            (16_000, 1)
        );
        let he_aac = aac_track(&[0x2b, 0x92, 0x08, 0x00]).expect_err("HE-AAC");
        assert!(he_aac.to_string().contains("object type 5"), "{he_aac}");
    }
}
