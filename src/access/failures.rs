use std::{
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How many sources are told apart.
const MAX_SOURCES: usize = 256;
/// How often one source is reported.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// Counts failed proofs by source, so that the log tells of an attack and is not one itself.
///
/// Nothing is decided here: a key of 256 bits needs no limit on guesses, and a limit would shut
/// out whoever shares the attacker's address. Bound: 256 sources; the one that was quiet for
/// longest is forgotten, so that a flood of addresses costs reports and nothing else.
#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<Vec<Source>>);

#[derive(Debug)]
struct Source {
    address: IpAddr,
    /// Failures since the last report.
    count: u64,
    last: Instant,
    reported: Instant,
}

impl Failures {
    /// Counts a failure; gives the number to report, if it is time to.
    pub(super) fn count(&self, address: IpAddr, now: Instant) -> Option<u64> {
        let mut sources = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(source) = sources.iter_mut().find(|source| source.address == address) {
            source.count += 1;
            source.last = now;
            if now.saturating_duration_since(source.reported) < REPORT_EVERY {
                return None;
            }
            source.reported = now;
            return Some(std::mem::take(&mut source.count));
        }
        if sources.len() >= MAX_SOURCES {
            let quietest = (0..sources.len()).min_by_key(|index| sources[*index].last);
            sources.swap_remove(quietest.unwrap_or_default());
        }
        sources.push(Source {
            address,
            count: 0,
            last: now,
            reported: now,
        });
        Some(1)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_source_is_reported_at_once_and_then_once_a_minute() {
        let (failures, start) = (Failures::default(), Instant::now());
        let one = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        assert_eq!(failures.count(one, start), Some(1));
        for _ in 0..99 {
            assert_eq!(failures.count(one, start + REPORT_EVERY / 2), None);
        }
        assert_eq!(failures.count(one, start + REPORT_EVERY), Some(100));
        assert_eq!(failures.count(one, start + REPORT_EVERY), None);
    }

    #[test]
    fn many_sources_take_bounded_room() {
        let (failures, start) = (Failures::default(), Instant::now());
        for number in 0..10_000_u32 {
            failures.count(IpAddr::V4(Ipv4Addr::from_bits(number)), start);
        }
        assert_eq!(failures.0.lock().expect("fine").len(), MAX_SOURCES);
    }
}
