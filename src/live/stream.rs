use std::sync::{Arc, MutexGuard, OnceLock};

use peercam_hal::{ControlOutcome, SourceControl};
use peercam_proto::media::{MediaTime, StreamId};
use peercam_task::boundary::Guarded;
use tokio::sync::watch;

use super::{availability::Availability, metrics::StreamMetrics, ring::Ring};
use crate::events::Events;

/// A camera whose newest frame is older than this stands still: no key frame is to be expected.
const STALLED_MICROS: i64 = 500_000;
/// A viewer that joins gets the newest GOP if it began less than this ago; otherwise a key frame
/// is asked for, if none was asked for within this time. So joins cost at most one key frame a
/// second, however many there are.
const KEY_INTERVAL_MICROS: i64 = 1_000_000;

/// A running stream, shared by its pump and its subscriptions.
pub(super) struct Stream {
    pub(super) id: StreamId,
    ring: Guarded<Ring>,
    pub(super) state: watch::Sender<State>,
    pub(super) metrics: StreamMetrics,
    events: Events,
    availability: Arc<Availability>,
    /// Set when the picture has been opened, if it has controls.
    pub(super) control: OnceLock<Arc<dyn SourceControl>>,
    last_key_request: Guarded<Option<MediaTime>>,
    /// Reason for its end, if viewers are to be told one.
    pub(super) end_reason: OnceLock<&'static str>,
}

/// State of a stream's camera.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    Starting,
    Online,
    /// No delivery, for this reason.
    Offline(String),
}

impl Stream {
    /// A stream that is being started, with a ring of at most `limit` bytes, for frames of at most
    /// `max_frame`.
    pub(super) fn new(
        id: StreamId,
        limit: usize,
        max_frame: usize,
        metrics: StreamMetrics,
        events: Events,
        availability: Arc<Availability>,
    ) -> Self {
        Self {
            id,
            ring: Guarded::new(Ring::new(limit, max_frame), Ring::abandon),
            state: watch::Sender::new(State::Starting),
            metrics,
            events,
            availability,
            control: OnceLock::new(),
            last_key_request: Guarded::default(),
            end_reason: OnceLock::new(),
        }
    }

    pub(super) fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock()
    }

    /// Ends it in order, and says why.
    pub(super) fn end(&self, reason: &'static str) {
        // The first reason is the one.
        let _ = self.end_reason.set(reason);
        self.ring().close();
    }

    pub(super) fn set_state(&self, state: State) {
        self.state.send_replace(state);
        // Whoever hears of it reads the state, which is there by now.
        let state = self.state.borrow();
        self.availability.note(&self.events, self.id, &state);
    }

    /// Decides where a new viewer starts, and asks for a key frame if that is needed.
    pub(super) fn start(&self, now: MediaTime) -> Start {
        let (key_time, newest_time, pictures) = {
            let ring = self.ring();
            (ring.newest_key_time(), ring.newest_time(), ring.pictures())
        };
        let recent = |time: MediaTime| now.micros_since(time) < KEY_INTERVAL_MICROS;
        let is_stalled = newest_time.is_some_and(|time| now.micros_since(time) > STALLED_MICROS);
        let cached_is_best = pictures == 0 || is_stalled || key_time.is_some_and(recent);
        let Some(control) = self.control.get().filter(|_| !cached_is_best) else {
            return Start::CachedGop;
        };
        let mut last_request = self.last_key_request.lock();
        if !last_request.is_some_and(recent) {
            if control.request_key_frame() == ControlOutcome::Unsupported {
                return Start::CachedGop;
            }
            self.metrics.key_requests.inc();
            *last_request = Some(now);
        }
        Start::NextKey {
            after_pictures: pictures,
            after: newest_time.unwrap_or(now),
        }
    }
}

/// Starting point of a viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// The newest key frame there is, or the next one if there is none.
    CachedGop,
    /// A key frame that comes after this many pictures and after this frame.
    NextKey {
        after_pictures: u64,
        after: MediaTime,
    },
}
