//! A source's events brought under a sound policy. Pure: no clock, no socket.

use peercam_proto::media::{AudioTrack, Frame, TrackKind, Tracks};

#[cfg(feature = "aac")]
use super::transcode::Transcoder;
use super::{AudioPolicy, silence::Silence};
use crate::SourceEvent;

/// The way of one source's sound.
pub(super) struct AudioPath {
    policy: AudioPolicy,
    /// Tracks that the camera announced.
    announced: Option<AudioTrack>,
    #[cfg(feature = "aac")]
    transcoder: Option<Transcoder>,
    silence: Silence,
    complaint: Complaint,
}

/// State of the complaint that a camera announces sound and sends none.
#[derive(Clone, Copy, PartialEq)]
enum Complaint {
    None,
    Due,
    Made,
}

impl AudioPath {
    pub(super) fn new(policy: AudioPolicy) -> Self {
        Self {
            policy,
            announced: None,
            #[cfg(feature = "aac")]
            transcoder: None,
            silence: Silence::default(),
            complaint: Complaint::None,
        }
    }

    /// Returns whether it is to be said now that sound was announced and does not come; once for each camera
    /// that comes.
    pub(super) fn take_complaint(&mut self) -> bool {
        let is_due = self.complaint == Complaint::Due;
        if is_due {
            self.complaint = Complaint::Made;
        }
        is_due
    }

    /// Takes in an event and calls `out` with what becomes of it: at most the silence of
    /// [`Silence::picture`] and the event, or the units that its sound makes.
    pub(super) fn push(&mut self, event: SourceEvent, mut out: impl FnMut(SourceEvent)) {
        match event {
            SourceEvent::Online(tracks) => {
                self.complaint = Complaint::None;
                out(SourceEvent::Online(self.tracks(tracks)));
            }
            SourceEvent::TracksChanged(tracks) => {
                out(SourceEvent::TracksChanged(self.tracks(tracks)));
            }
            SourceEvent::Frame(frame) if frame.track == TrackKind::Audio => {
                self.sound(frame, |frame| out(SourceEvent::Frame(frame)));
            }
            SourceEvent::Frame(frame) => {
                let silent = |frame| out(SourceEvent::Frame(frame));
                let is_silent = self.silence.picture(frame.time, silent);
                if is_silent && self.announced.is_some() && self.complaint == Complaint::None {
                    self.complaint = Complaint::Due;
                }
                out(SourceEvent::Frame(frame));
            }
            SourceEvent::Offline(reason) => out(SourceEvent::Offline(reason)),
        }
    }

    /// The tracks as viewers get them.
    fn tracks(&mut self, tracks: Tracks) -> Tracks {
        let Tracks { video, audio } = tracks;
        let announced = audio.filter(|_| self.policy != AudioPolicy::Off);
        #[cfg(feature = "aac")]
        if announced != self.announced {
            self.transcoder = match self.policy {
                AudioPolicy::Aac | AudioPolicy::Silence => {
                    announced.as_ref().and_then(Transcoder::new)
                }
                AudioPolicy::Pass | AudioPolicy::Off => None,
            };
        }
        self.announced = announced;
        #[cfg(feature = "aac")]
        let made = self.transcoder.as_ref().map(Transcoder::track);
        #[cfg(not(feature = "aac"))]
        let made: Option<&AudioTrack> = None;
        let sounding = made.or(self.announced.as_ref()).cloned();
        let adds_silence = self.policy == AudioPolicy::Silence && video.is_some();
        let audio = match sounding {
            Some(track) => {
                self.silence.stand_in_for(&track);
                Some(track)
            }
            None if adds_silence => Some(self.silence.be_all()),
            None => {
                self.silence.be_none();
                None
            }
        };
        Tracks { video, audio }
    }

    fn sound(&mut self, frame: Frame, mut out: impl FnMut(Frame)) {
        if self.announced.is_none() {
            return;
        }
        let silence = &mut self.silence;
        silence.heard();
        let mut pass = |frame: Frame| {
            if silence.gives_way_to(&frame) {
                out(frame);
            }
        };
        #[cfg(feature = "aac")]
        if let Some(transcoder) = &mut self.transcoder {
            transcoder.push(&frame).into_iter().for_each(pass);
            return;
        }
        pass(frame);
    }
}

#[cfg(test)]
mod tests;
