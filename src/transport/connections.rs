use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

/// How long a peer may take over what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To send a whole request head on a new connection. Default: 10 s.
    pub header: Duration,
    /// To send the next request on a kept connection. Default: 60 s.
    pub idle: Duration,
    /// To take anything at all of what is sent to it. Default: 20 s.
    pub write: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            header: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            write: Duration::from_secs(20),
        }
    }
}

/// The open connections of all listeners.
///
/// Bound: `max`. When it is full, a new connection displaces the one that has kept its peer's
/// request waiting for longest; if all of them are being served, the new one is refused. So peers
/// that connect and say nothing cannot shut anybody out.
#[derive(Clone, Debug)]
pub struct Connections {
    open: Arc<Mutex<Vec<Weak<Shared>>>>,
    max: usize,
    timeouts: Timeouts,
}

/// One connection's state, seen by those who serve it and by those who watch over it.
#[derive(Clone, Debug)]
pub struct Activity {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    ended: CancellationToken,
}

#[derive(Clone, Copy, Debug)]
struct State {
    phase: Phase,
    since: Instant,
    write_blocked_since: Option<Instant>,
    ended_because: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Waiting for the first request head.
    Head,
    /// A request is being answered.
    Serving,
    /// Waiting for another request.
    Idle,
}

impl Connections {
    /// Room for `max` connections.
    pub fn new(max: usize, timeouts: Timeouts) -> Self {
        Self {
            open: Arc::default(),
            max,
            timeouts,
        }
    }

    /// Takes a place for a new connection; `None` if there is none to be had.
    pub fn admit(&self, now: Instant) -> Option<Activity> {
        let mut open = self.open();
        open.retain(|connection| connection.strong_count() > 0);
        if open.len() >= self.max {
            let (index, idlest) = open
                .iter()
                .enumerate()
                .filter_map(|(index, connection)| Some((index, connection.upgrade()?)))
                .filter(|(_, connection)| connection.state().phase != Phase::Serving)
                .min_by_key(|(_, connection)| connection.state().since)?;
            idlest.end("displaced: the device has as many connections as it takes");
            open.swap_remove(index);
        }
        let state = State {
            phase: Phase::Head,
            since: now,
            write_blocked_since: None,
            ended_because: None,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            ended: CancellationToken::new(),
        });
        open.push(Arc::downgrade(&shared));
        Some(Activity { shared })
    }

    /// Connections that are open.
    pub fn count(&self) -> usize {
        self.open()
            .iter()
            .filter(|connection| connection.strong_count() > 0)
            .count()
    }

    /// Ends the connections whose peers took too long, seen from `now`.
    pub fn sweep(&self, now: Instant) {
        let open: Vec<Arc<Shared>> = self.open().iter().filter_map(Weak::upgrade).collect();
        for connection in open {
            if let Some(reason) = self.timeouts.exceeded(&connection.state(), now) {
                connection.end(reason);
            }
        }
    }

    fn open(&self) -> MutexGuard<'_, Vec<Weak<Shared>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Timeouts {
    fn exceeded(&self, state: &State, now: Instant) -> Option<&'static str> {
        let passed = |since: Instant, limit: Duration| now.saturating_duration_since(since) > limit;
        if state
            .write_blocked_since
            .is_some_and(|since| passed(since, self.write))
        {
            return Some("the peer does not read what is sent to it");
        }
        match state.phase {
            Phase::Head if passed(state.since, self.header) => {
                Some("the peer sent no whole request")
            }
            Phase::Idle if passed(state.since, self.idle) => Some("idle"),
            _ => None,
        }
    }
}

impl Shared {
    fn state(&self) -> State {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, phase: Phase) {
        let mut state = self.lock();
        state.phase = phase;
        state.since = Instant::now();
    }

    fn end(&self, reason: &'static str) {
        self.lock().ended_because.get_or_insert(reason);
        self.ended.cancel();
    }
}

impl Activity {
    /// Marks the connection as being served until the returned value is dropped.
    pub fn serve(&self) -> Serving {
        self.shared.enter(Phase::Serving);
        Serving {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Notes whether the last write had to wait.
    pub(super) fn note_write(&self, blocked: bool) {
        let mut state = self.shared.lock();
        match (blocked, state.write_blocked_since) {
            (true, None) => state.write_blocked_since = Some(Instant::now()),
            (false, Some(_)) => state.write_blocked_since = None,
            _ => {}
        }
    }

    /// Waits until the connection is to be given up; gives the reason.
    pub async fn ended(&self) -> &'static str {
        self.shared.ended.cancelled().await;
        self.shared.state().ended_because.unwrap_or("ended")
    }
}

/// A request being answered.
#[derive(Debug)]
pub struct Serving {
    shared: Arc<Shared>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.shared.enter(Phase::Idle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn has_ended(activity: &Activity) -> bool {
        activity.shared.ended.is_cancelled()
    }

    #[test]
    fn a_silent_connection_is_displaced_and_a_served_one_is_not() {
        let connections = Connections::new(2, Timeouts::default());
        let start = Instant::now();
        let silent = connections.admit(start).expect("room");
        let served = connections.admit(start + SECOND).expect("room");
        let serving = served.serve();
        let third = connections
            .admit(start + 2 * SECOND)
            .expect("displaces the silent one");
        assert!(has_ended(&silent) && !has_ended(&served));
        let serving_third = third.serve();
        assert!(
            connections.admit(start + 3 * SECOND).is_none(),
            "everybody is being served"
        );
        drop((serving, serving_third));
        let _fourth = connections
            .admit(start + 4 * SECOND)
            .expect("displaces an idle one");
        assert_eq!(connections.count(), 2);
    }

    #[test]
    fn each_phase_has_its_time() {
        let timeouts = Timeouts {
            header: SECOND,
            idle: 3 * SECOND,
            write: 5 * SECOND,
        };
        let connections = Connections::new(8, timeouts);
        let start = Instant::now();
        let [silent, idle, stuck, serving] =
            [(); 4].map(|()| connections.admit(start).expect("room"));
        drop(idle.serve());
        let _stuck = stuck.serve();
        stuck.note_write(true);
        let _serving = serving.serve();
        let ended_after = |seconds: u32| {
            connections.sweep(Instant::now() + seconds * SECOND);
            [&silent, &idle, &stuck, &serving].map(has_ended)
        };
        assert_eq!(ended_after(0), [false, false, false, false]);
        assert_eq!(ended_after(2), [true, false, false, false]);
        assert_eq!(ended_after(4), [true, true, false, false]);
        assert_eq!(ended_after(6), [true, true, true, false]);
        assert_eq!(ended_after(6000), [true, true, true, false]);
    }

    #[test]
    fn progress_resets_the_write_time() {
        let connections = Connections::new(
            1,
            Timeouts {
                write: SECOND,
                ..Timeouts::default()
            },
        );
        let slow = connections.admit(Instant::now()).expect("room");
        let _serving = slow.serve();
        slow.note_write(true);
        slow.note_write(false);
        connections.sweep(Instant::now() + 9 * SECOND);
        assert!(!has_ended(&slow));
    }

    #[test]
    fn a_dropped_connection_makes_room() {
        let connections = Connections::new(1, Timeouts::default());
        let only = connections.admit(Instant::now()).expect("room");
        let _serving = only.serve();
        assert_eq!(connections.count(), 1);
        drop((only, _serving));
        assert_eq!(connections.count(), 0);
    }
}
