//! Everything that is tested from outside the crate, in one binary: linking is what costs.
//!
//! Sockets are real and on port 0; the daemon is the built program. Nothing here needs a foreign
//! program: the judges that do are in `tests/judges`.

#![allow(clippy::unwrap_used)]

#[cfg(all(feature = "client", feature = "p2p"))]
mod abrupt;
mod access;
mod api;
#[cfg(feature = "record")]
mod apps;
mod back_ends;
#[cfg(feature = "record")]
mod card;
mod config;
#[cfg(feature = "rtsp")]
mod contract;
mod control;
#[cfg(all(feature = "client", feature = "p2p"))]
mod dialled;
#[cfg(feature = "rtsp")]
mod doctor;
mod documents;
#[cfg(feature = "record")]
mod events;
mod files;
#[cfg(feature = "rtsp")]
mod firmware;
#[cfg(feature = "record")]
mod foreign_card;
#[cfg(feature = "record")]
mod golden;
#[cfg(feature = "rtsp")]
mod hal;
#[cfg(feature = "rtsp")]
mod hal_socket;
#[cfg(feature = "record")]
mod heads;
#[cfg(feature = "rtsp")]
mod health;
mod hostile;
mod http;
mod join;
mod layering;
mod makers;
mod many;
#[cfg(feature = "client")]
mod mitm;
#[cfg(feature = "record")]
mod mutated;
mod owner;
#[cfg(all(feature = "client", feature = "p2p"))]
mod p2p;
#[cfg(all(feature = "client", feature = "p2p"))]
mod p2p_attacks;
mod paired;
mod panic;
#[cfg(feature = "record")]
mod power;
#[cfg(feature = "rtsp")]
mod probe;
mod process;
#[cfg(feature = "record")]
mod recording;
mod reload;
#[cfg(all(feature = "client", feature = "p2p"))]
mod resume;
#[cfg(feature = "rtsp")]
mod rtsp_server;
#[cfg(feature = "rtsp")]
mod rtsp_still;
mod scripted;
mod secrets;
mod signalling;
mod stills;
mod support;
mod talk;
mod vectors;
#[cfg(all(feature = "client", feature = "p2p"))]
mod viewer_commands;
