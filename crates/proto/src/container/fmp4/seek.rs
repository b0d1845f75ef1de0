//! Duration and segment index (`sidx`, ISO/IEC 14496-12, 8.16.3) of a file, by which players seek.
//! Both are known when the file is complete, so that its head has blanks for them, which are filled
//! in place.

use std::ops::Range;

use super::{BOX_HEAD, PresentationInterval, boxes, ticks, timescale, track_id};
use crate::media::{TrackKind, Tracks};

/// Upper bound of the references of an index. If a file has more groups of pictures, a reference
/// covers two, four … of them.
const MAX_ENTRIES: usize = 1000;
/// Bytes of a `sidx` without references.
const INDEX_HEAD: usize = BOX_HEAD + 24;
/// Bytes of a reference of a `sidx`.
const EACH: usize = 12;
/// Bytes that a head keeps for the index. The rest of them is a `free` box.
pub(super) const ROOM: usize = INDEX_HEAD + MAX_ENTRIES * EACH + BOX_HEAD;
/// Memory of an index while its file grows, in bytes.
pub const INDEX_MEMORY: usize = MAX_ENTRIES * size_of::<Reference>();
/// Alignment of the room in the file. The head of its `free` box is rewritten when the index takes
/// the end of the room; eight aligned bytes lie in one sector, so that a loss of power never leaves
/// half of a head.
pub(super) const ALIGNED: usize = BOX_HEAD;
/// Boxes that every reader skips.
pub(super) const FREE: [u8; 4] = *b"free";
pub(super) const SKIP: [u8; 4] = *b"skip";

const INDEX: [u8; 4] = *b"sidx";
const DURATION: [u8; 4] = *b"mehd";
/// Bytes of a `mehd` with a duration of 32 bits.
const DURATION_SIZE: usize = BOX_HEAD + 8;
/// `starts_with_SAP`, with an unknown `SAP_type`: decoding can start there.
const IS_KEY: u32 = 0x8000_0000;
/// Upper bound of the 31-bit `referenced_size` of a reference.
const MOST_BYTES: u32 = 0x7fff_ffff;

/// Offset in the file, and the bytes to be written there.
pub type Filling = (u64, Vec<u8>);

/// Byte ranges of a head that are filled in when its file is complete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blanks {
    /// Duration in `mvhd`, 4 or 8 bytes.
    movie: Option<Range<usize>>,
    /// Box for the duration of all fragments: `mehd`, or `free` before it is filled in.
    fragments: Option<Range<usize>>,
    /// Room for the index: one `free` box, later a smaller one with the `sidx` behind it.
    room: Option<Range<usize>>,
}

impl Blanks {
    /// Finds the blanks of a head, filled in or not; `head` ends where the first fragment begins. A
    /// head of an older version may have only some of them.
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

    /// Turns the `mehd` into a `free` box until the duration is known: without one it is unspecified
    /// (ISO/IEC 14496-12, 8.8.2), and 0 would be a duration.
    pub(super) fn clear(&self, head: &mut [u8]) {
        let kind = self.fragments.as_ref();
        let kind = kind.and_then(|range| head.get_mut(range.start + 4..range.start + BOX_HEAD));
        if let Some(kind) = kind {
            kind.copy_from_slice(&FREE);
        }
    }
}

/// Range of the duration in an `mvhd` (version 0 or 1), if it counts in milliseconds.
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

/// Segment index of a file that grows. Bound: [`INDEX_MEMORY`].
#[derive(Clone, Debug)]
pub struct Index {
    track: TrackKind,
    timescale: u32,
    references: Vec<Reference>,
    /// Groups of pictures that a reference covers.
    together: u32,
    /// End of the last fragment, in the track's units.
    end: u32,
    /// Set if the file cannot be described by an index: times that go back, or a fragment too large.
    is_void: bool,
}

/// A run of fragments, the first of which starts with a sync sample.
#[derive(Clone, Copy, Debug)]
struct Reference {
    bytes: u32,
    /// Earliest presentation time, in the track's units.
    start: u32,
    groups: u32,
}

impl Index {
    /// Creates the index of a file without fragments.
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

    /// Adds the next fragment, of `bytes` in the file, its seal included. `shown` is `None` if it has
    /// nothing to show.
    pub fn add(&mut self, bytes: u64, shown: Option<PresentationInterval>) {
        let added = self.try_to_add(bytes, shown);
        self.is_void |= added.is_none();
    }

    fn try_to_add(&mut self, bytes: u64, shown: Option<PresentationInterval>) -> Option<()> {
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
            // A reference begins with a sync sample (`starts_with_SAP`): what has none extends the last.
            if !shown.is_key || last.groups < self.together {
                return last.join(bytes, u32::from(shown.is_key));
            }
        }
        if self.references.len() == MAX_ENTRIES {
            self.halve()?;
        }
        self.references.push(Reference {
            bytes: (bytes <= MOST_BYTES).then_some(bytes)?,
            start,
            groups: 1,
        });
        Some(())
    }

    /// Merges references in pairs; from now on each covers twice as many groups of pictures.
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

    /// Returns the writes that complete the head of a file of `millis`, in two steps: the second only
    /// after the first is durable on the card. Up to then the file is as it was.
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

    /// Encodes the `sidx`; `None` if there is none, or if `room` is too small for it and the head of a
    /// `free` box.
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
            // Version 0, with times of 32 bits, and no flags.
            0,
            track_id(self.track),
            self.timescale,
            start,
            // `first_offset`: the first fragment is right behind.
            0,
            // 16 bits reserved, 16 bits of `reference_count`, which is at most `MAX_ENTRIES`.
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
    /// Covers what follows too; `None` if that is more than [`MOST_BYTES`].
    fn join(&mut self, bytes: u32, groups: u32) -> Option<()> {
        let sum = self.bytes.checked_add(bytes);
        self.bytes = sum.filter(|sum| *sum <= MOST_BYTES)?;
        self.groups += groups;
        Some(())
    }
}

#[cfg(test)]
mod tests;
