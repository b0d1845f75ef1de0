//! Jitter buffer of a talk: blocks that come unevenly go out evenly, and late ones are lost. Pure:
//! decoding and the speaker are the session's.

use std::collections::VecDeque;

use peercam_proto::media::{AudioBlock, MediaTime};

/// Makes an even flow of blocks that come unevenly. Pure: the clock is the caller's.
///
/// Sound is held back by `lead` at the start and after a gap. What waits in front of a block of a
/// talk is never longer than `bound`: blocks that come in a burst after the network stood still
/// push the oldest ones out, because late words are worse than lost ones. What was recorded before
/// is not late: whoever sends it waits instead, and loses nothing.
#[derive(Debug)]
pub(super) struct Jitter {
    pace: Pace,
    /// Microseconds.
    lead: i64,
    bound: i64,
    waiting: VecDeque<AudioBlock>,
    /// Playing time of the blocks that wait.
    waiting_micros: i64,
    state: Flow,
    has_ended: bool,
    lost: u64,
    lost_micros: i64,
}

/// Pace of a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Sound that is sent as it is spoken.
    Live,
    /// Sound that was recorded before, sent as fast as it is taken.
    Recorded,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    /// Held back: no block is played before this moment.
    Filling(MediaTime),
    /// The next block is due then.
    Playing(MediaTime),
    /// Silent: no block waits.
    Empty,
}

impl Jitter {
    /// A buffer of `bound` microseconds, a quarter of which is waited for.
    pub(super) fn new(bound: i64, pace: Pace) -> Self {
        Self {
            pace,
            lead: bound / 4,
            bound,
            waiting: VecDeque::new(),
            waiting_micros: 0,
            state: Flow::Empty,
            has_ended: false,
            lost: 0,
            lost_micros: 0,
        }
    }

    /// Returns whether more is taken now.
    pub(super) fn has_room(&self) -> bool {
        self.pace == Pace::Live || self.waiting_micros < self.bound
    }

    /// Takes a block in.
    pub(super) fn push(&mut self, block: AudioBlock, now: MediaTime) {
        self.waiting_micros += block.micros;
        // What is before it waits at most for the bound.
        let most = self.bound + block.micros;
        self.waiting.push_back(block);
        while self.pace == Pace::Live && self.waiting_micros > most {
            let lost = self.waiting.pop_front().map_or(0, |lost| lost.micros);
            self.waiting_micros -= lost;
            self.lost_micros += lost;
            self.lost += 1;
        }
        if self.state == Flow::Empty {
            self.state = Flow::Filling(now.plus_micros(self.lead));
        }
    }

    /// No block follows: what waits is played without waiting for more.
    pub(super) fn finish(&mut self) {
        self.has_ended = true;
    }

    /// Time at which the next block is to be played; `None` if there is none.
    pub(super) fn due(&self) -> Option<MediaTime> {
        self.waiting.front()?;
        match self.state {
            Flow::Filling(_) if self.has_ended || self.waiting_micros >= self.bound => {
                Some(MediaTime::default())
            }
            Flow::Filling(at) | Flow::Playing(at) => Some(at),
            Flow::Empty => None,
        }
    }

    /// The block that is due at `now`.
    pub(super) fn pop(&mut self, now: MediaTime) -> Option<AudioBlock> {
        if self.due()? > now {
            return None;
        }
        let block = self.waiting.pop_front()?;
        self.waiting_micros -= block.micros;
        // A timer that was late is made up for, a gap is not.
        let from = match self.state {
            Flow::Playing(at) if now.micros_since(at) < self.lead => at,
            _ => now,
        };
        self.state = Flow::Playing(from.plus_micros(block.micros));
        Some(block)
    }

    /// The speaker has played all there was, and nothing waits: the next block is held back again.
    pub(super) fn note_gap(&mut self, now: MediaTime) {
        if let Flow::Playing(at) = self.state
            && self.waiting.is_empty()
            && at < now
        {
            self.state = Flow::Empty;
        }
    }

    /// Returns whether all was played.
    pub(super) fn is_done(&self, now: MediaTime) -> bool {
        let is_silent = match self.state {
            Flow::Playing(until) => until <= now,
            Flow::Empty => true,
            Flow::Filling(_) => false,
        };
        self.has_ended && self.waiting.is_empty() && is_silent
    }

    /// Until when what was given out sounds.
    pub(super) fn sounds_until(&self) -> Option<MediaTime> {
        match self.state {
            Flow::Playing(until) => Some(until),
            Flow::Filling(_) | Flow::Empty => None,
        }
    }

    /// Blocks that came too late.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// Playing time of the lost blocks.
    pub(super) fn lost_micros(&self) -> i64 {
        self.lost_micros
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use peercam_proto::media::{AudioCoding, AudioFormat};

    const BLOCK: i64 = 20_000;
    const BOUND: i64 = 200_000;

    fn at(micros: i64) -> MediaTime {
        MediaTime::from_micros(micros)
    }

    fn block(number: u32) -> AudioBlock {
        AudioBlock {
            format: Arc::new(AudioFormat {
                coding: AudioCoding::Pcm,
                sample_rate: 8_000,
                channels: 1,
            }),
            data: Bytes::copy_from_slice(&number.to_be_bytes()),
            micros: BLOCK,
        }
    }

    fn number(block: &AudioBlock) -> u32 {
        u32::from_be_bytes(*block.data.first_chunk().expect("a number"))
    }

    /// Plays blocks that arrive at these moments: (number, when).
    fn played(arrivals: &[i64]) -> (Vec<(u32, i64)>, u64) {
        played_as(arrivals, Pace::Live)
    }

    fn played_as(arrivals: &[i64], pace: Pace) -> (Vec<(u32, i64)>, u64) {
        let mut jitter = Jitter::new(BOUND, pace);
        let (mut played, mut next) = (Vec::new(), 0);
        let end = arrivals.last().copied().unwrap_or(0) + arrivals.len() as i64 * BLOCK + 2_000_000;
        for now in (0..end).step_by(1000) {
            jitter.note_gap(at(now));
            while next < arrivals.len() && arrivals[next] <= now && jitter.has_room() {
                jitter.push(block(next as u32), at(now));
                next += 1;
            }
            if next == arrivals.len() {
                jitter.finish();
            }
            while let Some(block) = jitter.pop(at(now)) {
                played.push((number(&block), now));
            }
        }
        assert!(jitter.is_done(at(end)));
        (played, jitter.lost())
    }

    #[test]
    fn an_even_flow_comes_out_as_it_went_in() {
        let arrivals: Vec<i64> = (0..100).map(|number| number * BLOCK).collect();
        let (played, lost) = played(&arrivals);
        assert_eq!(lost, 0);
        for (number, when) in played {
            assert_eq!(when - arrivals[number as usize], BOUND / 4);
        }
    }

    #[test]
    fn uneven_steps_within_the_lead_are_not_heard() {
        let arrivals: Vec<i64> = (0..100)
            .map(|number| number * BLOCK + number * 7919 % 45_000)
            .collect();
        let mut sorted = arrivals.clone();
        sorted.sort_unstable();
        let (played, lost) = played(&sorted);
        assert_eq!(lost, 0);
        let steps = played.windows(2).map(|pair| pair[1].1 - pair[0].1);
        assert!(steps.clone().all(|step| step == BLOCK), "{played:?}");
    }

    #[test]
    fn after_the_network_stood_still_the_newest_is_heard() {
        // Three seconds at once, and then on as before.
        let stalled = |number: i64| (number * BLOCK).max(if number < 50 { 0 } else { 4_000_000 });
        let arrivals: Vec<i64> = (0..400).map(stalled).collect();
        let (played, lost) = played(&arrivals);
        assert!((140..150).contains(&lost), "{lost}");
        for (number, when) in played {
            let delay = when - arrivals[number as usize];
            assert!((0..=BOUND + BLOCK).contains(&delay), "{number} {delay}");
        }
    }

    #[test]
    fn a_talk_that_begins_with_a_backlog_or_runs_fast_is_not_late() {
        let backlog: Vec<i64> = (0..400_i64)
            .map(|number| (number * BLOCK - 2_000_000).max(0))
            .collect();
        let fast: Vec<i64> = (0..30_000_i64)
            .map(|number| number * BLOCK * 999 / 1000)
            .collect();
        for arrivals in [backlog, fast] {
            let (played, _) = played(&arrivals);
            for (number, when) in played {
                let delay = when - arrivals[number as usize];
                assert!((0..=BOUND + BLOCK).contains(&delay), "{number} {delay}");
            }
        }
    }

    #[test]
    fn who_was_silent_is_heard_again_at_once() {
        let paused = |number: i64| number * BLOCK + if number < 50 { 0 } else { 5_000_000 };
        let arrivals: Vec<i64> = (0..100).map(paused).collect();
        let (played, lost) = played(&arrivals);
        assert_eq!((played.len(), lost), (100, 0));
        for (number, when) in played {
            assert_eq!(when - arrivals[number as usize], BOUND / 4, "{number}");
        }
    }

    #[test]
    fn a_file_is_played_whole() {
        let (played, lost) = played_as(&[0; 500], Pace::Recorded);
        assert_eq!((played.len(), lost), (500, 0));
        let steps = played.windows(2).map(|pair| pair[1].1 - pair[0].1);
        assert!(steps.clone().all(|step| step == BLOCK));
    }

    proptest! {
        #[test]
        fn no_block_is_later_than_the_bound_and_files_lose_nothing(gaps in prop::collection::vec(0_i64..400_000, 1..200)) {
            let mut now = 0;
            let arrivals: Vec<i64> = gaps.iter().map(|gap| { now += gap; now }).collect();
            let (all, none) = played_as(&arrivals, Pace::Recorded);
            prop_assert_eq!((all.len(), none), (arrivals.len(), 0));
            let (played, lost) = played(&arrivals);
            prop_assert_eq!(played.len() as u64 + lost, arrivals.len() as u64);
            let numbers: Vec<_> = played.iter().map(|(number, _)| *number).collect();
            prop_assert!(numbers.is_sorted());
            for (number, when) in &played {
                let delay = when - arrivals[*number as usize];
                prop_assert!(delay <= BOUND + 2 * BLOCK, "{} {}", number, delay);
            }
        }
    }
}
