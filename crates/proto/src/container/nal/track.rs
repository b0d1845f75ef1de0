//! Decoder configuration of a track from its parameter sets.

use bytes::Bytes;
use shiguredo_mp4::{
    Encode,
    bitstream::{
        h264::{H264SampleEntryConfig, LengthSize, build_avc1_box},
        h265::{H265ConstantFrameRate, H265SampleEntryConfig, build_hvc1_box},
    },
};

use crate::media::{VideoCodec, VideoTrack};

/// Bytes of size and type in front of a box's content.
const BOX_HEADER: usize = 8;
/// Upper bound of a parameter set, in bytes. A larger one is ignored.
const LARGEST: usize = 4096;
/// Upper bound of the parameter sets of one kind.
const MAX_PARAMETER_SETS: usize = 16;

/// Error for pictures of an encoder that cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NalError {
    /// NAL units that cannot be delimited: no start code, or a length beyond the end.
    #[error("the NAL units of a picture cannot be told apart")]
    Damaged,
    /// Missing parameter sets, all or some, at a key picture.
    #[error("a key picture without its parameter sets; the encoder must repeat {0} with each")]
    Missing(&'static str),
    /// Parameter sets that cannot be parsed.
    #[error("the parameter sets cannot be read: {0}")]
    Unreadable(String),
}

/// VPS (H.265 only), SPS and PPS: of each kind those of the last access unit that had any.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ParameterSets([Vec<Vec<u8>>; 3]);

impl ParameterSets {
    /// Adds one of an access unit, unless it is there already or exceeds a bound.
    pub(super) fn add(&mut self, place: usize, unit: &[u8]) {
        let sets = &mut self.0[place];
        if sets.len() < MAX_PARAMETER_SETS
            && unit.len() <= LARGEST
            && !sets.iter().any(|set| set == unit)
        {
            sets.push(unit.to_vec());
        }
    }

    /// Replaces earlier ones by those of an access unit, kind by kind; returns whether any differs.
    pub(super) fn replace(&mut self, newer: Self) -> bool {
        let mut is_new = false;
        for (known, newer) in self.0.iter_mut().zip(newer.0) {
            if !newer.is_empty() && *known != newer {
                *known = newer;
                is_new = true;
            }
        }
        is_new
    }

    /// Builds the track that they describe.
    pub(super) fn track(&self, codec: VideoCodec, frame_rate: f64) -> Result<VideoTrack, NalError> {
        let unreadable = |error: shiguredo_mp4::Error| NalError::Unreadable(error.to_string());
        let [vps, sps, pps] = &self.0;
        // `avcC` and `hvcC` (ISO/IEC 14496-15, 5.3.3 and 8.3.3) repeat profile and level, and the
        // sample entry the size, out of the SPS.
        let (record, visual) = match codec {
            VideoCodec::H264 => {
                if sps.is_empty() || pps.is_empty() {
                    return Err(NalError::Missing("SPS and PPS"));
                }
                let config = H264SampleEntryConfig {
                    length_size: LengthSize::FourBytes,
                };
                let entry = build_avc1_box(sps, pps, &config).map_err(unreadable)?;
                (entry.avcc_box.encode_to_vec(), entry.visual)
            }
            VideoCodec::H265 => {
                if self.0.iter().any(Vec::is_empty) {
                    return Err(NalError::Missing("VPS, SPS and PPS"));
                }
                let config = H265SampleEntryConfig {
                    length_size: LengthSize::FourBytes,
                    avg_frame_rate: H265SampleEntryConfig::AVG_FRAME_RATE_UNSPECIFIED,
                    constant_frame_rate: H265ConstantFrameRate::Unknown,
                };
                let entry = build_hvc1_box(vps, sps, pps, &config).map_err(unreadable)?;
                (entry.hvcc_box.encode_to_vec(), entry.visual)
            }
        };
        let record = Bytes::from(record.map_err(unreadable)?);
        Ok(VideoTrack {
            codec,
            config: record.slice(BOX_HEADER.min(record.len())..),
            width: visual.width.into(),
            height: visual.height.into(),
            frame_rate,
        })
    }
}
