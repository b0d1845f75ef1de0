use std::sync::Arc;

use super::{Frame, Tracks};

/// A frame on its way to a viewer.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The frame.
    pub frame: Frame,
    /// When the viewer decodes it: ms since its first frame, wrapping.
    pub timestamp: u32,
    /// How much later it is shown, in ms.
    pub composition_ms: i32,
    /// What its decoder must know, if that is not what the frame before needed.
    pub new_tracks: Option<Arc<Tracks>>,
}

/// What a file of recordings holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Content {
    /// A still.
    Picture,
    /// Picture and sound.
    Video,
}
