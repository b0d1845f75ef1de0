use std::{
    sync::MutexGuard,
    time::{Duration, Instant},
};

use peercam_proto::network::Source;
use peercam_task::boundary::Guarded;

use super::recent::Recent;

/// Sources that are told apart.
const MAX_SOURCES: usize = 256;
/// Interval between reports of one source.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// Rate limit of reports: of all sources together, in that time.
const MAX_REPORTS: u32 = 10;

/// Failed authentications by source, so that the log tells of an attack and is not one itself.
///
/// Nothing is decided here: a key of 256 bits needs no limit on guesses, and a limit would shut
/// out whoever shares the attacker's address. Bound: 256 sources, and ten reports a minute; the
/// source that was quiet for longest is forgotten, so that a flood of addresses costs reports and
/// nothing else.
#[derive(Debug, Default)]
pub(super) struct Failures(Guarded<State>);

#[derive(Debug)]
struct State {
    sources: Recent<Source, Failing>,
    /// Start of the running minute, and the reports in it.
    reports: Option<(Instant, u32)>,
}

#[derive(Debug, Default)]
struct Failing {
    /// Failures since the last report.
    count: u64,
    reported: Option<Instant>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            sources: Recent::new(MAX_SOURCES),
            reports: None,
        }
    }
}

impl Failures {
    /// Counts a failure.
    pub(super) fn count(&self, source: Source, now: Instant) {
        self.lock().sources.note(source, now).count += 1;
    }

    /// Returns the sources to report now, with their failures since they were reported last. A
    /// source is reported at once and then once a minute, as long as there is something.
    pub(super) fn due(&self, now: Instant) -> Vec<(Source, u64)> {
        let State { sources, reports } = &mut *self.lock();
        let passed = |since: Instant| now.saturating_duration_since(since) >= REPORT_EVERY;
        let (_, count) = match reports {
            Some(running) if !passed(running.0) => running,
            _ => reports.insert((now, 0)),
        };
        let mut due = Vec::new();
        for (source, failing) in sources.iter_mut() {
            let is_due = failing.count > 0 && failing.reported.is_none_or(passed);
            if is_due && *count < MAX_REPORTS {
                *count += 1;
                failing.reported = Some(now);
                due.push((*source, std::mem::take(&mut failing.count)));
            }
        }
        due
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn a_source_is_reported_at_once_and_then_once_a_minute() {
        let (failures, start) = (Failures::default(), Instant::now());
        let one = Source::of(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
        failures.count(one, start);
        assert_eq!(failures.due(start), [(one, 1)]);
        for _ in 0..100 {
            failures.count(one, start);
        }
        assert_eq!(failures.due(start + REPORT_EVERY / 2), []);
        assert_eq!(
            failures.due(start + REPORT_EVERY),
            [(one, 100)],
            "though it is quiet"
        );
        assert_eq!(failures.due(start + 2 * REPORT_EVERY), []);
    }

    #[test]
    fn many_sources_take_bounded_room_and_few_lines() {
        let (failures, start) = (Failures::default(), Instant::now());
        let mut lines = 0;
        for number in 0..10_000_u32 {
            failures.count(Source::of(IpAddr::V4(Ipv4Addr::from_bits(number))), start);
            lines += failures.due(start).len();
        }
        assert_eq!(failures.lock().sources.iter_mut().count(), MAX_SOURCES);
        assert_eq!(lines, MAX_REPORTS as usize);
        let one_host =
            |host: u128| Source::of(IpAddr::V6(Ipv6Addr::from_bits(0x2001_0db8 << 96 | host)));
        assert_eq!(one_host(1), one_host(u128::from(u64::MAX)));
        assert_ne!(one_host(1), one_host(1 << 64));
    }
}
