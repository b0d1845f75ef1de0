//! Ring of the newest events, and how a cursor moves in it. Pure: no clock, no waiting.

use std::{collections::VecDeque, sync::Arc};

use super::EventRecord;

/// Bytes of the events that are kept, texts and all, at least and at most. Of the shortest the least
/// is a hundred.
pub const MEMORY: (usize, usize) = (12 << 10, 64 << 10);

/// Some events are gone before their reader has seen them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} events were lost, because they were not read in time")]
pub struct Lagged(pub u64);

/// The newest events. Bound: bytes, texts and all; the oldest go.
#[derive(Debug)]
pub(super) struct Ring {
    /// Oldest first, without gaps in their numbers.
    records: VecDeque<Arc<EventRecord>>,
    bytes: usize,
    max_bytes: usize,
    /// Number of the first event of all.
    first: u64,
    /// Number of the next event.
    end: u64,
}

impl Ring {
    /// An empty ring for so many bytes, whose first event will have this number.
    pub(super) fn new(max_bytes: usize, first: u64) -> Self {
        Self {
            records: VecDeque::new(),
            bytes: 0,
            max_bytes,
            first,
            end: first,
        }
    }

    /// Forgets all events, but not how many there were: their readers are told.
    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.bytes = 0;
    }

    /// Adds the event that `record` makes for a number.
    pub(super) fn push(&mut self, record: impl FnOnce(u64) -> EventRecord) {
        let record = Arc::new(record(self.end));
        self.end += 1;
        self.bytes += bytes_of(&record);
        self.records.push_back(record);
        while self.bytes > self.max_bytes
            && let Some(oldest) = self.records.pop_front()
        {
            self.bytes -= bytes_of(&oldest);
        }
    }

    /// Number of the next event.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Number of the oldest event that is kept, or of the next one if none is.
    pub(super) fn oldest(&self) -> u64 {
        self.end - self.records.len() as u64
    }

    /// Number of the event behind this one; of the first one if there has been no such event.
    pub(super) fn behind(&self, number: u64) -> u64 {
        if (self.first..self.end).contains(&number) {
            number + 1
        } else {
            self.first
        }
    }

    /// Reads the event at a cursor and moves it; `None` if it has not happened yet.
    pub(super) fn read(&self, next: &mut u64) -> Option<Result<Arc<EventRecord>, Lagged>> {
        let oldest = self.oldest();
        if *next < oldest {
            let lost = oldest - *next;
            *next = oldest;
            return Some(Err(Lagged(lost)));
        }
        let index = usize::try_from(*next - oldest).ok()?;
        let record = self.records.get(index)?;
        *next += 1;
        Some(Ok(Arc::clone(record)))
    }
}

/// Bytes that a record takes on the heap, and of the list.
fn bytes_of(record: &EventRecord) -> usize {
    const COUNTS: usize = 2 * size_of::<usize>();
    // The list may have grown to twice what it holds.
    const ENTRIES: usize = 2 * size_of::<Arc<EventRecord>>();
    size_of::<EventRecord>() + COUNTS + ENTRIES + record.event.text_bytes()
}

#[cfg(test)]
mod tests {
    use peercam_proto::media::{ChannelId, MediaTime};

    use super::{
        super::{Event, Text},
        *,
    };

    fn push(ring: &mut Ring, event: Event) {
        ring.push(|number| EventRecord {
            number,
            at: MediaTime::from_micros(0),
            wall_millis: None,
            event,
        });
    }

    fn standby() -> Event {
        Event::Standby {
            channel: ChannelId(0),
            is_on: true,
        }
    }

    #[test]
    fn the_oldest_go_and_whoever_has_not_seen_them_is_told_how_many() {
        let mut ring = Ring::new(MEMORY.0, 7);
        let mut next = ring.end();
        for _ in 0..3_000 {
            push(&mut ring, standby());
        }
        assert!(ring.bytes <= MEMORY.0);
        let kept = ring.records.len() as u64;
        assert!((100..3_000).contains(&kept), "{kept}");
        assert_eq!(ring.read(&mut next), Some(Err(Lagged(3_000 - kept))));
        let numbers = std::iter::from_fn(|| ring.read(&mut next)).map(|read| {
            let record = read.expect("nothing more is lost");
            record.number
        });
        assert!(numbers.eq(3_007 - kept..3_007));
    }

    #[test]
    fn long_texts_take_the_room_of_many_events() {
        let mut ring = Ring::new(MEMORY.1, 1);
        for _ in 0..1_000 {
            push(&mut ring, standby());
        }
        let short = ring.records.len();
        let reason = Text::new(&"界".repeat(10_000));
        for _ in 0..1_000 {
            let state = super::super::StorageState::Gone(reason.clone());
            push(&mut ring, Event::Storage(state));
        }
        assert!(ring.bytes <= MEMORY.1);
        assert!(ring.records.len() < short / 2, "texts count");
        assert!(ring.records.len() > 50, "and are short");
    }

    #[test]
    fn a_ring_that_was_cleared_tells_of_the_loss() {
        let mut ring = Ring::new(MEMORY.0, 1);
        let mut next = ring.oldest();
        push(&mut ring, standby());
        push(&mut ring, standby());
        ring.clear();
        assert_eq!(ring.read(&mut next), Some(Err(Lagged(2))));
        assert_eq!(ring.read(&mut next), None);
        push(&mut ring, standby());
        let read = ring.read(&mut next).expect("one").expect("not lost");
        assert_eq!(read.number, 3);
    }
}
