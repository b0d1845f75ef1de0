//! Motors that turn cameras (pan and tilt), and what stops them.
//!
//! Keeps: no camera turns without an end; it stops when it is told so, when the viewer that told it
//! has left, after 10 s, or with the device. An earlier movement's end never stops a later
//! movement.

use std::{
    collections::HashMap,
    sync::{Arc, MutexGuard},
    time::Duration,
};

use peercam_hal::{Ptz, PtzMotion, PtzPosition};
use peercam_proto::{
    command::{Direction, Speed},
    error::{Error, ErrorKind},
    media::ChannelId,
    viewer::ViewerId,
};
use peercam_task::boundary::{self, Guarded, Part};

use super::ActivityTracker;
use crate::{
    channels::{ChannelEntry, ChannelRegistry},
    hal_failure,
};

/// A camera that nobody told to stop turns no longer than this.
const LONGEST: Duration = Duration::from_secs(10);
/// Interval of the check whether the viewer that holds the button is still there.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// Time after its last request for which a viewer without a session counts as there.
const GRACE_PERIOD: Duration = Duration::from_secs(2);
/// Duration of a step.
const STEP_DURATION: Duration = Duration::from_millis(300);

/// Motors of all channels, each with the task that stops it: a camera that was told to turn stops
/// when it is told so, when the viewer that told it has left, or after 10 s.
#[derive(Clone)]
pub(super) struct PtzController {
    channels: ChannelRegistry,
    activity: ActivityTracker,
    turning: Arc<Guarded<Turning>>,
}

/// Movements under way.
#[derive(Default)]
struct Turning {
    stops: HashMap<ChannelId, (u64, boundary::Task)>,
    /// Number of movements so far, by which they are told apart.
    told: u64,
    closed: bool,
}

impl PtzController {
    pub(super) fn new(channels: ChannelRegistry, activity: ActivityTracker) -> Self {
        Self {
            channels,
            activity,
            // A motor that panics is turned no more, and the others are not concerned.
            turning: Arc::new(Guarded::whole(Turning::default())),
        }
    }

    fn motor(&self, channel: ChannelId) -> Result<Arc<dyn Ptz>, Error> {
        let entry = self.channels.get(channel);
        let motor = entry.and_then(|entry| entry.capabilities.ptz.clone());
        motor.ok_or_else(|| {
            let reason = format!("the camera of channel {channel} does not turn");
            Error::new(ErrorKind::Unsupported, reason)
        })
    }

    fn turning(&self) -> MutexGuard<'_, Turning> {
        self.turning.lock()
    }

    /// Turns until it is told to stop. Gives where it is, and whether it is at the end there.
    pub(super) fn continuous_move(
        &self,
        channel: ChannelId,
        viewer: &ViewerId,
        direction: Direction,
    ) -> Result<(PtzPosition, bool), Error> {
        let motor = self.motor(channel)?;
        let (activity, viewer) = (self.activity.clone(), viewer.clone());
        let held = async move {
            let mut left = LONGEST;
            while activity.is_there(&viewer, GRACE_PERIOD) && !left.is_zero() {
                tokio::time::sleep(POLL_INTERVAL).await;
                left = left.saturating_sub(POLL_INTERVAL);
            }
        };
        self.turn(channel, &motor, direction, Speed::USUAL, held)?;
        let position = motor.position();
        Ok((position, is_at_end(position, direction)))
    }

    /// Turns a little.
    pub(super) fn step(
        &self,
        channel: ChannelId,
        direction: Direction,
        speed: Speed,
    ) -> Result<(), Error> {
        let motor = self.motor(channel)?;
        self.turn(
            channel,
            &motor,
            direction,
            speed,
            tokio::time::sleep(STEP_DURATION),
        )
    }

    fn turn(
        &self,
        channel: ChannelId,
        motor: &Arc<dyn Ptz>,
        direction: Direction,
        speed: Speed,
        held: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Error> {
        let mut turning = self.turning();
        if turning.closed {
            let reason = "the device is shutting down";
            return Err(Error::new(ErrorKind::Unavailable, reason));
        }
        turning.told += 1;
        let number = turning.told;
        motor
            .start(motion(direction, speed))
            .map_err(|error| hal_failure::camera(channel, &error))?;
        let (ptz, motor) = (self.clone(), Arc::clone(motor));
        let stop = async move {
            held.await;
            let turning = ptz.turning();
            // One that came after it must not be stopped by it.
            let current = turning.stops.get(&channel).map(|(number, _)| *number);
            if current == Some(number) {
                motor.stop();
            }
        };
        let stop = boundary::spawn(Part::Camera, format!("motor of channel {channel}"), stop);
        turning.stops.insert(channel, (number, stop));
        Ok(())
    }

    /// Stops. Gives where it is, and whether it is at any end.
    pub(super) fn stop(&self, channel: ChannelId) -> Result<(PtzPosition, bool), Error> {
        let motor = self.motor(channel)?;
        let mut turning = self.turning();
        turning.stops.remove(&channel);
        motor.stop();
        let position = motor.position();
        let all = [
            Direction::Left,
            Direction::Right,
            Direction::Up,
            Direction::Down,
        ];
        let is_at_end = all.into_iter().any(|one| is_at_end(position, one));
        Ok((position, is_at_end))
    }

    /// Stops the motor of a camera that has been replaced or taken away.
    pub(super) fn end_channel(&self, entry: &ChannelEntry) {
        let moved = self.turning().stops.remove(&entry.id);
        if let (Some(_), Some(motor)) = (moved, &entry.capabilities.ptz) {
            // Whoever takes a camera away goes on with others.
            let name = format_args!("motor of channel {}", entry.id);
            let _ = boundary::run(Part::Camera, name, || motor.stop());
        }
    }

    /// Stops all of them for good.
    pub(super) fn close(&self) {
        let mut turning = self.turning();
        turning.closed = true;
        turning.stops.clear();
        for entry in self.channels.all().values() {
            if let Some(motor) = &entry.capabilities.ptz {
                motor.stop();
            }
        }
    }
}

fn motion(direction: Direction, speed: Speed) -> PtzMotion {
    let (pan, tilt) = match direction {
        Direction::Left => (-1, 0),
        Direction::Right => (1, 0),
        Direction::Up => (0, 1),
        Direction::Down => (0, -1),
    };
    PtzMotion {
        pan,
        tilt,
        speed: speed.get(),
    }
}

/// Returns whether it cannot turn further; a motor that does not say how far it goes can.
fn is_at_end(position: PtzPosition, direction: Direction) -> bool {
    let (x, y) = (position.x_range, position.y_range);
    match direction {
        Direction::Left => x.0 < x.1 && position.x <= x.0,
        Direction::Right => x.0 < x.1 && position.x >= x.1,
        Direction::Up => y.0 < y.1 && position.y >= y.1,
        Direction::Down => y.0 < y.1 && position.y <= y.0,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use peercam_hal::{Capabilities, HalError};

    /// Remembers what it was told.
    #[derive(Default)]
    struct Noted(Guarded<Vec<PtzMotion>>);

    impl Noted {
        fn last(&self) -> Option<PtzMotion> {
            self.0.lock().last().copied()
        }
    }

    impl Ptz for Noted {
        fn start(&self, motion: PtzMotion) -> Result<(), HalError> {
            self.0.lock().push(motion);
            Ok(())
        }

        fn stop(&self) {
            self.0.lock().push(PtzMotion::default());
        }

        fn position(&self) -> PtzPosition {
            PtzPosition {
                x: 5,
                x_range: (-5, 5),
                y_range: (-5, 5),
                ..PtzPosition::default()
            }
        }
    }

    fn ptz(activity: &ActivityTracker) -> (PtzController, Arc<Noted>) {
        let noted = Arc::new(Noted::default());
        let capabilities = Capabilities {
            ptz: Some(Arc::<Noted>::clone(&noted)),
            ..Capabilities::default()
        };
        let channels = ChannelRegistry::for_tests(capabilities);
        (PtzController::new(channels, activity.clone()), noted)
    }

    fn viewer() -> ViewerId {
        ViewerId::unauthenticated(&"viewer".into())
    }

    const LEFT: PtzMotion = PtzMotion {
        pan: -1,
        tilt: 0,
        speed: 5,
    };

    #[tokio::test(start_paused = true)]
    async fn nobody_there_to_stop_it_stops_it() {
        let activity = ActivityTracker::without_sessions();
        let (ptz, noted) = ptz(&activity);
        let guard = activity.attend(&viewer());
        let (_, is_at_end) = ptz
            .continuous_move(ChannelId(0), &viewer(), Direction::Left)
            .expect("it turns");
        assert!(!is_at_end);
        // A finger that stays.
        tokio::time::sleep(LONGEST - POLL_INTERVAL).await;
        assert_eq!(noted.last(), Some(LEFT));
        tokio::time::sleep(2 * POLL_INTERVAL).await;
        assert_eq!(noted.last(), Some(PtzMotion::default()));
        // A viewer that leaves.
        ptz.continuous_move(ChannelId(0), &viewer(), Direction::Left)
            .expect("it turns");
        drop(guard);
        for _ in 0..1000 {
            // Its last request becomes old by the real clock.
            std::thread::sleep(Duration::from_millis(5));
            tokio::time::sleep(POLL_INTERVAL).await;
            if noted.last() != Some(LEFT) {
                break;
            }
        }
        assert_eq!(noted.last(), Some(PtzMotion::default()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_press_takes_the_place_of_the_first() {
        let activity = ActivityTracker::without_sessions();
        let (ptz, noted) = ptz(&activity);
        let _attending = activity.attend(&viewer());
        ptz.continuous_move(ChannelId(0), &viewer(), Direction::Left)
            .expect("it turns");
        tokio::time::sleep(LONGEST / 2).await;
        ptz.continuous_move(ChannelId(0), &viewer(), Direction::Up)
            .expect("it turns");
        tokio::time::sleep(LONGEST * 3 / 4).await;
        assert_eq!(noted.last().map(|motion| motion.tilt), Some(1));
        let (_, is_at_end) = ptz.stop(ChannelId(0)).expect("it turns");
        assert!(is_at_end, "to the right");
        assert_eq!(noted.last(), Some(PtzMotion::default()));
        ptz.step(ChannelId(0), Direction::Down, Speed::USUAL)
            .expect("it turns");
        assert_eq!(noted.last().map(|motion| motion.tilt), Some(-1));
        tokio::time::sleep(2 * STEP_DURATION).await;
        assert_eq!(noted.last(), Some(PtzMotion::default()));
        let none = ptz.stop(ChannelId(1)).map_err(|error| error.kind());
        assert_eq!(none.err(), Some(ErrorKind::Unsupported));
    }

    /// Set once it was told to stop, at which it panics.
    #[derive(Default)]
    struct Broken(AtomicBool);

    impl Ptz for Broken {
        fn start(&self, _: PtzMotion) -> Result<(), HalError> {
            Ok(())
        }

        fn stop(&self) {
            self.0.store(true, Ordering::Relaxed);
            panic!("on purpose");
        }

        fn position(&self) -> PtzPosition {
            PtzPosition::default()
        }
    }

    #[tokio::test]
    async fn a_motor_that_panics_keeps_nobody_from_taking_its_camera_away() {
        let motor = Arc::new(Broken::default());
        let channels = ChannelRegistry::for_tests(Capabilities {
            ptz: Some(Arc::clone(&motor) as _),
            ..Default::default()
        });
        let ptz = PtzController::new(channels.clone(), ActivityTracker::without_sessions());
        let id = ChannelId(0);
        ptz.step(id, Direction::Left, Speed::USUAL).expect("turns");
        ptz.end_channel(&channels.get(id).expect("a channel"));
        assert!(motor.0.load(Ordering::Relaxed));
    }
}
