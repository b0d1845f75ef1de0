use std::time::Instant;

/// Handshakes in a second, in the long run.
const RATE: f64 = 50.0;
/// Handshakes at once after a quiet time.
const BURST: f64 = 100.0;
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
/// Bound: 50 handshakes in a second, 100 at once. What is over is not answered, and QUIC knocks
/// again after a second.
#[derive(Debug)]
pub struct Admissions {
    left: f64,
    since: Instant,
}

impl Admissions {
    /// A full bucket.
    pub fn new(now: Instant) -> Self {
        Self {
            left: BURST,
            since: now,
        }
    }

    /// What is done with the next one. `nobodies` have proved nothing yet.
    pub fn next(&mut self, has_address: bool, nobodies: usize, now: Instant) -> Admission {
        if !has_address && nobodies >= UNCHECKED_NOBODIES {
            return Admission::ShowAddress;
        }
        let passed = now.saturating_duration_since(self.since).as_secs_f64();
        self.since = now;
        self.left = (self.left + passed * RATE).min(BURST);
        if self.left < 1.0 {
            return Admission::NotNow;
        }
        self.left -= 1.0;
        Admission::Handshake
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_flood_is_cut_and_the_next_second_is_open_again() {
        let start = Instant::now();
        let mut admissions = Admissions::new(start);
        let mut let_in = |now, count: usize| {
            let verdicts = (0..count).map(|_| admissions.next(true, 0, now));
            verdicts
                .filter(|verdict| *verdict == Admission::Handshake)
                .count()
        };
        assert_eq!(let_in(start, 1000), 100);
        assert_eq!(let_in(start + Duration::from_secs(1), 1000), 50);
        assert_eq!(let_in(start + Duration::from_secs(3600), 1000), 100);
        assert_eq!(let_in(start, 1), 0, "a clock that goes back gives nothing");
    }

    #[test]
    fn strangers_in_number_have_to_show_their_address() {
        let now = Instant::now();
        let mut admissions = Admissions::new(now);
        assert_eq!(admissions.next(false, 3, now), Admission::Handshake);
        assert_eq!(admissions.next(false, 4, now), Admission::ShowAddress);
        assert_eq!(admissions.next(true, 4, now), Admission::Handshake);
    }
}
