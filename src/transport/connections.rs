use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use tokio::task::AbortHandle;

use super::metrics::Metrics;
use crate::proto::network::Peer;

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
    max_nobodies: usize,
    timeouts: Timeouts,
    metrics: Metrics,
}

/// How much is known of a new connection's peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The listener trusts whoever reaches it.
    Trusted,
    /// The peer has to prove itself first: few such connections are open, for 10 s each. When there
    /// are too many, the oldest one of the source that has most has to go, so a flood displaces
    /// itself.
    Nobody,
}

/// How many TCP connections may be open that have proved nothing yet.
const MAX_NOBODIES: usize = 32;
/// How long a connection may stay that proves nothing.
const NOBODY_TIME: Duration = Duration::from_secs(10);

/// One connection's state, seen by those who serve it and by those who watch over it.
#[derive(Clone, Debug)]
pub struct Activity {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    peer: Peer,
    state: Mutex<State>,
    metrics: Metrics,
}

#[derive(Debug)]
struct State {
    /// Since when the peer has proved nothing; `None` once it has, or where it need not.
    nobody_since: Option<Instant>,
    phase: Phase,
    since: Instant,
    write_blocked_since: Option<Instant>,
    /// The task that serves the connection, once it is known.
    task: Option<AbortHandle>,
    ended: bool,
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
    /// Room for `max` connections, 32 of them with peers that have proved nothing yet.
    pub fn new(max: usize, timeouts: Timeouts, metrics: Metrics) -> Self {
        Self {
            open: Arc::default(),
            max,
            max_nobodies: MAX_NOBODIES,
            timeouts,
            metrics,
        }
    }

    /// The same, with room for `max_nobodies` peers that have proved nothing yet.
    #[must_use]
    pub fn with_nobodies(self, max_nobodies: usize) -> Self {
        Self {
            max_nobodies,
            ..self
        }
    }

    /// Takes a place for a new connection; `None` if there is none to be had.
    pub fn admit(&self, peer: Peer, standing: Standing, now: Instant) -> Option<Activity> {
        let mut open = self.open();
        open.retain(|connection| connection.strong_count() > 0);
        if standing == Standing::Nobody
            && let Some((index, nobody)) = one_nobody_too_many(&open, self.max_nobodies)
        {
            nobody.end("displaced");
            open.swap_remove(index);
        }
        if open.len() >= self.max {
            let idlest = open
                .iter()
                .enumerate()
                .filter_map(|(index, connection)| Some((index, connection.upgrade()?)))
                .filter_map(|(index, connection)| {
                    let nobody_since = connection.lock().nobody_since;
                    let since = match standing {
                        // Those of whom nothing is known make room for each other only.
                        Standing::Nobody => nobody_since?,
                        Standing::Trusted => nobody_since.or_else(|| connection.waiting_since())?,
                    };
                    Some((nobody_since.is_none(), since, index, connection))
                })
                .min_by_key(|(is_known, since, ..)| (*is_known, *since));
            let Some((_, _, index, idlest)) = idlest else {
                self.metrics.ended("no place");
                return None;
            };
            idlest.end("displaced");
            open.swap_remove(index);
        }
        let state = State {
            nobody_since: (standing == Standing::Nobody).then_some(now),
            phase: Phase::Head,
            since: now,
            write_blocked_since: None,
            task: None,
            ended: false,
        };
        self.metrics.open.inc();
        let shared = Arc::new(Shared {
            peer,
            state: Mutex::new(state),
            metrics: self.metrics.clone(),
        });
        open.push(Arc::downgrade(&shared));
        Some(Activity { shared })
    }

    /// How long a peer may take nothing of what is sent to it.
    pub fn write_timeout(&self) -> Duration {
        self.timeouts.write
    }

    /// Connections whose peers have proved nothing yet.
    pub fn nobodies(&self) -> usize {
        nobodies(&self.open()).count()
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
        for connection in self.all() {
            let exceeded = self.timeouts.exceeded(&connection.lock(), now);
            if let Some(reason) = exceeded {
                connection.end(reason);
            }
        }
    }

    /// Ends the connections that wait for a request.
    pub fn end_waiting(&self) {
        for connection in self.all() {
            if connection.waiting_since().is_some() {
                connection.end("shutdown");
            }
        }
    }

    fn all(&self) -> Vec<Arc<Shared>> {
        self.open().iter().filter_map(Weak::upgrade).collect()
    }

    fn open(&self) -> MutexGuard<'_, Vec<Weak<Shared>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connection that has to go for another one of which nothing is known, if there are too many:
/// the oldest of the source that has most.
fn one_nobody_too_many(open: &[Weak<Shared>], max: usize) -> Option<(usize, Arc<Shared>)> {
    let nobodies: Vec<_> = nobodies(open).collect();
    if nobodies.len() < max {
        return None;
    }
    let source = |connection: &Shared| connection.peer.source();
    let of_same_source = |connection: &Shared| {
        let same = nobodies.iter();
        same.filter(|(.., other)| source(other) == source(connection))
            .count()
    };
    let (_, index, nobody) = nobodies.iter().max_by_key(|(since, _, connection)| {
        (of_same_source(connection), std::cmp::Reverse(*since))
    })?;
    Some((*index, Arc::clone(nobody)))
}

/// The connections whose peers have proved nothing yet: since when, where in the list, which.
fn nobodies(open: &[Weak<Shared>]) -> impl Iterator<Item = (Instant, usize, Arc<Shared>)> {
    let connections = open.iter().enumerate();
    connections
        .filter_map(|(index, connection)| Some((index, connection.upgrade()?)))
        .filter_map(|(index, connection)| {
            let state = connection.lock();
            let since = state.nobody_since.filter(|_| !state.ended)?;
            drop(state);
            Some((since, index, connection))
        })
}

impl Timeouts {
    fn exceeded(&self, state: &State, now: Instant) -> Option<&'static str> {
        let passed = |since: Instant, limit: Duration| now.saturating_duration_since(since) > limit;
        if state
            .write_blocked_since
            .is_some_and(|since| passed(since, self.write))
        {
            return Some("does not read");
        }
        if state
            .nobody_since
            .is_some_and(|since| passed(since, NOBODY_TIME))
        {
            return Some("no proof");
        }
        match state.phase {
            Phase::Head if passed(state.since, self.header) => Some("no whole request head"),
            Phase::Idle if passed(state.since, self.idle) => Some("idle"),
            _ => None,
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since when nothing is owed to the peer: no request under way, no answer unsent.
    fn waiting_since(&self) -> Option<Instant> {
        let state = self.lock();
        let is_waiting = state.phase != Phase::Serving && state.write_blocked_since.is_none();
        is_waiting.then_some(state.since)
    }

    fn enter(&self, phase: Phase, now: Instant) {
        let mut state = self.lock();
        state.phase = phase;
        state.since = now;
    }

    /// Has the connection's task dropped where it stands, and the socket with it.
    fn end(&self, reason: &'static str) {
        let mut state = self.lock();
        if std::mem::replace(&mut state.ended, true) {
            return;
        }
        tracing::debug!(peer = %self.peer, reason, "connection ended");
        self.metrics.ended(reason);
        if let Some(task) = &state.task {
            task.abort();
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.metrics.open.dec();
    }
}

impl Activity {
    /// Names the task that serves the connection: it is aborted when the connection is ended.
    pub fn served_by(&self, task: AbortHandle) {
        let mut state = self.shared.lock();
        if state.ended {
            task.abort();
        }
        state.task = Some(task);
    }

    /// Notes that the peer has proved itself.
    pub fn proved(&self) {
        self.shared.lock().nobody_since = None;
    }

    /// Ends the connection where it stands; the word is for log and metrics.
    pub fn end(&self, reason: &'static str) {
        self.shared.end(reason);
    }

    /// Marks the connection as being served from `now` until the returned value is dropped.
    pub fn serve(&self, now: Instant) -> Serving {
        self.shared.enter(Phase::Serving, now);
        Serving {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Notes that a write has begun to wait, or that it has gone on.
    pub(super) fn note_write(&self, blocked: bool) {
        self.shared.lock().write_blocked_since = blocked.then(Instant::now);
    }
}

/// A request being answered.
#[derive(Debug)]
pub struct Serving {
    shared: Arc<Shared>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.shared.enter(Phase::Idle, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};

    use super::*;

    const PEER: Peer = Peer::At(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1));
    const SECOND: Duration = Duration::from_secs(1);

    fn has_ended(activity: &Activity) -> bool {
        activity.shared.lock().ended
    }

    #[test]
    fn a_silent_connection_is_displaced_and_a_served_one_is_not() {
        let connections = Connections::new(2, Timeouts::default(), Metrics::default());
        let start = Instant::now();
        let silent = connections
            .admit(PEER, Standing::Trusted, start)
            .expect("room");
        let served = connections
            .admit(PEER, Standing::Trusted, start + SECOND)
            .expect("room");
        let serving = served.serve(Instant::now());
        let third = connections
            .admit(PEER, Standing::Trusted, start + 2 * SECOND)
            .expect("displaces the silent one");
        assert!(has_ended(&silent) && !has_ended(&served));
        let serving_third = third.serve(Instant::now());
        assert!(
            connections
                .admit(PEER, Standing::Trusted, start + 3 * SECOND)
                .is_none(),
            "everybody is being served"
        );
        drop((serving, serving_third));
        let _fourth = connections
            .admit(PEER, Standing::Trusted, start + 4 * SECOND)
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
        let connections = Connections::new(8, timeouts, Metrics::default());
        let start = Instant::now();
        let [silent, idle, stuck, serving] = [(); 4].map(|()| {
            connections
                .admit(PEER, Standing::Trusted, start)
                .expect("room")
        });
        drop(idle.serve(Instant::now()));
        let _stuck = stuck.serve(Instant::now());
        stuck.note_write(true);
        let _serving = serving.serve(Instant::now());
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
            Metrics::default(),
        );
        let slow = connections
            .admit(PEER, Standing::Trusted, Instant::now())
            .expect("room");
        let _serving = slow.serve(Instant::now());
        slow.note_write(true);
        slow.note_write(false);
        connections.sweep(Instant::now() + 9 * SECOND);
        assert!(!has_ended(&slow));
    }

    #[test]
    fn a_dropped_connection_makes_room() {
        let connections = Connections::new(1, Timeouts::default(), Metrics::default());
        let only = connections
            .admit(PEER, Standing::Trusted, Instant::now())
            .expect("room");
        let _serving = only.serve(Instant::now());
        assert_eq!(connections.count(), 1);
        drop((only, _serving));
        assert_eq!(connections.count(), 0);
    }

    #[test]
    fn a_flood_of_nobodies_displaces_itself() {
        let connections = Connections::new(1000, Timeouts::default(), Metrics::default());
        let start = Instant::now();
        let from = |last: u8, seconds: u32| {
            let peer = Peer::At(SocketAddr::from(([192, 0, 2, last], 1)));
            let admitted = connections.admit(peer, Standing::Nobody, start + seconds * SECOND);
            admitted.expect("room")
        };
        let owner = from(1, 0);
        let flood: Vec<_> = (1..200).map(|second| from(2, second)).collect();
        assert!(!has_ended(&owner), "the owner is older than all of them");
        let alive = flood.iter().filter(|one| !has_ended(one)).count();
        assert_eq!(alive, MAX_NOBODIES - 1);
        assert!(
            flood[199 - MAX_NOBODIES..]
                .iter()
                .skip(1)
                .all(|one| !has_ended(one))
        );
        owner.proved();
        let _one_more = from(3, 300);
        assert_eq!(
            flood.iter().filter(|one| !has_ended(one)).count(),
            MAX_NOBODIES - 1
        );
    }

    #[test]
    fn a_nobody_has_ten_seconds() {
        let connections = Connections::new(8, Timeouts::default(), Metrics::default());
        let [nobody, proved] = [(); 2].map(|()| {
            let admitted = connections.admit(PEER, Standing::Nobody, Instant::now());
            admitted.expect("room")
        });
        proved.proved();
        let _serving = [nobody.serve(Instant::now()), proved.serve(Instant::now())];
        connections.sweep(Instant::now() + 9 * SECOND);
        assert!(!has_ended(&nobody));
        connections.sweep(Instant::now() + 11 * SECOND);
        assert!(has_ended(&nobody) && !has_ended(&proved));
    }
}
