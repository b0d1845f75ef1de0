//! Token buckets by source: hosts, and the IPv6 networks around them.
//!
//! The table is bounded, and a source that is forgotten does not come back richer. What a token is
//! for, and the rates, belong to the caller.

use std::time::{Duration, Instant};

use peercam_proto::network::{Network, Source};

/// Rate limit by source: a token bucket for its host, and for IPv6 for the networks
/// around it too, of which each has to have something left.
///
/// Bound: `max` buckets. For one more the fullest goes if it is full, which loses nothing, else the
/// emptiest. Since then whoever is not remembered starts empty, with what it would have if it had
/// been forgotten then: forgetting makes nobody richer.
#[derive(Debug)]
pub(super) struct Sources {
    known: Vec<(Network, Bucket)>,
    max: usize,
    rate: Rate,
    /// Time at which somebody was forgotten last whose bucket was not full.
    forgot_at: Option<Instant>,
}

/// Rate at which a token bucket fills, and its size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rate {
    /// Tokens in a second, in the long run.
    pub(super) per_second: f64,
    /// Tokens at once after a quiet time.
    pub(super) burst: f64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    left: f64,
    since: Instant,
}

impl Rate {
    fn times(self, weight: f64) -> Self {
        Self {
            per_second: self.per_second * weight,
            burst: self.burst * weight,
        }
    }
}

impl Bucket {
    pub(super) fn full(rate: Rate, now: Instant) -> Self {
        Self {
            left: rate.burst,
            since: now,
        }
    }

    /// Returns the tokens in it.
    pub(super) fn left(&self, rate: Rate, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.since).as_secs_f64();
        (self.left + passed * rate.per_second).min(rate.burst)
    }

    /// Takes one, if more than `least` is left then.
    pub(super) fn take(&mut self, rate: Rate, least: f64, now: Instant) -> bool {
        self.left = self.left(rate, now);
        // `now` was read before the lock was had: it may lie before what the last one saw.
        self.since = self.since.max(now);
        let is_enough = self.left >= least + 1.0;
        if is_enough {
            self.left -= 1.0;
        }
        is_enough
    }
}

impl Sources {
    pub(super) fn new(max: usize, rate: Rate) -> Self {
        Self {
            known: Vec::new(),
            max,
            rate,
            forgot_at: None,
        }
    }

    /// Returns whether somebody was forgotten in this time, so that not all are told apart.
    pub(super) fn has_forgotten(&self, within: Duration, now: Instant) -> bool {
        let forgot_at = self.forgot_at;
        forgot_at.is_some_and(|at| now.saturating_duration_since(at) < within)
    }

    /// Takes a source's token if it has one. `is_known`: it has shown that it was there before, so
    /// that it does not start empty if it was forgotten.
    pub(super) fn take(&mut self, source: Source, is_known: bool, now: Instant) -> bool {
        // First look at all, then take of all: a host that its network holds back keeps its own
        // token.
        let has_all = source.networks().all(|network| {
            let rate = self.rate.times(network.weight());
            self.bucket(network, is_known, now).left(rate, now) >= 1.0
        });
        if has_all {
            for network in source.networks() {
                let rate = self.rate.times(network.weight());
                self.bucket(network, is_known, now).take(rate, 0.0, now);
            }
        }
        has_all
    }

    fn bucket(&mut self, network: Network, is_known: bool, now: Instant) -> &mut Bucket {
        let known = self.known.iter().position(|(known, _)| *known == network);
        let index = known.unwrap_or_else(|| {
            if self.known.len() >= self.max {
                self.forget(now);
            }
            let rate = self.rate.times(network.weight());
            // A newcomer may be the one that was forgotten: it has what that one would have by now,
            // had it left with nothing.
            let bucket = match self.forgot_at.filter(|_| !is_known) {
                None => Bucket::full(rate, now),
                Some(at) => Bucket {
                    left: 0.0,
                    since: at,
                },
            };
            self.known.push((network, bucket));
            self.known.len() - 1
        });
        &mut self.known[index].1
    }

    fn forget(&mut self, now: Instant) {
        let missing = |(network, bucket): &(Network, Bucket)| {
            let rate = self.rate.times(network.weight());
            1.0 - bucket.left(rate, now) / rate.burst
        };
        let known = || self.known.iter().enumerate();
        let by_missing = |(_, one): &(usize, &(Network, Bucket)),
                          (_, other): &(usize, &(Network, Bucket))| {
            missing(one).total_cmp(&missing(other))
        };
        // A full bucket is like one that was never made. Without such, the emptiest goes: it is of
        // whoever takes most, and those that come rarely are remembered.
        let fullest = known().min_by(by_missing);
        let (index, is_full) = match fullest.filter(|(_, entry)| missing(entry) <= 0.0) {
            Some((index, _)) => (index, true),
            None => (
                known().max_by(by_missing).map_or(0, |(index, _)| index),
                false,
            ),
        };
        if !is_full {
            self.forgot_at = Some(now);
        }
        self.known.swap_remove(index);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const RATE: Rate = Rate {
        per_second: 1.0,
        burst: 2.0,
    };

    fn v4(number: u32) -> Source {
        Source::of(Ipv4Addr::from_bits(number).into())
    }

    fn v6(site: u8, network: u8, subnet: u8, host: u8) -> Source {
        let [site, subnet] = [site, subnet].map(u16::from);
        let middle = u16::from(network) << 8 | subnet;
        Source::of(Ipv6Addr::new(0x2001, 0xdb8, site, middle, 0, 0, 0, host.into()).into())
    }

    #[test]
    fn an_ipv6_network_is_worth_a_few_hosts() {
        let now = Instant::now();
        let count = |source: &dyn Fn(u8) -> Source| {
            let mut sources = Sources::new(1000, RATE);
            let taken = (0..250).filter(|number| sources.take(source(*number), false, now));
            taken.count()
        };
        assert_eq!(count(&|host| v6(1, 1, 1, host)), 2, "one /64");
        assert_eq!(count(&|subnet| v6(1, 1, subnet, 1)), 4, "one /56");
        assert_eq!(count(&|network| v6(1, network, 1, 1)), 8, "one /48");
        assert_eq!(count(&|site| v6(site, 1, 1, 1)), 250, "each a home");
        assert_eq!(count(&|host| v4(host.into())), 250, "each a host");
    }

    #[test]
    fn whoever_is_forgotten_comes_back_empty() {
        let start = Instant::now();
        let mut sources = Sources::new(8, RATE);
        // One source among as many others as there are, again and again.
        let mut taken = 0;
        for round in 0..100_u32 {
            let now = start + round * Duration::from_millis(100);
            taken += usize::from(sources.take(v4(0), false, now));
            for other in 1..50 {
                sources.take(v4(round * 50 + other), false, now);
            }
        }
        assert!(taken <= 2 + 10, "{taken} in ten seconds");
        // Those that show that they were there do not wait for being remembered.
        let now = start + Duration::from_secs(10);
        assert!(!sources.take(v4(7_000), false, now));
        assert!(sources.take(v4(7_001), true, now));
    }

    #[test]
    fn forgetting_a_full_bucket_costs_nobody_anything() {
        let start = Instant::now();
        let mut sources = Sources::new(4, RATE);
        for number in 0..100 {
            let now = start + number * Duration::from_secs(1);
            assert!(sources.take(v4(number), false, now));
        }
    }
}
