//! Guess of a talk's true sample rate from the pace at which it comes. Pure, and only advice: the
//! rate at which sound is played is never changed by it.

use peercam_proto::{media::MediaTime, voice::SAMPLE_RATES};

/// Rate at which the sound of a talk comes, against the one at which it is played. Pure: the clock is
/// the caller's.
///
/// A microphone's pace is its sample rate. Where two windows one behind the other come evenly at that
/// of the same other rate, and none before them came at that of the rate that is played, it is the
/// other one. What networks do is not so even: a burst is followed by silence, and a stall by a
/// burst.
#[derive(Debug, Default)]
pub(super) struct Tempo {
    window: Option<Arrivals>,
    /// Time and sound of the window's steps, each at least [`STEP_MICROS`] behind the one before.
    steps: Vec<(i64, i64)>,
    all: Option<Arrivals>,
    before: Option<Verdict>,
    verdict: Option<Verdict>,
}

/// Sound from behind a first arrival up to the last one.
#[derive(Clone, Copy, Debug)]
struct Arrivals {
    first: MediaTime,
    last: MediaTime,
    /// Playing time of all after the first one.
    micros: i64,
}

/// Verdict of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Sound comes as fast as it is played.
    Right,
    /// Sound comes as fast as if it had this rate.
    Other(u32),
    /// Neither, or unevenly.
    Open,
}

/// Rate at which sound without a head is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Presumed {
    /// Samples per second.
    pub(super) sample_rate: u32,
    /// Set if its sender said so. If it comes more slowly, it is the network.
    pub(super) is_said: bool,
}

/// A window lasts at least so long, in microseconds.
const WINDOW: i64 = 1_000_000;
/// Shortest step of a window, in microseconds, which bounds their number.
const STEP_MICROS: i64 = 20_000;
/// A clock is off by no more, in hundredths; arrivals are a little uneven.
const TOLERANCE: i64 = 4;
/// Most that may have come in the middle beyond or below an even flow, in hundredths.
const UNEVEN: i64 = 15;

impl Arrivals {
    fn begin(now: MediaTime) -> Self {
        Self {
            first: now,
            last: now,
            micros: 0,
        }
    }

    fn note(&mut self, now: MediaTime, micros: i64) {
        self.last = now;
        self.micros += micros;
    }

    fn lasted(&self) -> i64 {
        self.last.micros_since(self.first)
    }

    /// Returns whether the steps, (when, how much), fit an even flow.
    fn is_even(&self, steps: &[(i64, i64)]) -> bool {
        let (lasted, micros) = (self.lasted() as f64, self.micros as f64);
        let fits = |(when, came): &(i64, i64)| {
            let even = micros * *when as f64 / lasted;
            (*came as f64 - even).abs() * 100.0 <= micros * UNEVEN as f64
        };
        steps.iter().all(fits)
    }
}

impl Tempo {
    /// Sound of so many microseconds has come, of which this is presumed, if anything. Gives the
    /// rate that it has instead, once.
    pub(super) fn note(
        &mut self,
        now: MediaTime,
        micros: i64,
        presumed: Option<Presumed>,
    ) -> Option<u32> {
        match &mut self.all {
            Some(all) => all.note(now, micros),
            None => self.all = Some(Arrivals::begin(now)),
        }
        let presumed = presumed.filter(|_| self.verdict.is_none())?;
        let Some(window) = &mut self.window else {
            self.window = Some(Arrivals::begin(now));
            return None;
        };
        window.note(now, micros);
        let lasted = window.lasted();
        if lasted < WINDOW {
            if self
                .steps
                .last()
                .is_none_or(|(when, _)| lasted >= when + STEP_MICROS)
            {
                self.steps.push((lasted, window.micros));
            }
            return None;
        }
        let said = if window.is_even(&self.steps) {
            Verdict::of(window, presumed)
        } else {
            Verdict::Open
        };
        self.steps.clear();
        self.window = Some(Arrivals::begin(now));
        let before = self.before.replace(said);
        if said == Verdict::Right || (said != Verdict::Open && before == Some(said)) {
            self.verdict = Some(said);
        }
        match self.verdict {
            Some(Verdict::Other(rate)) => Some(rate),
            _ => None,
        }
    }

    /// Returns whether all in all it came faster than it sounds: it was not spoken meanwhile.
    pub(super) fn is_hurried(&self) -> bool {
        /// Sound that may have been held up at the beginning, in microseconds.
        const HELD_UP: i64 = 250_000;
        self.all
            .is_some_and(|all| all.micros > all.lasted() / 4 * 5 + HELD_UP)
    }
}

impl Verdict {
    fn of(window: &Arrivals, presumed: Presumed) -> Self {
        let Presumed {
            sample_rate,
            is_said,
        } = presumed;
        let pace = i64::from(sample_rate) * window.micros / window.lasted().max(1);
        let is_near = |rate: u32| {
            let rate = i64::from(rate);
            (pace - rate).abs() * 100 <= rate * TOLERANCE
        };
        if is_near(sample_rate) {
            return Self::Right;
        }
        // A little slower than it sounds is a network that is.
        let may_be = |rate: u32| rate > sample_rate || (!is_said && rate * 2 <= sample_rate);
        let mut rates = SAMPLE_RATES.into_iter();
        let found = rates.find(|rate| may_be(*rate) && is_near(*rate));
        found.map_or(Self::Open, Self::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUESSED: Presumed = Presumed {
        sample_rate: 8_000,
        is_said: false,
    };

    /// Findings from arrivals: (when, in milliseconds; playing time, in microseconds).
    fn found(
        arrivals: impl IntoIterator<Item = (i64, i64)>,
        presumed: Presumed,
    ) -> Vec<(i64, u32)> {
        let mut tempo = Tempo::default();
        let mut found = Vec::new();
        for (when, micros) in arrivals {
            let now = MediaTime::from_micros(when * 1000);
            let rate = tempo.note(now, micros, Some(presumed));
            found.extend(rate.map(|rate| (when, rate)));
        }
        found
    }

    /// Seconds of a microphone of `rate` that is played as `presumed`, in chunks of so many
    /// milliseconds.
    fn microphone(rate: u32, presumed: u32, chunk: i64, seconds: i64) -> Vec<(i64, i64)> {
        let micros = chunk * 1000 * i64::from(rate) / i64::from(presumed);
        let jitter = |number: i64| number * 7919 % 23;
        let chunks = 0..seconds * 1000 / chunk;
        chunks
            .map(|number| (number * chunk + jitter(number), micros))
            .collect()
    }

    #[test]
    fn a_microphone_of_another_rate_is_noticed_within_seconds() {
        for presumed in SAMPLE_RATES {
            for rate in SAMPLE_RATES {
                for chunk in [20, 64, 200, 512] {
                    let arrivals = microphone(rate, presumed, chunk, 5);
                    let presumed = Presumed {
                        sample_rate: presumed,
                        is_said: false,
                    };
                    let found = found(arrivals, presumed);
                    let what = format!("{rate} as {presumed:?}, {chunk} ms: {found:?}");
                    // What is between half and all of it may be a slow network.
                    let is_told = rate > presumed.sample_rate || rate * 2 <= presumed.sample_rate;
                    if is_told {
                        assert!(
                            matches!(found[..], [(..3_000, other)] if other == rate),
                            "{what}"
                        );
                    } else {
                        assert_eq!(found, [], "{what}");
                    }
                }
            }
        }
    }

    #[test]
    fn networks_raise_no_alarm() {
        let steady = |until: i64| (0..until / 20).map(|number| (number * 20, 20_000));
        // Two seconds at once, and then on.
        let backlog: Vec<_> = [(0, 20_000); 100]
            .into_iter()
            .chain(steady(10_000))
            .collect();
        // A second of sound each second, in one go.
        let clumps = (0..500).map(|number| (number / 50 * 1000 + number % 50, 20_000));
        // It stands still for three seconds, and makes up for it.
        let stalled = steady(20_000).map(|(when, micros)| match when {
            3_000..6_000 => (6_000 + (when - 3_000) / 20, micros),
            when => (when, micros),
        });
        // Stop and go, more slowly than it sounds.
        let slow = steady(20_000).map(|(when, micros)| (when * 5 / 3 + when / 700 * 90, micros));
        // A file, as fast as it goes.
        let file = (0..3_000).map(|number| (number / 20, 20_000));
        let cases = [
            ("backlog", backlog),
            ("clumps", clumps.collect()),
            ("stalled", stalled.collect()),
            ("slow", slow.collect()),
            ("file", file.collect()),
            (
                "pauses",
                steady(20_000)
                    .map(|(when, micros)| (when + when / 900 * 700, micros))
                    .collect(),
            ),
        ];
        for (what, arrivals) in cases {
            for sample_rate in SAMPLE_RATES {
                let presumed = Presumed {
                    sample_rate,
                    ..GUESSED
                };
                assert_eq!(
                    found(arrivals.clone(), presumed),
                    [],
                    "{what} of {sample_rate}"
                );
            }
        }
        // Half of what was said is a slow network; twice of it is none.
        let said = |sample_rate| Presumed {
            sample_rate,
            is_said: true,
        };
        assert_eq!(found(microphone(8_000, 16_000, 20, 9), said(16_000)), []);
        let fast = found(microphone(16_000, 8_000, 20, 9), said(8_000));
        assert!(matches!(fast[..], [(_, 16_000)]), "{fast:?}");
    }

    #[test]
    fn what_comes_faster_than_it_sounds_is_hurried() {
        for (what, arrivals, expected) in [
            ("a microphone", microphone(8_000, 8_000, 20, 5), false),
            ("a file", vec![(0, 1_000_000); 3], true),
            ("a short file", vec![(0, 20_000); 25], true),
            ("half as much again", microphone(12_000, 8_000, 20, 5), true),
            ("a pause", vec![(0, 20_000), (9_000, 2_000_000)], false),
        ] {
            let mut tempo = Tempo::default();
            for (when, micros) in arrivals {
                tempo.note(MediaTime::from_micros(when * 1000), micros, None);
            }
            assert_eq!(tempo.is_hurried(), expected, "{what}");
        }
    }
}
