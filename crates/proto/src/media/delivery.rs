use std::sync::Arc;

use super::{Frame, Tracks};

/// A frame on its way to a viewer.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The frame.
    pub frame: Frame,
    /// Decoding time, in ms since the viewer's first frame, wrapping.
    pub timestamp: u32,
    /// Presentation time minus `timestamp`, in ms.
    pub composition_ms: i32,
    /// New tracks, if they differ from those of the frame before.
    pub new_tracks: Option<Arc<Tracks>>,
}

/// Content of a recorded file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Content {
    /// A still.
    Snapshot,
    /// Picture and sound.
    Video,
}
