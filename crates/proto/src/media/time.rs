use std::time::Duration;

/// A moment on the device's monotonic clock, in microseconds since an arbitrary origin.
///
/// Capture times of all tracks, qualities and channels of a device share this clock. It never
/// steps; wall time is one offset away and is looked up where somebody needs a date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MediaTime(i64);

impl MediaTime {
    /// The moment `micros` microseconds after the origin.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the origin.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Microseconds from `earlier` to `self`; negative if `self` is the earlier one.
    pub const fn micros_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The moment `micros` microseconds later (earlier, if negative).
    #[must_use]
    pub const fn plus_micros(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// Time from `now` until `self`; zero if it has passed.
    pub fn duration_from(self, now: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.micros_since(now)).unwrap_or(0))
    }
}
