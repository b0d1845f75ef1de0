//! Admission of authenticated viewers: who of them gets a session, and who has to go for it.
//!
//! Invariants: a slot is one credential at one endpoint, and lives as long as a connection of it;
//! the table never holds more than its bound; and connections are ended with its lock released,
//! since that takes locks of theirs. Which credentials are good is [`Authority`](super::Authority)'s to
//! say.

use std::{sync::Arc, time::Instant};

use peercam_net::permits;
use peercam_proto::{
    credential::EndpointId,
    error::{Error, ErrorKind},
    text::Printable,
    viewer::ViewerId,
};
use peercam_task::boundary::{Vital, VitalGuard};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{holder::Holder, metrics::Metrics, store::random};
use crate::events::{Event, Events, Text, ViewerPath};

/// Viewers that may share one credential at a time, each from an endpoint of its own.
const MAX_PER_CREDENTIAL: usize = 2;
/// Connections that one session has at most; a further one ends the oldest. So no guest has all
/// places for viewers or connections.
pub const CONNECTIONS_OF_SESSION: usize = 6;
/// Requests over P2P that one session may have under way, over all its connections.
pub const REQUESTS_OF_SESSION: usize = 32;
/// Displaced viewers that are remembered, to be told why.
const MAX_DISPLACED: usize = 16;

/// Table of the authenticated viewers that are there.
///
/// A session's slot is a credential at an endpoint (over TCP there is no endpoint id), so a viewer
/// that comes again, and its ghost that has not gone yet, share one. Bound: `max` slots, two for
/// each credential, six connections for each slot. When all are taken, a credential of a higher
/// [`Rank`](peercam_proto::credential::Rank) displaces the newest of the lowest, and one of another
/// back end what one has beyond [what it keeps](permits::kept); others are refused.
#[derive(Clone)]
pub struct Sessions {
    table: Arc<Vital<Table>>,
    metrics: Metrics,
    events: Events,
}

struct Table {
    max: usize,
    /// Oldest first.
    slots: Vec<Slot>,
    /// Oldest first.
    displaced: Vec<Key>,
    /// Work that goes on whether connections are there or not, by serial number.
    sequels: Vec<(u64, Arc<Holder>, CancellationToken)>,
    next_serial: u64,
}

/// A credential as a whole, not its id: whoever holds a mint key chooses ids as it likes.
type Key = (Arc<Holder>, Option<EndpointId>);
/// Ends a connection; the word is for log and metrics.
type End = Box<dyn Fn(&'static str) + Send + Sync>;

struct Slot {
    id: ViewerId,
    since: Instant,
    /// Path of its newest connection, as that began.
    path: ViewerPath,
    key: Key,
    requests: Arc<Semaphore>,
    /// The connections of the session, by serial number.
    connections: Vec<(u64, End)>,
}

/// A session, as it is listed.
#[derive(Clone, Debug)]
pub struct SessionView {
    /// The viewer that has it.
    pub id: ViewerId,
    /// Credential that it belongs to.
    pub holder: Arc<Holder>,
    /// The viewer's endpoint; over TCP it has none.
    pub endpoint: Option<EndpointId>,
    /// Path by which it came last.
    pub path: ViewerPath,
    /// Time at which it began.
    pub since: Instant,
}

/// One connection's part in a session. Dropping it lets go; the slot is free when its last
/// connection has gone.
pub struct Session {
    sessions: Sessions,
    id: ViewerId,
    key: Key,
    serial: u64,
    ends: CancellationToken,
    /// Permits for further requests; [`REQUESTS_OF_SESSION`] in all.
    pub requests: Arc<Semaphore>,
}

/// Entry of work for a viewer that may outlast its connections. Dropping it says that it is over.
pub(super) struct SequelEntry {
    sessions: Sessions,
    serial: u64,
}

impl Sessions {
    /// Room for `max` sessions, which are published in `events`.
    pub fn new(max: usize, metrics: Metrics, events: Events) -> Self {
        let table = Table {
            max,
            slots: Vec::new(),
            displaced: Vec::new(),
            sequels: Vec::new(),
            next_serial: 0,
        };
        Self {
            table: Arc::new(Vital::new(table)),
            metrics,
            events,
        }
    }

    /// Lets a viewer in that has proved itself and came by this path. `end` ends the connection on
    /// which it did; what runs for it and is no part of the connection ends by [`Session::ends`].
    ///
    /// # Errors
    /// [`ErrorKind::Full`] with a reason that its player can show.
    pub fn enter(
        &self,
        holder: Arc<Holder>,
        endpoint: Option<EndpointId>,
        path: ViewerPath,
        end: impl Fn(&'static str) + Send + Sync + 'static,
    ) -> Result<Session, Error> {
        let random =
            random().map_err(|error| Error::new(ErrorKind::Unavailable, error.to_string()))?;
        let (key, fresh) = ((holder, endpoint), ViewerId::for_session(random));
        let ends = CancellationToken::new();
        let ending = ends.clone();
        let end: End = Box::new(move |reason| {
            ending.cancel();
            end(reason);
        });
        let mut table = self.lock();
        let displaced = if table.slots.iter().any(|slot| slot.key == key) {
            None
        } else {
            table.make_room(&key)?
        };
        let serial = table.next_serial;
        table.next_serial += 1;
        let slot = table.slots.iter_mut().find(|slot| slot.key == key);
        // Entered before anybody is told to go: the slot is never free for a third one.
        let connection = (serial, end);
        let mut one_too_many = None;
        let (id, requests) = match slot {
            Some(slot) => {
                slot.path = path;
                slot.connections.push(connection);
                if slot.connections.len() > CONNECTIONS_OF_SESSION {
                    one_too_many = Some(slot.connections.remove(0).1);
                }
                (slot.id.clone(), Arc::clone(&slot.requests))
            }
            None => {
                self.metrics.sessions.inc();
                let requests = Arc::new(Semaphore::new(REQUESTS_OF_SESSION));
                table.slots.push(Slot {
                    id: fresh.clone(),
                    since: Instant::now(),
                    path,
                    key: key.clone(),
                    requests: Arc::clone(&requests),
                    connections: vec![connection],
                });
                // With the table in hand, so that nobody leaves before it has joined.
                self.events.publish(Event::ViewerJoined {
                    session: Text::new(fresh.as_str()),
                    name: Text::new(&key.0.claims.name),
                    path,
                });
                (fresh, requests)
            }
        };
        drop(table);
        self.end(displaced, "displaced");
        if let Some(end) = one_too_many {
            end("too many of one viewer");
        }
        Ok(Session {
            sessions: self.clone(),
            id,
            key,
            serial,
            ends,
            requests,
        })
    }

    /// Ties work that a viewer has begun to its holder: `ends` is cancelled when the holder is let in
    /// no more, also when its sessions have ended by then.
    pub(super) fn sequel(&self, holder: Arc<Holder>, ends: CancellationToken) -> SequelEntry {
        let mut table = self.lock();
        let serial = table.next_serial;
        table.next_serial += 1;
        table.sequels.push((serial, holder, ends));
        SequelEntry {
            sessions: self.clone(),
            serial,
        }
    }

    /// Ends the sessions for which `reason` gives one, and their sequels; returns how many sessions.
    pub fn end_where(&self, reason: impl Fn(&Holder) -> Option<&'static str>) -> usize {
        let (mut ended, mut sequels) = (Vec::new(), Vec::new());
        {
            let mut table = self.lock();
            for (serial, holder, ends) in std::mem::take(&mut table.sequels) {
                match reason(&holder) {
                    Some(_) => sequels.push(ends),
                    None => table.sequels.push((serial, holder, ends)),
                }
            }
            let slots = std::mem::take(&mut table.slots);
            for slot in slots {
                match reason(&slot.key.0) {
                    Some(reason) => ended.push((slot, reason)),
                    None => table.slots.push(slot),
                }
            }
        }
        let count = ended.len();
        for (slot, reason) in ended {
            self.end(Some(slot), reason);
        }
        for ends in sequels {
            ends.cancel();
        }
        count
    }

    /// Sessions that are there, oldest first.
    pub fn list(&self) -> Vec<SessionView> {
        let table = self.lock();
        let view = |slot: &Slot| SessionView {
            id: slot.id.clone(),
            holder: Arc::clone(&slot.key.0),
            endpoint: slot.key.1,
            path: slot.path,
            since: slot.since,
        };
        table.slots.iter().map(view).collect()
    }

    /// Number of sessions, and the number at which a further one is refused.
    pub fn connected(&self) -> (usize, usize) {
        let table = self.lock();
        (table.slots.len(), table.max)
    }

    /// Returns whether a viewer has a session.
    pub fn has(&self, viewer: &ViewerId) -> bool {
        let table = self.lock();
        table.slots.iter().any(|slot| slot.id == *viewer)
    }

    /// Ends the connections of a slot that was taken out of the table.
    fn end(&self, slot: Option<Slot>, reason: &'static str) {
        let Some(slot) = slot else { return };
        self.note_left(&slot, reason);
        self.metrics.ended.count(reason);
        let claims = &slot.key.0.claims;
        tracing::info!(viewer = %Printable(&claims.name), credential = %claims.id, reason, "session ended by the device");
        for (_, end) in &slot.connections {
            end(reason);
        }
    }

    /// Notes that a slot was taken out of the table.
    fn note_left(&self, slot: &Slot, reason: &'static str) {
        self.metrics.sessions.dec();
        self.events.publish(Event::ViewerLeft {
            session: Text::new(slot.id.as_str()),
            name: Text::new(&slot.key.0.claims.name),
            reason,
        });
    }

    fn lock(&self) -> VitalGuard<'_, Table> {
        self.table.lock()
    }
}

impl Table {
    /// Makes sure that there is a slot for a new session; returns the one that had to go for it.
    fn make_room(&mut self, key: &Key) -> Result<Option<Slot>, Error> {
        let full = |reason: String| Err(Error::new(ErrorKind::Full, reason));
        let same = self.slots.iter().filter(|slot| slot.key.0 == key.0);
        if same.count() >= MAX_PER_CREDENTIAL {
            return full(format!(
                "{MAX_PER_CREDENTIAL} viewers use this credential already; pair this one by itself"
            ));
        }
        if self.slots.len() < self.max {
            self.displaced.retain(|known| known != key);
            return Ok(None);
        }
        let ranks = self.slots.iter().map(|slot| slot.key.0.rank()).enumerate();
        let lower = ranks.filter(|(_, rank)| *rank < key.0.rank());
        // Slots are oldest first: of the lowest rank the highest index is the newest, who has the
        // least to lose.
        let lowest = lower.min_by_key(|(index, rank)| (*rank, std::cmp::Reverse(*index)));
        match (lowest, self.lent(key)) {
            (Some((index, _)), _) => {
                let displaced = self.slots.remove(index);
                if self.displaced.len() >= MAX_DISPLACED {
                    self.displaced.remove(0);
                }
                self.displaced.push(displaced.key.clone());
                Ok(Some(displaced))
            }
            (None, Some(index)) => Ok(Some(self.slots.remove(index))),
            (None, None) if self.displaced.contains(key) => full(
                "the device's owner needed this place and was given it; try again when a viewer has left".to_owned(),
            ),
            (None, None) => full(match self.max {
                1 => "a viewer is connected, and the device takes one; try again when it has left".to_owned(),
                max => format!(
                    "{max} viewers are connected, which is all that the device takes; try again when one has left"
                ),
            }),
        }
    }
}

impl Table {
    fn lent(&self, (holder, _): &Key) -> Option<usize> {
        let slots = self.slots.iter().map(|slot| &slot.key.0);
        let answers: Vec<_> = slots
            .map(|holder| (holder.rank(), holder.answers()))
            .collect();
        let taken: Vec<_> = answers
            .iter()
            .map(|(rank, answers)| (*rank, &**answers))
            .collect();
        permits::lent(&taken, self.max, holder.rank(), &holder.answers())
    }
}

impl Session {
    /// The viewer's credential.
    pub fn holder(&self) -> &Holder {
        &self.key.0
    }

    /// The viewer, as which all connections of the session are known.
    pub fn id(&self) -> &ViewerId {
        &self.id
    }

    /// Token that is cancelled when the device ends this connection's part in the session.
    pub fn ends(&self) -> &CancellationToken {
        &self.ends
    }

    /// Returns whether this connection is still part of its session.
    pub fn is_open(&self) -> bool {
        let table = self.sessions.lock();
        let slot = table.slots.iter().find(|slot| slot.key == self.key);
        slot.is_some_and(|slot| {
            slot.connections
                .iter()
                .any(|(serial, _)| *serial == self.serial)
        })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // If the device has ended the session its slot is gone, or another's with the same key.
        let mut table = self.sessions.lock();
        let Some(index) = table.slots.iter().position(|slot| slot.key == self.key) else {
            return;
        };
        let connections = &mut table.slots[index].connections;
        connections.retain(|(serial, _)| *serial != self.serial);
        if connections.is_empty() {
            let slot = table.slots.remove(index);
            self.sessions.note_left(&slot, "viewer left");
        }
    }
}

impl Drop for SequelEntry {
    fn drop(&mut self) {
        let mut table = self.sessions.lock();
        table.sequels.retain(|(serial, ..)| *serial != self.serial);
    }
}

#[cfg(test)]
mod tests;
