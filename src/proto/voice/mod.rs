//! What a viewer speaks, on its way up on `/voice`: FLV, WAV, ADTS or bare PCM, told apart by the
//! first bytes (`docs/protocol.md`, "Talkback").

mod aac;
mod adts;
mod flv;
mod pcm;
mod wav;

pub use aac::{AacConfig, AacError};
pub use adts::adts_unit;

use bytes::{Buf, BytesMut};

use self::{adts::Adts, flv::FlvSound, pcm::Pcm};
use crate::{
    error::Error,
    media::{SoundBlock, SoundCoding, SoundFormat},
};

/// As many first bytes tell what it is.
const SNIFFED: usize = 12;

/// Takes a body apart, fed in pieces of any size.
///
/// Feed bytes, then call [`Upload::next_block`] until it gives `None`; feed again. It holds at most
/// one block and what was fed behind it.
#[derive(Debug)]
pub struct Upload {
    /// Sound that does not say so has this rate.
    sample_rate: u32,
    container: Container,
}

#[derive(Debug)]
enum Container {
    /// Too few bytes have come to tell.
    Unknown(BytesMut),
    Flv(FlvSound),
    Adts(Adts),
    Pcm(Pcm),
}

impl Upload {
    /// A body of which nothing has come. Sound without a head is mono PCM of `sample_rate`.
    pub fn new(sample_rate: u32) -> Self {
        Self {
            sample_rate,
            container: Container::Unknown(BytesMut::new()),
        }
    }

    /// Takes in more of the body.
    pub fn feed(&mut self, bytes: &[u8]) {
        match &mut self.container {
            Container::Unknown(head) => head.extend_from_slice(bytes),
            Container::Flv(flv) => flv.feed(bytes),
            Container::Adts(adts) => adts.feed(bytes),
            Container::Pcm(pcm) => pcm.feed(bytes),
        }
    }

    /// The body has ended: samples that are short of a block are one too.
    ///
    /// # Errors
    /// [`Error::bad_request`] if it ended within its head.
    pub fn finish(&mut self) -> Result<(), Error> {
        match &mut self.container {
            Container::Unknown(head) if head.starts_with(b"FLV") || head.starts_with(b"RIFF") => {
                return Err(damaged("the file ends before its sound begins"));
            }
            Container::Unknown(head) => {
                let head = std::mem::take(head);
                let mut pcm = Pcm::new(self.bare());
                pcm.feed(&head);
                pcm.finish();
                self.container = Container::Pcm(pcm);
            }
            Container::Pcm(pcm) => pcm.finish(),
            Container::Flv(flv) => flv.finish(),
            Container::Adts(_) => {}
        }
        Ok(())
    }

    /// Pictures that came with the sound, and that nobody takes.
    pub fn skipped_pictures(&self) -> u64 {
        match &self.container {
            Container::Flv(flv) => flv.skipped_pictures(),
            _ => 0,
        }
    }

    /// The next block; `None` if more bytes are needed.
    ///
    /// # Errors
    /// [`Error::bad_request`] that says what is damaged or cannot be played.
    pub fn next_block(&mut self) -> Result<Option<SoundBlock>, Error> {
        self.sniff()?;
        match &mut self.container {
            Container::Unknown(_) => Ok(None),
            Container::Flv(flv) => flv.next_block(),
            Container::Adts(adts) => adts.next_block(),
            Container::Pcm(pcm) => Ok(pcm.next_block()),
        }
    }

    /// Finds out what it is, once enough has come.
    fn sniff(&mut self) -> Result<(), Error> {
        let Container::Unknown(head) = &mut self.container else {
            return Ok(());
        };
        if head.len() < SNIFFED {
            return Ok(());
        }
        let is_wav = head.starts_with(b"RIFF") && head[8..12] == *b"WAVE";
        let container = if head.starts_with(b"FLV") {
            Container::Flv(FlvSound::new(self.sample_rate))
        } else if adts::is_adts(head) {
            Container::Adts(Adts::default())
        } else if is_wav {
            let Some(wav) = wav::parse(head)? else {
                return Ok(());
            };
            head.advance(wav.sound_at);
            Container::Pcm(Pcm::of_length(wav.format, wav.length))
        } else {
            Container::Pcm(Pcm::new(self.bare()))
        };
        let Container::Unknown(head) = &mut self.container else {
            return Ok(());
        };
        let head = std::mem::take(head);
        self.open(container, &head);
        Ok(())
    }

    fn open(&mut self, container: Container, head: &[u8]) {
        self.container = container;
        self.feed(head);
    }

    fn bare(&self) -> SoundFormat {
        SoundFormat {
            coding: SoundCoding::Pcm,
            sample_rate: self.sample_rate,
            channels: 1,
        }
    }
}

fn damaged(reason: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::bad_request(reason)
}

#[cfg(test)]
mod tests;
