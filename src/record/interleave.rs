//! Sound and pictures in the order in which they are seen and heard. Pure: no clock, no file.
//!
//! Microphones and encoders take different times, 0.1 to 0.2 s apart, so that sound comes behind the
//! picture that it belongs in front of, or the other way round. A file that begins with a key frame
//! would begin with the sound of the one before, and two files one behind the other would stand
//! still between them.

use std::{collections::VecDeque, sync::Arc};

use peercam_proto::media::{Frame, MediaTime, TrackKind, Tracks};

/// Distance at which a track that is behind is not waited for: sound that is silent, a picture that
/// stands still.
const MAX_WAIT_MICROS: i64 = 1_000_000;

/// A frame and the tracks, if they are others than before.
type Arrival = (Frame, Option<Arc<Tracks>>);

/// Puts the frames of a stream in one order.
#[derive(Debug)]
pub(super) struct Interleaver {
    /// Bytes that may wait.
    heaviest: usize,
    weight: usize,
    /// Set if there is something to wait for.
    has_both: bool,
    pictures: Lane,
    sound: Lane,
    /// Delay between decoding and showing pictures, in microseconds.
    delay: i64,
    /// The tracks of what waits, until the first of it goes on.
    tracks: Option<Arc<Tracks>>,
    /// Frames in order, with nothing to wait for.
    ready: VecDeque<Arrival>,
}

/// The frames of a track that wait, and how far the track is.
#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<(MediaTime, Frame)>,
    newest: Option<MediaTime>,
}

impl Lane {
    fn first(&self) -> Option<MediaTime> {
        self.waiting.front().map(|(time, _)| *time)
    }
}

impl Interleaver {
    /// One in which nothing waits, and frames of at most this weight will.
    pub(super) fn new(heaviest: usize) -> Self {
        Self {
            heaviest,
            weight: 0,
            has_both: false,
            pictures: Lane::default(),
            sound: Lane::default(),
            delay: 0,
            tracks: None,
            ready: VecDeque::new(),
        }
    }

    /// Takes the next frame, with the tracks if they are others than before.
    pub(super) fn push(&mut self, frame: Frame, new_tracks: Option<Arc<Tracks>>) {
        if let Some(tracks) = new_tracks {
            self.settle();
            self.has_both = tracks.video.is_some() && tracks.audio.is_some();
            self.tracks = Some(tracks);
            (self.pictures, self.sound) = Default::default();
        }
        if !self.has_both {
            let tracks = self.tracks.take();
            self.ready.push_back((frame, tracks));
            return;
        }
        // A key frame is the first of its GOP to be shown, so its composition offset is the delay of
        // the encoder's reordering. Sound belongs to the picture that is shown with it, which is
        // another one than the one decoded then.
        if frame.is_video_key() {
            self.delay = i64::from(frame.composition_micros).max(0);
        }
        let (own, other, time) = match frame.track {
            TrackKind::Video => (
                &mut self.pictures,
                &mut self.sound,
                frame.time.plus_micros(self.delay),
            ),
            TrackKind::Audio => (&mut self.sound, &mut self.pictures, frame.time),
        };
        own.newest = own.newest.max(Some(time));
        // It is waited for from here on.
        other.newest.get_or_insert(time.plus_micros(-1));
        self.weight += frame.weight();
        own.waiting.push_back((time, frame));
        while self.goes_on() {
            self.release();
        }
    }

    /// The next frame that nothing will come in front of.
    pub(super) fn pop(&mut self) -> Option<Arrival> {
        self.ready.pop_front()
    }

    /// Waits for nothing any more: all that is here goes on.
    pub(super) fn settle(&mut self) {
        while self.release() {}
    }

    /// Returns whether a picture is first. Of two frames of one time it is: what sounds with it is
    /// behind it.
    fn is_picture_first(&self) -> bool {
        match (self.pictures.first(), self.sound.first()) {
            (Some(picture), Some(sound)) => picture <= sound,
            (picture, _) => picture.is_some(),
        }
    }

    /// Returns whether the first frame has nothing to wait for.
    fn goes_on(&self) -> bool {
        let (own, other) = if self.is_picture_first() {
            (&self.pictures, &self.sound)
        } else {
            (&self.sound, &self.pictures)
        };
        let (Some(first), Some(newest), Some(reached)) = (own.first(), own.newest, other.newest)
        else {
            return false;
        };
        !other.waiting.is_empty()
            || reached >= first
            || newest.micros_since(reached) >= MAX_WAIT_MICROS
            || self.weight > self.heaviest
    }

    /// Lets the first frame go; returns whether there was one.
    fn release(&mut self) -> bool {
        let lane = if self.is_picture_first() {
            &mut self.pictures
        } else {
            &mut self.sound
        };
        let Some((_, frame)) = lane.waiting.pop_front() else {
            return false;
        };
        self.weight -= frame.weight();
        let tracks = self.tracks.take();
        self.ready.push_back((frame, tracks));
        true
    }
}

#[cfg(test)]
mod tests;
