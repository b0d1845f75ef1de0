//! Turns a Linux camera into one that apps watch and command over HTTP, live.
//!
//! This is the daemon. It stands on crates that can be used without it:
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
//! | 4 | [`cli`], [`config`], [`budget`], [`daemon`] | compose: the only ones that know every part |
//! | 3 | [`http`] | routes, replies and bodies over hyper |
//! | 2 | [`access`] | who may do what |
//! | 1 | [`live`], `record`, [`playback`], [`talk`], [`device`] | streams and their viewers; recordings and their players; talkback; commands |
//! | 0 | [`events`], [`log`], [`reach`], `document` | what happened; where the log goes; where the device can be reached; a TOML document, read key by key |
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

pub mod access;
pub mod budget;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod device;
mod document;
pub mod events;
pub mod http;
pub mod live;
pub mod log;
pub mod playback;
pub mod reach;
#[cfg(feature = "record")]
pub mod record;
pub mod talk;
