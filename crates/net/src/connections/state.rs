use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use peercam_proto::credential::Rank;
use tokio::task::AbortHandle;

use super::{Timeouts, queue::Waiting};
use crate::permits::Ending;

/// Time for which a connection may stay that proves nothing.
const AUTHENTICATION_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct State {
    pub(super) who: Authentication,
    pub(super) phase: Phase,
    pub(super) since: Instant,
    pub(super) write_blocked_since: Option<Instant>,
    /// Set while its answer is media.
    pub(super) media: Option<Media>,
    /// The task that serves the connection, once it is known.
    pub(super) task: Option<AbortHandle>,
    pub(super) ended: bool,
}

/// Media that a connection is sent, and the places that it holds for it.
#[derive(Debug)]
pub(super) struct Media {
    pub(super) places: Vec<Ending>,
    /// Time at which it was seen first that one of its places is another's now.
    pub(super) displaced_at: Option<Instant>,
}

/// State in which a connection goes for another of its like, and since when. Those that come
/// first go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Idle {
    /// Waiting: no request is under way and no answer unsent.
    Waits(Instant),
    /// Blocked: the peer takes nothing of an answer.
    Unread(Instant),
    /// Blocked in media: the peer takes no picture; for a moment that happens to every player.
    Stalled(Instant),
}

/// Time in which a peer takes nothing of an answer, or of media, before its connection is idle.
const UNREAD: Duration = Duration::from_secs(1);
const STALLED: Duration = Duration::from_secs(5);
/// Time for whoever has lost its place for media to hear of it.
const FAREWELL: Duration = Duration::from_secs(1);

/// Authentication of a connection's peer.
#[derive(Clone, Debug)]
pub(super) enum Authentication {
    /// The listener trusts it.
    Trusted,
    /// Not authenticated yet.
    Unauthenticated(Waiting),
    /// Authenticated: its rank, and who answers for it.
    Proved(Rank, Arc<str>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Waiting for the first request head.
    Head,
    /// A request is being answered.
    Serving,
    /// Waiting for another request.
    Idle,
}

impl Timeouts {
    pub(super) fn exceeded(&self, state: &State, now: Instant) -> Option<&'static str> {
        let passed = |since: Instant, limit: Duration| now.saturating_duration_since(since) > limit;
        if state
            .write_blocked_since
            .is_some_and(|since| passed(since, self.write))
        {
            return Some("does not read");
        }
        if let Authentication::Unauthenticated(waiting) = &state.who
            && passed(waiting.since, AUTHENTICATION_TIMEOUT)
        {
            return Some("no proof");
        }
        // No limit while a request is served: live media has no end, and a peer that takes none of
        // it was seen above, by its writes.
        match state.phase {
            Phase::Head if passed(state.since, self.header) => Some("no whole request head"),
            Phase::Idle if passed(state.since, self.idle) => Some("idle"),
            _ => None,
        }
    }
}

impl State {
    /// Returns why it may go for another of its like, if it may.
    pub(super) fn idle(&self, now: Instant) -> Option<Idle> {
        let lasts = |since, time| now.saturating_duration_since(since) >= time;
        match (self.write_blocked_since, &self.media) {
            (None, _) => (self.phase != Phase::Serving).then_some(Idle::Waits(self.since)),
            (Some(since), None) => lasts(since, UNREAD).then_some(Idle::Unread(since)),
            (Some(since), Some(_)) => lasts(since, STALLED).then_some(Idle::Stalled(since)),
        }
    }

    /// Returns whether its place for media is another's for so long that it must have heard of it.
    pub(super) fn holds_on(&mut self, now: Instant) -> bool {
        let media = self.media.as_mut();
        media.is_some_and(
            |Media {
                 places,
                 displaced_at,
             }| {
                let is_displaced = places.iter().any(Ending::has_begun);
                is_displaced
                    && now.saturating_duration_since(*displaced_at.get_or_insert(now)) >= FAREWELL
            },
        )
    }
}
