//! What the daemon wants from a camera: small traits that hardware, simulators and files implement.
//!
//! A [`Camera`] is the factory of one channel. It hands out parts; `None` means that the hardware
//! has no such part. Parts of one camera may share state: the simulated pan motor moves the
//! simulated picture. Every trait is object-safe, and none of their methods may block the caller
//! unless its text says so.
//!
//! Does not belong here: viewers, FLV, HTTP. The floors above know those.

mod exec;
mod recordings;
mod source;
mod storage;
mod talkback;

pub mod file;
#[cfg(feature = "sim")]
pub mod sim;

use std::{future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;

pub use exec::{ExecError, ExecSpeaker, WithSpeaker};
pub use recordings::{Page, Query, Recording, RecordingFile, RecordingIndex, RecordingReader};
pub use source::{ControlOutcome, MediaInput, MediaSource, SourceControl, SourceEvent};
pub use storage::{Storage, StorageState};
pub use talkback::{Heard, TalkSink, Talkback};

use crate::media::Quality;

/// A boxed future: at camera rates the allocation costs nothing, and traits stay object-safe.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One channel's hardware, as a factory of its parts.
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

    /// The pan/tilt motor.
    fn ptz(&self) -> Option<Arc<dyn Ptz>> {
        None
    }

    /// How the picture is taken.
    fn picture(&self) -> Option<Arc<dyn PictureControl>> {
        None
    }

    /// The speaker.
    fn talkback(&self) -> Option<Arc<dyn Talkback>> {
        None
    }

    /// Still pictures.
    fn snapshot(&self) -> Option<Arc<dyn Snapshot>> {
        None
    }

    /// The card or disk that recordings go to.
    fn storage(&self) -> Option<Arc<dyn Storage>> {
        None
    }

    /// Recordings that the hardware made by itself.
    fn recordings(&self) -> Option<Arc<dyn RecordingIndex>> {
        None
    }
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
    /// It failed; a sentence for the log.
    #[error("{0}")]
    Failed(String),
}

/// A pan/tilt motor.
pub trait Ptz: Send + Sync {
    /// Starts moving and goes on until [`Ptz::stop`] or the end of the range. A second call
    /// replaces the first.
    fn start(&self, motion: PtzMotion);

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
    fn set_flipped(&self, flipped: bool);

    /// Whether it is turned.
    fn is_flipped(&self) -> bool;
}

/// A still camera.
pub trait Snapshot: Send + Sync {
    /// Takes one picture, as a JPEG file.
    fn capture(&self) -> BoxFuture<'_, Result<Bytes, HalError>>;
}
