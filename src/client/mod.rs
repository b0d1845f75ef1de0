//! The viewer's end: finds a device by its pairing URI, proves itself, and opens what comes back.
//!
//! Belongs here: dialling, tokens, sealed requests and answers. Does not belong here: what a
//! program does with them (`cli`).
//!
//! Nothing that comes from the network weakens it: what is not sealed with this credential's keys
//! is only a hint, no refusal makes it try without encryption or by another door, and no POST is
//! sent twice.

mod answer;
mod connection;
mod error;

pub use answer::Answer;
pub use connection::Connection;
pub use error::ClientError;
