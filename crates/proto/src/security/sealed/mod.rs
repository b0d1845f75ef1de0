//! Bodies that nobody between two ends can read or change: sealed records.
//!
//! `docs/protocol.md`, "Records". A record is type, length, AES-128-CTR ciphertext and a truncated
//! HMAC-SHA-256 over sequence number, head and ciphertext. The tag is checked before anything is
//! decrypted, and a body that does not end with its last record was cut off.
//!
//! ```
//! use peercam_proto::{
//!     credential::Secret,
//!     sealed::{Broken, Head, Keys, Opener, Record, Sealer},
//! };
//!
//! // Session key, X25519 secret and transcript are the same at both ends.
//! let keys = || Keys::derive(&Secret::new([1; 32]), &[2; 32], &[3; 32]);
//! let head = Head {
//!     status: 200,
//!     headers: vec![("content-type".to_owned(), "text/plain".to_owned())],
//! };
//! let mut sealer = Sealer::new(keys().response);
//! let mut sealed = sealer.head(&head).to_vec();
//! sealed.extend(sealer.last(&mut &b"hello"[..]));
//!
//! let mut opener = Opener::response(keys().response);
//! opener.feed(&sealed);
//! assert_eq!(opener.next_record()?, Some(Record::Head(head.clone())));
//! assert_eq!(opener.next_record()?, Some(Record::Last(b"hello"[..].into())));
//! opener.finish()?;
//!
//! // One bit of the last tag is flipped on the way.
//! let last = sealed.len() - 1;
//! sealed[last] ^= 1;
//! let mut opener = Opener::response(keys().response);
//! opener.feed(&sealed);
//! assert_eq!(opener.next_record()?, Some(Record::Head(head)));
//! assert_eq!(opener.next_record(), Err(Broken));
//! # Ok::<(), Broken>(())
//! ```

mod exchange;
mod head;
mod keys;
mod opener;
mod sealer;

pub use exchange::Exchange;
pub use head::Head;
pub use keys::{DirectionKeys, Keys};
pub use opener::{Broken, Opener, Record};
pub use sealer::Sealer;

/// The longest ciphertext of a record, in bytes.
pub const MAX_RECORD: usize = 16 << 10;
/// Type and length in front of the ciphertext, in bytes.
const HEADER: usize = 4;
/// The tag behind the ciphertext, in bytes.
const TAG: usize = 16;
/// Bytes that a record adds to its plaintext.
const OVERHEAD: usize = HEADER + TAG;

/// Content type of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    /// Status and headers; the first record of an answer, and no other.
    Head = 1,
    /// A piece of the body.
    Data = 2,
    /// The last piece of the body, maybe empty.
    Last = 3,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        [Self::Head, Self::Data, Self::Last]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

#[cfg(test)]
mod tests;
