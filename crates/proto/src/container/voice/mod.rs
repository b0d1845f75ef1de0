//! Talkback audio of a `/voice` body: FLV, WAV, ADTS or bare PCM, told apart by the first bytes and by
//! what the request declares (`docs/protocol.md`, "Talkback"). Anything else is refused before the
//! first block, because as bare PCM it would be noise.

mod aac;
mod adts;
mod declared;
mod flv;
mod pcm;
mod signature;
mod wav;

pub use aac::{AacConfig, AacError};
pub use adts::adts_unit;
pub use declared::{Declared, SAMPLE_RATES};

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use self::{adts::Adts, flv::FlvSound, pcm::Pcm, signature::Start, wav::WavHead};
use crate::{
    error::{Error, ErrorKind},
    media::{AudioBlock, AudioCoding, AudioFormat},
};

/// Bytes of a piece that are parsed at a time.
const SLICE: usize = 16 << 10;
/// End of the reason for which a body is refused.
const TAKEN: &str = "FLV, WAV (PCM of 16 bit, G.711), AAC with ADTS heads and bare PCM (audio/L16, or format=s16le) are taken";

/// Incremental parser of a body, fed in pieces of any size.
///
/// Feed a piece, then call [`Upload::next_block`] until it gives `None`; feed again. Whatever a body
/// claims, of what came before the last piece at most [`Upload::BOUND`] bytes are held.
#[derive(Debug)]
pub struct Upload {
    /// Samples per second of sound whose own head does not say so.
    sample_rate: u32,
    declared: Declared,
    container: Container,
    /// Set if the body is bare PCM.
    is_bare: bool,
    /// Unparsed rest of the last piece.
    rest: Bytes,
    changes: Changes,
}

/// Rate limit of format changes, as a token bucket filled by sound: one change per second of it.
/// Each change restarts a speaker, a decoder and the resampler between them.
#[derive(Debug)]
struct Changes {
    format: Option<Arc<AudioFormat>>,
    /// Sound not spent on a change yet, in microseconds.
    spare: i64,
}

impl Changes {
    /// Sound that a change costs, in microseconds.
    const COST: i64 = 1_000_000;
    /// Upper bound of `spare`: a change of headsets makes several changes at once.
    const MOST: i64 = 8 * Self::COST;

    fn note(&mut self, block: &AudioBlock) -> Result<(), Error> {
        let is_other = |format: &Arc<AudioFormat>| *format != block.format;
        if self.format.as_ref().is_some_and(is_other) {
            self.spare -= Self::COST;
        }
        if self.spare < 0 {
            return Err(damaged(
                "the sound is damaged: its format changes more often than once a second",
            ));
        }
        self.spare = self.spare.saturating_add(block.micros).min(Self::MOST);
        self.format = Some(Arc::clone(&block.format));
        Ok(())
    }
}

#[derive(Debug)]
enum Container {
    /// First bytes, too few to tell.
    Unknown(BytesMut),
    Wav(WavHead),
    Flv(FlvSound),
    Adts(Adts),
    Pcm(Pcm),
}

impl Container {
    fn feed(&mut self, bytes: &[u8]) {
        match self {
            Self::Unknown(head) => head.extend_from_slice(bytes),
            Self::Wav(wav) => wav.feed(bytes),
            Self::Flv(flv) => flv.feed(bytes),
            Self::Adts(adts) => adts.feed(bytes),
            Self::Pcm(pcm) => pcm.feed(bytes),
        }
    }
}

impl Upload {
    /// Upper bound of the bytes of a body that are held: an audio tag of FLV, the samples of another
    /// one, and a slice of what is behind it.
    pub const BOUND: usize = 160 << 10;

    /// Creates a parser for a body, with what its request declares. Bare PCM that nobody describes is
    /// mono, of `sample_rate`.
    pub fn new(sample_rate: u32, declared: Declared) -> Self {
        Self {
            sample_rate: declared.sample_rate().unwrap_or(sample_rate),
            declared,
            container: Container::Unknown(BytesMut::new()),
            is_bare: false,
            rest: Bytes::new(),
            changes: Changes {
                format: None,
                spare: Changes::MOST,
            },
        }
    }

    /// Appends more of the body, once [`Upload::next_block`] has given `None`.
    pub fn feed(&mut self, piece: Bytes) {
        self.rest = if self.rest.is_empty() {
            piece
        } else {
            [&self.rest[..], &piece].concat().into()
        };
    }

    /// Number of bytes of earlier pieces that it holds.
    pub fn buffered(&self) -> usize {
        match &self.container {
            Container::Unknown(head) => head.len(),
            Container::Wav(wav) => wav.buffered(),
            Container::Flv(flv) => flv.buffered(),
            Container::Adts(adts) => adts.buffered(),
            Container::Pcm(pcm) => pcm.buffered(),
        }
    }

    /// Ends the body: the samples left become a last, shorter block of [`Upload::next_block`].
    ///
    /// # Errors
    /// [`Error::bad_request`] if the body ended within its head; those of [`Upload::next_block`].
    pub fn finish(&mut self) -> Result<(), Error> {
        if let Container::Unknown(head) = &self.container {
            if head.is_empty() {
                return Ok(());
            }
            if head.starts_with(b"RIFF") && head.len() < signature::SNIFFED {
                return Err(cut_off());
            }
            self.begin(true)?;
        }
        match &mut self.container {
            Container::Unknown(_) | Container::Adts(_) => {}
            Container::Wav(_) => return Err(cut_off()),
            Container::Flv(flv) => flv.finish()?,
            Container::Pcm(pcm) => pcm.finish(),
        }
        Ok(())
    }

    /// Samples per second of sound whose own head does not say so, and whether the request declared
    /// them; `None` if the head says so.
    pub fn presumed_rate(&self) -> Option<(u32, bool)> {
        let is_presumed = match &self.container {
            Container::Flv(flv) => flv.is_of_presumed_rate(),
            _ => self.is_bare,
        };
        is_presumed.then_some((self.sample_rate, self.declared.sample_rate().is_some()))
    }

    /// Number of video tags that came with the sound, and are ignored.
    pub fn skipped_pictures(&self) -> u64 {
        match &self.container {
            Container::Flv(flv) => flv.skipped_pictures(),
            _ => 0,
        }
    }

    /// Returns the next block; `None` if more bytes are needed.
    ///
    /// # Errors
    /// [`ErrorKind::UnsupportedMedia`] for a format that is not taken; [`Error::bad_request`] that
    /// says what is damaged or cannot be played.
    pub fn next_block(&mut self) -> Result<Option<AudioBlock>, Error> {
        loop {
            if let Some(block) = self.block_of_container()? {
                self.changes.note(&block)?;
                return Ok(Some(block));
            }
            if self.rest.is_empty() {
                return Ok(None);
            }
            // In slices, so that no piece, however large, is in a parser's buffer as a whole.
            let slice = self.rest.split_to(self.rest.len().min(SLICE));
            self.container.feed(&slice);
        }
    }

    fn block_of_container(&mut self) -> Result<Option<AudioBlock>, Error> {
        if matches!(self.container, Container::Unknown(_)) {
            self.begin(false)?;
        }
        if let Container::Wav(head) = &mut self.container
            && let Some(wav) = head.next()?
        {
            let mut pcm = Pcm::of_length(wav.format, wav.length);
            pcm.feed(&wav.sound);
            self.container = Container::Pcm(pcm);
        }
        match &mut self.container {
            Container::Unknown(_) | Container::Wav(_) => Ok(None),
            Container::Flv(flv) => flv.next_block(),
            Container::Adts(adts) => adts.next_block(),
            Container::Pcm(pcm) => Ok(pcm.next_block()),
        }
    }

    /// Detects the container, once enough has come; `is_all` if no more will.
    fn begin(&mut self, is_all: bool) -> Result<(), Error> {
        let Container::Unknown(head) = &mut self.container else {
            return Ok(());
        };
        let mut container = match signature::look(head, &self.declared, is_all) {
            Start::Open => return Ok(()),
            Start::Flv => Container::Flv(FlvSound::new(self.sample_rate)),
            Start::Wav => Container::Wav(WavHead::new()),
            Start::Adts => Container::Adts(Adts::default()),
            Start::Foreign(name) => return Err(not_taken(format!("this is {name}"))),
            Start::Nothing => {
                let order = self.declared.order()?;
                let format = AudioFormat {
                    coding: AudioCoding::Pcm,
                    sample_rate: self.sample_rate,
                    channels: self.declared.channels(),
                };
                self.is_bare = true;
                Container::Pcm(Pcm::new(format).in_order(order))
            }
        };
        container.feed(head);
        self.container = container;
        Ok(())
    }
}

fn cut_off() -> Error {
    damaged("the file ends before its sound begins")
}

fn damaged(reason: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::bad_request(reason)
}

/// Refusal of a format, with the formats to send instead.
fn not_taken(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::UnsupportedMedia, format!("{what}; {TAKEN}"))
}

#[cfg(test)]
mod tests;
