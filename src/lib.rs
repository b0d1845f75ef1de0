//! Turns a Linux camera into one that apps watch and command over HTTP, live.
//!
//! The floors of the house; imports go **down** only, and a test holds it:
//!
//! | floor | modules | what they do |
//! |---|---|---|
//! | 6 | [`cli`], [`config`], [`budget`], [`daemon`] | compose: the only ones that know every part |
//! | 5 | [`http`], `client` | routes, replies and bodies over hyper; the viewer's end |
//! | 4 | [`transport`], [`access`] | connections with a known peer; who may do what |
//! | 3 | [`live`], `record`, [`playback`], [`device`] | streams and their viewers; recordings and their players; the door for commands |
//! | 2 | [`hal`], [`log`] | what a camera is; the simulated one; files; where the log goes |
//! | 1 | [`proto`] | wire formats, credentials and sealed bodies, pure |
//! | 0 | [`media`], [`error`], [`clock`], [`boundary`], [`watchdog`] | frames, tracks, time, refusals; where a panic ends, and a standstill |
//!
//! # The two journeys
//!
//! A frame goes one way: [`hal::MediaSource`] → pump → ring → [`live::Subscription`] → FLV tag
//! heads ([`proto::flv::Muxer`]) → HTTP body → socket. It is copied once, by the kernel; for a
//! paired viewer over TCP once more, into the buffer in which it is sealed.
//!
//! A command goes one round trip through one door: HTTP → [`proto::command::decode_request`] →
//! [`device::Device::apply`] → [`proto::command::Reply::encode`] → HTTP.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod access;
pub mod boundary;
pub mod budget;
pub mod cli;
#[cfg(feature = "client")]
pub mod client;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod device;
pub mod error;
pub mod hal;
pub mod http;
pub mod live;
pub mod log;
pub mod media;
pub mod places;
pub mod playback;
pub mod proto;
#[cfg(feature = "record")]
pub mod record;
pub mod talk;
pub mod transport;
pub mod watchdog;
