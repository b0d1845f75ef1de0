//! The way from what a camera sends to what viewers can decode. Pure: no socket, no clock.

use bytes::Bytes;
use peercam_proto::{
    media::{AudioTrack, Frame, MediaTime, TrackKind, Tracks, VideoTrack},
    nal,
};

use super::reorder::Reorder;
use crate::timeline::Timeline;

/// Interval between pictures when the camera does not say.
const USUAL_INTERVAL_MICROS: i64 = 40_000;
/// Clocks of picture and sound that a camera says are further apart are wrong.
const SYNC_MICROS: i64 = 1_000_000;

/// A picture as it came.
pub(super) struct Picture {
    /// Presentation time, on the camera's clock of pictures, in microseconds.
    pub(super) shown: i64,
    pub(super) arrival: MediaTime,
    /// Packets were lost before it, or the first of its own.
    pub(super) lost: bool,
    pub(super) data: Bytes,
}

/// A block of sound as it came.
pub(super) struct Sound {
    /// Start, on the camera's clock of sound, in microseconds.
    pub(super) start: i64,
    pub(super) arrival: MediaTime,
    pub(super) data: Bytes,
}

/// A clock of sound that is so far behind what it said before has been set back.
const SET_BACK_MICROS: i64 = 500_000;

/// An event for readers.
#[derive(Debug, PartialEq)]
pub(super) enum IntakeEvent {
    /// Tracks that decoders need from here on.
    Tracks(Tracks),
    Frame(Frame),
}

/// Orders pictures and sound on the device's clock and keeps back what does not decode.
pub(super) struct Intake {
    video: Option<VideoTrack>,
    audio: Option<AudioTrack>,
    has_video: bool,
    /// The tracks were told.
    is_online: bool,
    awaits_key: bool,
    /// Set if something before the last key picture is missing.
    has_gap: bool,
    reorder: Reorder,
    pictures: Timeline,
    sounds: Timeline,
    /// Start of the last block, on the camera's clock of sound.
    last_sound: Option<i64>,
    sync: SenderReport,
    /// Pictures that were kept back because of what was lost before them.
    kept_back: u64,
}

/// Zero of each of the camera's two clocks on the one that they share, as its sender reports say.
#[derive(Default)]
struct SenderReport {
    pictures: Option<i64>,
    sounds: Option<i64>,
}

impl Intake {
    /// An intake for a stream with a picture, of which the parameters may be known only later, or without
    /// one; pictures are reordered by at least `depth` places.
    pub(super) fn new(audio: Option<AudioTrack>, has_video: bool, depth: usize) -> Self {
        Self {
            video: None,
            audio,
            has_video,
            is_online: false,
            awaits_key: has_video,
            has_gap: false,
            reorder: Reorder::new(depth),
            pictures: Timeline::default(),
            sounds: Timeline::default(),
            last_sound: None,
            sync: SenderReport::default(),
            kept_back: 0,
        }
    }

    /// Places by which pictures are reordered, as far as is known.
    pub(super) fn depth(&self) -> usize {
        self.reorder.depth()
    }

    /// Pictures that were kept back because of what was lost before them.
    pub(super) fn kept_back(&self) -> u64 {
        self.kept_back
    }

    /// Takes in a picture; `track` is what its decoder must know, if that is known.
    pub(super) fn picture(
        &mut self,
        picture: Picture,
        track: Option<&VideoTrack>,
        tell: &mut impl FnMut(IntakeEvent),
    ) {
        let Some(track) = track.or(self.video.as_ref()) else {
            self.kept_back += 1;
            return;
        };
        let is_new = self.video.as_ref() != Some(track);
        let interval = match track.frame_rate {
            rate if rate >= 1.0 => (1e6 / rate) as i64,
            _ => USUAL_INTERVAL_MICROS,
        };
        let slice = nal::FirstSlice::parse(track.codec, &picture.data);
        if slice.is_none() && !picture.lost {
            return;
        }
        // A key picture without its first slice is damaged: packets of it were lost before the one
        // that came first.
        let is_key = slice.is_some_and(|slice| slice.key && slice.begins);
        if is_key {
            self.has_gap = self.awaits_key || is_new || picture.lost;
            if self.has_gap {
                self.reorder.restart();
            }
            self.awaits_key = false;
        } else if picture.lost || is_new {
            // What depends on what was lost does not decode.
            self.awaits_key = true;
        }
        // RASL pictures (H.265 8.1.3) lead a CRA picture, and refer to what came before it.
        let is_missed = self.has_gap && slice.is_some_and(|slice| slice.needs_earlier);
        if self.awaits_key || is_missed {
            self.kept_back += 1;
            return;
        }
        let Ok(decoded) = self.reorder.next(picture.shown, interval) else {
            // Times told cannot be taken back: readers go on with the next key picture, by which the
            // depth is known.
            self.awaits_key = true;
            self.kept_back += 1;
            return;
        };
        if is_new || !self.is_online {
            self.video = Some(track.clone());
            self.is_online = true;
            tell(IntakeEvent::Tracks(self.tracks()));
        }
        let time = self.pictures.place(decoded, picture.arrival);
        let composition = picture.shown.saturating_sub(decoded);
        tell(IntakeEvent::Frame(Frame {
            track: TrackKind::Video,
            key: is_key,
            time,
            composition_micros: i32::try_from(composition).unwrap_or(0),
            data: picture.data,
        }));
    }

    /// Takes in a block of sound; without pictures it is the one that says what is to come.
    pub(super) fn sound(&mut self, sound: Sound, tell: &mut impl FnMut(IntakeEvent)) {
        if !self.is_online && self.has_video {
            return;
        }
        if !self.is_online {
            self.is_online = true;
            tell(IntakeEvent::Tracks(self.tracks()));
        }
        let last = self.last_sound.replace(sound.start);
        if last.is_some_and(|last| last.saturating_sub(sound.start) > SET_BACK_MICROS) {
            // It is not late: what was known of its clock does not hold any more.
            self.sounds = Timeline::default();
            self.sync.sounds = None;
        }
        // Two guesses: by when sound arrives, which is there from the first block on; and by the sender
        // reports (RFC 3550 6.4.1), which are exact, if the camera sends them for both and they are true.
        let own = self.sounds.place(sound.start, sound.arrival);
        let time = self.sync.shift().map_or(own, |shift| {
            let start = sound.start.saturating_add(shift);
            let is_near =
                |synced: MediaTime| synced.micros_since(own).saturating_abs() < SYNC_MICROS;
            // A report that cannot be true must not move the pictures either.
            if self.pictures.known(start).is_some_and(is_near) {
                self.pictures.place(start, sound.arrival)
            } else {
                own
            }
        });
        tell(IntakeEvent::Frame(Frame {
            track: TrackKind::Audio,
            key: true,
            time,
            composition_micros: 0,
            data: sound.data,
        }));
    }

    /// Takes in a report of the camera: its clock of `track` was `stamp` when the clock that both
    /// share was `shared`, all in microseconds: the RTP and the NTP time stamp of a sender report
    /// (RFC 3550 6.4.1).
    pub(super) fn report(&mut self, track: TrackKind, stamp: i64, shared: i64) {
        let zero = Some(shared.saturating_sub(stamp));
        match track {
            TrackKind::Video => self.sync.pictures = zero,
            TrackKind::Audio => self.sync.sounds = zero,
        }
    }

    fn tracks(&self) -> Tracks {
        Tracks {
            video: self.video.clone(),
            audio: self.audio.clone(),
        }
    }
}

impl SenderReport {
    /// Returns the offset from times of sound to those of pictures.
    fn shift(&self) -> Option<i64> {
        Some(self.sounds?.saturating_sub(self.pictures?))
    }
}

#[cfg(test)]
mod tests;
