//! The line of talks, the one that is played and the one that follows, between who talks and the
//! thread that plays.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use peercam_proto::media::AudioFormat;

use super::GRACE_PERIOD;

/// Sound that waits for the program, at most so long; the oldest is lost.
const QUEUE_DURATION: Duration = Duration::from_millis(500);

/// Sound on its way to the thread, and where the thread is.
#[derive(Default)]
pub(super) struct Line {
    state: Mutex<State>,
    pub(super) changed: Condvar,
}

/// The talk that is played and the one that follows, at most one part each. Bound: [`QUEUE_DURATION`] of sound in each part;
/// the oldest is lost.
#[derive(Default)]
pub(super) struct State {
    pub(super) now: Option<Part>,
    pub(super) next: Option<Part>,
    last_key: u64,
    /// A thread serves it.
    pub(super) is_served: bool,
    /// The speaker is no more.
    pub(super) is_closed: bool,
}

/// Sound of one format: a talk, mostly.
pub(super) struct Part {
    pub(super) key: u64,
    pub(super) sample_rate: u32,
    pub(super) channels: u8,
    bytes: VecDeque<u8>,
    /// Time since which nothing is added any more.
    ended: Option<Instant>,
    /// Set if it is not to be heard to its end.
    pub(super) is_cut: bool,
}

impl Part {
    pub(super) fn push(&mut self, block: &[u8]) {
        let frame = 2 * usize::from(self.channels.max(1));
        let room = self.sample_rate as usize * frame * QUEUE_DURATION.as_millis() as usize / 1000;
        self.bytes.extend(block);
        let length = self.bytes.len();
        let over = length.saturating_sub(room);
        let lost = over.next_multiple_of(frame).min(length);
        self.bytes.drain(..lost);
    }
}

impl State {
    /// Returns whether a talk may begin: none is played, or only one that was cut off.
    pub(super) fn is_free(&self) -> bool {
        let newest = self.next.as_ref().or(self.now.as_ref());
        !self.is_closed && newest.is_none_or(|part| part.is_cut)
    }

    /// Begins a part behind the one that is played; its key.
    pub(super) fn append(&mut self, format: &AudioFormat) -> u64 {
        self.last_key += 1;
        let part = Part {
            key: self.last_key,
            sample_rate: format.sample_rate,
            channels: format.channels,
            bytes: VecDeque::new(),
            ended: None,
            is_cut: false,
        };
        match self.now {
            None => self.now = Some(part),
            // What has waited in vain is lost.
            Some(_) => self.next = Some(part),
        }
        self.last_key
    }

    pub(super) fn part(&mut self, key: u64) -> Option<&mut Part> {
        let parts = [&mut self.now, &mut self.next];
        parts.into_iter().flatten().find(|part| part.key == key)
    }

    pub(super) fn end(&mut self, key: u64) {
        if let Some(part) = self.part(key) {
            part.ended.get_or_insert_with(Instant::now);
        }
    }

    /// Ends the line: nobody plays it any more.
    pub(super) fn clear(&mut self) {
        (self.now, self.next) = (None, None);
        self.is_served = false;
    }

    /// Returns whether the talk being played is to go on; not if it was cut off.
    pub(super) fn goes_on(&self) -> bool {
        !self.is_closed && self.now.as_ref().is_some_and(|part| !part.is_cut)
    }

    pub(super) fn ended(&self) -> Option<Instant> {
        self.now.as_ref().and_then(|part| part.ended)
    }

    /// Time at which the program is given up, some time after the talk.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.ended().map(|ended| ended + GRACE_PERIOD)
    }
}

impl Line {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the sound that waits to be played; `None` at the end.
    pub(super) fn take(&self) -> Option<Vec<u8>> {
        let idle = |state: &mut State| {
            let now = state.now.as_ref();
            let has_some = now.is_none_or(|now| !now.bytes.is_empty() || now.ended.is_some());
            state.goes_on() && !has_some
        };
        let state = self.changed.wait_while(self.state(), idle);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        if !state.goes_on() {
            return None;
        }
        let bytes: Vec<u8> = state.now.as_mut()?.bytes.drain(..).collect();
        (!bytes.is_empty()).then_some(bytes)
    }

    /// Waits for so long, or until what is played has ended or is cut off; whether it has.
    pub(super) fn pause(&self, length: Duration) -> bool {
        let going = |state: &mut State| state.goes_on() && state.ended().is_none();
        let waited = self.changed.wait_timeout_while(self.state(), length, going);
        !going(&mut waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// Waits for so long, or until what is played is cut off; whether it was, or has had its time.
    pub(super) fn is_over(&self, length: Duration, deadline: Option<Instant>) -> bool {
        let waited = self
            .changed
            .wait_timeout_while(self.state(), length, |state| state.goes_on());
        let state = waited.unwrap_or_else(PoisonError::into_inner).0;
        let deadline = deadline.or(state.deadline());
        !state.goes_on() || deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }
}
