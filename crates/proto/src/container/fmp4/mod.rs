//! Fragmented MP4 (ISO/IEC 14496-12), as recordings are kept: a head that describes the tracks,
//! then fragments of a second or two that each stand for themselves.
//!
//! Behind each stands a box with its check sum, which players pass over: a file that ends in the
//! middle of a fragment is whole up to that fragment, and one can tell. Times count from the
//! file's first frame. Of a fragment the pictures come first and then the sound, so that one run
//! describes each. How long the file is and where its fragments lie is filled into the head when
//! it is whole ([`Index`]); a reader of ours does not need it, and believes none of it.

mod entry;
mod fragment;
mod head;
mod seek;

pub use fragment::{Fragment, MAX_INDEX, SEAL, Sample, Shown, fragment, read_seal, seal};
pub use head::{BOX_HEAD, BoxHead, Head, MAX_HEAD, head};
pub use seek::{Blanks, Filling, INDEX_MEMORY, Index};

use std::ops::Range;

use crate::media::{AudioTrack, TrackKind};

/// The bytes are no recording of ours, or damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the recording is damaged: {0}")]
pub struct Damaged(pub &'static str);

/// The boxes in this part of some bytes, each with where its content lies.
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

/// What the numbers of a track's times are: units in a second.
const VIDEO_TIMESCALE: u32 = 90_000;

/// The number by which a file knows a track.
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

/// Sound counts in samples.
fn timescale(kind: TrackKind, audio: Option<&AudioTrack>) -> u32 {
    match (kind, audio) {
        (TrackKind::Audio, Some(audio)) => audio.sample_rate.max(1),
        _ => VIDEO_TIMESCALE,
    }
}

/// Rounds down, as the way back rounds up: there and back is the same.
fn ticks(micros: i64, timescale: u32) -> i64 {
    let ticks = i128::from(micros) * i128::from(timescale);
    clamped(ticks.div_euclid(1_000_000))
}

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
