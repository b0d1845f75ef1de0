//! The sound of a camera on its way to viewers: as it comes, or in a form that every player knows.

#[cfg(feature = "aac")]
use super::transcode::Transcoder;
use crate::media::{AudioTrack, Frame};

/// What viewers get of a camera's sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SoundForm {
    /// AAC; made of G.711, which browsers and mini-programs do not play. Needs the feature `aac`.
    Aac,
    /// What the camera sends.
    AsItIs,
    /// Nothing.
    None,
}

impl Default for SoundForm {
    /// AAC, if it can be made.
    fn default() -> Self {
        match cfg!(feature = "aac") {
            true => Self::Aac,
            false => Self::AsItIs,
        }
    }
}

/// One camera's sound.
pub(super) struct SoundPath {
    track: Option<AudioTrack>,
    #[cfg(feature = "aac")]
    transcoder: Option<Transcoder>,
}

impl SoundPath {
    /// The way of sound that a camera sends as `track`.
    pub(super) fn new(track: Option<&AudioTrack>, form: SoundForm) -> Self {
        let track = track.filter(|_| form != SoundForm::None);
        #[cfg(feature = "aac")]
        if form == SoundForm::Aac
            && let Some((transcoder, made)) = track.and_then(Transcoder::new)
        {
            return Self {
                track: Some(made),
                transcoder: Some(transcoder),
            };
        }
        Self {
            track: track.cloned(),
            #[cfg(feature = "aac")]
            transcoder: None,
        }
    }

    /// The sound as viewers get it; `None` if there is none.
    pub(super) fn track(&self) -> Option<&AudioTrack> {
        self.track.as_ref()
    }

    /// Takes in a block of the camera's and calls `out` with what becomes of it.
    pub(super) fn pass(&mut self, frame: Frame, mut out: impl FnMut(Frame)) {
        #[cfg(feature = "aac")]
        if let Some(transcoder) = &mut self.transcoder {
            transcoder.push(&frame).into_iter().for_each(out);
            return;
        }
        if self.track.is_some() {
            out(frame);
        }
    }
}
