//! The wire formats, pure: bytes in, values out, and back.
//!
//! Belongs here: parsing and writing of FLV, request lines, queries, commands, credentials and
//! sealed records. Does not belong here: tokio, a clock, a socket, a file. A test holds this.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod container;
mod security;
mod signalling;

pub mod error;
pub mod hal_socket;
pub mod media;
pub mod text;

pub use container::{flv, fmp4, jpeg, nal, voice};
pub use security::{cookie, credential, encoding, sealed};
pub use signalling::{
    call, command, farewell, feedback, guard, local, network, peer_info, playhead, query, refusal,
    request_line, route,
};
