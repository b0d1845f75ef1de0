//! Faults on a schedule that depends on nothing but a seed and the frame number.

use std::str::FromStr;

use super::FRAME_RATE;

/// A way in which a simulated camera misbehaves. Each strikes once in every window of 30 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `stall`: no picture for 1 to 3 s; sound goes on.
    Stall,
    /// `late-key`: for 1 to 3 s the encoder makes no key frame, asked for or due.
    LateKey,
    /// `clock-step`: the wall clock jumps by up to an hour, either way.
    ClockStep,
    /// `card-full`: for 5 to 10 s the card takes nothing.
    CardFull,
    /// `card-pulled`: for 5 to 10 s there is no card.
    CardPulled,
    /// `slow-disk`: for 5 to 10 s every write takes 500 ms.
    SlowDisk,
    /// `speaker-busy`: for 5 to 10 s another program holds the speaker.
    SpeakerBusy,
}

impl Fault {
    /// Every fault.
    const ALL: [Self; 7] = [
        Self::Stall,
        Self::LateKey,
        Self::ClockStep,
        Self::CardFull,
        Self::CardPulled,
        Self::SlowDisk,
        Self::SpeakerBusy,
    ];

    /// The word used in the configuration.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Stall => "stall",
            Self::LateKey => "late-key",
            Self::ClockStep => "clock-step",
            Self::CardFull => "card-full",
            Self::CardPulled => "card-pulled",
            Self::SlowDisk => "slow-disk",
            Self::SpeakerBusy => "speaker-busy",
        }
    }

    /// Shortest and longest, in frames.
    const fn length(self) -> (u64, u64) {
        match self {
            Self::Stall | Self::LateKey => (seconds(1), seconds(3)),
            Self::ClockStep => (0, seconds(0)),
            Self::CardFull | Self::CardPulled | Self::SlowDisk | Self::SpeakerBusy => {
                (seconds(5), seconds(10))
            }
        }
    }
}

impl FromStr for Fault {
    type Err = ParseFaultError;

    fn from_str(word: &str) -> Result<Self, ParseFaultError> {
        Self::ALL
            .into_iter()
            .find(|fault| fault.as_str() == word)
            .ok_or(ParseFaultError)
    }
}

/// The word names no fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a fault is one of stall, late-key, clock-step, card-full, card-pulled, slow-disk, speaker-busy"
)]
pub struct ParseFaultError;

/// Frames in one window of the schedule.
const WINDOW: u64 = seconds(30);

const fn seconds(count: u64) -> u64 {
    count * FRAME_RATE as u64
}

/// Faults of a camera, and their schedule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    seed: u64,
    enabled: Vec<Fault>,
}

impl Faults {
    /// A schedule of the given faults. The same seed gives the same schedule.
    pub fn new(seed: u64, enabled: Vec<Fault>) -> Self {
        Self { seed, enabled }
    }

    /// Returns whether `fault` is in force at frame `frame`.
    pub(super) fn strikes(&self, fault: Fault, frame: u64) -> bool {
        if !self.enabled.contains(&fault) {
            return false;
        }
        let (start, length, _) = self.episode(fault, frame / WINDOW);
        (start..start + length).contains(&(frame % WINDOW))
    }

    /// Error of the wall clock at frame `frame`, in milliseconds.
    pub(super) fn clock_offset_millis(&self, frame: u64) -> i64 {
        if !self.enabled.contains(&Fault::ClockStep) {
            return 0;
        }
        let window = frame / WINDOW;
        let (start, _, random) = self.episode(Fault::ClockStep, window);
        let in_force = if frame % WINDOW >= start {
            random
        } else if window == 0 {
            return 0;
        } else {
            self.episode(Fault::ClockStep, window - 1).2
        };
        const HOUR: i64 = 3_600_000;
        (in_force >> 16) as i64 % (2 * HOUR) - HOUR
    }

    /// Start and length within the window, in frames, and a random number of the episode.
    fn episode(&self, fault: Fault, window: u64) -> (u64, u64, u64) {
        let random = mix(self.seed ^ mix(window.wrapping_mul(8) + fault as u64));
        let (shortest, longest) = fault.length();
        let length = shortest + random % (longest - shortest + 1);
        // Leaves the first second of a window quiet, so that a stream can start.
        let start = seconds(1) + (random >> 32) % (WINDOW - length - seconds(1));
        (start, length, random)
    }
}

/// The finalizer of SplitMix64: every bit of the input changes half of the output's.
fn mix(value: u64) -> u64 {
    let mut mixed = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_strikes_once_in_a_window_for_its_length() {
        for fault in Fault::ALL
            .into_iter()
            .filter(|fault| *fault != Fault::ClockStep)
        {
            let faults = Faults::new(7, vec![fault]);
            for window in 0..20 {
                let frames: Vec<u64> = (window * WINDOW..(window + 1) * WINDOW)
                    .filter(|&frame| faults.strikes(fault, frame))
                    .collect();
                let (shortest, longest) = fault.length();
                assert!(
                    (shortest..=longest).contains(&(frames.len() as u64)),
                    "{fault:?} {window}"
                );
                assert!(
                    frames.windows(2).all(|pair| pair[1] == pair[0] + 1),
                    "{fault:?} {window}"
                );
            }
        }
    }

    #[test]
    fn the_seed_decides_and_nothing_strikes_unasked() {
        let schedule = |seed| -> Vec<bool> {
            let faults = Faults::new(seed, vec![Fault::Stall]);
            (0..5 * WINDOW)
                .map(|frame| faults.strikes(Fault::Stall, frame))
                .collect()
        };
        assert_eq!(schedule(1), schedule(1));
        assert_ne!(schedule(1), schedule(2));
        let none = Faults::default();
        assert!(
            (0..WINDOW).all(|frame| !Fault::ALL.iter().any(|fault| none.strikes(*fault, frame)))
        );
        assert_eq!(none.clock_offset_millis(WINDOW), 0);
    }

    #[test]
    fn the_clock_steps_once_in_a_window() {
        let faults = Faults::new(3, vec![Fault::ClockStep]);
        let offsets: Vec<i64> = (0..4 * WINDOW)
            .map(|frame| faults.clock_offset_millis(frame))
            .collect();
        assert_eq!(offsets[0], 0);
        assert_eq!(
            offsets.windows(2).filter(|pair| pair[0] != pair[1]).count(),
            4
        );
        assert!(offsets.iter().all(|offset| offset.abs() <= 3_600_000));
    }
}
