use bytes::Bytes;
use shiguredo_mp4::{
    Encode,
    bitstream::{
        h264::{H264SampleEntryConfig, LengthSize, build_avc1_box},
        h265::{H265ConstantFrameRate, H265SampleEntryConfig, build_hvc1_box},
    },
};

use crate::media::{VideoCodec, VideoTrack};

/// Bytes of a box before its contents.
const BOX_HEADER: usize = 8;
/// A parameter set that is larger is none.
const LARGEST: usize = 4096;
/// Of one kind at most.
const MOST: usize = 16;

/// Why pictures of an encoder cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NalError {
    /// Its NAL units cannot be told apart.
    #[error("the NAL units of a picture cannot be told apart")]
    Damaged,
    /// No parameter set came before a key picture, or not all of them.
    #[error("a key picture without its parameter sets; the encoder must repeat {0} with each")]
    Missing(&'static str),
    /// They say nothing that can be understood.
    #[error("the parameter sets cannot be read: {0}")]
    Unreadable(String),
}

/// VPS (H.265 only), SPS and PPS; of each those that came together last.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ParameterSets([Vec<Vec<u8>>; 3]);

impl ParameterSets {
    /// Takes in one of an access unit.
    pub(super) fn add(&mut self, place: usize, unit: &[u8]) {
        let sets = &mut self.0[place];
        if sets.len() < MOST && unit.len() <= LARGEST && !sets.iter().any(|set| set == unit) {
            sets.push(unit.to_vec());
        }
    }

    /// Puts those of an access unit in the place of earlier ones; whether any is another.
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

    /// The track that they describe.
    pub(super) fn track(&self, codec: VideoCodec, frame_rate: f64) -> Result<VideoTrack, NalError> {
        let unreadable = |error: shiguredo_mp4::Error| NalError::Unreadable(error.to_string());
        let [vps, sps, pps] = &self.0;
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
