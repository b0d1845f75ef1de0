//! Connections under load: who goes for whom, and how soon an owner is in under a flood.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::*;
use crate::{ProvenSources, UnauthenticatedLimiter};

const PEER: Peer = Peer::At(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1));
const SECOND: Duration = Duration::from_secs(1);

fn has_ended(activity: &ConnectionEntry) -> bool {
    activity.shared.lock().ended
}

impl Connections {
    /// Connections that are open.
    fn count(&self) -> usize {
        self.all().len()
    }
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

const ROOM: UnauthenticatedLimits = UnauthenticatedLimits {
    max: 96,
    of_source: 32,
    reserved: 4,
};

fn at(address: u32) -> Peer {
    Peer::At(SocketAddr::from((Ipv4Addr::from_bits(address), 1)))
}

fn sealed(max: usize, unauthenticated: UnauthenticatedLimits) -> Connections {
    Connections::new(max, Timeouts::default(), Metrics::default())
        .with_unauthenticated(unauthenticated)
}

fn entrance(places: usize, now: Instant) -> UnauthenticatedLimiter {
    UnauthenticatedLimiter::new(ProvenSources::default(), places, [1; 36], now)
}

fn admit_authenticated(activity: &ConnectionEntry, rank: Rank, whose: &str) -> bool {
    activity.proved(rank, &whose.into(), Instant::now())
}

#[test]
fn a_flood_of_one_source_displaces_itself() {
    let connections = sealed(1000, ROOM);
    let start = Instant::now();
    let from = |last, seconds: u32| {
        let now = start + seconds * SECOND;
        let admitted = connections.admit(at(last), Standing::Unauthenticated(Ticket::None), now);
        admitted.expect("room")
    };
    let owner = from(1, 0);
    let flood: Vec<_> = (1..200).map(|second| from(2, second)).collect();
    assert!(!has_ended(&owner), "the owner is older than all of them");
    let is_there = |one: &&ConnectionEntry| !has_ended(one);
    assert_eq!(flood.iter().filter(is_there).count(), ROOM.of_source);
    let newest = flood.iter().rev().take(ROOM.of_source);
    assert!(newest.clone().all(|one| !has_ended(one)));
    assert!(admit_authenticated(&owner, Rank::Guest, "owner"));
    assert_eq!(connections.unauthenticated(), ROOM.of_source);
}

#[test]
fn a_ticket_keeps_its_place_for_a_while_and_a_better_one_takes_it() {
    let room = UnauthenticatedLimits {
        max: 2,
        of_source: 2,
        reserved: 0,
    };
    let start = Instant::now();
    let connections = sealed(9, room);
    let admit = |source, ticket, millis| {
        let now = start + Duration::from_millis(millis);
        connections.admit(at(source), Standing::Unauthenticated(ticket), now)
    };
    let turn = admit(1, Ticket::Turn, 0).expect("room");
    let stranger = admit(2, Ticket::None, 0).expect("room");
    let other = admit(3, Ticket::Turn, 1).expect("the stranger's");
    assert!(has_ended(&stranger) && !has_ended(&turn));
    assert!(
        admit(4, Ticket::None, 2).is_none(),
        "both keep their places"
    );
    assert!(admit(5, Ticket::Turn, 3).is_none(), "against its like too");
    let known = admit(6, Ticket::Known, 4).expect("the older turn's");
    assert!(has_ended(&turn) && !has_ended(&other));
    let late = admit(7, Ticket::None, 450).expect("the turn is over");
    assert!(has_ended(&other) && !has_ended(&known));
    late.show(Ticket::Turn, start + Duration::from_millis(460));
    assert!(admit(8, Ticket::Turn, 500).is_none());
    assert!(admit(8, Ticket::None, 3000).is_some());
}

#[test]
fn those_that_have_proved_themselves_leave_places_to_those_that_have_not() {
    let connections = sealed(16, ROOM);
    let start = Instant::now();
    let admit = |source| {
        // A stranger has nothing for it.
        let ticket = match source {
            100..200 => Ticket::None,
            _ => Ticket::Turn,
        };
        let standing = Standing::Unauthenticated(ticket);
        connections
            .admit(at(source), standing, start)
            .expect("a place for strangers")
    };
    let mut guests = Vec::new();
    for number in 0..40 {
        let guest = admit(number);
        let has_place = admit_authenticated(&guest, Rank::Guest, &format!("guest {}", number % 3));
        assert!(has_place, "of one like itself that waits");
        guests.push(guest);
    }
    let open = |guests: &[ConnectionEntry]| guests.iter().filter(|one| !has_ended(one)).count();
    assert_eq!(open(&guests), 12);
    // Strangers take nothing from them.
    let strangers: Vec<_> = (100..200).map(admit).collect();
    assert_eq!((open(&guests), open(&strangers)), (12, 4));
    // The owner gets the place of one that waits, and where all are served, of the one with most.
    let owner = admit(200);
    assert!(admit_authenticated(&owner, Rank::Owner, "owner"));
    assert_eq!(open(&guests), 11);
    let serving: Vec<_> = guests.iter().map(|guest| guest.serve(start)).collect();
    let second = admit(201);
    assert!(admit_authenticated(&second, Rank::Owner, "owner") && open(&guests) == 10);
    let late = admit(202);
    assert!(
        !admit_authenticated(&late, Rank::Guest, "late"),
        "all are served"
    );
    // Of two owners the newer waits, unless the older one does.
    for number in 300..310 {
        let owner = admit(number);
        assert!(admit_authenticated(&owner, Rank::Owner, "owner"));
        let _serving = owner.serve(start);
        guests.push(owner);
    }
    drop(serving);
    assert_eq!(open(&guests[..40]), 0);
}

#[test]
fn a_nobody_has_ten_seconds() {
    let connections = sealed(8, ROOM);
    let [nobody, proved] = [(); 2].map(|()| {
        let standing = Standing::Unauthenticated(Ticket::Turn);
        connections
            .admit(PEER, standing, Instant::now())
            .expect("room")
    });
    assert!(admit_authenticated(&proved, Rank::Guest, "guest"));
    let _serving = [nobody.serve(Instant::now()), proved.serve(Instant::now())];
    connections.sweep(Instant::now() + 9 * SECOND);
    assert!(!has_ended(&nobody));
    connections.sweep(Instant::now() + 11 * SECOND);
    assert!(has_ended(&nobody) && !has_ended(&proved));
}

/// A flood in virtual time: connections that ask for the challenge and stay.
struct Flood {
    connections: Connections,
    entrance: UnauthenticatedLimiter,
    now: Instant,
    sources: u32,
    attempts: u32,
    per_second: u32,
    held: Vec<ConnectionEntry>,
}

impl Flood {
    fn new(sources: u32, per_second: u32, places: usize) -> Self {
        let now = Instant::now();
        let room = UnauthenticatedLimits {
            max: places,
            ..ROOM
        };
        let mut flood = Self {
            connections: sealed(places + 28, room),
            entrance: entrance(places, now),
            now,
            sources,
            attempts: 0,
            per_second,
            held: Vec::new(),
        };
        flood.goes_on(3 * SECOND);
        flood
    }

    fn goes_on(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            let source = 1 + self.attempts % self.sources;
            self.attempts += 1;
            let ticket = self.entrance.ticket(at(source).source(), self.now);
            let standing = Standing::Unauthenticated(ticket);
            self.held
                .extend(self.connections.admit(at(source), standing, self.now));
            self.held.retain(|one| !has_ended(one));
            self.now += SECOND / self.per_second;
        }
        self.connections.sweep(self.now);
    }

    /// Tries from this distance until the peer has proved itself; returns how long that took.
    fn comes(&mut self, source: u32, round_trip: Duration, brings_cookie: bool) -> Duration {
        let came = self.now;
        let mut cookie = None::<String>;
        while self.now - came < 20 * SECOND {
            let (peer, source) = (at(source), at(source).source());
            let standing = Standing::Unauthenticated(self.entrance.ticket(source, self.now));
            let Some(own) = self.connections.admit(peer, standing, self.now) else {
                self.goes_on(Duration::from_millis(150));
                continue;
            };
            if let Some(cookie) = &cookie {
                own.show(self.entrance.ticket_for(cookie, source, self.now), self.now);
            }
            if brings_cookie {
                cookie.get_or_insert_with(|| self.entrance.cookie(source, self.now));
            }
            // The challenge goes there, and the proof comes back.
            self.goes_on(round_trip);
            if !has_ended(&own) && admit_authenticated(&own, Rank::Owner, "owner") {
                return self.now - came;
            }
            self.goes_on(Duration::from_millis(150));
        }
        self.now - came
    }
}

#[test]
fn an_owner_far_away_is_in_soon_under_a_flood() {
    let far = Duration::from_millis(100);
    // From 200 addresses, whoever the owner is, and where there is little memory.
    for places in [96, 32] {
        let mut flood = Flood::new(200, 1600, places);
        for owner in 0..3 {
            let took = flood.comes(10_000 + owner, far, false);
            assert!(took <= 2 * far, "{took:?}");
        }
    }
    // From so many that they cannot be told apart, with the cookie; and where somebody proved
    // itself lately, without.
    let mut flood = Flood::new(20_000, 1600, 96);
    for owner in 0..3 {
        let took = flood.comes(100_000 + owner, far, true);
        assert!(took <= 2 * SECOND, "{took:?}");
        let source = at(200_000 + owner).source();
        flood
            .entrance
            .note_proved(source, &"owner".into(), flood.now);
        let took = flood.comes(200_000 + owner, far, false);
        assert!(took <= 2 * far, "{took:?}");
    }
}

#[test]
fn who_does_not_read_goes_for_a_newcomer_after_a_second_and_a_player_after_five() {
    let connections = Connections::new(3, Timeouts::default(), Metrics::default());
    let admit = |now| connections.admit(PEER, Standing::Trusted, now);
    let start = Instant::now();
    let [player, old, new] = [(); 3].map(|()| admit(start).expect("room"));
    let serving = [&player, &old, &new].map(|one| one.serve(start));
    serving[0].media(Vec::new());
    for one in [&player, &old, &new] {
        one.note_write(true);
    }
    let at = |millis| Instant::now() + Duration::from_millis(millis);
    assert!(admit(start + SECOND / 2).is_none(), "a moment is nothing");
    let second = admit(at(1000)).expect("of the one that does not read for longest");
    assert_eq!([&player, &old, &new].map(has_ended), [false, true, false]);
    let _serving = second.serve(at(1000));
    let third = admit(at(1000)).expect("of the other one");
    assert_eq!([&player, &new].map(has_ended), [false, true]);
    let _third = third.serve(at(1000));
    assert!(admit(at(4000)).is_none(), "a player may stall");
    assert!(admit(at(5000)).is_some() && has_ended(&player));
}

#[test]
fn whoever_has_lost_its_place_and_does_not_hear_of_it_is_ended() {
    use crate::permits::{Claim, Permits};
    let (places, connections) = (
        Permits::new(1),
        Connections::new(8, Timeouts::default(), Metrics::default()),
    );
    let claim = |rank, whose: &str| Claim {
        rank,
        whose: whose.into(),
        answers: whose.into(),
        share: 1,
        replaces_own: false,
    };
    let start = Instant::now();
    let [deaf, other] = [(); 2].map(|()| {
        let admitted = connections.admit(PEER, Standing::Trusted, start);
        admitted.expect("room")
    });
    let serving = [&deaf, &other].map(|one| one.serve(start));
    let place = places.take(claim(Rank::Guest, "a")).expect("free");
    serving[0].media(vec![place.ending()]);
    serving[1].media(Vec::new());
    deaf.note_write(true);
    let sweep = |millis| connections.sweep(start + Duration::from_millis(millis));
    sweep(5000);
    let owner = places.take(claim(Rank::Owner, "o"));
    sweep(6000);
    sweep(6500);
    assert!(owner.is_ok() && !has_ended(&deaf), "it has a second");
    sweep(7000);
    assert!(has_ended(&deaf) && !has_ended(&other));
}

#[test]
fn many_credentials_of_one_back_end_leave_connections_to_others() {
    let connections = sealed(10, ROOM);
    let now = Instant::now();
    let enter = |number: u32, rank, whose: &str| {
        let standing = Standing::Unauthenticated(Ticket::Turn);
        let admitted = connections.admit(at(number), standing, now);
        let activity = admitted.expect("a place for strangers");
        // A long answer.
        std::mem::forget(activity.serve(now));
        let has_place = admit_authenticated(&activity, rank, whose);
        (activity, has_place)
    };
    let shop: Vec<_> = (0..6).map(|n| enter(n, Rank::Guest, "shop")).collect();
    assert!(shop.iter().all(|(_, has_place)| *has_place));
    assert!(!enter(6, Rank::Guest, "shop").1);
    let paired = [7, 8].map(|n| enter(n, Rank::Guest, &format!("local {n}")));
    assert!(paired.iter().all(|(_, has_place)| *has_place));
    assert!(!enter(9, Rank::Guest, "local 9").1, "four are theirs");
    let (_owner, has_place) = enter(10, Rank::Owner, "owner");
    assert!(has_place && paired.iter().all(|(one, _)| !has_ended(one)));
}

#[test]
fn the_newest_goes_whoever_made_room_before() {
    let now = Instant::now();
    // Of six served, one that goes at its entrance and one among those that have proved themselves.
    for by_entrance in [true, false] {
        let connections = sealed(10, ROOM);
        let admit = |number: u32, ticket| {
            let admitted = connections.admit(at(number), Standing::Unauthenticated(ticket), now);
            admitted.expect("a place for strangers")
        };
        let enter = |number, whose: &str| {
            let activity = admit(number, Ticket::Turn);
            let serving = activity.serve(now);
            assert!(admit_authenticated(&activity, Rank::Guest, whose));
            (activity, serving)
        };
        let mut strangers = Vec::new();
        if by_entrance {
            strangers.extend((100..104).map(|number| admit(number, Ticket::None)));
        }
        let mut shop: Vec<_> = (0..6).map(|number| enter(number, "shop")).collect();
        if by_entrance {
            // Of one that came before all of them.
            strangers.push(admit(104, Ticket::None));
            assert_eq!(strangers.iter().filter(|one| has_ended(one)).count(), 1);
        } else {
            let (waits, serving) = shop.remove(1);
            drop(serving);
            shop.push(enter(6, "shop"));
            assert!(has_ended(&waits));
        }
        let _local = enter(7, "local");
        let ended: Vec<_> = shop.iter().map(|(one, _)| has_ended(one)).collect();
        assert_eq!(ended, [false, false, false, false, false, true]);
    }
}
