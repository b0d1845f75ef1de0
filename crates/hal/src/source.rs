use std::sync::Arc;

use peercam_proto::media::{Frame, Tracks};

use super::BoxFuture;

/// One picture of a camera being read, and its controls.
pub struct MediaInput {
    /// Source of the events.
    pub source: Box<dyn MediaSource>,
    /// Controls that work while the source is read; `None` if it has none.
    pub control: Option<Arc<dyn SourceControl>>,
}

impl<S: MediaSource + 'static> From<S> for MediaInput {
    /// A source without controls.
    fn from(source: S) -> Self {
        Self {
            source: Box::new(source),
            control: None,
        }
    }
}

/// A running picture of a camera. Dropping it stops the picture and frees the hardware.
pub trait MediaSource: Send {
    /// Waits for the next event. Cancel-safe: an event is never lost by dropping the future.
    ///
    /// The order is `Online`, then frames. The first video frame after `Online` and after
    /// `TracksChanged` is a key frame. A source that loses its camera says `Offline` and goes on
    /// trying by itself, with its own back-off; `Online` follows when the camera is back.
    fn next(&mut self) -> BoxFuture<'_, SourceEvent>;
}

/// An event of a source.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceEvent {
    /// The camera delivers, with these tracks.
    Online(Tracks),
    /// One access unit.
    Frame(Frame),
    /// The encoder was reconfigured; frames from here on need these tracks.
    TracksChanged(Tracks),
    /// The camera does not deliver, for this reason (a sentence for the viewer).
    Offline(String),
}

/// Controls of a running picture, usable while it is read. They only ask: effects come later.
pub trait SourceControl: Send + Sync {
    /// Asks the encoder for a key frame as soon as possible.
    fn request_key_frame(&self) -> ControlOutcome;

    /// Asks the encoder for `bits_per_second` on average.
    fn set_bitrate(&self, bits_per_second: u32) -> ControlOutcome;
}

/// Answer of hardware to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlOutcome {
    /// The hardware will do so.
    Accepted,
    /// The hardware has no such control.
    Unsupported,
}
