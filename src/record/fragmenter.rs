//! Cuts frames into fragments. Pure: no clock, no file.
//!
//! Keeps: frames stay in their order; all frames of a fragment have the same tracks; a fragment
//! that is a key decodes by itself; pictures that depend on a lost one are left out.

use std::sync::Arc;

use peercam_proto::media::{Frame, MediaTime, TrackKind, Tracks};

/// A fragment ends after this long, in microseconds, if there was no key frame before. It is synced
/// as a whole, so this is what a power cut costs at most; shorter ones would cost a sync each.
const LONGEST: i64 = 2_000_000;
/// Bytes of a fragment at most, where memory allows it.
pub const MAX_FRAGMENT: usize = 1 << 20;
/// Pictures that are farther apart have a gap between them.
const GAP: i64 = 1_000_000;

/// Frames that are written together.
#[derive(Clone, Debug, PartialEq)]
pub struct Fragment {
    /// Tracks that their decoder must know.
    pub tracks: Arc<Tracks>,
    /// The frames, in the order in which they came.
    pub frames: Vec<Frame>,
    /// Time at which the first picture behind it is due, if that is known.
    pub end: Option<MediaTime>,
    /// Set if decoding can start with it.
    pub is_key: bool,
    /// Set if something is missing in front of it, so that it begins a segment.
    pub after_gap: bool,
}

impl Fragment {
    /// The time of its earliest frame.
    pub fn start(&self) -> MediaTime {
        let times = self.frames.iter().map(|frame| frame.time);
        times.min().unwrap_or_default()
    }

    /// Bytes of its frames.
    pub fn size(&self) -> usize {
        self.frames.iter().map(|frame| frame.data.len()).sum()
    }

    /// Bytes that keeping it costs.
    pub fn weight(&self) -> usize {
        self.frames.iter().map(Frame::weight).sum()
    }
}

/// Cuts a stream's frames into fragments.
#[derive(Debug)]
pub struct Fragmenter {
    /// A fragment weighs no more, in bytes, unless it is a single picture and what sounds with it,
    /// and with that no more than twice as much: it is read as a whole.
    largest: usize,
    tracks: Option<Arc<Tracks>>,
    frames: Vec<Frame>,
    weight: usize,
    is_key: bool,
    after_gap: bool,
    last_picture: Option<MediaTime>,
    /// Pictures are of no use before the next key frame.
    waits_for_key: bool,
    /// The next key frame is behind a gap.
    gap_ahead: bool,
}

impl Fragmenter {
    /// One that has nothing yet, for fragments of at most this weight.
    pub fn new(largest: usize) -> Self {
        Self {
            largest,
            tracks: None,
            frames: Vec::new(),
            weight: 0,
            is_key: false,
            after_gap: false,
            last_picture: None,
            waits_for_key: false,
            gap_ahead: false,
        }
    }

    /// Takes the next frame, with the tracks if they are others than before. Gives the fragment
    /// that ended in front of it, if one did.
    pub fn push(&mut self, frame: Frame, new_tracks: Option<Arc<Tracks>>) -> Option<Fragment> {
        let mut finished = None;
        if let Some(tracks) = new_tracks {
            // A file has one head, and with that one set of tracks: what follows begins another.
            finished = self.finish(None);
            self.tracks = Some(tracks);
            (self.waits_for_key, self.gap_ahead) = (true, true);
        }
        let has_video = self.tracks.as_ref()?.video.is_some();
        if frame.track == TrackKind::Video {
            let apart = self.last_picture.map(|last| frame.time.micros_since(last));
            self.gap_ahead |= apart.is_some_and(|apart| apart > GAP);
            if self.waits_for_key && !frame.key {
                return finished;
            }
            // A key frame ends a fragment even if it is short: fragments that begin with one are what
            // players seek to, and what can begin a file. The end is this picture's time and not
            // that of the last sound, so that files joined by it go on without a gap.
            if frame.key || self.is_due(&frame) {
                finished = finished.or_else(|| self.finish(Some(frame.time)));
            }
            self.last_picture = Some(frame.time);
        } else if self.waits_for_key && has_video {
            // Sound without a picture cannot be found again.
            return finished;
        } else if self.is_due(&frame) && (!has_video || self.is_overdue(&frame)) {
            // Only where no picture comes: that would end the fragment, within 40 ms at 25 a second,
            // and keep its sound together with it.
            finished = finished.or_else(|| self.finish(None));
        }
        if self.frames.is_empty() {
            self.is_key = !has_video || frame.is_video_key();
            self.after_gap = self.is_key && std::mem::take(&mut self.gap_ahead);
            self.waits_for_key = false;
        }
        self.weight += frame.weight();
        self.frames.push(frame);
        finished
    }

    /// Notes that frames were lost: what comes is of no use before the next key frame. Gives what
    /// there is.
    pub fn lose(&mut self) -> Option<Fragment> {
        (self.waits_for_key, self.gap_ahead) = (true, true);
        self.finish(None)
    }

    /// Returns whether the fragment is long enough to end in front of this frame, or too heavy with
    /// it.
    fn is_due(&self, frame: &Frame) -> bool {
        let start = self.frames.first().map(|frame| frame.time);
        start.is_some_and(|start| frame.time.micros_since(start) >= LONGEST)
            || self.weight + frame.weight() > self.largest
    }

    /// Returns whether the fragment ends in front of this sound though no picture has come: the
    /// picture stands still, or there is more sound than any camera makes.
    fn is_overdue(&self, frame: &Frame) -> bool {
        let start = self.frames.first().map(|frame| frame.time);
        start.is_some_and(|start| frame.time.micros_since(start) >= 2 * LONGEST)
            || self.weight + frame.weight() > 2 * self.largest
    }

    /// Ends the fragment, if there is something in it.
    pub fn finish(&mut self, end: Option<MediaTime>) -> Option<Fragment> {
        if self.frames.is_empty() {
            return None;
        }
        self.weight = 0;
        Some(Fragment {
            tracks: self.tracks.clone()?,
            frames: std::mem::take(&mut self.frames),
            end,
            is_key: self.is_key,
            after_gap: self.after_gap,
        })
    }
}

#[cfg(test)]
mod tests;
