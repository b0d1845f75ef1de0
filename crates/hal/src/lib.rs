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

use std::{future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use peercam_proto::{
    credential::{CredentialId, Scopes},
    media::Quality,
};

#[cfg(feature = "exec")]
pub use exec::{ExecError, ExecSpeaker, WithSpeaker};
#[cfg(feature = "sound")]
pub use one_rate::OneRate;
pub use recordings::{Page, Query, Recording, RecordingFile, RecordingIndex, RecordingReader};
#[cfg(feature = "sound")]
pub use sound::{SoundPolicy, WithSound};
pub use source::{ControlOutcome, MediaInput, MediaSource, SourceControl, SourceEvent};
pub use storage::{Storage, StorageState};
pub use talkback::{Heard, TalkSink, Talkback};

/// What a camera's stream may take on its way in, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// The newest GOP is kept up to this weight, so that a reader that comes has a picture at once.
    pub gop: usize,
    /// The largest picture that is of use.
    pub picture: usize,
}

impl Default for Room {
    /// As much as is of use: 1 MiB, and pictures of 2 MiB.
    fn default() -> Self {
        Self {
            gop: 1 << 20,
            picture: 2 << 20,
        }
    }
}

/// A boxed future: at camera rates the allocation costs nothing, and traits stay object-safe.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One channel's hardware.
pub trait Camera: Send + Sync + 'static {
    /// Starts reading the picture of `quality`. Called when the first viewer of a stream comes,
    /// and again after it was dropped. Connecting to hardware happens inside
    /// [`MediaSource::next`], not here.
    ///
    /// A camera with fewer pictures serves the nearest one it has.
    ///
    /// # Errors
    /// [`HalError`] if the picture can never be had as the camera is configured.
    fn open(&self, quality: Quality) -> Result<MediaInput, HalError>;

    /// What it has beside a picture. Asked once, at the start.
    fn parts(&self) -> Parts {
        Parts::default()
    }

    /// Why it would not deliver a picture now, as a sentence, if it is known without trying.
    fn offline(&self) -> Option<String> {
        None
    }
}

/// What a camera has beside a picture. Default: nothing.
#[derive(Clone, Default)]
pub struct Parts {
    /// The pan/tilt motor.
    pub ptz: Option<Arc<dyn Ptz>>,
    /// How the picture is taken.
    pub picture: Option<Arc<dyn PictureControl>>,
    /// The speaker.
    pub talkback: Option<Arc<dyn Talkback>>,
    /// Still pictures.
    pub snapshot: Option<Arc<dyn Snapshot>>,
    /// These are all there is: it has no moving picture.
    pub stills_only: bool,
    /// The card or disk that recordings go to.
    pub storage: Option<Arc<dyn Storage>>,
    /// Recordings that the hardware made by itself.
    pub recordings: Option<Arc<dyn RecordingIndex>>,
    /// Commands that its maker defined.
    pub commands: Option<Arc<dyn Commands>>,
    /// What keeps it in order.
    pub upkeep: Option<Arc<dyn Upkeep>>,
}

/// Why a part of the hardware does not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HalError {
    /// Somebody else holds it.
    #[error("it is in use")]
    Busy,
    /// It is not plugged in.
    #[error("it is not present")]
    Missing,
    /// There is no space left.
    #[error("it is full")]
    Full,
    /// It cannot be written to.
    #[error("it is read-only")]
    ReadOnly,
    /// It does not take this format.
    #[error("it does not support {0}")]
    Unsupported(String),
    /// It was asked and gave no answer in time, or none that can be used; a sentence for the log.
    #[error("{0}")]
    NoAnswer(String),
    /// It failed; a sentence for the log.
    #[error("{0}")]
    Failed(String),
}

/// A pan/tilt motor.
pub trait Ptz: Send + Sync {
    /// Starts moving and goes on until [`Ptz::stop`] or the end of the range. A second call
    /// replaces the first.
    ///
    /// # Errors
    /// [`HalError`] if it does not move.
    fn start(&self, motion: PtzMotion) -> Result<(), HalError>;

    /// Stops. Harmless if nothing moves.
    fn stop(&self);

    /// Where it points now.
    fn position(&self) -> PtzPosition;
}

/// A direction and a speed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PtzMotion {
    /// -1 left, 0 not at all, 1 right.
    pub pan: i8,
    /// -1 down, 0 not at all, 1 up.
    pub tilt: i8,
    /// 1 (slowest) to 10.
    pub speed: u8,
}

/// A position and its range, in the motor's own steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PtzPosition {
    /// Horizontal position; grows to the right.
    pub x: i32,
    /// Vertical position; grows upwards.
    pub y: i32,
    /// Smallest and largest `x`.
    pub x_range: (i32, i32),
    /// Smallest and largest `y`.
    pub y_range: (i32, i32),
}

/// How pictures are taken, whichever quality they have.
pub trait PictureControl: Send + Sync {
    /// Turns the picture by 180°, as for a camera that hangs from the ceiling, or back.
    ///
    /// # Errors
    /// [`HalError`] if it does not turn.
    fn set_flipped(&self, flipped: bool) -> Result<(), HalError>;

    /// Whether it is turned.
    fn is_flipped(&self) -> bool;
}

/// A still camera.
pub trait Snapshot: Send + Sync {
    /// Takes one picture, as a JPEG file. Whoever asks waits only so long, and may give up.
    fn capture(&self) -> BoxFuture<'_, Result<Bytes, HalError>>;
}

/// Commands that a camera's maker defined.
pub trait Commands: Send + Sync {
    /// Has the camera do what a command says and gives what it answers, for the viewer.
    fn run<'a>(&'a self, command: MakerCommand<'a>) -> BoxFuture<'a, Result<String, HalError>>;
}

/// A command for a camera's maker, and who sends it. Whether that one may is the maker's to decide:
/// all that the daemon knows of it is that its sender may send commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MakerCommand<'a> {
    /// JSON, written anew from what the viewer sent; or other text, as it came.
    pub text: &'a str,
    /// What the sender may do.
    pub scopes: Scopes,
    /// Who minted the credential that it proved, and which one that is; `None` if nothing had to be
    /// proved.
    pub credential: Option<(&'a str, CredentialId)>,
}

/// What keeps a camera in order.
pub trait Upkeep: Send + Sync {
    /// Has it start again.
    fn reboot(&self) -> BoxFuture<'_, Result<(), HalError>>;

    /// Has it format its card.
    fn format(&self) -> BoxFuture<'_, Result<(), HalError>>;
}
