//! Open connections, their number, and which of them goes for a newcomer.
//!
//! Peers that have not authenticated never displace those that have. What is said on a connection
//! does not belong here, nor how a peer proves itself.

mod authenticated;
mod queue;
mod state;

use std::{
    sync::{Arc, MutexGuard, Weak},
    time::{Duration, Instant},
};

use peercam_proto::{credential::Rank, network::Peer};
use peercam_task::boundary::Guarded;
use tokio::task::AbortHandle;

use self::{
    queue::{Verdict, Waiting},
    state::{Authentication, Idle, Media, Phase, State},
};
use super::{Ticket, metrics::Metrics};
use crate::permits::Ending;

/// Time limits of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Timeout of a whole request head on a new connection. Default: 10 s.
    pub header: Duration,
    /// Timeout of the next request on a kept connection. Default: 60 s.
    pub idle: Duration,
    /// Timeout of a write of which the peer takes nothing at all. Default: 20 s.
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

/// The open connections of listeners of one kind.
///
/// Bound: `max`. When it is full, a new connection displaces one that waits for a request, or whose
/// peer does not read; if all of them are being served, the new one is refused. So peers that
/// connect and say nothing, or ask and do not read, cannot shut anybody out.
///
/// Where peers have to prove themselves, those that have leave a few places to those that have not
/// yet: else the owner could not even do that. Of those that have, whoever weighs more displaces
/// whoever weighs less.
#[derive(Clone, Debug)]
pub struct Connections {
    /// Oldest first: who goes for another one goes by that.
    open: Arc<Guarded<Vec<Weak<Shared>>>>,
    max: usize,
    unauthenticated: UnauthenticatedLimits,
    timeouts: Timeouts,
    metrics: Metrics,
}

/// Places for peers that have proved nothing yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnauthenticatedLimits {
    /// Number of them at most. When there are more, those without a ticket have to go first.
    pub max: usize,
    /// Number of one source, which then displaces its own.
    pub of_source: usize,
    /// Number left to them by those that have proved themselves.
    pub reserved: usize,
}

/// Trust in the peer of a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The listener trusts whoever reaches it.
    Trusted,
    /// The peer has to prove itself first: few such connections are open, for 10 s each.
    Unauthenticated(Ticket),
}

/// One connection's state, seen by those who serve it and by those who watch over it.
#[derive(Clone, Debug)]
pub struct ConnectionEntry {
    shared: Arc<Shared>,
    connections: Connections,
}

#[derive(Debug)]
struct Shared {
    peer: Peer,
    state: Guarded<State>,
    metrics: Metrics,
}

impl Connections {
    /// Room for `max` connections, all of them for peers that have proved nothing yet.
    pub fn new(max: usize, timeouts: Timeouts, metrics: Metrics) -> Self {
        Self {
            open: Arc::new(Guarded::whole(Vec::new())),
            max,
            unauthenticated: UnauthenticatedLimits {
                max,
                of_source: max,
                reserved: 0,
            },
            timeouts,
            metrics,
        }
    }

    /// The same, with this room for peers that have proved nothing yet.
    #[must_use]
    pub fn with_unauthenticated(self, unauthenticated: UnauthenticatedLimits) -> Self {
        Self {
            unauthenticated,
            ..self
        }
    }

    /// Takes a place for a new connection; `None` if there is none to be had.
    pub fn admit(&self, peer: Peer, standing: Standing, now: Instant) -> Option<ConnectionEntry> {
        let mut open = self.open();
        // Who serves a connection holds its entry; one that has ended leaves a dead reference.
        open.retain(|connection| connection.strong_count() > 0);
        let (who, victim) = match standing {
            Standing::Trusted => (Authentication::Trusted, self.idlest(&open, now)),
            Standing::Unauthenticated(ticket) => {
                let newcomer = Waiting::new(peer.source(), ticket, now);
                (
                    Authentication::Unauthenticated(newcomer),
                    self.lesser_unauthenticated(&open, &newcomer, now),
                )
            }
        };
        match victim {
            Victim::NotNeeded => {}
            Victim::Found(index, victim) => {
                // Off the list before its task has been dropped: the place is the newcomer's
                // already.
                victim.end("displaced");
                open.remove(index);
            }
            Victim::None => {
                self.metrics.ended.count("no place");
                return None;
            }
        }
        let state = State {
            who,
            phase: Phase::Head,
            since: now,
            write_blocked_since: None,
            media: None,
            task: None,
            ended: false,
        };
        self.metrics.open.inc();
        let shared = Arc::new(Shared {
            peer,
            // After a panic that left the state half changed, nobody can say what the peer may do:
            // the connection ends.
            state: Guarded::new(state, |state| {
                state.task.iter().for_each(AbortHandle::abort);
            }),
            metrics: self.metrics.clone(),
        });
        open.push(Arc::downgrade(&shared));
        Some(ConnectionEntry {
            shared,
            connections: self.clone(),
        })
    }

    /// Finds the connection to evict for a peer that is trusted: of those that have proved nothing
    /// the oldest, then the one that is idle for longest.
    fn idlest(&self, open: &[Weak<Shared>], now: Instant) -> Victim {
        if open.len() < self.max {
            return Victim::NotNeeded;
        }
        let found = enumerated(open).filter_map(|(index, connection)| {
            let (is_nobody, idle) = {
                let state = connection.lock();
                match &state.who {
                    Authentication::Unauthenticated(waiting) => (true, Idle::Waits(waiting.since)),
                    _ => (false, state.idle(now)?),
                }
            };
            // `false` comes first: who has proved nothing goes before all that wait for a request.
            Some((!is_nobody, idle, index, connection))
        });
        let found = found.min_by_key(|(is_known, idle, ..)| (*is_known, *idle));
        found.map_or(Victim::None, |(_, _, index, connection)| {
            Victim::Found(index, connection)
        })
    }

    /// Finds the connection to evict for a peer that has proved nothing: one of its kind.
    fn lesser_unauthenticated(
        &self,
        open: &[Weak<Shared>],
        newcomer: &Waiting,
        now: Instant,
    ) -> Victim {
        let mut unauthenticated = unauthenticated(open).collect::<Vec<_>>();
        let waiting: Vec<_> = unauthenticated
            .iter()
            .map(|(waiting, ..)| *waiting)
            .collect();
        let is_full = waiting.len() >= self.unauthenticated.max || open.len() >= self.max;
        match queue::judge(
            &waiting,
            newcomer,
            self.unauthenticated.of_source,
            is_full,
            now,
        ) {
            Verdict::Room => Victim::NotNeeded,
            Verdict::NoRoom => Victim::None,
            Verdict::InsteadOf(at) => {
                let (_, index, connection) = unauthenticated.swap_remove(at);
                Victim::Found(index, connection)
            }
        }
    }

    /// Timeout of a write of which the peer takes nothing.
    pub fn write_timeout(&self) -> Duration {
        self.timeouts.write
    }

    /// Connections whose peers have proved nothing yet.
    pub fn unauthenticated(&self) -> usize {
        unauthenticated(&self.open()).count()
    }

    /// Ends the connections whose peers took too long, seen from `now`, and those that hold on to
    /// what was for a place that they have lost.
    pub fn sweep(&self, now: Instant) {
        for connection in self.all() {
            let exceeded = {
                let mut state = connection.lock();
                if state.holds_on(now) {
                    Some("displaced")
                } else {
                    self.timeouts.exceeded(&state, now)
                }
            };
            if let Some(reason) = exceeded {
                connection.end(reason);
            }
        }
    }

    /// Ends the connections that wait for a request.
    pub fn end_waiting(&self) {
        let now = Instant::now();
        for connection in self.all() {
            let is_waiting = matches!(connection.lock().idle(now), Some(Idle::Waits(_)));
            if is_waiting {
                connection.end("shutdown");
            }
        }
    }

    /// Ends all connections, whatever they are at; the word is for the log and metrics.
    pub fn end_all(&self, reason: &'static str) {
        for connection in self.all() {
            connection.end(reason);
        }
    }

    fn all(&self) -> Vec<Arc<Shared>> {
        self.open().iter().filter_map(Weak::upgrade).collect()
    }

    // Order of locks: the list, then the state of one connection; nobody who holds a state asks for
    // the list.
    fn open(&self) -> MutexGuard<'_, Vec<Weak<Shared>>> {
        self.open.lock()
    }
}

/// Interval between sweeps for time-outs.
const SWEEP_INTERVAL: Duration = Duration::from_millis(500);

/// Cuts off the connections whose time is over, for as long as it is polled.
pub async fn sweep(watched: Vec<Connections>) {
    let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        ticks.tick().await;
        for connections in &watched {
            connections.sweep(Instant::now());
        }
    }
}

/// Connection that has to go for a newcomer.
enum Victim {
    /// None: there is room.
    NotNeeded,
    /// This one, at this place in the list.
    Found(usize, Arc<Shared>),
    /// None, and there is no room.
    None,
}

/// The connections that are there, and where in the list.
fn enumerated(open: &[Weak<Shared>]) -> impl Iterator<Item = (usize, Arc<Shared>)> {
    let connections = open.iter().enumerate();
    connections.filter_map(|(index, connection)| Some((index, connection.upgrade()?)))
}

/// The connections whose peers have proved nothing yet, and where in the list.
fn unauthenticated(open: &[Weak<Shared>]) -> impl Iterator<Item = (Waiting, usize, Arc<Shared>)> {
    enumerated(open).filter_map(|(index, connection)| {
        let waiting = match &*connection.lock() {
            State {
                who: Authentication::Unauthenticated(waiting),
                ended: false,
                ..
            } => *waiting,
            _ => return None,
        };
        Some((waiting, index, connection))
    })
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    fn enter(&self, phase: Phase, now: Instant) {
        let mut state = self.lock();
        state.phase = phase;
        state.since = now;
        state.media = None;
    }

    /// Has the connection's task dropped where it stands, and the socket with it.
    fn end(&self, reason: &'static str) {
        let mut state = self.lock();
        if std::mem::replace(&mut state.ended, true) {
            return;
        }
        tracing::debug!(peer = %self.peer, reason, "connection ended");
        self.metrics.ended.count(reason);
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

impl ConnectionEntry {
    /// Names the task that serves the connection: it is aborted when the connection is ended.
    pub fn served_by(&self, task: AbortHandle) {
        let mut state = self.shared.lock();
        // It was ended between its admission and its start.
        if state.ended {
            task.abort();
        }
        state.task = Some(task);
    }

    /// Notes that the peer has proved itself, if there is a place among those that have: of
    /// somebody who weighs less, or of one like itself that is owed nothing or takes nothing.
    #[must_use]
    pub fn proved(&self, rank: Rank, answers: &Arc<str>, now: Instant) -> bool {
        self.connections
            .admit_authenticated(&self.shared, rank, answers, now)
    }

    /// Notes that a peer which has proved nothing has a ticket.
    pub fn show(&self, ticket: Ticket, now: Instant) {
        if let Authentication::Unauthenticated(waiting) = &mut self.shared.lock().who {
            waiting.show(ticket, now);
        }
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

    /// Returns whether it was ended where it stands.
    pub fn has_ended(&self) -> bool {
        self.shared.lock().ended
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

impl Serving {
    /// Notes that the answer is media, which holds these places.
    pub fn media(&self, places: Vec<Ending>) {
        self.shared.lock().media = Some(Media {
            places,
            displaced_at: None,
        });
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.shared.enter(Phase::Idle, Instant::now());
    }
}

#[cfg(test)]
mod tests;
