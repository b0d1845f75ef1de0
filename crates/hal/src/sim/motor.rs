//! The simulated pan and tilt motor.

use std::sync::Arc;

use peercam_proto::media::MediaTime;
use peercam_task::boundary::Guarded;

use crate::{HalError, Ptz, PtzMotion, PtzPosition, clock::Clock};

/// Range of the motor to each side of the middle, in cells of the picture.
const PAN_LIMIT: i32 = 100;
const TILT_LIMIT: i32 = 50;

/// A motor that moves the drawn picture, `speed` × 5 cells per second.
#[derive(Clone)]
pub(super) struct Motor {
    clock: Clock,
    state: Arc<Guarded<Motion>>,
}

/// Position of the motor at `since`, and its motion from there on.
#[derive(Clone, Copy, Default)]
struct Motion {
    x: i32,
    y: i32,
    since: MediaTime,
    motion: PtzMotion,
}

impl Motion {
    fn at(self, now: MediaTime) -> (i32, i32) {
        const MICROS_PER_STEP_AT_SPEED_1: i64 = 200_000;
        let steps = now.micros_since(self.since) * i64::from(self.motion.speed)
            / MICROS_PER_STEP_AT_SPEED_1;
        let moved = |from: i32, direction: i8, limit: i32| {
            let to = i64::from(from) + i64::from(direction.signum()) * steps;
            to.clamp(i64::from(-limit), i64::from(limit)) as i32
        };
        (
            moved(self.x, self.motion.pan, PAN_LIMIT),
            moved(self.y, self.motion.tilt, TILT_LIMIT),
        )
    }
}

impl Motor {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            state: Arc::default(),
        }
    }

    /// Offset of the picture, in cells.
    pub(super) fn cells(&self) -> (i32, i32) {
        self.state.lock().at(self.clock.now())
    }
}

impl Motor {
    fn turn(&self, motion: PtzMotion) {
        let now = self.clock.now();
        let mut state = self.state.lock();
        let (x, y) = state.at(now);
        *state = Motion {
            x,
            y,
            since: now,
            motion: PtzMotion {
                speed: motion.speed.clamp(1, 10),
                ..motion
            },
        };
    }
}

impl Ptz for Motor {
    fn start(&self, motion: PtzMotion) -> Result<(), HalError> {
        self.turn(motion);
        Ok(())
    }

    fn stop(&self) {
        self.turn(PtzMotion::default());
    }

    fn position(&self) -> PtzPosition {
        let (x, y) = self.cells();
        PtzPosition {
            x,
            y,
            x_range: (-PAN_LIMIT, PAN_LIMIT),
            y_range: (-TILT_LIMIT, TILT_LIMIT),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_motor_moves_to_its_end_and_stops_there() {
        let motion = Motion {
            motion: PtzMotion {
                pan: -1,
                tilt: 1,
                speed: 10,
            },
            ..Motion::default()
        };
        let after = |seconds: i64| motion.at(MediaTime::from_micros(seconds * 1_000_000));
        assert_eq!(after(0), (0, 0));
        assert_eq!(after(1), (-50, 50));
        assert_eq!(after(60), (-PAN_LIMIT, TILT_LIMIT));
    }
}
