//! The device's two clocks: a monotonic one for media and a wall clock for dates.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use peercam_proto::media::MediaTime;

/// 2026-11-01, UTC: a device whose wall clock is earlier does not know the date. Moved on with each
/// release.
const EARLIEST_SECONDS: i64 = 1_793_491_200;

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

    /// The date in seconds since 1970-01-01 UTC; `None` while the wall clock is not set.
    pub fn date(&self) -> Option<u64> {
        let seconds = self.wall_millis() / 1000;
        u64::try_from(seconds)
            .ok()
            .filter(|_| seconds >= EARLIEST_SECONDS)
    }
}
