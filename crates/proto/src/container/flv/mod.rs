//! FLV, written and read (Adobe FLV 10.1; enhanced RTMP v1 for `hvc1`).
//!
//! [`Muxer`] makes tag heads for one viewer; the payload behind a head is the bare access unit,
//! shared by all viewers. [`TagBatch`] strings heads and payloads together as one vectored
//! buffer. [`Reader`] takes an FLV byte stream apart; [`Splice`] makes one of several.

mod amf;
mod batch;
mod mux;
mod reader;
mod splice;

pub use batch::TagBatch;
pub use mux::{HevcForm, Muxer, TagHead, notice};
pub use reader::{AudioPacket, MAX_SOUND, MAX_TAG, ReadError, Reader, Tag, TagBody, VideoPacket};
pub use splice::Splice;

/// Tag type of audio.
const TAG_AUDIO: u8 = 8;
/// Tag type of video.
const TAG_VIDEO: u8 = 9;
/// Tag type of script data (`onMetaData`).
const TAG_SCRIPT: u8 = 18;
/// A tag's header: type, payload length, timestamp, stream id.
const TAG_HEADER: usize = 11;
/// `PreviousTagSize`, which follows every tag.
const TRAILER: usize = 4;

/// Video codec ids in the low four bits of a video tag.
const CODEC_AVC: u8 = 7;
/// H.265 without enhanced RTMP, as cameras and their apps have used it for years.
const CODEC_HEVC_LEGACY: u8 = 12;
/// Enhanced RTMP FourCC of H.265.
const FOURCC_HVC1: [u8; 4] = *b"hvc1";

/// Sound formats in the high four bits of an audio tag.
const SOUND_PCM: u8 = 0;
const SOUND_PCM_LITTLE: u8 = 3;
const SOUND_ALAW: u8 = 7;
const SOUND_ULAW: u8 = 8;
const SOUND_AAC: u8 = 10;
/// The bit of an audio tag that says that samples have 16 bits.
const SIZE_16: u8 = 2;
