//! Decides which fragments are written, and where segments begin. Pure: no clock, no file.
//!
//! Keeps: a segment begins with a key, has the kind and the date that it began with, and has
//! nothing behind a fragment that was lost.

use std::{collections::VecDeque, time::Duration};

use peercam_proto::media::MediaTime;

use super::fragmenter::Fragment;

/// Rule by which segments are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentPolicy {
    /// Length of a segment, up to the next key frame.
    pub segment: Duration,
    /// Time from before an event that is kept, where only events are recorded.
    pub pre_roll: Duration,
    /// Bytes of that at most.
    pub most_pre_roll: usize,
}

/// Selection of what is to be recorded of a channel now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// No fragment; the newest are kept ready.
    Nothing,
    /// All, as this kind.
    Kind(u32),
}

/// A fragment to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct FragmentWrite {
    /// The fragment.
    pub fragment: Fragment,
    /// Its segment's kind.
    pub kind: u32,
    /// Set if it begins a segment. Whatever cannot go on with the one there is may begin one with
    /// any fragment that is a key.
    pub begins: bool,
    /// Wall time less media time, in milliseconds, and whether the date is known.
    pub date: Date,
}

/// Offset by which media times become dates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    /// Milliseconds since 1970 of media time 0.
    pub offset_millis: i64,
    /// Set if the device knows the date; otherwise it goes on from the newest recording.
    pub is_known: bool,
}

impl Date {
    /// The date of a media time, in milliseconds since 1970.
    pub fn of(self, time: MediaTime) -> i64 {
        self.offset_millis + time.as_micros().div_euclid(1000)
    }
}

/// A wall clock that is off by more than this was stepped. What is less is drift, or its correction.
const STEP_MILLIS: i64 = 2_000;

/// Decides which fragments are written and where segments begin.
#[derive(Debug)]
pub struct Segmenter {
    cut: SegmentPolicy,
    /// Start, kind and date of the segment that is open.
    open: Option<(MediaTime, u32, Date)>,
    /// Fragments that are kept ready while nothing is recorded. Bound: [`SegmentPolicy::pre_roll`] and
    /// [`SegmentPolicy::most_pre_roll`]; the oldest goes.
    ready: VecDeque<Fragment>,
    /// Set if a fragment was lost: those that depend on it are of no use.
    is_broken: bool,
}

impl Segmenter {
    /// One that has nothing yet.
    pub fn new(cut: SegmentPolicy) -> Self {
        Self {
            cut,
            open: None,
            ready: VecDeque::new(),
            is_broken: false,
        }
    }

    /// Takes a fragment and gives those that are to be written, and whether the segment that is
    /// open is to be closed first.
    pub fn push(
        &mut self,
        fragment: Fragment,
        wanted: Wanted,
        date: Date,
    ) -> (bool, Vec<FragmentWrite>) {
        let Wanted::Kind(kind) = wanted else {
            let closes = self.open.take().is_some();
            self.keep_ready(fragment);
            return (closes, Vec::new());
        };
        self.ready.push_back(fragment);
        let ready = std::mem::take(&mut self.ready).into_iter();
        let writes = ready.filter_map(|fragment| self.next_write(fragment, kind, date));
        (false, writes.collect())
    }

    /// Notes that the fragment that was given last was not written.
    pub fn lost(&mut self) {
        self.is_broken = true;
    }

    /// Says how a fragment is written; `None` if it is of no use.
    ///
    /// A file is named by its start and kind, and its name is all there is of an index. So it ends
    /// not only by its length: also where the kind or the offset of the dates becomes another one,
    /// and at a hole, of which a start and a length say nothing.
    fn next_write(&mut self, fragment: Fragment, kind: u32, date: Date) -> Option<FragmentWrite> {
        let begins = match self.open {
            None => true,
            Some((start, known_kind, known_date)) => {
                let step = date.offset_millis.abs_diff(known_date.offset_millis);
                let is_long = fragment.start().micros_since(start)
                    >= i64::try_from(self.cut.segment.as_micros()).unwrap_or(i64::MAX);
                is_long
                    || known_kind != kind
                    || step > STEP_MILLIS.unsigned_abs()
                    || date.is_known != known_date.is_known
                    || fragment.after_gap
                    || self.is_broken
            }
        };
        // Nothing is open that it could go on with, or the frames that it depends on were lost:
        // without a key frame it does not decode.
        if begins && !fragment.is_key && (self.open.is_none() || self.is_broken) {
            return None;
        }
        // A segment that ought to begin between two key frames begins at the second one. Up to there
        // the one that is open goes on, with its own kind and date: a file that is longer by a part
        // of a GOP instead of one with a hole in front.
        let begins = begins && fragment.is_key;
        if begins {
            self.open = Some((fragment.start(), kind, date));
            self.is_broken = false;
        }
        // A segment has one date, however the clock drifts meanwhile.
        let date = self.open.map_or(date, |(_, _, date)| date);
        Some(FragmentWrite {
            fragment,
            kind,
            begins,
            date,
        })
    }

    fn keep_ready(&mut self, fragment: Fragment) {
        // What was lost was of the segment that is closed now. The next one begins with a key, and
        // behind a gap nothing of before is kept.
        self.is_broken = false;
        if fragment.after_gap {
            self.ready.clear();
        }
        self.ready.push_back(fragment);
        let most = i64::try_from(self.cut.pre_roll.as_micros()).unwrap_or(i64::MAX);
        let newest = self.ready.back().map(Fragment::start).unwrap_or_default();
        // The first one that is needed begins before the pre-roll and is a key.
        loop {
            let size: usize = self.ready.iter().map(Fragment::weight).sum();
            let next_key = self
                .ready
                .iter()
                .skip(1)
                .position(|fragment| fragment.is_key);
            let Some(next) = next_key.map(|index| index + 1) else {
                // One GOP that is too large is of no use without its beginning.
                if size > self.cut.most_pre_roll {
                    self.ready.clear();
                }
                return;
            };
            let is_long_enough = newest.micros_since(self.ready[next].start()) >= most;
            if !is_long_enough && size <= self.cut.most_pre_roll {
                return;
            }
            self.ready.drain(..next);
        }
    }
}

#[cfg(test)]
mod tests;
