//! FLV, written and read (Adobe FLV 10.1; enhanced RTMP v1 for `hvc1`).
//!
//! [`Muxer`] makes tag heads for one viewer; the payload behind a head is the bare access unit,
//! shared by all viewers. [`TagBatch`] strings heads and payloads together as one vectored
//! buffer. [`Reader`] takes an FLV byte stream apart; [`Splice`] makes one of several.
//!
//! A key frame, as a viewer gets it and reads it:
//!
//! ```
//! use bytes::{Buf, Bytes};
//! use peercam_proto::{
//!     flv::{HevcForm, Muxer, ReadError, Reader, TagBatch, TagBody, VideoPacket},
//!     media::{Frame, MediaTime, TrackKind, Tracks, VideoCodec, VideoTrack},
//! };
//!
//! # fn main() -> Result<(), ReadError> {
//! let tracks = Tracks {
//!     video: Some(VideoTrack {
//!         codec: VideoCodec::H264,
//!         config: Bytes::from_static(b"AVCDecoderConfigurationRecord"),
//!         width: 640,
//!         height: 360,
//!         frame_rate: 25.0,
//!     }),
//!     audio: None,
//! };
//! let idr = Frame {
//!     track: TrackKind::Video,
//!     key: true,
//!     time: MediaTime::default(),
//!     composition_micros: 0,
//!     data: Bytes::from_static(&[0, 0, 0, 2, 0x65, 0x88]),
//! };
//! let muxer = Muxer::new(&tracks, HevcForm::Legacy);
//! let mut batch = TagBatch::default();
//! batch.push_bytes(muxer.preamble(&tracks));
//! batch.push(&muxer.head(&idr, 40, 0), idr.data.clone());
//! let wire = batch.copy_to_bytes(batch.remaining());
//!
//! let mut reader = Reader::new();
//! reader.feed(&wire);
//! let mut tags = Vec::new();
//! while let Some(tag) = reader.next_tag()? {
//!     tags.push(tag);
//! }
//! let [metadata, config, picture] = &tags[..] else {
//!     panic!("three tags, not {}", tags.len());
//! };
//! assert_eq!(metadata.body, TagBody::Script);
//! assert!(matches!(config.body, TagBody::Video(_, VideoPacket::Config(_))));
//! assert_eq!(picture.timestamp, 40);
//! assert_eq!(
//!     picture.body,
//!     TagBody::Video(
//!         VideoCodec::H264,
//!         VideoPacket::Frame { key: true, composition_ms: 0, data: idr.data },
//!     )
//! );
//! # Ok(())
//! # }
//! ```

mod amf;
mod batch;
mod mux;
mod reader;
mod splice;

pub use batch::TagBatch;
pub use mux::{HevcForm, Muxer, TagHead, notice};
pub use reader::{AudioPacket, MAX_TAG, ReadError, Reader, Tag, TagBody, VideoPacket};
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
