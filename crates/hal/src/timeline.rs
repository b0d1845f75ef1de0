//! Times of another clock, brought to the device's.

use peercam_proto::media::MediaTime;

/// A clock that is further behind than this has been set back, or its stream began anew.
const JUMP_MICROS: i64 = 5_000_000;
/// Over how long the least lateness is looked for, and by how much at most it is made up for then:
/// half a per cent, ten times what a bad crystal is off by.
const WINDOW_MICROS: i64 = 4_000_000;
const SLEW_MICROS: i64 = 20_000;

/// The offset from another clock to the device's, learnt from arrival times.
///
/// What was captured has been captured before it arrived, and the fastest way it takes is the true
/// one: the offset follows the least lateness. Downwards at once, upwards slowly, so that late
/// packets do not shift anything and a clock that is slow is followed.
#[derive(Clone, Debug, Default)]
pub(super) struct Timeline {
    offset: Option<i64>,
    window: Option<Window>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    start: MediaTime,
    least: i64,
}

impl Timeline {
    /// The device's time of something that was stamped `stamp` (µs, any origin) and arrived at
    /// `arrival`. Never later than `arrival`.
    pub(super) fn place(&mut self, stamp: i64, arrival: MediaTime) -> MediaTime {
        let direct = arrival.as_micros().saturating_sub(stamp);
        let offset = *self.offset.get_or_insert(direct);
        let late = direct.saturating_sub(offset);
        let offset = if !(0..=JUMP_MICROS).contains(&late) {
            // Below 0, it has come faster than anything before it: its way is the shortest known. Far
            // above, the other clock was set back, or its RTP time stamps began anew (RFC 3550 5.1).
            self.window = None;
            direct
        } else {
            offset + self.made_up(late, arrival)
        };
        self.offset = Some(offset);
        MediaTime::from_micros(stamp.saturating_add(offset))
    }

    /// Returns the device's time for `stamp`, as far as is known.
    #[cfg(feature = "rtsp")]
    pub(super) fn known(&self, stamp: i64) -> Option<MediaTime> {
        let offset = self.offset?;
        Some(MediaTime::from_micros(stamp.saturating_add(offset)))
    }

    fn made_up(&mut self, late: i64, arrival: MediaTime) -> i64 {
        let window = self.window.get_or_insert(Window {
            start: arrival,
            least: late,
        });
        window.least = window.least.min(late);
        if arrival.micros_since(window.start) < WINDOW_MICROS {
            return 0;
        }
        // Even the fastest of a whole window was late, and jitter is never late only: the other
        // clock is slow. By at most `late`, so that nothing lies behind its own arrival.
        let least = window.least;
        self.window = None;
        least.min(SLEW_MICROS).min(late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> MediaTime {
        MediaTime::from_micros(micros)
    }

    /// Error of `timeline` after a stream of pictures, each as late as `late` says.
    fn run(
        timeline: &mut Timeline,
        numbers: std::ops::Range<i64>,
        rate: f64,
        late: impl Fn(i64) -> i64,
    ) -> i64 {
        let mut error = 0;
        for number in numbers {
            let captured = 7_000_000 + number * 40_000;
            let stamp = (number as f64 * 40_000.0 * rate) as i64;
            let arrival = at(captured + late(number));
            let placed = timeline.place(stamp, arrival);
            assert!(placed <= arrival, "nothing comes before it was captured");
            error = placed.micros_since(at(captured));
        }
        error
    }

    #[test]
    fn jitter_does_not_shift_anything() {
        let mut timeline = Timeline::default();
        let jitter = |number: i64| 5_000 + (number * 7919 % 31) * 2_000;
        let error = run(&mut timeline, 0..5_000, 1.0, jitter);
        assert!((0..=5_000).contains(&error), "{error}");
        // A stall, and all of it at once afterwards.
        let stall = |number: i64| match number {
            5_000..5_050 => (5_050 - number) * 40_000,
            _ => 5_000,
        };
        let error = run(&mut timeline, 5_000..5_060, 1.0, stall);
        assert!((0..=5_000).contains(&error), "{error}");
    }

    #[test]
    fn a_clock_that_drifts_is_followed() {
        for rate in [0.999, 1.001] {
            let mut timeline = Timeline::default();
            // Over an hour: 3.6 s off, if nobody followed.
            let error = run(&mut timeline, 0..90_000, rate, |number| number % 3 * 1_000);
            assert!((-10_000..=10_000).contains(&error), "{rate}: {error}");
        }
    }

    #[test]
    fn a_clock_that_jumps_is_taken_as_it_is() {
        for jump in [-3_600_000_000_i64, -6_000_000, 9_000_000, i64::MAX / 2] {
            let mut timeline = Timeline::default();
            timeline.place(0, at(1_000));
            let placed = timeline.place(jump, at(41_000));
            assert_eq!(placed, at(41_000), "{jump}");
            assert_eq!(timeline.place(jump + 40_000, at(81_000)), at(81_000));
        }
    }
}
