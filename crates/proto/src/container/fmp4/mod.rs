//! Fragmented MP4 (ISO/IEC 14496-12), as recordings are kept: a head that describes the tracks,
//! then fragments of a second or two that each stand for themselves.
//!
//! Behind each stands a box with its check sum, which players skip: a file that ends in the middle
//! of a fragment is intact up to that fragment, and a reader can tell. Times count from the file's
//! first frame. In a fragment the pictures come first and then the sound, so that one run describes
//! each. Duration and index are filled into the head when the file is complete ([`Index`]); a reader
//! of ours does not need them, and trusts neither.
//!
//! A file of two blocks of G.711, written and read:
//!
//! ```
//! use bytes::Bytes;
//! use peercam_proto::{
//!     fmp4::{self, Damaged, Fragment, Head},
//!     media::{AudioCodec, AudioTrack, Frame, MediaTime, TrackKind, Tracks},
//! };
//!
//! # fn main() -> Result<(), Damaged> {
//! let tracks = Tracks {
//!     video: None,
//!     audio: Some(AudioTrack {
//!         codec: AudioCodec::PcmA,
//!         config: Bytes::new(),
//!         sample_rate: 8_000,
//!         channels: 1,
//!     }),
//! };
//! let head = fmp4::head(&tracks, 1_763_708_400_000)?;
//! assert_eq!(Head::parse(&head)?.tracks, tracks);
//!
//! let block = |micros| Frame {
//!     track: TrackKind::Audio,
//!     key: true,
//!     time: MediaTime::from_micros(micros),
//!     composition_micros: 0,
//!     data: Bytes::from_static(&[0xd5; 160]), // 20 ms of silence
//! };
//! let frames = [block(0), block(20_000)];
//! let index = fmp4::fragment(&tracks, &frames, MediaTime::default(), None, 1)?;
//!
//! let fragment = Fragment::parse(&index, &tracks, index.len() + 2 * 160)?;
//! let second = fragment.samples[1];
//! assert_eq!((second.micros, second.duration_micros), (20_000, 20_000));
//! assert_eq!((second.offset, second.size), (index.len() + 160, 160));
//! # Ok(())
//! # }
//! ```

mod entry;
mod fragment;
mod head;
mod seek;

pub use fragment::{
    Fragment, MAX_INDEX, PresentationInterval, SEAL, Sample, fragment, read_seal, seal,
};
pub use head::{BOX_HEAD, BoxHead, Head, MAX_HEAD, head};
pub use seek::{Blanks, Filling, INDEX_MEMORY, Index};

use std::ops::Range;

use crate::media::{AudioTrack, TrackKind};

/// Error for bytes that are no recording of ours, or damaged; or for media that cannot become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the recording is damaged: {0}")]
pub struct Damaged(pub &'static str);

/// Iterates over the boxes in `part` of some bytes: the kind of each, and the range of its content.
/// Ends at the first one that is cut off or damaged.
fn boxes(bytes: &[u8], part: Range<usize>) -> impl Iterator<Item = ([u8; 4], Range<usize>)> {
    let mut at = part.start;
    std::iter::from_fn(move || {
        let rest = bytes.get(at..part.end)?;
        let head = BoxHead::parse(*rest.first_chunk()?).ok()?;
        let size = usize::try_from(head.size).ok();
        let size = size.filter(|size| *size <= rest.len())?;
        let content = at + BOX_HEAD..at + size;
        at += size;
        Some((head.kind, content))
    })
}

/// Timescale of the video track: the 90 kHz of RTP and MPEG, in which a picture of 25 or 30 per second
/// lasts a whole number of units.
const VIDEO_TIMESCALE: u32 = 90_000;

/// `track_ID` of a track in every file of ours.
const fn track_id(kind: TrackKind) -> u32 {
    match kind {
        TrackKind::Video => 1,
        TrackKind::Audio => 2,
    }
}

const fn kind_of(track_id: u32) -> Option<TrackKind> {
    match track_id {
        1 => Some(TrackKind::Video),
        2 => Some(TrackKind::Audio),
        _ => None,
    }
}

/// Units per second of a track's times: sound counts in samples.
fn timescale(kind: TrackKind, audio: Option<&AudioTrack>) -> u32 {
    match (kind, audio) {
        (TrackKind::Audio, Some(audio)) => audio.sample_rate.max(1),
        _ => VIDEO_TIMESCALE,
    }
}

/// Converts to a track's units. Rounds down where [`micros`] rounds up, so that ticks survive the way
/// there and back.
fn ticks(micros: i64, timescale: u32) -> i64 {
    let ticks = i128::from(micros) * i128::from(timescale);
    clamped(ticks.div_euclid(1_000_000))
}

/// Converts from a track's units; see [`ticks`].
fn micros(ticks: i64, timescale: u32) -> i64 {
    let timescale = i128::from(timescale.max(1));
    let micros = i128::from(ticks) * 1_000_000;
    clamped((micros + timescale - 1).div_euclid(timescale))
}

fn clamped(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests;
