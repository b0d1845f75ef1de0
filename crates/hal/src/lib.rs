//! A camera as the daemon sees it: small traits that hardware, simulators and files implement.
//!
//! A [`Camera`] is one channel. It hands out pictures and [`Capabilities`]; `None` means that the hardware
//! has no such part. Parts of one camera may share state: the simulated pan motor moves the
//! simulated picture. Every trait is object-safe, and none of their methods may block the caller
//! unless its text says so.
//!
//! Without features the crate is the traits and what they speak of, and no runtime comes with it.
//! Each camera is behind a feature:
//!
//! | feature | what it adds |
//! |---|---|
//! | `file` | `file`: FLV and MP4 files in a loop |
//! | `rtsp` | `rtsp`: cameras that speak RTSP, and those that hand over JPEGs by HTTP |
//! | `sim` | `sim`: the simulated camera |
//! | `socket` | `socket`: firmware that pushes frames into a Unix socket |
//! | `fanout` | `FrameFanout`: between an encoder that blocks or pushes, and who watches |
//! | `exec` | `ExecSpeaker`: a speaker that is a program |
//! | `audio` | `WithAudio`, `OneRate`: which sound viewers get, and speakers of one rate |
//! | `aac` | `audio`, and G.711 of a camera becomes AAC |
//!
//! A camera whose encoder is asked for pictures; `examples/camera.rs` of the daemon is one whose
//! encoder blocks:
//!
//! ```
//! use peercam_hal::{
//!     BoxFuture, Camera, HalError, MediaInput, MediaSource, SourceEvent, clock::Clock,
//! };
//! use peercam_proto::{
//!     media::{Quality, VideoCodec},
//!     nal::{Framing, Pictures},
//! };
//!
//! /// One H.264 picture of 640×360 in Annex B, as an encoder hands it over.
//! const KEY_PICTURE: &[u8] = &[
//!     0, 0, 0, 1, 0x67, 0x42, 0xc0, 0x1e, 0xda, 0x02, 0x80, 0xbf, 0xe5, 0x40, // SPS
//!     0, 0, 0, 1, 0x68, 0xce, 0x3c, 0x80, // PPS
//!     0, 0, 0, 1, 0x65, 0x88, 0x84, 0x00, // IDR slice, cut short
//! ];
//!
//! struct Still(Clock);
//!
//! struct StillSource {
//!     clock: Clock,
//!     pictures: Pictures,
//!     due: Option<SourceEvent>,
//! }
//!
//! impl Camera for Still {
//!     fn open(&self, _quality: Quality) -> Result<MediaInput, HalError> {
//!         let source = StillSource {
//!             clock: self.0,
//!             pictures: Pictures::new(VideoCodec::H264, 25.0),
//!             due: None,
//!         };
//!         Ok(source.into())
//!     }
//! }
//!
//! impl MediaSource for StillSource {
//!     fn next(&mut self) -> BoxFuture<'_, SourceEvent> {
//!         Box::pin(async {
//!             if let Some(event) = self.due.take() {
//!                 return event;
//!             }
//!             // A real one waits for its encoder here.
//!             let picture = match self.pictures.read(Framing::AnnexB, KEY_PICTURE) {
//!                 Ok(Some(picture)) => picture,
//!                 Ok(None) => return SourceEvent::Offline("no picture".to_owned()),
//!                 Err(error) => return SourceEvent::Offline(error.to_string()),
//!             };
//!             let frame = SourceEvent::Frame(picture.frame(self.clock.now()));
//!             match picture.new_track {
//!                 Some(video) => {
//!                     self.due = Some(frame);
//!                     SourceEvent::Online(video.into())
//!                 }
//!                 None => frame,
//!             }
//!         })
//!     }
//! }
//!
//! # use std::{pin::pin, task::{Context, Poll, Waker}};
//! # let mut source = Still(Clock::start()).open(Quality::High)?.source;
//! # let mut next = || match pin!(source.next()).poll(&mut Context::from_waker(Waker::noop())) {
//! #     Poll::Ready(event) => event,
//! #     Poll::Pending => panic!("nothing is waited for"),
//! # };
//! # let SourceEvent::Online(tracks) = next() else { panic!("tracks come first") };
//! # assert_eq!(tracks.video.map(|video| (video.width, video.height)), Some((640, 360)));
//! # for _ in 0..2 {
//! #     assert!(matches!(next(), SourceEvent::Frame(frame) if frame.is_video_key()));
//! # }
//! # Ok::<(), HalError>(())
//! ```
//!
//! Does not belong here: viewers, FLV, HTTP. The floors above know those.

#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(any(feature = "aac", feature = "sim"))]
mod aac;
#[cfg(feature = "audio")]
mod audio;
mod camera;
mod controls;
#[cfg(feature = "exec")]
mod exec;
#[cfg(feature = "fanout")]
mod fanout;
#[cfg(feature = "audio")]
mod one_rate;
mod recordings;
#[cfg(feature = "audio")]
mod resample;
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
pub use camera::{BoxFuture, Camera, Capabilities, HalError, HealthCheck, StreamMemory};
#[cfg(feature = "fanout")]
pub use fanout::{FanoutSource, FrameFanout};
pub use source::{ControlOutcome, MediaInput, MediaSource, SourceControl, SourceEvent};

// Its other parts.
pub use controls::{
    Commands, ImagingControl, Maintenance, MakerCommand, Ptz, PtzMotion, PtzPosition, Snapshot,
};
pub use recordings::{Page, Query, Recording, RecordingFile, RecordingIndex, RecordingReader};
pub use storage::{Storage, StorageState};
pub use talkback::{PlayedAudio, TalkSink, Talkback};

// What stands around it.
#[cfg(feature = "audio")]
pub use audio::{AudioPolicy, WithAudio};
#[cfg(feature = "exec")]
pub use exec::{ExecError, ExecSpeaker, WithSpeaker};
#[cfg(feature = "audio")]
pub use one_rate::OneRate;
