//! The wire formats, pure: bytes in, values out, and back.
//!
//! Belongs here: parsing and writing of FLV, request lines, queries, commands, credentials and
//! sealed records. Does not belong here: tokio, a clock, a socket, a file. A test holds this.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod call;
pub mod command;
pub mod cookie;
pub mod credential;
pub mod encoding;
pub mod error;
pub mod farewell;
pub mod feedback;
pub mod flv;
pub mod fmp4;
pub mod guard;
pub mod hal_socket;
pub mod jpeg;
pub mod local;
pub mod media;
pub mod nal;
pub mod network;
pub mod peer_info;
pub mod playhead;
pub mod query;
pub mod refusal;
pub mod request_line;
pub mod route;
pub mod sealed;
pub mod text;
pub mod voice;
