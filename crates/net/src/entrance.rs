//! Rate limit of those that have not authenticated, by source, and the tickets that it gives.
//!
//! Tables are bounded, and forgetting a source makes nobody richer. Which connection goes for a
//! newcomer is decided in `connections`.

use std::{
    ops::RangeInclusive,
    sync::{Arc, MutexGuard},
    time::{Duration, Instant},
};

use peercam_proto::{cookie, credential::Secret, network::Source};
use peercam_task::boundary::Guarded;

use super::sources::{Bucket, Rate, Sources};

/// Turns of one source in a second, where there are as many places as this: each is a place that
/// nobody else can take for a while, and 200 sources have to have room. Where there are fewer, it
/// is less.
const TURNS: (f64, f64) = (1.0, 96.0);
/// But not less than this.
const LEAST_TURNS: f64 = 0.25;
/// Sources that are told apart.
const MAX_SOURCES: usize = 512;
/// Turns of a source at which somebody proved itself lately.
const TURNS_OF_KNOWN: Rate = Rate {
    per_second: 4.0,
    burst: 8.0,
};
/// Number of such sources that are remembered; the one at which nobody was for longest is
/// forgotten.
const MAX_KNOWN: usize = 32;
/// The same of one party: at home and on the way.
const MAX_OF_PARTY: usize = 2;
/// Time for which they are remembered.
const KNOWN_FOR: Duration = Duration::from_secs(24 * 3600);
/// Age of a cookie that counts, in seconds.
const COOKIE_AGE: RangeInclusive<u32> = 1..=60;
/// Time after somebody was forgotten in which a cookie is needed.
const FORGETFUL: Duration = Duration::from_secs(60);

/// Claim to be let in of a peer that has not authenticated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ticket {
    /// No claim: any other peer may displace it.
    #[default]
    None,
    /// The turn of its source.
    Turn,
    /// A source at which somebody proved itself lately.
    Known,
}

/// Decides who of those that have proved nothing gets a ticket, so that few sources cannot take all
/// places from others: each gets a turn in a second, or in four where places are few (for IPv6 so
/// do the networks around it).
///
/// Bound: 512 sources. Beyond them who is not remembered has to wait; a cookie that it got with a
/// refusal and brings back a second later is as good as being remembered.
#[derive(Clone)]
pub struct UnauthenticatedLimiter {
    turns: Arc<Guarded<Turns>>,
    known: ProvenSources,
    cookies: Arc<Cookies>,
}

struct Turns {
    all: Sources,
    /// Turns of those that have shown a cookie, while there are more than are remembered.
    returning: Sources,
}

/// Sources at which viewers proved themselves lately.
#[derive(Clone, Debug, Default)]
pub struct ProvenSources {
    /// The last one last.
    places: Arc<Guarded<Vec<ProvenSource>>>,
}

#[derive(Debug)]
struct ProvenSource {
    source: Source,
    /// Party that was there last.
    whose: Arc<str>,
    at: Instant,
    turns: Bucket,
}

struct Cookies {
    key: Secret,
    start: Instant,
    /// Random start of the count, so that a cookie does not tell the device's uptime.
    first_second: u32,
}

impl UnauthenticatedLimiter {
    /// An entrance at which nobody has been, to so many places. The random bytes are for cookies.
    pub fn new(known: ProvenSources, places: usize, random: [u8; 36], now: Instant) -> Self {
        let (most, of) = TURNS;
        let turns = Rate {
            per_second: (most * places as f64 / of).clamp(LEAST_TURNS, most),
            burst: 1.0,
        };
        let (first_second, key) = random.split_first_chunk().unwrap_or((&[0; 4], &[]));
        let mut secret = [0; 32];
        secret.copy_from_slice(key);
        Self {
            // A source's count is by itself; at worst somebody has a turn too many.
            turns: Arc::new(Guarded::whole(Turns {
                all: Sources::new(MAX_SOURCES, turns),
                returning: Sources::new(MAX_SOURCES, turns),
            })),
            known,
            cookies: Arc::new(Cookies {
                key: Secret::new(secret),
                start: now,
                first_second: u32::from_be_bytes(*first_second),
            }),
        }
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock()
    }

    /// Returns the ticket of a new connection from this source.
    pub fn ticket(&self, source: Source, now: Instant) -> Ticket {
        if self.known.take(source, now) {
            return Ticket::Known;
        }
        if self.turns().all.take(source, false, now) {
            Ticket::Turn
        } else {
            Ticket::None
        }
    }

    /// Returns the ticket of a connection from this source that shows a cookie.
    pub fn ticket_for(&self, cookie: &str, source: Source, now: Instant) -> Ticket {
        let Cookies { key, .. } = &*self.cookies;
        let made = cookie::read(key, source, cookie);
        let age = made.map(|made| self.cookies.second(now).wrapping_sub(made));
        let counts = age.is_some_and(|age| COOKIE_AGE.contains(&age));
        if !counts {
            return Ticket::None;
        }
        let mut turns = self.turns();
        let has_turn = if turns.all.has_forgotten(FORGETFUL, now) {
            turns.returning.take(source, true, now)
        } else {
            turns.all.take(source, false, now)
        };
        if has_turn { Ticket::Turn } else { Ticket::None }
    }

    /// The cookie of this source at this time.
    pub fn cookie(&self, source: Source, now: Instant) -> String {
        cookie::make(&self.cookies.key, source, self.cookies.second(now))
    }

    /// Notes that somebody has proved itself at this source.
    pub fn note_proved(&self, source: Source, whose: &Arc<str>, now: Instant) {
        self.known.note(source, whose, now);
    }
}

impl std::fmt::Debug for UnauthenticatedLimiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UnauthenticatedLimiter")
            .finish_non_exhaustive()
    }
}

impl Cookies {
    fn second(&self, now: Instant) -> u32 {
        let passed = now.saturating_duration_since(self.start).as_secs();
        // The lower bits are the number of the second, however often it went round.
        #[expect(clippy::cast_possible_truncation)]
        let passed = passed as u32;
        self.first_second.wrapping_add(passed)
    }
}

impl ProvenSources {
    fn places(&self) -> MutexGuard<'_, Vec<ProvenSource>> {
        self.places.lock()
    }

    /// Returns whether somebody proved itself here lately and comes within its rate.
    pub(super) fn take(&self, source: Source, now: Instant) -> bool {
        let mut places = self.places();
        places.retain(|place| now.saturating_duration_since(place.at) < KNOWN_FOR);
        let place = places.iter_mut().find(|place| place.source == source);
        place.is_some_and(|place| place.turns.take(TURNS_OF_KNOWN, 0.0, now))
    }

    /// Notes that somebody has proved itself here.
    pub fn note(&self, source: Source, whose: &Arc<str>, now: Instant) {
        // Who is behind a relay cannot be told from anybody else there.
        if source == Source::Relay {
            return;
        }
        let mut places = self.places();
        let before = places.iter().position(|place| place.source == source);
        let turns = match before {
            Some(index) => places.remove(index).turns,
            None => Bucket::full(TURNS_OF_KNOWN, now),
        };
        let is_own = |place: &ProvenSource| place.whose == *whose;
        let own = places.iter().filter(|place| is_own(place)).count();
        if own >= MAX_OF_PARTY || places.len() >= MAX_KNOWN {
            let is_from_own = own >= MAX_OF_PARTY;
            let oldest = places
                .iter()
                .position(|place| !is_from_own || is_own(place));
            places.remove(oldest.unwrap_or_default());
        }
        places.push(ProvenSource {
            source,
            whose: Arc::clone(whose),
            at: now,
            turns,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn source(number: u32) -> Source {
        Source::of(Ipv4Addr::from_bits(number).into())
    }

    #[test]
    fn a_source_has_a_turn_in_a_second() {
        let start = Instant::now();
        let entrance = UnauthenticatedLimiter::new(ProvenSources::default(), 96, [7; 36], start);
        let tickets = |from, now| (0..9).map(move |_| (from, now));
        let turns = |from, now| {
            let tickets = tickets(from, now).map(|(from, now)| entrance.ticket(from, now));
            tickets.filter(|ticket| *ticket == Ticket::Turn).count()
        };
        assert_eq!(turns(source(1), start), 1);
        assert_eq!(turns(source(2), start), 1);
        assert_eq!(turns(source(1), start + SECOND / 2), 0);
        assert_eq!(turns(source(1), start + SECOND), 1);
        entrance.note_proved(source(1), &"phone".into(), start + SECOND);
        let known = |now| {
            let tickets = (0..99).map(|_| entrance.ticket(source(1), now));
            tickets.filter(|ticket| *ticket == Ticket::Known).count()
        };
        assert_eq!(known(start + SECOND), 8);
        assert_eq!(known(start + 2 * SECOND), 4);
        assert_eq!(known(start + SECOND + KNOWN_FOR), 0);
    }

    #[test]
    fn a_cookie_counts_a_second_later_and_not_for_long() {
        let start = Instant::now();
        let entrance = UnauthenticatedLimiter::new(ProvenSources::default(), 96, [0xff; 36], start);
        let cookie = entrance.cookie(source(1), start);
        let shown = |from, seconds: u32| {
            entrance.ticket_for(&cookie, source(from), start + seconds * SECOND)
        };
        assert_eq!(shown(1, 0), Ticket::None);
        assert_eq!(shown(2, 1), Ticket::None, "it is another's");
        assert_eq!(shown(1, 1), Ticket::Turn);
        assert_eq!(shown(1, 1), Ticket::None, "as often as others");
        assert_eq!(shown(1, 60), Ticket::Turn);
        assert_eq!(shown(1, 62), Ticket::None);
    }

    #[test]
    fn one_guest_is_known_at_two_places() {
        let now = Instant::now();
        let known = ProvenSources::default();
        known.note(source(1), &"owner".into(), now);
        for number in 10..100 {
            known.note(source(number), &"guest".into(), now);
        }
        let found = (0..100).filter(|number| known.take(source(*number), now));
        assert_eq!(found.collect::<Vec<_>>(), [1, 98, 99]);
    }
}
