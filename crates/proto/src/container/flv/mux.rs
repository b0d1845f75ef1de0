//! FLV writer of one viewer: preamble, sequence headers and tag heads.
//!
//! A head is made per viewer, because each has its own timestamps and form of H.265; the access unit
//! behind it is shared. A payload fits into the 24 bits of a tag's size: the hub refuses larger
//! frames.

use bytes::{Bytes, BytesMut};

use super::{
    CODEC_AVC, CODEC_HEVC_LEGACY, FOURCC_HVC1, SOUND_AAC, SOUND_ALAW, SOUND_ULAW, TAG_AUDIO,
    TAG_HEADER, TAG_SCRIPT, TAG_VIDEO, TRAILER,
    amf::{self, Value},
};
use crate::media::{AudioCodec, AudioTrack, Frame, TrackKind, Tracks, VideoCodec, VideoTrack};

/// Signalling of H.265 in FLV, which Adobe's specification does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HevcForm {
    /// CodecID 12, which the apps of deployed cameras read.
    #[default]
    Legacy,
    /// The FourCC `hvc1` of enhanced RTMP, which FFmpeg 6 and mpegts.js read.
    Hvc1,
}

/// Tag header and codec prefix: the bytes of a tag in front of its access unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagHead {
    bytes: [u8; Self::MAX],
    length: u8,
    /// Bytes of header, prefix and payload, as `PreviousTagSize` counts them.
    tag_size: u32,
}

impl TagHead {
    /// Tag header (11) and the longest codec prefix (`hvc1` with composition time, 8).
    const MAX: usize = TAG_HEADER + 8;

    fn new(kind: u8, timestamp: u32, prefix: &[u8], payload: usize) -> Self {
        let data_size = u32::try_from(prefix.len() + payload).unwrap_or(u32::MAX);
        assert!(
            data_size < 1 << 24,
            "the hub refuses frames that a tag cannot hold"
        );
        let mut bytes = [0; Self::MAX];
        bytes[0] = kind;
        bytes[1..4].copy_from_slice(&data_size.to_be_bytes()[1..]);
        // The lower 24 bits, then `TimestampExtended`, the upper 8 (FLV 10.1, E.4.1). The stream id
        // behind them is always 0.
        bytes[4..7].copy_from_slice(&timestamp.to_be_bytes()[1..]);
        bytes[7] = timestamp.to_be_bytes()[0];
        bytes[TAG_HEADER..TAG_HEADER + prefix.len()].copy_from_slice(prefix);
        let length = u8::try_from(TAG_HEADER + prefix.len()).expect("a head is at most 19 bytes");
        Self {
            bytes,
            length,
            tag_size: data_size + TAG_HEADER as u32,
        }
    }

    /// Returns the bytes on the wire.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// The `PreviousTagSize` that follows this head and its payload.
    pub fn trailer(&self) -> [u8; TRAILER] {
        self.tag_size.to_be_bytes()
    }

    fn append_tag(&self, payload: &[u8], out: &mut BytesMut) {
        out.extend_from_slice(self.as_slice());
        out.extend_from_slice(payload);
        out.extend_from_slice(&self.trailer());
    }
}

/// Writer of one viewer's FLV stream: a preamble, then a head for every frame.
#[derive(Clone, Copy, Debug)]
pub struct Muxer {
    video: VideoForm,
    audio: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum VideoForm {
    Legacy(u8),
    Hvc1,
}

impl Muxer {
    /// Creates a muxer for a stream with these tracks.
    pub fn new(tracks: &Tracks, hevc: HevcForm) -> Self {
        Self {
            video: match tracks.video.as_ref().map(|video| (video.codec, hevc)) {
                None | Some((VideoCodec::H264, _)) => VideoForm::Legacy(CODEC_AVC),
                Some((VideoCodec::H265, HevcForm::Legacy)) => VideoForm::Legacy(CODEC_HEVC_LEGACY),
                Some((VideoCodec::H265, HevcForm::Hvc1)) => VideoForm::Hvc1,
            },
            audio: tracks.audio.as_ref().map_or(0, audio_flags),
        }
    }

    /// File header, `onMetaData` and sequence headers: everything before the first frame.
    pub fn preamble(&self, tracks: &Tracks) -> Bytes {
        self.preamble_of(tracks, None)
    }

    /// [`Muxer::preamble`] with a `duration` in `onMetaData`; `length` is in milliseconds.
    pub fn preamble_of(&self, tracks: &Tracks, length: Option<u64>) -> Bytes {
        let mut out = BytesMut::with_capacity(512);
        // `TypeFlagsVideo` is bit 0, `TypeFlagsAudio` bit 2; behind the 9 bytes of the header stands
        // `PreviousTagSize0` (FLV 10.1, E.2 and E.3).
        let flags = u8::from(tracks.video.is_some()) | u8::from(tracks.audio.is_some()) << 2;
        out.extend_from_slice(&[b'F', b'L', b'V', 1, flags, 0, 0, 0, 9, 0, 0, 0, 0]);
        let metadata = self.metadata(tracks, length);
        TagHead::new(TAG_SCRIPT, 0, &[], metadata.len()).append_tag(&metadata, &mut out);
        self.append_sequence_headers(tracks, 0, &mut out);
        out.freeze()
    }

    /// The sequence headers of all tracks, as whole tags at `timestamp`.
    pub fn sequence_headers(&self, tracks: &Tracks, timestamp: u32) -> Bytes {
        let mut out = BytesMut::with_capacity(256);
        self.append_sequence_headers(tracks, timestamp, &mut out);
        out.freeze()
    }

    /// The head of `frame`, sent at `timestamp` (ms, wrapping) and shown `composition_ms` later.
    pub fn head(&self, frame: &Frame, timestamp: u32, composition_ms: i32) -> TagHead {
        let length = frame.data.len();
        let composition = composition_ms.to_be_bytes();
        let [_, c0, c1, c2] = composition;
        let frame_type: u8 = if frame.key { 0x10 } else { 0x20 };
        match (frame.track, self.video) {
            (TrackKind::Audio, _) if self.audio >> 4 == SOUND_AAC => {
                TagHead::new(TAG_AUDIO, timestamp, &[self.audio, 1], length)
            }
            (TrackKind::Audio, _) => TagHead::new(TAG_AUDIO, timestamp, &[self.audio], length),
            (TrackKind::Video, VideoForm::Legacy(codec)) => TagHead::new(
                TAG_VIDEO,
                timestamp,
                &[frame_type | codec, 1, c0, c1, c2],
                length,
            ),
            (TrackKind::Video, VideoForm::Hvc1) => {
                let [f0, f1, f2, f3] = FOURCC_HVC1;
                let prefix = [0x80 | frame_type | 1, f0, f1, f2, f3, c0, c1, c2];
                // `CodedFramesX` (3) leaves out a composition time of 0, `CodedFrames` (1) has it.
                if composition_ms == 0 {
                    let without_composition = [0x80 | frame_type | 3, f0, f1, f2, f3];
                    return TagHead::new(TAG_VIDEO, timestamp, &without_composition, length);
                }
                TagHead::new(TAG_VIDEO, timestamp, &prefix, length)
            }
        }
    }

    fn append_sequence_headers(&self, tracks: &Tracks, timestamp: u32, out: &mut BytesMut) {
        if let Some(video) = &tracks.video {
            let head = match self.video {
                VideoForm::Legacy(codec) => TagHead::new(
                    TAG_VIDEO,
                    timestamp,
                    &[0x10 | codec, 0, 0, 0, 0],
                    video.config.len(),
                ),
                VideoForm::Hvc1 => {
                    let [f0, f1, f2, f3] = FOURCC_HVC1;
                    TagHead::new(
                        TAG_VIDEO,
                        timestamp,
                        &[0x90, f0, f1, f2, f3],
                        video.config.len(),
                    )
                }
            };
            head.append_tag(&video.config, out);
        }
        if let Some(audio) = tracks
            .audio
            .as_ref()
            .filter(|audio| audio.codec == AudioCodec::Aac)
        {
            TagHead::new(TAG_AUDIO, timestamp, &[self.audio, 0], audio.config.len())
                .append_tag(&audio.config, out);
        }
    }

    fn metadata(&self, tracks: &Tracks, length: Option<u64>) -> Vec<u8> {
        let mut entries = vec![(
            "encoder",
            Value::Text(concat!("peercam/", env!("CARGO_PKG_VERSION"))),
        )];
        if let Some(millis) = length {
            entries.push(("duration", Value::Number(millis as f64 / 1000.0)));
        }
        if let Some(video) = &tracks.video {
            entries.extend(self.video_entries(video));
        }
        if let Some(audio) = &tracks.audio {
            entries.extend([
                ("audiocodecid", Value::Number(f64::from(self.audio >> 4))),
                (
                    "audiosamplerate",
                    Value::Number(f64::from(audio.sample_rate)),
                ),
                ("audiosamplesize", Value::Number(16.0)),
                ("stereo", Value::Bool(audio.channels > 1)),
            ]);
        }
        amf::on_metadata(&entries)
    }

    fn video_entries(
        &self,
        video: &VideoTrack,
    ) -> impl Iterator<Item = (&'static str, Value<'static>)> {
        let codec = match self.video {
            VideoForm::Legacy(codec) => f64::from(codec),
            // Enhanced RTMP: the FourCC as a number.
            VideoForm::Hvc1 => f64::from(u32::from_be_bytes(FOURCC_HVC1)),
        };
        let size = (video.width > 0).then(|| {
            [
                ("width", Value::Number(f64::from(video.width))),
                ("height", Value::Number(f64::from(video.height))),
            ]
        });
        let rate =
            (video.frame_rate > 0.0).then_some(("framerate", Value::Number(video.frame_rate)));
        size.into_iter()
            .flatten()
            .chain(rate)
            .chain([("videocodecid", Value::Number(codec))])
    }
}

/// An `onStatus` tag that says in words why the stream ends behind it. Players ignore it.
pub fn notice(reason: &str, timestamp: u32) -> Bytes {
    let text = amf::on_status(&[
        ("level", Value::Text("status")),
        ("code", Value::Text("peercam.ended")),
        ("description", Value::Text(reason)),
    ]);
    let mut out = BytesMut::with_capacity(256);
    TagHead::new(TAG_SCRIPT, timestamp, &[], text.len()).append_tag(&text, &mut out);
    out.freeze()
}

/// The first byte of an audio tag: SoundFormat, SoundRate, SoundSize and SoundType (FLV 10.1,
/// E.4.2.1). AAC always says 44 kHz, 16 bit, stereo, whatever it is; G.711 is 8 kHz by definition, so
/// that players take the rate from the format and not from the rate bits.
fn audio_flags(audio: &AudioTrack) -> u8 {
    let stereo = u8::from(audio.channels > 1);
    match audio.codec {
        AudioCodec::Aac => SOUND_AAC << 4 | 0b1111,
        AudioCodec::PcmA => SOUND_ALAW << 4 | 0b0010 | stereo,
        AudioCodec::PcmU => SOUND_ULAW << 4 | 0b0010 | stereo,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::MediaTime;

    fn frame(track: TrackKind, key: bool, data: &'static [u8]) -> Frame {
        Frame {
            track,
            key,
            time: MediaTime::default(),
            composition_micros: 0,
            data: Bytes::from_static(data),
        }
    }

    fn tracks(codec: VideoCodec, audio: AudioCodec) -> Tracks {
        Tracks {
            video: Some(VideoTrack {
                codec,
                config: Bytes::from_static(&[1, 2, 3]),
                width: 640,
                height: 360,
                frame_rate: 25.0,
            }),
            audio: Some(AudioTrack {
                codec: audio,
                config: if audio == AudioCodec::Aac {
                    Bytes::from_static(&[0x14, 0x08])
                } else {
                    Bytes::new()
                },
                sample_rate: 16_000,
                channels: 1,
            }),
        }
    }

    #[test]
    fn heads_are_pinned_byte_for_byte() {
        let video = frame(TrackKind::Video, true, b"abcd");
        let delta = frame(TrackKind::Video, false, b"abcd");
        let audio = frame(TrackKind::Audio, true, b"xy");
        let avc = Muxer::new(&tracks(VideoCodec::H264, AudioCodec::Aac), HevcForm::Hvc1);
        assert_eq!(
            avc.head(&video, 0x0102_0304, 0).as_slice(),
            [9, 0, 0, 9, 2, 3, 4, 1, 0, 0, 0, 0x17, 1, 0, 0, 0]
        );
        assert_eq!(avc.head(&video, 0, 0).trailer(), 20_u32.to_be_bytes());
        assert_eq!(
            avc.head(&delta, 0, -40).as_slice()[11..],
            [0x27, 1, 0xff, 0xff, 0xd8]
        );
        assert_eq!(
            avc.head(&audio, 7, 0).as_slice(),
            [8, 0, 0, 4, 0, 0, 7, 0, 0, 0, 0, 0xaf, 1]
        );

        let legacy = Muxer::new(
            &tracks(VideoCodec::H265, AudioCodec::PcmA),
            HevcForm::Legacy,
        );
        assert_eq!(
            legacy.head(&video, 0, 80).as_slice()[11..],
            [0x1c, 1, 0, 0, 80]
        );
        assert_eq!(legacy.head(&audio, 0, 0).as_slice()[11..], [0x72]);

        let hvc1 = Muxer::new(&tracks(VideoCodec::H265, AudioCodec::PcmU), HevcForm::Hvc1);
        assert_eq!(hvc1.head(&video, 0, 0).as_slice()[11..], *b"\x93hvc1");
        assert_eq!(
            hvc1.head(&delta, 0, 80).as_slice()[11..],
            *b"\xa1hvc1\0\0\x50"
        );
        assert_eq!(hvc1.head(&audio, 0, 0).as_slice()[11..], [0x82]);
    }

    #[test]
    fn the_preamble_begins_with_header_metadata_and_sequence_headers() {
        let tracks = tracks(VideoCodec::H264, AudioCodec::Aac);
        let muxer = Muxer::new(&tracks, HevcForm::Legacy);
        let preamble = muxer.preamble(&tracks);
        assert_eq!(preamble[..13], *b"FLV\x01\x05\0\0\0\x09\0\0\0\0");
        assert_eq!(preamble[13], TAG_SCRIPT);
        assert_eq!(preamble[24..37], *b"\x02\0\x0aonMetaData");
        let headers = muxer.sequence_headers(&tracks, 9);
        assert_eq!(
            headers[..],
            [
                9, 0, 0, 8, 0, 0, 9, 0, 0, 0, 0, 0x17, 0, 0, 0, 0, 1, 2, 3, 0, 0, 0,
                19, // video
                8, 0, 0, 4, 0, 0, 9, 0, 0, 0, 0, 0xaf, 0, 0x14, 0x08, 0, 0, 0, 15, // audio
            ]
        );
        assert!(preamble.ends_with(&muxer.sequence_headers(&tracks, 0)));
    }

    #[test]
    fn a_length_that_is_known_is_told_in_seconds() {
        let tracks = tracks(VideoCodec::H264, AudioCodec::Aac);
        let muxer = Muxer::new(&tracks, HevcForm::Legacy);
        let duration = [b"\0\x08duration\0", &62.5_f64.to_be_bytes()[..]].concat();
        let tells = |bytes: Bytes| bytes.windows(19).any(|part| part == duration);
        assert!(tells(muxer.preamble_of(&tracks, Some(62_500))));
        assert!(!tells(muxer.preamble(&tracks)));
    }
}
