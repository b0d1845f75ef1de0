//! FLV reader: a byte stream in pieces of any size, tags out.
//!
//! At most one tag is held, within the bound of its kind. Damage is an error with its position; there
//! is no resynchronization, because FLV has no sync word.

use bytes::{Buf, Bytes, BytesMut};

use super::{
    CODEC_AVC, CODEC_HEVC_LEGACY, FOURCC_HVC1, SIZE_16, SOUND_AAC, SOUND_ALAW, SOUND_PCM,
    SOUND_PCM_LITTLE, SOUND_ULAW, TAG_AUDIO, TAG_HEADER, TAG_SCRIPT, TAG_VIDEO, TRAILER,
};
use crate::media::{AudioCodec, VideoCodec};

/// Upper bound of a tag's payload, in bytes. A larger one is damage or an attack.
pub const MAX_TAG: usize = 4 * 1024 * 1024;
/// Upper bound of an audio tag's payload for [`Reader::of_audio`], in bytes.
const MAX_SOUND: usize = 64 << 10;

/// Incremental FLV parser, fed in pieces of any size.
///
/// Feed bytes, then call [`Reader::next_tag`] until it gives `None`; feed again. It holds at most one
/// tag ([`MAX_TAG`]; 64 KiB of a reader of sound) and the bytes fed behind it. After an error
/// the stream must not be read on: the start of the next tag would be a guess.
#[derive(Debug, Default)]
pub struct Reader {
    buffer: BytesMut,
    /// Set if only audio tags are wanted.
    of_audio: bool,
    /// Bytes still to come of a tag that is skipped.
    skipping: usize,
    /// Position in the stream of the first byte of `buffer`.
    position: u64,
    header_seen: bool,
}

/// One tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Decoding time in milliseconds, wrapping.
    pub timestamp: u32,
    /// Its content.
    pub body: TagBody,
}

/// Content of a tag, by codec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagBody {
    /// Script data such as `onMetaData`, not parsed.
    Script,
    /// Video of a codec that the protocol carries.
    Video(VideoCodec, VideoPacket),
    /// Video of another codec, by name.
    OtherVideo(String),
    /// Audio of a codec that the protocol carries.
    Audio(AudioCodec, AudioPacket),
    /// Signed 16-bit little-endian PCM.
    Pcm {
        /// Samples per second and channel; `None` if the tag has no code for the rate.
        sample_rate: Option<u32>,
        /// Set for two interleaved channels.
        stereo: bool,
        /// The samples.
        data: Bytes,
    },
    /// Audio of another codec, by name.
    OtherAudio(String),
    /// A video or script tag that a reader of sound skipped.
    LeftOut {
        /// Set for video; not set for script data.
        is_picture: bool,
    },
}

/// A video tag's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VideoPacket {
    /// The decoder configuration record.
    Config(Bytes),
    /// One access unit, NAL units behind their lengths.
    Frame {
        /// Set if decoding can start here.
        key: bool,
        /// Presentation time minus the tag's timestamp, in milliseconds.
        composition_ms: i32,
        /// The access unit.
        data: Bytes,
    },
    /// End of sequence, metadata, or a command frame: nothing to show.
    Nothing,
}

/// An audio tag's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AudioPacket {
    /// The `AudioSpecificConfig`.
    Config(Bytes),
    /// One block of samples.
    Frame {
        /// The tag's SoundType bit. Not meaningful for AAC.
        stereo: bool,
        /// The block.
        data: Bytes,
    },
}

/// Error for a stream that is not FLV, or damaged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {position}: {context}")]
pub struct ReadError {
    /// Byte offset in the stream at which the damage was seen.
    pub(super) position: u64,
    /// Description of the damage.
    pub(super) context: &'static str,
}

impl Reader {
    /// Creates a reader at the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a reader that wants audio tags only: of others, no payload is buffered.
    pub(crate) fn of_audio() -> Self {
        Self {
            of_audio: true,
            ..Self::default()
        }
    }

    /// Appends more of the stream.
    pub fn feed(&mut self, bytes: &[u8]) {
        let left_out = self.skipping.min(bytes.len());
        self.skipping -= left_out;
        self.position += left_out as u64;
        self.buffer.extend_from_slice(&bytes[left_out..]);
    }

    /// Number of bytes fed that no tag has used yet. 0 at a clean end.
    pub fn pending(&self) -> usize {
        self.buffer.len()
    }

    /// Returns whether the whole file header has come.
    pub(crate) fn has_begun(&self) -> bool {
        self.header_seen
    }

    /// Returns the next complete tag; `None` if more bytes are needed.
    ///
    /// # Errors
    /// [`ReadError`] with the position, where the bytes cannot be FLV.
    pub fn next_tag(&mut self) -> Result<Option<Tag>, ReadError> {
        if !self.header_seen && !self.read_file_header()? {
            return Ok(None);
        }
        let Some(header) = self.buffer.first_chunk::<TAG_HEADER>() else {
            return Ok(None);
        };
        let [kind, s0, s1, s2, t0, t1, t2, t3, ..] = *header;
        let size = u32::from_be_bytes([0, s0, s1, s2]) as usize;
        let timestamp = u32::from_be_bytes([t3, t0, t1, t2]);
        if !matches!(kind & 0x1f, TAG_AUDIO | TAG_VIDEO | TAG_SCRIPT) {
            return Err(self.error("no audio, video or script tag where one should begin"));
        }
        // `Filter`: the payload needs pre-processing, for which there is only encryption (E.4.1).
        if kind & 0x20 != 0 {
            return Err(self.error("an encrypted tag"));
        }
        if size > MAX_TAG {
            return Err(self.error("a tag of more than 4 MiB"));
        }
        let kind = kind & 0x1f;
        // Before its payload has come: that is skipped as it is fed, and never held.
        if self.of_audio && kind != TAG_AUDIO {
            self.leave_out(TAG_HEADER + size + TRAILER);
            let is_picture = kind == TAG_VIDEO;
            let body = TagBody::LeftOut { is_picture };
            return Ok(Some(Tag { timestamp, body }));
        }
        if self.of_audio && size > MAX_SOUND {
            return Err(self.error("a tag of sound of more than 64 KiB"));
        }
        if self.buffer.len() < TAG_HEADER + size + TRAILER {
            return Ok(None);
        }
        let start = self.position;
        self.advance(TAG_HEADER);
        // No copy: whoever keeps a payload keeps the buffer that it came in.
        let payload = self.buffer.split_to(size).freeze();
        self.position += size as u64;
        self.advance(TRAILER);
        let body = match kind {
            TAG_VIDEO => video(payload),
            TAG_AUDIO => audio(payload),
            _ => Ok(TagBody::Script),
        };
        let body = body.map_err(|context| ReadError {
            position: start,
            context,
        })?;
        Ok(Some(Tag { timestamp, body }))
    }

    fn read_file_header(&mut self) -> Result<bool, ReadError> {
        let known = self.buffer.len().min(3);
        if self.buffer[..known] != b"FLV"[..known] {
            return Err(self.error("no FLV signature"));
        }
        let Some(header) = self.buffer.first_chunk::<9>() else {
            return Ok(false);
        };
        let offset = u32::from_be_bytes([header[5], header[6], header[7], header[8]]) as usize;
        // `DataOffset` is 9 in version 1; a later version may have a longer header.
        if !(9..=1024).contains(&offset) {
            return Err(self.error("a file header of an impossible length"));
        }
        if self.buffer.len() < offset + TRAILER {
            return Ok(false);
        }
        self.advance(offset + TRAILER);
        self.header_seen = true;
        Ok(true)
    }

    /// Skips `count` bytes, including those that have not come yet.
    fn leave_out(&mut self, count: usize) {
        let here = count.min(self.buffer.len());
        self.advance(here);
        self.skipping = count - here;
    }

    fn advance(&mut self, count: usize) {
        self.buffer.advance(count);
        self.position += count as u64;
    }

    fn error(&self, context: &'static str) -> ReadError {
        ReadError {
            position: self.position,
            context,
        }
    }
}

const SHORT_VIDEO: &str = "a video tag too short for its codec";

fn video(mut payload: Bytes) -> Result<TagBody, &'static str> {
    let Some(&first) = payload.first() else {
        return Err("an empty video tag");
    };
    if first & 0x80 != 0 {
        return enhanced_video(first, payload);
    }
    let codec = match first & 0x0f {
        CODEC_AVC => VideoCodec::H264,
        CODEC_HEVC_LEGACY => VideoCodec::H265,
        other => return Ok(TagBody::OtherVideo(format!("FLV CodecID {other}"))),
    };
    let Some(&[_, packet_type, c0, c1, c2]) = payload.first_chunk() else {
        return Err(SHORT_VIDEO);
    };
    payload.advance(5);
    let packet = match packet_type {
        0 => VideoPacket::Config(payload),
        1 => VideoPacket::Frame {
            key: is_key(first),
            composition_ms: signed_24([c0, c1, c2]),
            data: payload,
        },
        _ => VideoPacket::Nothing,
    };
    Ok(TagBody::Video(codec, packet))
}

/// A video tag of enhanced RTMP v1: the low four bits of its first byte are the packet type, and a
/// FourCC takes the place of the CodecID.
fn enhanced_video(first: u8, mut payload: Bytes) -> Result<TagBody, &'static str> {
    let Some(&[_, f0, f1, f2, f3]) = payload.first_chunk() else {
        return Err(SHORT_VIDEO);
    };
    if [f0, f1, f2, f3] != FOURCC_HVC1 {
        let name = String::from_utf8_lossy(&[f0, f1, f2, f3])
            .escape_default()
            .to_string();
        return Ok(TagBody::OtherVideo(name));
    }
    payload.advance(5);
    let packet = match first & 0x0f {
        0 => VideoPacket::Config(payload),
        1 => {
            let Some(&composition) = payload.first_chunk::<3>() else {
                return Err(SHORT_VIDEO);
            };
            payload.advance(3);
            VideoPacket::Frame {
                key: is_key(first),
                composition_ms: signed_24(composition),
                data: payload,
            }
        }
        3 => VideoPacket::Frame {
            key: is_key(first),
            composition_ms: 0,
            data: payload,
        },
        _ => VideoPacket::Nothing,
    };
    Ok(TagBody::Video(VideoCodec::H265, packet))
}

fn is_key(first: u8) -> bool {
    // FrameType has 4 bits in FLV, of which none uses the highest, and 3 in enhanced RTMP.
    first >> 4 & 0x7 == 1
}

fn signed_24([high, middle, low]: [u8; 3]) -> i32 {
    // The arithmetic shift extends the sign.
    i32::from_be_bytes([high, middle, low, 0]) >> 8
}

fn audio(mut payload: Bytes) -> Result<TagBody, &'static str> {
    let Some(&first) = payload.first() else {
        return Err("an empty audio tag");
    };
    payload.advance(1);
    let stereo = first & 1 == 1;
    let codec = match first >> 4 {
        SOUND_ALAW => AudioCodec::PcmA,
        SOUND_ULAW => AudioCodec::PcmU,
        SOUND_AAC => {
            let Some(&packet_type) = payload.first() else {
                return Err("an AAC tag too short");
            };
            payload.advance(1);
            let packet = match packet_type {
                0 => AudioPacket::Config(payload),
                _ => AudioPacket::Frame {
                    stereo,
                    data: payload,
                },
            };
            return Ok(TagBody::Audio(AudioCodec::Aac, packet));
        }
        // Both are little-endian from every encoder that still exists.
        SOUND_PCM | SOUND_PCM_LITTLE if first & SIZE_16 != 0 => {
            let sample_rate = match first >> 2 & 3 {
                // 5.5 kHz: what encoders write whose rate has no word, such as 8 or 16 kHz.
                0 => None,
                1 => Some(11_025),
                2 => Some(22_050),
                _ => Some(44_100),
            };
            return Ok(TagBody::Pcm {
                sample_rate,
                stereo,
                data: payload,
            });
        }
        other => return Ok(TagBody::OtherAudio(format!("FLV SoundFormat {other}"))),
    };
    Ok(TagBody::Audio(
        codec,
        AudioPacket::Frame {
            stereo,
            data: payload,
        },
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        flv::{HevcForm, Muxer},
        media::{AudioTrack, Frame, MediaTime, TrackKind, Tracks, VideoTrack},
    };

    fn stream(hevc: HevcForm) -> Vec<u8> {
        let tracks = Tracks {
            video: Some(VideoTrack {
                codec: VideoCodec::H265,
                config: Bytes::from_static(b"hvcC"),
                width: 0,
                height: 0,
                frame_rate: 0.0,
            }),
            audio: Some(AudioTrack {
                codec: AudioCodec::Aac,
                config: Bytes::from_static(b"as"),
                sample_rate: 16_000,
                channels: 1,
            }),
        };
        let muxer = Muxer::new(&tracks, hevc);
        let mut out = muxer.preamble(&tracks).to_vec();
        for (track, composition) in [
            (TrackKind::Video, 0),
            (TrackKind::Audio, 0),
            (TrackKind::Video, -7),
        ] {
            let frame = Frame {
                track,
                key: true,
                time: MediaTime::default(),
                composition_micros: 0,
                data: Bytes::from_static(b"payload"),
            };
            let head = muxer.head(&frame, u32::MAX, composition);
            out.extend_from_slice(head.as_slice());
            out.extend_from_slice(&frame.data);
            out.extend_from_slice(&head.trailer());
        }
        out
    }

    fn read(pieces: impl Iterator<Item = Vec<u8>>) -> Result<(Vec<Tag>, usize), ReadError> {
        let mut reader = Reader::new();
        let mut tags = Vec::new();
        for piece in pieces {
            reader.feed(&piece);
            while let Some(tag) = reader.next_tag()? {
                tags.push(tag);
            }
        }
        Ok((tags, reader.pending()))
    }

    #[test]
    fn reads_both_forms_of_hevc() {
        for hevc in [HevcForm::Legacy, HevcForm::Hvc1] {
            let (tags, pending) = read(std::iter::once(stream(hevc))).expect("our own stream");
            assert_eq!(pending, 0);
            assert_eq!(tags.len(), 6);
            assert_eq!(
                tags[1].body,
                TagBody::Video(
                    VideoCodec::H265,
                    VideoPacket::Config(Bytes::from_static(b"hvcC"))
                )
            );
            let last = VideoPacket::Frame {
                key: true,
                composition_ms: -7,
                data: Bytes::from_static(b"payload"),
            };
            assert_eq!(
                tags[5],
                Tag {
                    timestamp: u32::MAX,
                    body: TagBody::Video(VideoCodec::H265, last)
                }
            );
        }
    }

    #[test]
    fn damage_is_named_with_its_position() {
        let mut damaged = stream(HevcForm::Legacy);
        damaged[13] = 0x55;
        let error = read(std::iter::once(damaged)).expect_err("no such tag type");
        assert_eq!(error.position, 13);
        assert!(read(std::iter::once(b"RIFF".to_vec())).is_err());
        assert!(read(std::iter::once(b"FLV\x01\x05\xff\xff\xff\xff".to_vec())).is_err());
    }

    proptest! {
        #[test]
        fn any_split_reads_the_same(cuts in proptest::collection::vec(1_usize..60, 1..40)) {
            let whole = stream(HevcForm::Hvc1);
            let expected = read(std::iter::once(whole.clone())).expect("our own stream");
            let mut cuts = cuts.into_iter().cycle();
            let mut rest = &whole[..];
            let pieces = std::iter::from_fn(|| {
                if rest.is_empty() { return None }
                let (piece, after) = rest.split_at(cuts.next()?.min(rest.len()));
                rest = after;
                Some(piece.to_vec())
            });
            prop_assert_eq!(read(pieces).expect("our own stream"), expected);
        }

        #[test]
        fn never_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), flv in any::<bool>()) {
            if flv {
                bytes.splice(0..0, *b"FLV\x01\x05\0\0\0\x09\0\0\0\0");
            }
            let _ = read(std::iter::once(bytes));
        }
    }
}
