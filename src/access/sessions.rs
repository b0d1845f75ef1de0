use std::{sync::Arc, time::Instant};

use super::{holder::Holder, metrics::Metrics, store::random};
use crate::{
    boundary::{Vital, VitalGuard},
    device::Places,
    error::{Error, ErrorKind},
    proto::{credential::EndpointId, encoding::base64, text::Printable},
};

/// How many viewers may share one credential at a time, each from an endpoint of its own.
const MAX_PER_CREDENTIAL: usize = 2;
/// How many connections one session has; a further one ends the oldest. So no guest has all places
/// for viewers or connections.
pub const CONNECTIONS_OF_SESSION: usize = 6;
/// How many displaced viewers are remembered, to be told why.
const MAX_DISPLACED: usize = 16;

/// Who is there: viewers that proved themselves.
///
/// A session's slot is a credential at an endpoint (over TCP there is no endpoint id), so a viewer
/// that comes again, and its ghost that has not gone yet, share one. Bound: `max` slots, two for
/// each credential, six connections for each slot. When all are taken, a credential of a higher
/// [`Rank`](crate::proto::credential::Rank) displaces the newest of the lowest; others are refused.
#[derive(Clone)]
pub struct Sessions {
    table: Arc<Vital<Table>>,
    metrics: Metrics,
}

struct Table {
    max: usize,
    /// Oldest first.
    slots: Vec<Slot>,
    /// Oldest first.
    displaced: Vec<Key>,
    next_serial: u64,
}

/// A credential as a whole, not its id: whoever holds a mint key chooses ids as it likes.
type Key = (Arc<Holder>, Option<EndpointId>);
/// Ends a connection; the word is for log and metrics.
type End = Box<dyn Fn(&'static str) + Send + Sync>;

struct Slot {
    id: SessionId,
    since: Instant,
    key: Key,
    requests: Places,
    /// The connections of the session, by serial number.
    connections: Vec<(u64, End)>,
}

/// Names a session to programs on the device: random, so that it is nobody else's, and no secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionId(String);

impl SessionId {
    fn new() -> Result<Self, Error> {
        let bytes: [u8; 9] =
            random().map_err(|error| Error::new(ErrorKind::Unavailable, error.to_string()))?;
        Ok(Self(base64(&bytes)))
    }

    /// 12 characters of base64url.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A session, as it is listed.
#[derive(Clone, Debug)]
pub struct SessionView {
    /// Its name.
    pub id: SessionId,
    /// Whose it is.
    pub holder: Arc<Holder>,
    /// The viewer's endpoint; over TCP it has none.
    pub endpoint: Option<EndpointId>,
    /// When it began.
    pub since: Instant,
}

/// One connection's part in a session. Dropping it lets go; the slot is free when its last
/// connection has gone.
pub struct Session {
    sessions: Sessions,
    id: SessionId,
    key: Key,
    serial: u64,
    /// Requests that it has under way.
    pub requests: Places,
}

impl Sessions {
    /// Room for `max` sessions.
    pub fn new(max: usize, metrics: Metrics) -> Self {
        let table = Table {
            max,
            slots: Vec::new(),
            displaced: Vec::new(),
            next_serial: 0,
        };
        Self {
            table: Arc::new(Vital::new(table)),
            metrics,
        }
    }

    /// Lets a viewer in that has proved itself. `end` ends the connection on which it did.
    ///
    /// # Errors
    /// [`ErrorKind::Full`] with a reason that its player can show.
    pub fn enter(
        &self,
        holder: Holder,
        endpoint: Option<EndpointId>,
        end: impl Fn(&'static str) + Send + Sync + 'static,
    ) -> Result<Session, Error> {
        let (key, fresh) = ((Arc::new(holder), endpoint), SessionId::new()?);
        let mut table = self.lock();
        let displaced = match table.slots.iter().any(|slot| slot.key == key) {
            true => None,
            false => table.make_room(&key)?,
        };
        let serial = table.next_serial;
        table.next_serial += 1;
        let slot = table.slots.iter_mut().find(|slot| slot.key == key);
        let connection: (u64, End) = (serial, Box::new(end));
        let mut one_too_many = None;
        let (id, requests) = match slot {
            Some(slot) => {
                slot.connections.push(connection);
                if slot.connections.len() > CONNECTIONS_OF_SESSION {
                    one_too_many = Some(slot.connections.remove(0).1);
                }
                (slot.id.clone(), slot.requests.clone())
            }
            None => {
                self.metrics.sessions.inc();
                let requests = Places::default();
                table.slots.push(Slot {
                    id: fresh.clone(),
                    since: Instant::now(),
                    key: key.clone(),
                    requests: requests.clone(),
                    connections: vec![connection],
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
            requests,
        })
    }

    /// Ends those for which `reason` gives one.
    pub fn end_where(&self, reason: impl Fn(&Holder) -> Option<&'static str>) {
        let mut ended = Vec::new();
        {
            let mut table = self.lock();
            let slots = std::mem::take(&mut table.slots);
            for slot in slots {
                match reason(&slot.key.0) {
                    Some(reason) => ended.push((slot, reason)),
                    None => table.slots.push(slot),
                }
            }
        }
        for (slot, reason) in ended {
            self.end(Some(slot), reason);
        }
    }

    /// Whether the session of this id is there.
    pub fn contains(&self, id: &str) -> bool {
        self.lock().slots.iter().any(|slot| slot.id.as_str() == id)
    }

    /// Those that are there, oldest first.
    pub fn list(&self) -> Vec<SessionView> {
        let table = self.lock();
        let view = |slot: &Slot| SessionView {
            id: slot.id.clone(),
            holder: Arc::clone(&slot.key.0),
            endpoint: slot.key.1,
            since: slot.since,
        };
        table.slots.iter().map(view).collect()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.lock().slots.len()
    }

    /// Ends the connections of a slot that was taken out of the table.
    fn end(&self, slot: Option<Slot>, reason: &'static str) {
        let Some(slot) = slot else { return };
        self.metrics.sessions.dec();
        self.metrics.ended(reason);
        let claims = &slot.key.0.claims;
        tracing::info!(viewer = %Printable(&claims.name), credential = %claims.id, reason, "session ended by the device");
        for (_, end) in &slot.connections {
            end(reason);
        }
    }

    fn lock(&self) -> VitalGuard<'_, Table> {
        self.table.lock()
    }
}

impl Table {
    /// Makes sure that there is a slot for a new session; gives the one that had to go for it.
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
        match lower.min_by_key(|(index, rank)| (*rank, std::cmp::Reverse(*index))) {
            Some((index, _)) => {
                let displaced = self.slots.remove(index);
                if self.displaced.len() >= MAX_DISPLACED {
                    self.displaced.remove(0);
                }
                self.displaced.push(displaced.key.clone());
                Ok(Some(displaced))
            }
            None if self.displaced.contains(key) => full(
                "the device's owner needed this place and was given it; try again when a viewer has left".to_owned(),
            ),
            None => full(match self.max {
                1 => "a viewer is connected, and the device takes one; try again when it has left".to_owned(),
                max => format!(
                    "{max} viewers are connected, which is all that the device takes; try again when one has left"
                ),
            }),
        }
    }
}

impl Session {
    /// The viewer's credential.
    pub fn holder(&self) -> &Holder {
        &self.key.0
    }

    /// The session's name, which all its connections share.
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    /// Whether it still has its slot.
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
        let mut table = self.sessions.lock();
        let Some(index) = table.slots.iter().position(|slot| slot.key == self.key) else {
            return;
        };
        let connections = &mut table.slots[index].connections;
        connections.retain(|(serial, _)| *serial != self.serial);
        if connections.is_empty() {
            table.slots.remove(index);
            self.sessions.metrics.sessions.dec();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::proto::{
        credential::{Channels, Claims, CredentialId, Scope, Scopes},
        local::has_form_of_session_id,
    };

    fn holder(id: u8, scope: Scope) -> Holder {
        let claims = Claims {
            id: CredentialId::new([id; 16]),
            name: format!("viewer {id}"),
            scopes: Scopes::from_iter([Scope::Live, scope]),
            channels: Channels::All,
            expires: None,
            peer: None,
        };
        Holder {
            issuer: "local".to_owned(),
            epoch: 0,
            rights: claims.rights(),
            claims,
        }
    }

    fn guest(sessions: &Sessions, id: u8, endpoint: Option<u8>) -> Result<Session, Error> {
        let endpoint = endpoint.map(|byte| EndpointId::new([byte; 32]));
        sessions.enter(holder(id, Scope::Voice), endpoint, |_| ())
    }

    #[test]
    fn ids_have_the_form_that_others_may_not_have() {
        for _ in 0..100 {
            let id = SessionId::new().expect("random numbers");
            assert!(has_form_of_session_id(id.as_str()), "{id:?}");
        }
        for text in [
            "",
            "127.0.0.1",
            "open:abcdefg",
            "abcdefghijk",
            "abcdefghijklm",
            "abcdefghijk=",
        ] {
            assert!(!has_form_of_session_id(text), "{text}");
        }
    }

    #[test]
    fn whoever_comes_again_has_its_old_place() {
        let sessions = Sessions::new(2, Metrics::default());
        let first = guest(&sessions, 1, Some(1)).expect("room");
        let again: Vec<_> = (0..50)
            .map(|_| guest(&sessions, 1, Some(1)).expect("the same place"))
            .collect();
        assert_eq!(sessions.count(), 1);
        let listed = sessions.list();
        assert!(again.iter().all(|session| *session.id() == listed[0].id));
        assert_eq!(listed[0].id.as_str().len(), 12);
        drop(first);
        assert_eq!(sessions.count(), 1, "others of it are there");
        drop(again);
        assert_eq!(sessions.count(), 0);
    }

    #[test]
    fn one_credential_cannot_take_all_places() {
        let sessions = Sessions::new(4, Metrics::default());
        let kept: Vec<_> = (0..50)
            .map(|endpoint| guest(&sessions, 1, Some(endpoint)))
            .collect();
        assert_eq!(kept.iter().filter(|session| session.is_ok()).count(), 2);
        let error = kept[2].as_ref().err().expect("refused");
        assert!(
            error.reason().contains("pair this one by itself"),
            "{error}"
        );
        assert!(
            guest(&sessions, 2, Some(9)).is_ok(),
            "there is room for others"
        );
    }

    #[test]
    fn the_owner_gets_a_place_and_who_had_it_is_told() {
        let sessions = Sessions::new(2, Metrics::default());
        let ended = Arc::new(AtomicUsize::new(0));
        let _first = guest(&sessions, 1, None).expect("room");
        let counted = Arc::clone(&ended);
        let second = sessions
            .enter(holder(2, Scope::Voice), None, move |reason| {
                assert_eq!(reason, "displaced");
                counted.fetch_add(1, Ordering::SeqCst);
            })
            .expect("room");
        assert!(
            guest(&sessions, 3, None)
                .err()
                .expect("full")
                .reason()
                .contains("2 viewers")
        );
        let owner = sessions
            .enter(holder(9, Scope::Admin), None, |_| ())
            .expect("makes room");
        assert_eq!(ended.load(Ordering::SeqCst), 1);
        assert!(!second.is_open() && owner.is_open());
        drop(second);
        assert_eq!(
            sessions.count(),
            2,
            "what was displaced frees nobody else's place"
        );
        let told = guest(&sessions, 2, None).err().expect("full");
        assert!(told.reason().contains("owner"), "{told}");
        // Owners do not displace each other.
        let other = sessions
            .enter(holder(8, Scope::Admin), None, |_| ())
            .expect("makes room");
        assert!(owner.is_open() && other.is_open());
        assert!(
            sessions
                .enter(holder(7, Scope::Admin), None, |_| ())
                .is_err()
        );
    }

    #[test]
    fn an_admin_of_a_back_end_gets_a_guests_place_and_never_the_owners() {
        let sessions = Sessions::new(2, Metrics::default());
        let enter = |id, issuer: &str, scope| {
            let mut holder = holder(id, scope);
            holder.issuer = issuer.to_owned();
            sessions.enter(holder, None, |_| ())
        };
        let owner = enter(1, "local", Scope::Admin).expect("room");
        let guest = enter(2, "local", Scope::Voice).expect("room");
        let minted = enter(3, "shop", Scope::Admin).expect("makes room");
        assert!(owner.is_open() && !guest.is_open());
        assert!(
            enter(4, "shop", Scope::Admin).is_err(),
            "nor one of its own"
        );
        let second = enter(5, "local", Scope::Admin).expect("makes room");
        assert!(owner.is_open() && second.is_open() && !minted.is_open());
        assert!(enter(6, "local", Scope::Admin).is_err(), "the newer waits");
    }

    #[test]
    fn sessions_end_by_what_their_credential_says() {
        let sessions = Sessions::new(4, Metrics::default());
        let kept = guest(&sessions, 1, None).expect("room");
        let revoked = guest(&sessions, 2, None).expect("room");
        sessions.end_where(|holder| {
            (holder.claims.id == CredentialId::new([2; 16])).then_some("revoked")
        });
        assert!(kept.is_open() && !revoked.is_open());
        assert_eq!(sessions.count(), 1);
    }

    #[test]
    fn credentials_with_one_id_are_judged_each_for_itself() {
        let sessions = Sessions::new(4, Metrics::default());
        let own = guest(&sessions, 1, None).expect("room");
        let mut minted = holder(1, Scope::Voice);
        minted.issuer = "shop".to_owned();
        let minted = sessions.enter(minted, None, |_| ()).expect("room");
        sessions.end_where(|holder| (holder.issuer == "shop").then_some("revoked"));
        assert!(own.is_open() && !minted.is_open());
    }

    #[test]
    fn one_viewer_has_a_few_connections_and_the_newest_are_kept() {
        let sessions = Sessions::new(4, Metrics::default());
        let ended = Arc::new(AtomicUsize::new(0));
        let all: Vec<_> = (0..20)
            .map(|_| {
                let ended = Arc::clone(&ended);
                let end = move |_: &'static str| {
                    ended.fetch_add(1, Ordering::SeqCst);
                };
                sessions
                    .enter(holder(1, Scope::Voice), None, end)
                    .expect("the same place")
            })
            .collect();
        assert_eq!(ended.load(Ordering::SeqCst), 20 - CONNECTIONS_OF_SESSION);
        assert!(!all[13].is_open() && all[14].is_open() && all[19].is_open());
    }
}
