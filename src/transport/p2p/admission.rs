use std::time::Instant;

use crate::proto::network::Source;

/// Handshakes in a second, in the long run: of all, and of one source.
const RATE: [f64; 2] = [50.0, 10.0];
/// Handshakes at once after a quiet time, likewise.
const BURST: [f64; 2] = [100.0, 40.0];
/// Sources that are told apart; the one that was quiet for longest is forgotten.
const MAX_SOURCES: usize = 64;
/// So many peers that have proved nothing may be there before a further one has to show that it
/// has the address it writes from.
const UNCHECKED_NOBODIES: usize = 4;

/// What is done with a peer that knocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may make its handshake.
    Handshake,
    /// It must show first that it has its address, which costs it a round trip and the device
    /// nothing.
    ShowAddress,
    /// It is not answered now; its own repetition comes later.
    NotNow,
}

/// Bounds what strangers cost: a handshake is a few milliseconds of a small processor.
///
/// Bound: 50 handshakes in a second, 100 at once; of one source (all that comes through a relay is
/// one) 10 and 40, so that a flood leaves room for others. What is over is not answered, and QUIC
/// knocks again after a second.
#[derive(Debug)]
pub struct Admissions {
    all: Bucket,
    sources: Vec<(Source, Bucket)>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    since: Instant,
}

impl Admissions {
    /// Full buckets.
    pub fn new(now: Instant) -> Self {
        Self {
            all: Bucket {
                left: BURST[0],
                since: now,
            },
            sources: Vec::new(),
        }
    }

    /// What is done with the next one, from this source. `nobodies` have proved nothing yet.
    pub fn next(
        &mut self,
        source: Source,
        has_address: bool,
        nobodies: usize,
        now: Instant,
    ) -> Admission {
        if !has_address && nobodies >= UNCHECKED_NOBODIES {
            return Admission::ShowAddress;
        }
        let own = match self.sources.iter().position(|(known, _)| *known == source) {
            Some(index) => index,
            None => {
                if self.sources.len() >= MAX_SOURCES {
                    let quietest = (0..MAX_SOURCES).min_by_key(|at| self.sources[*at].1.since);
                    self.sources.swap_remove(quietest.unwrap_or_default());
                }
                let bucket = Bucket {
                    left: BURST[1],
                    since: now,
                };
                self.sources.push((source, bucket));
                self.sources.len() - 1
            }
        };
        let is_let_in = self.sources[own].1.take(RATE[1], BURST[1], now)
            && self.all.take(RATE[0], BURST[0], now);
        match is_let_in {
            true => Admission::Handshake,
            false => Admission::NotNow,
        }
    }
}

impl Bucket {
    fn take(&mut self, rate: f64, burst: f64, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.since).as_secs_f64();
        self.since = now;
        self.left = (self.left + passed * rate).min(burst);
        if self.left < 1.0 {
            return false;
        }
        self.left -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, time::Duration};

    use super::*;

    fn source(number: u32) -> Source {
        Source::of(Ipv4Addr::from_bits(number).into())
    }

    #[test]
    fn a_flood_is_cut_and_leaves_room_for_others() {
        let start = Instant::now();
        let mut admissions = Admissions::new(start);
        let mut let_in = |from: Source, now, count: usize| {
            let verdicts = (0..count).map(|_| admissions.next(from, true, 0, now));
            verdicts
                .filter(|verdict| *verdict == Admission::Handshake)
                .count()
        };
        assert_eq!(let_in(source(1), start, 1000), 40);
        assert_eq!(let_in(source(2), start, 1), 1);
        assert_eq!(let_in(Source::Relay, start, 1000), 40);
        let later = start + Duration::from_secs(1);
        assert_eq!(let_in(source(1), later, 1000), 10);
        assert_eq!(let_in(source(2), later, 1), 1);
        let mut many = |now| -> usize { (10..1010).map(|n| let_in(source(n), now, 1)).sum() };
        assert!(many(later) <= 100);
        assert_eq!(many(later + Duration::from_secs(2)), 100, "of all together");
    }

    #[test]
    fn strangers_in_number_have_to_show_their_address() {
        let now = Instant::now();
        let mut admissions = Admissions::new(now);
        let mut next = |has, nobodies| admissions.next(source(1), has, nobodies, now);
        assert_eq!(next(false, 3), Admission::Handshake);
        assert_eq!(next(false, 4), Admission::ShowAddress);
        assert_eq!(next(true, 4), Admission::Handshake);
    }
}
