use std::{
    cmp::Reverse,
    time::{Duration, Instant},
};

use peercam_proto::network::Source;

use crate::Ticket;

/// Time for which a ticket keeps its place: enough to prove itself from far away.
const TURN: Duration = Duration::from_millis(400);
/// The same, where somebody proved itself lately.
const KNOWN: Duration = Duration::from_secs(2);

/// A connection whose peer has proved nothing, as it waits to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) source: Source,
    /// Since when.
    pub(super) since: Instant,
    pub(super) ticket: Ticket,
    /// Time until which nobody with a lesser ticket, or the same, takes its place.
    pub(super) kept_until: Instant,
}

/// Decision about a newcomer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Admitted: there is room.
    Room,
    /// Admitted in the place of this one.
    InsteadOf(usize),
    /// Refused.
    NoRoom,
}

impl Waiting {
    pub(super) fn new(source: Source, ticket: Ticket, now: Instant) -> Self {
        let mut waiting = Self {
            source,
            since: now,
            ticket: Ticket::None,
            kept_until: now,
        };
        waiting.show(ticket, now);
        waiting
    }

    /// Notes a ticket that it has shown; a lesser one than before changes nothing.
    pub(super) fn show(&mut self, ticket: Ticket, now: Instant) {
        let kept = match ticket {
            Ticket::None => return,
            Ticket::Turn => TURN,
            Ticket::Known => KNOWN,
        };
        self.ticket = self.ticket.max(ticket);
        self.kept_until = self.kept_until.max(now + kept);
    }

    fn weight(&self, now: Instant) -> Ticket {
        if now < self.kept_until {
            self.ticket
        } else {
            Ticket::None
        }
    }
}

/// Decides which of those that wait goes for a newcomer.
///
/// A source that has `of_source` displaces its own. Where there is no room (`is_full`), the one
/// with the least ticket goes; of these the oldest of the source that has most. Who shows a ticket
/// keeps its place for a while against all that have no better one.
pub(super) fn judge(
    waiting: &[Waiting],
    newcomer: &Waiting,
    of_source: usize,
    is_full: bool,
    now: Instant,
) -> Verdict {
    let of = |source| {
        waiting
            .iter()
            .filter(move |other| other.source == source)
            .count()
    };
    if of(newcomer.source) >= of_source {
        let own = waiting.iter().enumerate();
        let own = own.filter(|(_, other)| other.source == newcomer.source);
        let oldest = own.min_by_key(|(_, other)| (other.weight(now), other.since));
        return oldest.map_or(Verdict::NoRoom, |(index, _)| Verdict::InsteadOf(index));
    }
    if !is_full {
        return Verdict::Room;
    }
    // Equal tickets do not displace each other, so that who has one is not chased out by a flood
    // that has them too; those without one displace each other, so that the newest always gets a
    // chance.
    let least = waiting.iter().map(|other| other.weight(now)).min();
    match least {
        Some(least) if least == Ticket::None || least < newcomer.ticket => {
            let least = waiting
                .iter()
                .enumerate()
                .filter(|(_, other)| other.weight(now) == least);
            // A flood pays first: whoever has most connections of this weight.
            let victim = least.max_by_key(|(_, other)| (of(other.source), Reverse(other.since)));
            victim.map_or(Verdict::NoRoom, |(index, _)| Verdict::InsteadOf(index))
        }
        _ => Verdict::NoRoom,
    }
}
