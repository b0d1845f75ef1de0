//! What firmware and daemon say to each other over a Unix socket (`docs/hal-socket.md`).
//!
//! A message is a head of 8 bytes and a body; all numbers are little-endian. The firmware connects,
//! says [`FromFirmware::Hello`], and is answered with [`ToFirmware::Welcome`] or
//! [`ToFirmware::Goodbye`].

mod from_firmware;
mod to_firmware;

use std::ops::RangeInclusive;

pub use from_firmware::{Abilities, FromFirmware, Sound, StreamInfo, text};
pub use to_firmware::{TalkCoding, ToFirmware};

use crate::media::{ChannelId, Quality, StreamId};

/// What is spoken here.
pub const VERSION: u16 = 1;
/// The first bytes of a hello.
pub const MAGIC: [u8; 4] = *b"PCAM";
/// Bytes of a head.
pub const HEAD: usize = 8;
/// Bytes of a body at most: the largest picture that viewers get, and what is said with it.
pub const LARGEST_BODY: usize = LARGEST_PICTURE + 64;
/// Bytes of a picture at most.
pub const LARGEST_PICTURE: usize = 2 << 20;

/// The same of messages that carry neither pictures nor answers: a few numbers, and a line of text or a
/// configuration.
pub const LARGEST_NOTE: usize = 4 << 10;
/// The same of sound: one access unit, or some samples.
pub const LARGEST_SOUND: usize = 64 << 10;

/// Kinds of messages from firmware.
const FROM_FIRMWARE: RangeInclusive<u8> = 1..=9;
const HELLO: u8 = 1;
const PICTURE: u8 = 3;
const SOUND: u8 = 4;
const ANSWER: u8 = 8;

/// What is before each body: its length (4 bytes), what it is (1), which picture of which channel
/// it is about (1 and 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Bytes of the body.
    pub length: usize,
    kind: u8,
    quality: u8,
    channel: u16,
}

/// Why what came is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// It is too long.
    #[error("a message of kind {kind} with {length} bytes; {most} are the most")]
    TooLong {
        /// Of this kind.
        kind: u8,
        /// Bytes of its body, as it says.
        length: usize,
        /// Bytes that it may have.
        most: usize,
    },
    /// Nobody knows what it is.
    #[error("a message of kind {0}, which version {VERSION} does not have")]
    Unknown(u8),
    /// It ends too soon.
    #[error("a message of kind {0} that is too short")]
    TooShort(u8),
    /// It says something that has no meaning.
    #[error("a message of kind {kind} with {what} {value}, which has no meaning")]
    Meaningless {
        /// Of this kind.
        kind: u8,
        /// What says it.
        what: &'static str,
        /// What it says.
        value: u32,
    },
}

impl Head {
    /// Reads a head.
    ///
    /// # Errors
    /// [`MessageError::TooLong`] and [`MessageError::Unknown`].
    pub fn parse(bytes: &[u8; HEAD]) -> Result<Self, MessageError> {
        let [l0, l1, l2, l3, kind, quality, c0, c1] = *bytes;
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        if !FROM_FIRMWARE.contains(&kind) {
            return Err(MessageError::Unknown(kind));
        }
        let most = match kind {
            PICTURE | ANSWER => LARGEST_BODY,
            SOUND => LARGEST_SOUND,
            _ => LARGEST_NOTE,
        };
        if length > most {
            return Err(MessageError::TooLong { kind, length, most });
        }
        Ok(Self {
            length,
            kind,
            quality,
            channel: u16::from_le_bytes([c0, c1]),
        })
    }

    /// Whether it is that of a hello.
    pub fn is_hello(self) -> bool {
        self.kind == HELLO
    }

    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.length as u32).to_le_bytes());
        out.extend_from_slice(&[self.kind, self.quality]);
        out.extend_from_slice(&self.channel.to_le_bytes());
    }

    fn stream(self) -> Result<StreamId, MessageError> {
        let quality = Quality::ALL.get(usize::from(self.quality));
        let quality = *quality.ok_or(MessageError::Meaningless {
            kind: self.kind,
            what: "quality",
            value: self.quality.into(),
        })?;
        Ok(StreamId {
            channel: ChannelId(self.channel),
            quality,
        })
    }
}

#[cfg(test)]
mod tests;
