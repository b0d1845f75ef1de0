//! Checks of cameras that nobody reads, so that one is known to be off before somebody watches.
//!
//! Keeps: one camera is checked at a time, none while it is read or stands by, and a failure counts
//! only if the next check fails too. What comes of a check is noted where a stream's state is.

use std::{sync::Arc, time::Duration};

use peercam_hal::{HalError, HealthCheck};
use peercam_task::boundary::{Part, contain};
use tokio::time::{Instant, sleep, timeout};

use super::{Hub, availability::is_checked, hub::LiveState};
use crate::channels::ChannelEntry;

/// Interval at which cameras are asked for what they know by themselves.
const TICK: Duration = Duration::from_secs(1);
/// Pause before the first check of a camera, and after its last reader has left.
const FIRST: Duration = Duration::from_secs(2);
/// Pause after a first failure.
const RETRY: Duration = Duration::from_secs(2);
/// Failures in a row after which a camera is off.
const FAILURES: u32 = 2;
/// Timeout of a check.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// Times at which a camera is checked. Pure but for the dice.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    due: Option<Instant>,
    failures: u32,
    was_read: bool,
}

impl Schedule {
    /// Time since which a check is due; `None` if none is. A camera that is read needs none, and soon
    /// one afterwards.
    fn due(&mut self, now: Instant, is_read: bool, interval: Duration) -> Option<Instant> {
        if is_read {
            (self.was_read, self.failures) = (true, 0);
            return None;
        }
        if std::mem::take(&mut self.was_read) {
            self.due = None;
        }
        let first = || now + with_jitter(FIRST.min(interval));
        Some(*self.due.get_or_insert_with(first)).filter(|due| *due <= now)
    }

    /// Notes that a check came to nothing, because somebody reads the camera.
    fn skipped(&mut self, now: Instant, interval: Duration) {
        self.due = Some(now + with_jitter(interval));
    }

    /// Notes what came of a check; returns whether that can be believed.
    fn checked(&mut self, now: Instant, is_well: bool, interval: Duration) -> bool {
        self.failures = if is_well { 0 } else { self.failures + 1 };
        let is_certain = is_well || self.failures >= FAILURES;
        let pause = if is_certain {
            interval
        } else {
            RETRY.min(interval)
        };
        self.due = Some(now + with_jitter(pause));
        is_certain
    }
}

/// Up to a quarter more or less, so that devices that were started together do not check together.
fn with_jitter(pause: Duration) -> Duration {
    let mut dice = [0; 1];
    // Without dice it is no worse than a little less polite.
    let _ = getrandom::fill(&mut dice);
    pause.mul_f64(0.75 + f64::from(dice[0]) / 512.0)
}

impl Hub {
    /// Watches over cameras that nobody reads. Never returns.
    pub async fn watch_cameras(self) {
        loop {
            self.ask_cameras();
            match self.due_check(Instant::now()) {
                Some((entry, check)) => self.check(&entry, &*check).await,
                None => sleep(TICK).await,
            }
        }
    }

    /// Notes what cameras that nobody reads say by themselves.
    fn ask_cameras(&self) {
        for entry in self.inner.channels.all().values() {
            let reason = entry.camera.offline();
            // What was found out by a check is not undone by not knowing.
            let is_told = reason.is_some() || !is_checked(entry);
            if is_told && !self.is_read(entry.id) {
                self.note_camera(entry, reason.as_deref());
            }
        }
    }

    /// The camera whose check is due for longest.
    fn due_check(&self, now: Instant) -> Option<(Arc<ChannelEntry>, Arc<dyn HealthCheck>)> {
        if self.is_closed() {
            return None;
        }
        let entries = self.inner.channels.all();
        let due = entries.values().filter_map(|entry| {
            let check = entry.capabilities.health_check.as_ref()?;
            let is_read = self.is_read(entry.id) || !self.is_working(entry.id);
            let live = LiveState::of(entry);
            let due = live.schedule.lock().due(now, is_read, check.interval())?;
            Some((due, entry, check))
        });
        let (_, entry, check) = due.min_by_key(|(due, ..)| *due)?;
        Some((Arc::clone(entry), Arc::clone(check)))
    }

    async fn check(&self, entry: &ChannelEntry, check: &dyn HealthCheck) {
        let channel = entry.id;
        // As streams are called, for whoever looks for the camera at which the daemon stood still.
        let name = format!("{channel}/check");
        let checked = contain(Part::Camera, name, check.check());
        let failure = match timeout(CHECK_TIMEOUT, checked).await {
            Err(_) => Some("it did not answer within 5 s".to_owned()),
            Ok(Err(_)) => Some("it made what checks it fail; the log says where".to_owned()),
            Ok(Ok(Ok(()))) => None,
            Ok(Ok(Err(HalError::Busy))) => return skip_check(entry, check),
            Ok(Ok(Err(error))) => Some(error.to_string()),
        };
        // Whoever has begun to read it meanwhile knows better.
        if self.is_read(channel) || !self.is_working(channel) {
            return skip_check(entry, check);
        }
        let live = LiveState::of(entry);
        let now = Instant::now();
        let mut schedule = live.schedule.lock();
        let is_certain = schedule.checked(now, failure.is_none(), check.interval());
        drop(schedule);
        tracing::debug!(%channel, ?failure, is_certain, "the camera was checked");
        if !is_certain {
            return;
        }
        match (live.availability.reason(), &failure) {
            (None, Some(reason)) => tracing::warn!(%channel, reason, "camera off"),
            (Some(_), None) => tracing::info!(%channel, "the camera is there again"),
            _ => {}
        }
        self.note_camera(entry, failure.as_deref());
    }

    fn note_camera(&self, entry: &ChannelEntry, reason: Option<&str>) {
        let live = LiveState::of(entry);
        live.availability
            .note_camera(&self.inner.events, entry.id, reason);
    }
}

fn skip_check(entry: &ChannelEntry, check: &dyn HealthCheck) {
    let live = LiveState::of(entry);
    let mut schedule = live.schedule.lock();
    schedule.skipped(Instant::now(), check.interval());
}

#[cfg(test)]
mod tests;
