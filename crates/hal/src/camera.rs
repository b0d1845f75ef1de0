use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use peercam_proto::media::Quality;

use super::{
    Commands, ImagingControl, Maintenance, MediaInput, Ptz, RecordingIndex, Snapshot, Storage,
    Talkback,
};

/// Memory that a camera's stream may take on its way in, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamMemory {
    /// The newest GOP is kept up to this weight, so that a reader that comes has a picture at once.
    pub gop: usize,
    /// The largest picture that is of use.
    pub picture: usize,
}

impl Default for StreamMemory {
    /// The largest sizes of use: a GOP of 1 MiB, and pictures of 2 MiB.
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
    /// [`MediaSource::next`](super::MediaSource::next), not here.
    ///
    /// A camera with fewer pictures serves the nearest one it has.
    ///
    /// # Errors
    /// [`HalError`] if the picture can never be had as the camera is configured.
    fn open(&self, quality: Quality) -> Result<MediaInput, HalError>;

    /// Parts of the camera beside a picture. Asked once, at the start.
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    /// Reason why it would not deliver a picture now, as a sentence, if that is known without trying.
    fn offline(&self) -> Option<String> {
        None
    }

    /// Sentence on what a person can do when it is off.
    fn remedy(&self) -> &'static str {
        "look whether the camera has power and is connected; the log says why it is off"
    }
}

/// Check of a camera that nobody reads, so that it is known to be off before somebody watches.
pub trait HealthCheck: Send + Sync {
    /// Interval between checks.
    fn interval(&self) -> Duration;

    /// Looks whether the camera would deliver a picture, without having one sent. Whoever asks bounds
    /// the time. Cancel-safe.
    ///
    /// # Errors
    /// [`HalError::Busy`] if somebody reads the camera, or begins to meanwhile: what is read tells
    /// more. Otherwise the reason why it would not deliver.
    fn check(&self) -> BoxFuture<'_, Result<(), HalError>>;
}

/// Parts of a camera beside a picture. Default: none.
#[derive(Clone, Default)]
pub struct Capabilities {
    /// The pan/tilt motor.
    pub ptz: Option<Arc<dyn Ptz>>,
    /// Control of how the picture is taken.
    pub picture: Option<Arc<dyn ImagingControl>>,
    /// The speaker.
    pub talkback: Option<Arc<dyn Talkback>>,
    /// Still pictures.
    pub snapshot: Option<Arc<dyn Snapshot>>,
    /// Set if the camera has still pictures only, and no moving one.
    pub stills_only: bool,
    /// The card or disk that recordings go to.
    pub storage: Option<Arc<dyn Storage>>,
    /// Recordings that the hardware made by itself.
    pub recordings: Option<Arc<dyn RecordingIndex>>,
    /// Commands that its maker defined.
    pub commands: Option<Arc<dyn Commands>>,
    /// Maintenance: restart, and formatting of the card.
    pub maintenance: Option<Arc<dyn Maintenance>>,
    /// Check of a camera that does not say by itself that it is off.
    pub health_check: Option<Arc<dyn HealthCheck>>,
}

/// Reason why a part of the hardware does not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HalError {
    /// The part is held by somebody else.
    #[error("it is in use")]
    Busy,
    /// The part is not plugged in.
    #[error("it is not present")]
    Missing,
    /// No space is left.
    #[error("it is full")]
    Full,
    /// The part cannot be written to.
    #[error("it is read-only")]
    ReadOnly,
    /// The part does not take this format.
    #[error("it does not support {0}")]
    Unsupported(String),
    /// The part was asked and gave no answer in time, or none that can be used; a sentence for the log.
    #[error("{0}")]
    NoAnswer(String),
    /// The part failed; a sentence for the log.
    #[error("{0}")]
    Failed(String),
}
