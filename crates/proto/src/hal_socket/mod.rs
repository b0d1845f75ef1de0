//! Protocol between firmware and daemon over a Unix socket (`docs/hal-socket.md`).
//!
//! A message is a head of 8 bytes and a body; all numbers are little-endian. The firmware connects,
//! says [`FromFirmware::Hello`], and is answered with [`ToFirmware::Welcome`] or
//! [`ToFirmware::Goodbye`].
//!
//! The beginning of a connection, byte for byte:
//!
//! ```
//! use bytes::Bytes;
//! use peercam_proto::hal_socket::{FromFirmware, HEAD, Head, MessageError, ToFirmware, VERSION};
//!
//! # fn main() -> Result<(), MessageError> {
//! // Length, kind (1: hello), quality, channel; then magic, version and name.
//! let hello: &[u8] = b"\x09\0\0\0\x01\0\0\0PCAM\x01\0T31";
//! let (head, body) = hello.split_first_chunk::<HEAD>().expect("8 bytes");
//! let head = Head::parse(head)?;
//! assert_eq!(head.length, body.len());
//! assert_eq!(
//!     FromFirmware::parse(head, Bytes::from_static(body))?,
//!     FromFirmware::Hello { version: VERSION, name: "T31".to_owned() }
//! );
//!
//! assert_eq!(ToFirmware::Welcome.encode(), [2, 0, 0, 0, 64, 0, 0, 0, 1, 0]);
//! # Ok(())
//! # }
//! ```

mod from_firmware;
mod to_firmware;

use std::ops::RangeInclusive;

pub use from_firmware::{Abilities, FromFirmware, Sound, StreamInfo, text};
pub use to_firmware::{TalkCoding, ToFirmware};

use crate::media::{ChannelId, Quality, StreamId};

/// Protocol version.
pub const VERSION: u16 = 1;
/// The first bytes of a hello.
const MAGIC: [u8; 4] = *b"PCAM";
/// Bytes of a message head.
pub const HEAD: usize = 8;
/// Upper bound of a body, in bytes: the largest picture, and the fields in front of it.
pub const LARGEST_BODY: usize = LARGEST_PICTURE + 64;
/// Upper bound of a coded picture, in bytes.
pub const LARGEST_PICTURE: usize = 2 << 20;

/// Upper bound of the body of a message that carries neither media nor an answer, in bytes: a few
/// numbers, and a line of text or a configuration.
const LARGEST_NOTE: usize = 4 << 10;
/// Upper bound of the body of a sound message, in bytes: one access unit, or some samples.
const LARGEST_SOUND: usize = 64 << 10;

/// Kinds of messages from firmware. Those of the daemon begin at 64.
const FROM_FIRMWARE: RangeInclusive<u8> = 1..=9;
const HELLO: u8 = 1;
const PICTURE: u8 = 3;
const SOUND: u8 = 4;
const ANSWER: u8 = 8;

/// Head of a message: length of the body (4 bytes), kind (1), quality (1) and channel (2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Bytes of the body that follows.
    pub length: usize,
    kind: u8,
    quality: u8,
    channel: u16,
}

/// Error for bytes that are no message of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Body above the bound of its kind.
    #[error("a message of kind {kind} with {length} bytes; {most} are the most")]
    TooLong {
        /// Kind of the message.
        kind: u8,
        /// Bytes of its body, by its head.
        length: usize,
        /// Upper bound of its kind.
        most: usize,
    },
    /// Unknown kind.
    #[error("a message of kind {0}, which version {VERSION} does not have")]
    Unknown(u8),
    /// Body shorter than the fixed fields of its kind.
    #[error("a message of kind {0} that is too short")]
    TooShort(u8),
    /// Field with a value that is not defined.
    #[error("a message of kind {kind} with {what} {value}, which has no meaning")]
    Meaningless {
        /// Kind of the message.
        kind: u8,
        /// Name of the field.
        what: &'static str,
        /// Its value.
        value: u32,
    },
}

impl Head {
    /// Parses a head. Its length is checked before any of the body is read.
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
        // Checked before a byte of the body is waited for, or room is made for it.
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

    /// Returns whether it is the head of a hello.
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
