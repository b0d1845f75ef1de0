//! Playback position and frame scheduling. Pure: the clock is the caller's.
//!
//! Two times: *recorded* time, in microseconds since 1970, is where a frame stands in the
//! recordings; *stream* time, in microseconds since the playback began, is when it is sent.
//! Timestamps are stream time: they run on over seeks and stand still in a pause.

use crate::media::{MediaTime, TrackKind};

/// Playback speed and direction: which frames are sent, and how far apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    /// All, as they were recorded.
    #[default]
    Normal,
    /// Pictures without sound, so far apart.
    Interval {
        /// Microseconds between two of them.
        micros: i64,
    },
    /// Every n-th key frame.
    Keys {
        /// 1 is every one of them.
        every: u32,
    },
    /// Key frames, backwards.
    Back {
        /// Up to this one, in recorded time.
        until: i64,
    },
}

/// Key frames are sent so far apart, unless an interval was set: 5 in a second.
const KEY_INTERVAL: i64 = 200_000;
/// Frames that were recorded farther apart have a gap between them, which is passed over.
const GAP: i64 = 1_000_000;
/// The step over a gap, where the usual one is not known.
const USUAL_STEP: i64 = 40_000;
/// A viewer that takes frames later than this is waited for: what follows is that much later too.
const LATE: i64 = 500_000;

/// Decides when frames are sent. The window is in recorded time.
#[derive(Clone, Debug)]
pub struct Playhead {
    start: i64,
    pace: Pace,
    /// Between key frames, as it was set.
    key_interval: i64,
    /// Recorded time of the last frame that was sent.
    position: i64,
    /// Stream time of the last frame that was sent; `None` before the first one.
    last: Option<i64>,
    /// The same of sound.
    last_sound: Option<i64>,
    /// Recorded and stream time of a frame from which on they go alike.
    anchor: Option<(i64, i64)>,
    /// Recorded time of the last picture, and the step to it.
    picture: Option<i64>,
    step: i64,
    /// Time of the caller's clock at which stream time 0 is or was.
    origin: MediaTime,
    paused: Option<MediaTime>,
}

/// Send time and timestamp of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The moment.
    pub at: MediaTime,
    /// Its timestamp, in milliseconds.
    pub timestamp: u32,
}

impl Playhead {
    /// A playback that begins now at `start` (recorded time, in microseconds).
    pub fn new(start: i64, now: MediaTime) -> Self {
        Self {
            start,
            pace: Pace::Normal,
            key_interval: KEY_INTERVAL,
            position: start,
            last: None,
            last_sound: None,
            anchor: None,
            picture: None,
            step: USUAL_STEP,
            origin: now,
            paused: None,
        }
    }

    /// Returns the current pace.
    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// Returns the position in recorded time: that of the last frame that was sent.
    pub fn position(&self) -> i64 {
        self.position
    }

    /// Returns the position in milliseconds since the start of the window.
    pub fn progress_millis(&self) -> u64 {
        u64::try_from((self.position - self.start) / 1000).unwrap_or(0)
    }

    /// Returns whether the playback is paused.
    pub fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    /// Returns whether frames of this track are sent at this pace.
    pub fn takes(&self, track: TrackKind) -> bool {
        self.pace == Pace::Normal || track == TrackKind::Video
    }

    /// Returns the schedule of the next frame, which stands at `recorded`.
    pub fn due(&self, recorded: i64, track: TrackKind) -> Due {
        let stream = self.stream_time(recorded, track);
        Due {
            at: self.origin.plus_micros(stream),
            // FLV has 32 bits of milliseconds (Annex E.4.1): it wraps after 49 days.
            timestamp: (stream / 1000) as u32,
        }
    }

    fn stream_time(&self, recorded: i64, track: TrackKind) -> i64 {
        let Some(last) = self.last else { return 0 };
        match self.pace {
            Pace::Normal => {
                let Some((from, at)) = self.anchor else {
                    return last + self.step;
                };
                let is_gap = (recorded - self.position).abs() > GAP;
                let alike = at + recorded - from;
                // Sound stands a little before the picture that it came behind, so each track is kept
                // from going back by itself; sound goes on by the 1 ms that FLV can tell apart.
                match (is_gap, track, self.last_sound) {
                    (true, ..) => last + self.step,
                    (false, TrackKind::Video, _) => alike.max(last),
                    (false, TrackKind::Audio, Some(sound)) => alike.max(sound + 1000),
                    (false, TrackKind::Audio, None) => alike.max(0),
                }
            }
            Pace::Interval { micros } => last + micros,
            Pace::Keys { .. } | Pace::Back { .. } => last + self.key_interval,
        }
    }

    /// The frame was sent at `now`.
    pub fn sent(&mut self, recorded: i64, track: TrackKind, now: MediaTime) {
        let stream = self.stream_time(recorded, track);
        let is_gap = (recorded - self.position).abs() > GAP;
        if self.anchor.is_none() || is_gap || self.pace != Pace::Normal {
            self.anchor = Some((recorded, stream));
        }
        if track == TrackKind::Video {
            // A seek backwards or a gap says nothing about the frame rate.
            let step = self.picture.map(|picture| recorded - picture);
            if let Some(step) = step.filter(|step| (1..=GAP).contains(step)) {
                self.step = step;
            }
            self.picture = Some(recorded);
        }
        self.last = self.last.max(Some(stream));
        if track == TrackKind::Audio {
            self.last_sound = Some(stream);
        }
        self.position = recorded;
        // The origin moves for good. To catch up would send a burst to a viewer that could not take
        // the normal pace.
        let late = now.micros_since(self.origin.plus_micros(stream));
        if late > LATE {
            self.origin = self.origin.plus_micros(late);
        }
    }

    /// Stands still from now on.
    pub fn pause(&mut self, now: MediaTime) {
        self.paused.get_or_insert(now);
    }

    /// Goes on after a pause.
    pub fn resume(&mut self, now: MediaTime) {
        if let Some(paused) = self.paused.take() {
            self.origin = self.origin.plus_micros(now.micros_since(paused));
        }
    }

    /// Goes on somewhere else, at the normal pace: `position` is recorded time. A pause goes on.
    pub fn seek(&mut self, position: i64) {
        self.pace = Pace::Normal;
        self.jump(position);
    }

    /// Goes on somewhere else, at the same pace.
    pub fn jump(&mut self, position: i64) {
        self.position = position;
        self.anchor = None;
        self.picture = None;
    }

    /// Goes on at another pace; a pause ends. An interval that stands in front of key frames is
    /// theirs.
    pub fn set_pace(&mut self, pace: Pace, now: MediaTime) {
        self.resume(now);
        self.key_interval = match (self.pace, pace) {
            (Pace::Interval { micros }, Pace::Keys { .. } | Pace::Back { .. }) => micros,
            (Pace::Keys { .. } | Pace::Back { .. }, Pace::Keys { .. } | Pace::Back { .. }) => {
                self.key_interval
            }
            _ => KEY_INTERVAL,
        };
        self.pace = pace;
        self.anchor = None;
        self.picture = None;
    }

    /// The time between two pictures as they were recorded, in microseconds.
    pub fn recorded_step(&self) -> i64 {
        self.step
    }
}

#[cfg(test)]
mod tests;
