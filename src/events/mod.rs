//! Event stream of the device: things that happened, numbered, for whoever wants to know.
//!
//! ```text
//! live, record, device, access, daemon ─► Events (a ring) ─► EventReceiver, one for each who reads
//! ```
//!
//! Keeps: nobody who publishes waits for anybody who reads; numbers have no gaps, and times follow
//! them. Loss rule: the newest are kept, up to a share of the memory: a hundred to several hundred.
//! A reader that falls behind loses the oldest and is told how many; so does one that resumes too
//! late. State does not belong here: an event says that something changed, and whoever changed it
//! knows what is true now.

mod event;
mod ring;

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
};

use peercam_hal::clock::Clock;
use peercam_proto::media::MediaTime;
use peercam_task::boundary::Guarded;
use tokio::sync::Notify;

use self::ring::Ring;
pub use self::{
    event::{CallStage, Event, StorageState, Text, ViewerPath},
    ring::{Lagged, MEMORY},
};

/// An event, with its number and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRecord {
    /// Number of the event: one more than that of the event before it. Exact in a JSON number.
    pub number: u64,
    /// Time of the event by the clock that never steps.
    pub at: MediaTime,
    /// Time of the event in milliseconds since 1970; `None` if the wall clock was not set.
    pub wall_millis: Option<i64>,
    /// The event.
    pub event: Event,
}

/// The device's event stream. Cheap to clone; every clone is the same stream.
#[derive(Clone, Debug)]
pub struct Events {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    clock: Clock,
    ring: Guarded<Ring>,
    published: Notify,
}

/// Cursor of somebody who reads the stream.
#[derive(Clone, Debug)]
pub struct EventReceiver {
    events: Events,
    next: u64,
}

impl Events {
    /// A stream in which nothing has happened, and which keeps as little as it may.
    pub fn new(clock: Clock) -> Self {
        Self::with_memory(clock, MEMORY.0)
    }

    /// The same, with so many bytes for events. Its numbers begin at a random one, so that a number
    /// of an earlier run of the daemon is not taken for one of this run.
    pub fn with_memory(clock: Clock, bytes: usize) -> Self {
        // 52 bits: JSON's readers have doubles.
        let run = RandomState::new().build_hasher().finish() >> 32;
        Self::beginning_at(clock, bytes, (run << 20) + 1)
    }

    fn beginning_at(clock: Clock, bytes: usize, first: u64) -> Self {
        Self {
            shared: Arc::new(Shared {
                clock,
                ring: Guarded::new(Ring::new(bytes, first), Ring::clear),
                published: Notify::new(),
            }),
        }
    }

    /// Publishes an event. Never waits for a reader.
    pub fn publish(&self, event: Event) {
        let Shared {
            clock,
            ring,
            published,
        } = &*self.shared;
        {
            let mut ring = ring.lock();
            // Looked at with the ring in hand, so that times are in the order of numbers.
            let (at, wall_millis) = (clock.now(), clock.date().map(|_| clock.wall_millis()));
            ring.push(|number| EventRecord {
                number,
                at,
                wall_millis,
                event,
            });
        }
        published.notify_waiters();
    }

    /// Reads what happens from now on.
    pub fn subscribe(&self) -> EventReceiver {
        let next = self.shared.ring.lock().end();
        self.reader(next)
    }

    /// Reads what is kept, and what happens from now on.
    pub fn replay(&self) -> EventReceiver {
        let next = self.shared.ring.lock().oldest();
        self.reader(next)
    }

    /// Reads what happened behind an event of this number: what the reader has missed meanwhile,
    /// and what happens from now on. For a number that this run has not given, all that happened
    /// in this run.
    pub fn resume(&self, number: u64) -> EventReceiver {
        let next = self.shared.ring.lock().behind(number);
        self.reader(next)
    }

    fn reader(&self, next: u64) -> EventReceiver {
        EventReceiver {
            events: self.clone(),
            next,
        }
    }
}

impl EventReceiver {
    /// Waits for the next event. Cancel-safe.
    ///
    /// # Errors
    /// [`Lagged`] if events are gone that this reader has not seen; it goes on behind them.
    pub async fn recv(&mut self) -> Result<Arc<EventRecord>, Lagged> {
        let Shared {
            ring, published, ..
        } = &*self.events.shared;
        loop {
            // It hears what is published behind this line.
            let published = published.notified();
            if let Some(read) = ring.lock().read(&mut self.next) {
                return read;
            }
            published.await;
        }
    }

    /// The next event, if there is one.
    pub fn try_recv(&mut self) -> Option<Result<Arc<EventRecord>, Lagged>> {
        self.events.shared.ring.lock().read(&mut self.next)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future,
        pin::pin,
        task::{Context, Waker},
    };

    use peercam_proto::media::ChannelId;

    use super::*;

    fn motion(kind: u32) -> Event {
        Event::Detected {
            channel: ChannelId(0),
            kind,
            length: None,
        }
    }

    fn events() -> Events {
        Events::beginning_at(Clock::start(), MEMORY.0, 1)
    }

    #[tokio::test]
    async fn every_reader_gets_every_event_with_number_and_time() {
        let events = events();
        let mut readers = [events.subscribe(), events.subscribe()];
        events.publish(motion(1));
        events.publish(motion(2));
        for reader in &mut readers {
            let first = reader.recv().await.expect("nothing is lost");
            let second = reader.recv().await.expect("nothing is lost");
            assert_eq!((first.number, &first.event), (1, &motion(1)));
            assert_eq!((second.number, &second.event), (2, &motion(2)));
            assert!(first.at <= second.at);
            assert!(reader.try_recv().is_none());
        }
        let mut late = events.subscribe();
        assert!(late.try_recv().is_none(), "it is from before");
        assert_eq!(events.replay().recv().await.expect("kept").number, 1);
    }

    #[tokio::test]
    async fn a_reader_that_waits_is_woken() {
        let events = events();
        let mut reader = events.subscribe();
        let mut waiting = pin!(reader.recv());
        let mut context = Context::from_waker(Waker::noop());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        events.publish(motion(3));
        let read = waiting.await.expect("nothing is lost");
        assert_eq!(read.event, motion(3));
    }

    #[tokio::test]
    async fn a_reader_goes_on_where_it_was() {
        let events = events();
        for kind in 1..=3 {
            events.publish(motion(kind));
        }
        let mut reader = events.resume(1);
        assert_eq!(reader.recv().await.expect("kept").number, 2);
        let mut newest = events.resume(3);
        assert!(newest.try_recv().is_none());
        // Numbers of another run of the daemon, or made up.
        for unknown in [0, 4, 1 << 40, u64::MAX] {
            let mut reader = events.resume(unknown);
            assert_eq!(reader.recv().await.expect("kept").number, 1, "{unknown}");
        }
    }

    #[test]
    fn numbers_are_exact_in_json_and_another_run_has_others() {
        const EXACT: u64 = 1 << 53;
        let first = |events: Events| {
            let mut reader = events.subscribe();
            events.publish(motion(1));
            let read = reader.try_recv().expect("an event");
            read.expect("nothing is lost").number
        };
        let runs: Vec<u64> = (0..3).map(|_| first(Events::new(Clock::start()))).collect();
        assert!(runs.iter().all(|first| *first < EXACT), "{runs:?}");
        assert!(runs[0] != runs[1] || runs[1] != runs[2], "{runs:?}");
    }
}
