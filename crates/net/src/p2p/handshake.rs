//! Rate limit of QUIC handshakes, by source.
//!
//! No flood keeps a source waiting that comes rarely. Connections after the handshake are counted
//! in `connections`.

use std::time::Instant;

use peercam_proto::network::Source;

use crate::{
    ProvenSources, Ticket,
    sources::{Bucket, Rate, Sources},
};

/// Handshakes of sources that have not had one for a minute: 200 of them may come at once, and
/// another one is not kept waiting.
const FIRST_OF_ALL: Rate = Rate {
    per_second: 20.0,
    burst: 250.0,
};
/// Rate of such handshakes of one source.
const FIRST: Rate = Rate {
    per_second: 1.0 / 60.0,
    burst: 1.0,
};
/// Further handshakes of all.
const ALL: Rate = Rate {
    per_second: 40.0,
    burst: 80.0,
};
/// Number of those that are kept for sources whose turn it is.
const KEPT: f64 = 40.0;
/// Turns of one source.
const TURNS: Rate = Rate {
    per_second: 0.1,
    burst: 1.0,
};
/// Handshakes of one source, while there are more than are kept.
const OWN: Rate = Rate {
    per_second: 10.0,
    burst: 40.0,
};
/// Sources that are told apart.
const MAX_SOURCES: usize = 512;

/// Decision about a handshake that a peer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeDecision {
    /// The handshake goes on.
    Accept(Ticket),
    /// A Retry (RFC 9000 §8.1.2): the peer validates its address first, which costs it a round trip
    /// and the device nothing.
    Retry,
    /// No answer now; the peer's own repetition comes later.
    Ignore,
}

/// Bounds what strangers cost: a handshake is a few milliseconds of a small processor.
///
/// Bound: 60 handshakes in a second, 330 at once. 20 and 250 of these are for sources (for IPv6
/// also the networks around them; all that comes through a relay is ten) that have not had one for
/// a minute, which keep their place for a while. Of the rest one source has 10 and 40 as long as
/// half of them is left, and one in 10 s of the other half. A source at which somebody proved
/// itself lately does not wait at all. What is over is not answered, and QUIC knocks again after a
/// second.
#[derive(Debug)]
pub struct HandshakeLimiter {
    first_of_all: Bucket,
    all: Bucket,
    first: Sources,
    turns: Sources,
    own: Sources,
    known: ProvenSources,
}

impl HandshakeLimiter {
    /// Full buckets.
    pub fn new(known: ProvenSources, now: Instant) -> Self {
        Self {
            first_of_all: Bucket::full(FIRST_OF_ALL, now),
            all: Bucket::full(ALL, now),
            first: Sources::new(MAX_SOURCES, FIRST),
            turns: Sources::new(MAX_SOURCES, TURNS),
            own: Sources::new(MAX_SOURCES, OWN),
            known,
        }
    }

    /// Decides about the next one, from this source, whose address is validated or not.
    /// `unauthenticated` have proved nothing yet.
    pub fn next(
        &mut self,
        (source, has_address): (Source, bool),
        unauthenticated: usize,
        now: Instant,
    ) -> HandshakeDecision {
        if !has_address && unauthenticated > 0 {
            return HandshakeDecision::Retry;
        }
        if self.known.take(source, now) {
            return HandshakeDecision::Accept(Ticket::Known);
        }
        let has_first = self.first_of_all.left(FIRST_OF_ALL, now) >= 1.0;
        if has_first && self.first.take(source, false, now) {
            self.first_of_all.take(FIRST_OF_ALL, 0.0, now);
            return HandshakeDecision::Accept(Ticket::Turn);
        }
        let left = self.all.left(ALL, now);
        let is_let_in = left >= 1.0 && self.turns.take(source, false, now)
            || left >= 1.0 + KEPT && self.own.take(source, false, now);
        if !is_let_in {
            return HandshakeDecision::Ignore;
        }
        self.all.take(ALL, 0.0, now);
        HandshakeDecision::Accept(Ticket::None)
    }
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, time::Duration};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn source(number: u32) -> Source {
        Source::of(Ipv4Addr::from_bits(number).into())
    }

    fn let_in(
        handshakes: &mut HandshakeLimiter,
        from: Source,
        now: Instant,
        count: usize,
    ) -> usize {
        let verdicts = (0..count).map(|_| handshakes.next((from, true), 0, now));
        let verdicts = verdicts.filter(|verdict| matches!(verdict, HandshakeDecision::Accept(_)));
        verdicts.count()
    }

    #[test]
    fn a_flood_is_cut_and_leaves_room_for_others() {
        let start = Instant::now();
        let mut handshakes = HandshakeLimiter::new(ProvenSources::default(), start);
        let mut let_in = |from, now, count| let_in(&mut handshakes, from, now, count);
        assert_eq!(let_in(source(1), start, 1000), 41);
        assert_eq!(let_in(source(2), start, 1000), 2, "half is kept for turns");
        assert_eq!(let_in(Source::Relay, start, 1000), 20, "those behind it");
        let mut many = |now| -> usize { (10..1010).map(|n| let_in(source(n), now, 1)).sum() };
        assert_eq!(many(start), 330 - 41 - 2 - 20, "of all together");
        let later = start + 2 * SECOND;
        assert_eq!(many(later), 2 * 60);
        assert_eq!(many(later), 0);
    }

    #[test]
    fn strangers_have_to_show_their_address() {
        let now = Instant::now();
        let mut handshakes = HandshakeLimiter::new(ProvenSources::default(), now);
        let mut next =
            |has, unauthenticated| handshakes.next((source(1), has), unauthenticated, now);
        assert_eq!(next(false, 0), HandshakeDecision::Accept(Ticket::Turn));
        assert_eq!(next(false, 1), HandshakeDecision::Retry);
        assert!(matches!(next(true, 1), HandshakeDecision::Accept(_)));
    }

    #[test]
    fn two_hundred_sources_do_not_keep_another_one_waiting() {
        let start = Instant::now();
        let known = ProvenSources::default();
        let mut handshakes = HandshakeLimiter::new(known.clone(), start);
        for second in 0..60 {
            let from = start + second * SECOND;
            let mut flooded = 0;
            for attempt in 0..2000 {
                let at = from + attempt * Duration::from_micros(500);
                flooded += let_in(&mut handshakes, source(attempt % 200), at, 1);
            }
            // Somebody else every second.
            let owner = source(1000 + second);
            let got_in = let_in(&mut handshakes, owner, from + SECOND, 1);
            assert_eq!(got_in, 1, "after {second} s");
            assert!(second == 0 || flooded <= 100, "{flooded} in a second");
            // Where somebody proved itself there is no waiting from the first moment on.
            known.note(source(5000), &"owner".into(), from);
            assert_eq!(let_in(&mut handshakes, source(5000), from, 1), 1);
        }
    }
}
