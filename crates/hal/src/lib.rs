//! What the daemon wants from a camera: small traits that hardware, simulators and files implement.
//!
//! A [`Camera`] is one channel. It hands out pictures and [`Parts`]; `None` means that the hardware
//! has no such part. Parts of one camera may share state: the simulated pan motor moves the
//! simulated picture. Every trait is object-safe, and none of their methods may block the caller
//! unless its text says so.
//!
//! Does not belong here: viewers, FLV, HTTP. The floors above know those.

#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(any(feature = "aac", feature = "sim"))]
mod aac;
mod camera;
mod controls;
#[cfg(feature = "exec")]
mod exec;
#[cfg(any(feature = "socket", feature = "rtsp"))]
mod feed;
#[cfg(feature = "sound")]
mod one_rate;
mod recordings;
#[cfg(feature = "sound")]
mod resample;
#[cfg(feature = "sound")]
mod sound;
mod source;
mod storage;
mod talkback;
#[cfg(any(feature = "socket", feature = "rtsp"))]
mod timeline;
#[cfg(any(feature = "file", feature = "rtsp", feature = "socket", test))]
mod tracks;

pub mod clock;
#[cfg(feature = "file")]
pub mod file;
#[cfg(feature = "rtsp")]
pub mod rtsp;
#[cfg(feature = "sim")]
pub mod sim;
#[cfg(feature = "socket")]
pub mod socket;

// A camera and its pictures.
pub use camera::{BoxFuture, Camera, HalError, Parts, Room};
pub use source::{ControlOutcome, MediaInput, MediaSource, SourceControl, SourceEvent};

// Its other parts.
pub use controls::{
    Commands, MakerCommand, PictureControl, Ptz, PtzMotion, PtzPosition, Snapshot, Upkeep,
};
pub use recordings::{Page, Query, Recording, RecordingFile, RecordingIndex, RecordingReader};
pub use storage::{Storage, StorageState};
pub use talkback::{Heard, TalkSink, Talkback};

// What stands around it.
#[cfg(feature = "exec")]
pub use exec::{ExecError, ExecSpeaker, WithSpeaker};
#[cfg(feature = "sound")]
pub use one_rate::OneRate;
#[cfg(feature = "sound")]
pub use sound::{SoundPolicy, WithSound};
