//! What players need to seek: how long a file is, and where its fragments lie (`sidx`). Both are
//! known when the file is whole, so its head has blanks for them, which are filled in where they
//! stand.

use std::ops::Range;

use super::{BOX_HEAD, Shown, boxes, ticks, timescale, track_id};
use crate::media::{TrackKind, Tracks};

/// Groups of pictures that an index tells apart; of more it tells two, four … as one.
const MOST: usize = 1000;
/// A `sidx` without references.
const INDEX_HEAD: usize = BOX_HEAD + 24;
/// A reference of a `sidx`.
const EACH: usize = 12;
/// The bytes that a head keeps for the index. What is left over is a box that is passed over.
pub(super) const ROOM: usize = INDEX_HEAD + MOST * EACH + BOX_HEAD;
/// What an index takes while it is made, in bytes.
pub const INDEX_MEMORY: usize = MOST * size_of::<Reference>();
/// The room begins at a multiple of this: the head of its box, behind which the index is when it is
/// not the whole room any more, is never half written.
pub(super) const ALIGNED: usize = BOX_HEAD;
/// Boxes that every reader passes over.
pub(super) const FREE: [u8; 4] = *b"free";
pub(super) const SKIP: [u8; 4] = *b"skip";

const INDEX: [u8; 4] = *b"sidx";
const DURATION: [u8; 4] = *b"mehd";
/// A `mehd`, with a duration of 32 bits.
const DURATION_SIZE: usize = BOX_HEAD + 8;
/// Decoding can start there; it is not said how.
const IS_KEY: u32 = 0x8000_0000;
/// The most bytes that a reference can tell of.
const MOST_BYTES: u32 = 0x7fff_ffff;

/// Bytes, and where they go in the file.
pub type Filling = (u64, Vec<u8>);

/// Where in a head stands what is not known before its file is whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blanks {
    /// The duration of the movie, of 4 or 8 bytes.
    movie: Option<Range<usize>>,
    /// The box for the duration of all fragments.
    fragments: Option<Range<usize>>,
    /// The box for the index, with what is left over.
    room: Option<Range<usize>>,
}

impl Blanks {
    /// Finds them in a head, filled in or not, which ends where the first fragment begins. One of
    /// an older version may have some of them only.
    pub fn find(head: &[u8]) -> Self {
        let mut blanks = Self::default();
        let mut is_behind = false;
        for (kind, content) in boxes(head, 0..head.len()) {
            if kind == *b"moov" {
                is_behind = true;
                blanks.look_into(head, content);
            } else if is_behind && [FREE, INDEX].contains(&kind) {
                let start = content.start - BOX_HEAD;
                blanks.room.get_or_insert(start..start).end = content.end;
            }
        }
        blanks
    }

    fn look_into(&mut self, head: &[u8], moov: Range<usize>) {
        for (kind, content) in boxes(head, moov) {
            if kind == *b"mvhd" {
                self.movie = movie_duration(head, &content);
            } else if kind == *b"mvex" {
                let mut inside = boxes(head, content);
                let blank = inside.find(|(kind, content)| {
                    [FREE, DURATION].contains(kind) && BOX_HEAD + content.len() == DURATION_SIZE
                });
                self.fragments = blank.map(|(_, content)| content.start - BOX_HEAD..content.end);
            }
        }
    }

    /// Makes the blank for the duration one that says nothing: a duration of 0 is none.
    pub(super) fn clear(&self, head: &mut [u8]) {
        let kind = self.fragments.as_ref();
        let kind = kind.and_then(|range| head.get_mut(range.start + 4..range.start + BOX_HEAD));
        if let Some(kind) = kind {
            kind.copy_from_slice(&FREE);
        }
    }
}

/// Where a movie's duration stands, if it is counted in milliseconds.
fn movie_duration(head: &[u8], content: &Range<usize>) -> Option<Range<usize>> {
    let bytes = head.get(content.clone())?;
    let (scale, size) = match bytes.first()? {
        0 => (12, 4),
        _ => (20, 8),
    };
    let millis = bytes.get(scale..scale + 4)? == 1000_u32.to_be_bytes();
    let start = content.start + scale + 4;
    (millis && start + size <= content.end).then_some(start..start + size)
}

/// Where the fragments of a file lie, for its index. Bound: [`INDEX_MEMORY`].
#[derive(Clone, Debug)]
pub struct Index {
    track: TrackKind,
    timescale: u32,
    references: Vec<Reference>,
    /// Groups of pictures that a reference tells as one.
    together: u32,
    /// When the last fragment ends.
    end: u32,
    /// The file is none that an index can tell of.
    is_void: bool,
}

/// Fragments that are told as one, of which the first can be decoded by itself.
#[derive(Clone, Copy, Debug)]
struct Reference {
    bytes: u32,
    /// When its first picture is shown, in the track's units.
    start: u32,
    groups: u32,
}

impl Index {
    /// One of a file without fragments.
    pub fn new(tracks: &Tracks) -> Self {
        let track = match tracks.video {
            Some(_) => TrackKind::Video,
            None => TrackKind::Audio,
        };
        Self {
            track,
            timescale: timescale(track, tracks.audio.as_ref()),
            references: Vec::new(),
            together: 1,
            end: 0,
            is_void: false,
        }
    }

    /// The next fragment takes so many bytes of the file, its seal included.
    pub fn add(&mut self, bytes: u64, shown: Option<Shown>) {
        let added = self.try_to_add(bytes, shown);
        self.is_void |= added.is_none();
    }

    fn try_to_add(&mut self, bytes: u64, shown: Option<Shown>) -> Option<()> {
        let units = |micros| u32::try_from(ticks(micros, self.timescale)).ok();
        let bytes = u32::try_from(bytes).ok()?;
        // What has nothing to show belongs to what was before it.
        let Some(shown) = shown else {
            return self.references.last_mut()?.join(bytes, 0);
        };
        let start = units(shown.start_micros)?;
        self.end = units(shown.end_micros).filter(|end| *end >= start)?;
        if let Some(last) = self.references.last_mut() {
            if start < last.start {
                return None;
            }
            if !shown.is_key || last.groups < self.together {
                return last.join(bytes, u32::from(shown.is_key));
            }
        }
        if self.references.len() == MOST {
            self.halve()?;
        }
        self.references.push(Reference {
            bytes: (bytes <= MOST_BYTES).then_some(bytes)?,
            start,
            groups: 1,
        });
        Some(())
    }

    /// Tells two as one from now on.
    fn halve(&mut self) -> Option<()> {
        let mut kept = 0;
        for at in (0..self.references.len()).step_by(2) {
            let mut both = self.references[at];
            if let Some(next) = self.references.get(at + 1) {
                both.join(next.bytes, next.groups)?;
            }
            self.references[kept] = both;
            kept += 1;
        }
        self.references.truncate(kept);
        self.together *= 2;
        Some(())
    }

    /// What is to be written into a head for a file that lasts for so long: first the one, and when
    /// that is on the card for good, the other. Up to then the file is as it was.
    pub fn fill(&self, blanks: &Blanks, millis: u32) -> [Vec<Filling>; 2] {
        let at = |offset: usize| offset as u64;
        let [mut first, mut then] = [Vec::new(), Vec::new()];
        if let Some(movie) = &blanks.movie {
            let duration = u64::from(millis).to_be_bytes();
            first.push((at(movie.start), duration[8 - movie.len().min(8)..].to_vec()));
        }
        if let Some(fragments) = &blanks.fragments {
            let duration = [[0; 4], millis.to_be_bytes()].concat();
            first.push((at(fragments.start + BOX_HEAD), duration));
            then.push((at(fragments.start + 4), DURATION.to_vec()));
        }
        if let Some(room) = &blanks.room
            && let Some(index) = self.encode(room.len())
        {
            // At the end of the room: some readers look for fragments right behind their index.
            let rest = u32::try_from(room.len() - index.len()).unwrap_or(u32::MAX);
            first.push((at(room.end - index.len()), index));
            then.push((at(room.start), [rest.to_be_bytes(), FREE].concat()));
        }
        [first, then]
    }

    /// The index, if it fits into so much room beside a box that is passed over, and there is one.
    fn encode(&self, room: usize) -> Option<Vec<u8>> {
        let size = INDEX_HEAD + self.references.len() * EACH;
        let start = self.references.first().filter(|_| !self.is_void)?.start;
        if size + BOX_HEAD > room {
            return None;
        }
        let mut text = Vec::with_capacity(size);
        for number in [
            u32::try_from(size).ok()?,
            u32::from_be_bytes(INDEX),
            0,
            track_id(self.track),
            self.timescale,
            start,
            0,
            u32::try_from(self.references.len()).ok()?,
        ] {
            text.extend_from_slice(&number.to_be_bytes());
        }
        let ends = self.references.iter().skip(1).map(|next| next.start);
        for (reference, end) in self.references.iter().zip(ends.chain([self.end])) {
            let duration = end.saturating_sub(reference.start);
            for number in [reference.bytes, duration, IS_KEY] {
                text.extend_from_slice(&number.to_be_bytes());
            }
        }
        Some(text)
    }
}

impl Reference {
    /// Tells of what follows too; `None` if that is too much.
    fn join(&mut self, bytes: u32, groups: u32) -> Option<()> {
        let sum = self.bytes.checked_add(bytes);
        self.bytes = sum.filter(|sum| *sum <= MOST_BYTES)?;
        self.groups += groups;
        Some(())
    }
}

#[cfg(test)]
mod tests;
