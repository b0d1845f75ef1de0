//! Watching over what may fail by itself: cameras that nobody reads.

use super::part::{Part, Parts};
use crate::live::Hub;

/// Adds what watches over cameras.
pub(super) fn add(parts: &mut Parts, hub: &Hub) {
    let hub = hub.clone();
    parts.add(Part::service("camera checks", move |_| {
        hub.clone().watch_cameras()
    }));
}
