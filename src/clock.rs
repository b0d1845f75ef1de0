//! The device's two clocks: a monotonic one for media and a wall clock for dates.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::media::MediaTime;

/// Reads both clocks. Cheap to copy; every copy shares one monotonic origin.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock whose monotonic origin is now.
    pub fn start() -> Self {
        Self {
            origin: Instant::now(),
        }
    }

    /// Time since the origin. Never steps.
    pub fn now(&self) -> MediaTime {
        let micros = self.origin.elapsed().as_micros();
        MediaTime::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
    }

    /// The wall clock in milliseconds since 1970-01-01 UTC. It may be wrong and it may step.
    pub fn wall_millis(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(_) => 0,
        }
    }
}
