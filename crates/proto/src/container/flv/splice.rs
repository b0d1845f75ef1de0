//! Concatenation of FLV streams that were cut off, such as those of a connection that is made anew.
//!
//! One player sees one stream: whole tags, and at each join a key frame and timestamps that do not go
//! back. Payloads are not parsed beyond the codec prefix.

use bytes::{Bytes, BytesMut};

use super::{
    CODEC_AVC, CODEC_HEVC_LEGACY, MAX_TAG, ReadError, SOUND_AAC, TAG_AUDIO, TAG_HEADER, TAG_VIDEO,
    TRAILER,
};

/// Bytes of the file header and of `PreviousTagSize0` behind it.
const FILE_HEADER: usize = 9 + TRAILER;

/// Joins several FLV streams of the same camera, each cut off anywhere, into one.
///
/// Only whole tags come out. Of a stream that follows another one, headers come out only if they
/// differ from those before; its first picture is a key frame; and its timestamps go on from the last
/// one by the time that was lost.
#[derive(Debug, Default)]
pub struct Splice {
    /// Bytes fed that have not come out.
    buffer: BytesMut,
    /// Set once the current stream's file header has been read.
    in_tags: bool,
    /// Set once a file header has come out.
    has_begun: bool,
    /// Offset of `buffer` in the current stream.
    position: u64,
    metadata: Bytes,
    video_config: Bytes,
    audio_config: Bytes,
    /// Set once the current stream has had a video tag.
    has_video: bool,
    /// The highest timestamp that came out.
    last: Option<u32>,
    join: Join,
}

/// Mapping of the current stream's timestamps to those that come out.
#[derive(Clone, Copy, Debug, Default)]
enum Join {
    /// None: this is the first stream.
    #[default]
    First,
    /// Not known before the first key frame, which will have this timestamp.
    Waiting(u32),
    /// Addition of `shift`, but no timestamp below `first`.
    Shifted { shift: u32, first: u32 },
}

/// Header fields of the tag at the start of the buffer.
#[derive(Clone, Copy)]
struct TagHead {
    kind: u8,
    timestamp: u32,
    length: usize,
}

impl Splice {
    /// Creates one that has been fed nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends more of the current stream.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Ends the current stream, which was cut off; another one follows. An incomplete tag is dropped,
    /// and timestamps skip `lost_ms`.
    pub fn cut(&mut self, lost_ms: u32) {
        self.buffer.clear();
        if !self.has_begun {
            // Nothing of it has come out: the one that follows is the first.
            return;
        }
        self.in_tags = false;
        self.has_video = false;
        self.position = 0;
        // Players take equal times for one moment.
        let last = self.last.unwrap_or_default();
        self.join = Join::Waiting(last.wrapping_add(lost_ms.max(1)));
    }

    /// Returns the next bytes to send on; `None` if more are needed.
    ///
    /// # Errors
    /// [`ReadError`] where the bytes cannot be FLV.
    pub fn next_bytes(&mut self) -> Result<Option<Bytes>, ReadError> {
        if !self.in_tags {
            if self.buffer.len() < FILE_HEADER {
                return Ok(None);
            }
            if !self.buffer.starts_with(b"FLV") {
                return Err(self.damage("no FLV header"));
            }
            let header = self.take(FILE_HEADER);
            self.in_tags = true;
            if !std::mem::replace(&mut self.has_begun, true) {
                return Ok(Some(header));
            }
        }
        while let Some(found) = self.find()? {
            let tag = self.take(found.length);
            if let Some(out) = self.pass(found, tag) {
                return Ok(Some(out));
            }
        }
        Ok(None)
    }

    fn find(&self) -> Result<Option<TagHead>, ReadError> {
        let Some(header) = self.buffer.first_chunk::<TAG_HEADER>() else {
            return Ok(None);
        };
        let [kind, s0, s1, s2, t0, t1, t2, t3, ..] = *header;
        let size = u32::from_be_bytes([0, s0, s1, s2]) as usize;
        if size > MAX_TAG {
            return Err(self.damage("a tag that is too long"));
        }
        let length = TAG_HEADER + size + TRAILER;
        Ok((self.buffer.len() >= length).then_some(TagHead {
            kind: kind & 0x1f,
            timestamp: u32::from_be_bytes([t3, t0, t1, t2]),
            length,
        }))
    }

    /// Returns the tag as it goes out; `None` if it does not.
    fn pass(&mut self, found: TagHead, tag: Bytes) -> Option<Bytes> {
        let payload = tag.slice(TAG_HEADER..tag.len() - TRAILER);
        let known = match (found.kind, is_config(found.kind, &payload)) {
            (TAG_VIDEO, true) => Some(&mut self.video_config),
            (TAG_AUDIO, true) => Some(&mut self.audio_config),
            (TAG_VIDEO | TAG_AUDIO, false) => None,
            _ => Some(&mut self.metadata),
        };
        let is_header = known.is_some();
        self.has_video |= found.kind == TAG_VIDEO;
        if let Some(known) = known {
            let is_same = *known == payload;
            *known = payload.clone();
            // A header that comes again says nothing new; to a decoder it may be a reset.
            if is_same && !matches!(self.join, Join::First) {
                return None;
            }
        }
        let timestamp = match self.join {
            Join::First => {
                self.note(found.timestamp);
                return Some(tag);
            }
            Join::Shifted { shift, first } => {
                // Sound may follow the key frame in the stream and precede it in time. It must not go
                // back before the join.
                let timestamp = found.timestamp.wrapping_add(shift);
                if is_before(timestamp, first) {
                    first
                } else {
                    timestamp
                }
            }
            Join::Waiting(at) if is_header => at,
            Join::Waiting(at) => {
                // Pictures before the key frame refer to lost ones, and sound before it would leave the
                // player without a picture: neither comes out.
                if self.has_video && !(found.kind == TAG_VIDEO && is_key(&payload)) {
                    return None;
                }
                self.join = Join::Shifted {
                    shift: at.wrapping_sub(found.timestamp),
                    first: at,
                };
                at
            }
        };
        self.note(timestamp);
        Some(at_time(&tag, timestamp))
    }

    fn note(&mut self, timestamp: u32) {
        if self.last.is_none_or(|last| !is_before(timestamp, last)) {
            self.last = Some(timestamp);
        }
    }

    fn take(&mut self, count: usize) -> Bytes {
        self.position += count as u64;
        self.buffer.split_to(count).freeze()
    }

    fn damage(&self, context: &'static str) -> ReadError {
        ReadError {
            position: self.position,
            context,
        }
    }
}

/// Returns whether `one` is before `other`. Timestamps wrap after 49.7 days, so that of two the earlier
/// one is that which is less than half the circle behind (serial number arithmetic, RFC 1982).
const fn is_before(one: u32, other: u32) -> bool {
    one.wrapping_sub(other) >= 1 << 31
}

/// Copy of a tag with another timestamp.
fn at_time(tag: &Bytes, timestamp: u32) -> Bytes {
    let mut out = BytesMut::from(&tag[..]);
    let [t3, t0, t1, t2] = timestamp.to_be_bytes();
    out[4..8].copy_from_slice(&[t0, t1, t2, t3]);
    out.freeze()
}

/// Returns whether a tag is a sequence header: it configures a decoder and carries no access unit.
fn is_config(kind: u8, payload: &[u8]) -> bool {
    match (kind, payload) {
        // Enhanced: the packet type is in the first byte.
        (TAG_VIDEO, [first, ..]) if first & 0x80 != 0 => first & 0x0f == 0,
        (TAG_VIDEO, [first, packet, ..]) => {
            matches!(first & 0x0f, CODEC_AVC | CODEC_HEVC_LEGACY) && *packet == 0
        }
        (TAG_AUDIO, [first, packet, ..]) => first >> 4 == SOUND_AAC && *packet == 0,
        _ => false,
    }
}

fn is_key(payload: &[u8]) -> bool {
    payload.first().is_some_and(|first| first >> 4 & 7 == 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER: &[u8] = b"FLV\x01\x05\0\0\0\x09\0\0\0\0";

    fn tag(kind: u8, timestamp: u32, payload: &[u8]) -> Vec<u8> {
        let size = u32::try_from(payload.len()).expect("short");
        let [t3, t0, t1, t2] = timestamp.to_be_bytes();
        let mut out = vec![kind];
        out.extend_from_slice(&size.to_be_bytes()[1..]);
        out.extend_from_slice(&[t0, t1, t2, t3, 0, 0, 0]);
        out.extend_from_slice(payload);
        out.extend_from_slice(&(size + 11).to_be_bytes());
        out
    }

    #[test]
    fn a_stream_that_was_cut_off_before_it_began_is_not_the_first() {
        for fed in 0..HEADER.len() {
            let mut splice = Splice::new();
            splice.feed(&HEADER[..fed]);
            assert_eq!(splice.next_bytes(), Ok(None));
            splice.cut(40);
            splice.feed(HEADER);
            splice.feed(&picture(7, true));
            assert_eq!(splice.next_bytes(), Ok(Some(Bytes::from_static(HEADER))));
            let first = splice.next_bytes().expect("FLV").expect("a tag");
            assert_eq!(first, picture(7, true), "as it came");
        }
    }

    fn config(timestamp: u32, name: &[u8]) -> Vec<u8> {
        tag(9, timestamp, &[&[0x17, 0, 0, 0, 0], name].concat())
    }

    fn picture(timestamp: u32, key: bool) -> Vec<u8> {
        tag(
            9,
            timestamp,
            &[if key { 0x17 } else { 0x27 }, 1, 0, 0, 0, 7],
        )
    }

    fn sound(timestamp: u32) -> Vec<u8> {
        tag(8, timestamp, &[0xaf, 1, 9])
    }

    fn stream(start: u32) -> Vec<u8> {
        [
            HEADER.to_vec(),
            tag(18, start, b"metadata"),
            config(start, b"avc"),
            tag(8, start, &[0xaf, 0, 0x14]),
            picture(start, true),
            sound(start.wrapping_add(10)),
            picture(start.wrapping_add(40), false),
        ]
        .concat()
    }

    fn all(splice: &mut Splice) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some(bytes) = splice.next_bytes().expect("FLV") {
            out.extend_from_slice(&bytes);
        }
        out
    }

    #[test]
    fn one_stream_comes_out_as_it_went_in() {
        let mut splice = Splice::new();
        splice.feed(&stream(5));
        assert_eq!(all(&mut splice), stream(5));
    }

    #[test]
    fn the_next_stream_goes_on_with_its_first_key_frame() {
        let mut splice = Splice::new();
        splice.feed(&stream(0));
        splice.feed(&picture(80, false)[..7]);
        all(&mut splice);
        splice.cut(2000);
        let second = [
            HEADER.to_vec(),
            tag(18, 0, b"metadata"),
            config(0, b"avc"),
            tag(8, 0, &[0xaf, 0, 0x14]),
            sound(3),
            picture(4, false),
            picture(44, true),
            sound(50),
            picture(84, false),
        ];
        splice.feed(&second.concat());
        // The last picture was at 40.
        let expected = [picture(2040, true), sound(2046), picture(2080, false)].concat();
        assert_eq!(all(&mut splice), expected);
        // And once more.
        splice.cut(0);
        splice.feed(&stream(9));
        let expected = [picture(2081, true), sound(2091), picture(2121, false)].concat();
        assert_eq!(all(&mut splice), expected);
    }

    #[test]
    fn headers_come_again_only_if_they_are_others() {
        let mut splice = Splice::new();
        splice.feed(&stream(0));
        all(&mut splice);
        splice.cut(1000);
        let other = [
            HEADER.to_vec(),
            tag(18, 0, b"metadata"),
            config(0, b"other"),
            picture(0, true),
        ];
        splice.feed(&other.concat());
        let expected = [config(1040, b"other"), picture(1040, true)].concat();
        assert_eq!(all(&mut splice), expected);
    }

    #[test]
    fn sound_alone_needs_no_key_frame() {
        let mut splice = Splice::new();
        splice.feed(&[HEADER.to_vec(), sound(0), sound(64)].concat());
        all(&mut splice);
        splice.cut(36);
        splice.feed(&[HEADER.to_vec(), sound(7)].concat());
        assert_eq!(all(&mut splice), sound(100));
    }

    #[test]
    fn timestamps_wrap() {
        let mut splice = Splice::new();
        splice.feed(&stream(u32::MAX - 20));
        all(&mut splice);
        splice.cut(11);
        splice.feed(&stream(0));
        let expected = [picture(30, true), sound(40), picture(70, false)].concat();
        assert_eq!(all(&mut splice), expected);
    }

    #[test]
    fn what_is_no_flv_is_an_error() {
        let mut splice = Splice::new();
        splice.feed(b"{\"status\":\"1\"}");
        assert!(splice.next_bytes().is_err());
        let mut splice = Splice::new();
        splice.feed(&[HEADER, &[9, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0]].concat());
        assert!(splice.next_bytes().expect("the header").is_some());
        assert_eq!(splice.next_bytes().expect_err("too long").position, 13);
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(cuts in proptest::collection::vec(1_usize..40, 0..40)) {
            let whole = stream(3);
            let mut splice = Splice::new();
            let (mut out, mut rest) = (Vec::new(), &whole[..]);
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                splice.feed(piece);
                out.extend(all(&mut splice));
                rest = after;
            }
            splice.feed(rest);
            out.extend(all(&mut splice));
            prop_assert_eq!(out, whole);
        }

        #[test]
        fn never_panics(first in any::<Vec<u8>>(), second in any::<Vec<u8>>(), lost in any::<u32>()) {
            let mut splice = Splice::new();
            splice.feed(HEADER);
            splice.feed(&first);
            while let Ok(Some(_)) = splice.next_bytes() {}
            splice.cut(lost);
            splice.feed(HEADER);
            splice.feed(&second);
            while let Ok(Some(_)) = splice.next_bytes() {}
        }
    }
}
