//! Turns a Linux camera into one that apps watch and command over HTTP, live.
//!
//! This is the daemon, to be run inside another program: firmware that is written in Rust gives it
//! cameras of its own (`examples/camera.rs`). Promised are
//!
//! - [`Config`], which is read from one TOML file, and [`config`] with what it is made of;
//! - [`Daemon`], with which it starts and runs, and the [`StartError`] for which it does not;
//! - [`hal`] and [`proto`], in which a camera is written; [`client`], the viewer's end.
//!
//! Everything else is public for `main.rs`, the tests and the benchmarks only, hidden here, and
//! changes at will. The daemon stands on crates that can be used without it:
//!
//! | crate | what it is |
//! |---|---|
//! | [`peercam_client`] | the viewer's end |
//! | [`peercam_net`] | connections with a known peer, and how many there may be |
//! | [`peercam_hal`] | what a camera is, and cameras: files, RTSP, a firmware socket, a simulated one |
//! | [`peercam_task`] | tasks, threads and locks that outlive a panic |
//! | [`peercam_proto`] | frames and tracks, wire formats, credentials and sealed bodies, pure |
//!
//! The floors of the daemon itself; imports go **down** only, and a test holds it:
//!
//! | floor | modules | what they do |
//! |---|---|---|
//! | 4 | [`cli`], [`config`], [`budget`], [`control`], [`daemon`] | compose: the only ones that know every part |
//! | 3 | [`http`] | routes, replies and bodies over hyper |
//! | 2 | [`live`], `record`, [`playback`], [`talk`], [`device`] | streams and their viewers; recordings and their players; talkback; commands |
//! | 1 | [`access`] | who may do what |
//! | 0 | [`channels`], [`events`], `hal_failure`, [`log`], [`reach`], `document` | which channels there are; what happened; what a viewer is told of hardware that fails; where the log goes; where the device can be reached; a TOML document, read key by key |
//!
//! # The two journeys
//!
//! A frame goes one way: [`peercam_hal::MediaSource`] → pump → ring → [`live::Subscription`] → FLV
//! tag heads ([`peercam_proto::flv::Muxer`]) → HTTP body → socket. It is copied once, by the
//! kernel; for a paired viewer over TCP once more, into the buffer in which it is sealed.
//!
//! A command goes one round trip by one way: HTTP →
//! [`peercam_proto::command::decode_request`] → [`device::Device::apply`] →
//! [`peercam_proto::command::Reply::encode`] → HTTP.

#![cfg_attr(test, allow(clippy::unwrap_used))]

// Hidden is what is not promised: `main.rs` takes `budget`, `cli` and `log`, and tests, benchmarks
// and fuzz targets drive `access`, `device`, `live` and `record` alone. They are crates of their own.
#[doc(hidden)]
pub mod access;
#[doc(hidden)]
pub mod budget;
#[doc(hidden)]
pub mod channels;
#[doc(hidden)]
pub mod cli;
pub mod config;
#[doc(hidden)]
pub mod control;
pub mod daemon;
#[doc(hidden)]
pub mod device;
mod document;
pub mod events;
mod hal_failure;
#[doc(hidden)]
pub mod http;
#[doc(hidden)]
pub mod live;
#[doc(hidden)]
pub mod log;
#[doc(hidden)]
pub mod playback;
pub mod reach;
#[cfg(feature = "record")]
#[doc(hidden)]
pub mod record;
#[doc(hidden)]
pub mod talk;

pub use config::{Config, ConfigError};
pub use daemon::{Daemon, StartError};
#[cfg(feature = "client")]
pub use peercam_client as client;
pub use peercam_hal as hal;
pub use peercam_proto as proto;
