//! Wire formats of peercam, pure: bytes in, values out, and back.
//!
//! The parsers that an attacker reaches stand here, apart from everything that they could do harm
//! with: no tokio, no clock, no socket, no file. Time and random bytes are arguments. A test of the
//! workspace holds this.
//!
//! # Rooms
//!
//! - `signalling`, HTTP requests and their answers: [`request_line`], [`query`] and [`route`] read a
//!   request, [`origin_policy`] judges one without credentials, [`command`] and [`call`] are what apps ask
//!   for, [`firmware_api`] and [`feedback`] what firmware does, [`viewer`] the id of who they are about;
//!   [`refusal`] answers errors.
//! - `security`, proofs and secrecy: [`credential`] (pairing URIs, tokens, scopes), [`sealed`]
//!   bodies, [`cookie`]s of listeners.
//! - `container`, media as bytes: [`flv`], [`fmp4`], [`jpeg`], [`nal`] units and what a [`voice`]
//!   request carries.
//!
//! Shared by all rooms: [`media`] (frames, tracks, streams, time), [`error`] and [`text`].
//! [`hal_socket`] is the protocol between the daemon and a camera's firmware.
//!
//! # From a request to its answer
//!
//! ```text
//! first line ── request_line ── HTTP parser ─┬─ route::Route ── device
//!                                            ├─ query::Query ── route::MediaRequest
//!                                            └─ command::decode_request ── command::Reply
//! over TCP, with access control: sealed::Opener in front, sealed::Sealer behind
//! ```

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
    call, command, farewell, feedback, firmware_api, network, origin_policy, peer_info, playhead,
    query, refusal, request_line, route, viewer,
};
