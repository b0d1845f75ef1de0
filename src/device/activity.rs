//! Viewers that are there, with a session or without.
//!
//! Keeps: whoever is being sent something, or talks, is there; beyond 256 viewers, the one that has
//! been gone for longest is forgotten. Permits do not belong here (`viewers`).

use std::{
    collections::BTreeMap,
    sync::{Arc, MutexGuard},
    time::{Duration, Instant},
};

use peercam_proto::{
    media::{ChannelId, Quality},
    network::Peer,
    viewer::ViewerId,
};
use peercam_task::{
    boundary::Guarded,
    registry::{Entry, Registry},
};

use crate::access::{Caller, Medium, Sessions};

/// Viewers that are remembered after they have gone. When there are more, the longest gone are
/// forgotten.
const MAX_GONE: usize = 256;

/// Tracker of the viewers that are there: those with a session, those that are being sent something
/// or talk, and those that asked something a moment ago.
#[derive(Clone)]
pub struct ActivityTracker {
    here: Arc<Guarded<BTreeMap<ViewerId, Activity>>>,
    /// Media under way: as many as have a permit, and those who talk.
    media: Registry<MediaView>,
    sessions: Sessions,
}

/// A medium under way, as it is listed.
#[derive(Clone, Debug)]
pub struct MediaView {
    /// The viewer that is sent it, or talks.
    pub viewer: ViewerId,
    /// Name of the viewer, as it can be shown.
    pub name: String,
    /// Address of the viewer when it asked.
    pub peer: Peer,
    /// The medium.
    pub medium: Medium,
    /// Channel of the camera.
    pub channel: ChannelId,
    /// Quality of a live stream.
    pub quality: Option<Quality>,
    /// Time at which it began.
    pub since: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Activity {
    /// Requests under way.
    open: usize,
    /// Time at which the last one began or ended.
    at: Instant,
}

/// A request of a viewer that is under way. Dropping it ends it.
pub struct RequestGuard {
    activity: ActivityTracker,
    viewer: ViewerId,
    _medium: Option<Entry<MediaView>>,
}

impl ActivityTracker {
    /// A tracker that knows of nobody but those that have a session, which is asked for each
    /// viewer.
    pub fn new(sessions: Sessions) -> Self {
        Self {
            // Each viewer's entry is by itself.
            here: Arc::new(Guarded::whole(BTreeMap::new())),
            media: Registry::default(),
            sessions,
        }
    }

    /// Number of connected viewers that proved themselves, and the number at which a further one is
    /// refused.
    pub fn connected(&self) -> (usize, usize) {
        self.sessions.connected()
    }

    fn here(&self) -> MutexGuard<'_, BTreeMap<ViewerId, Activity>> {
        self.here.lock()
    }

    /// Notes that a viewer has asked something.
    pub fn note(&self, viewer: &ViewerId) {
        self.change(viewer, 0);
    }

    /// Notes that a viewer is being sent something, or talks.
    pub fn attend(&self, viewer: &ViewerId) -> RequestGuard {
        self.guard(viewer, None)
    }

    /// The same, for a medium that is listed meanwhile.
    pub fn attend_medium(
        &self,
        caller: &Caller,
        channel: ChannelId,
        medium: Medium,
        quality: Option<Quality>,
    ) -> RequestGuard {
        let view = MediaView {
            viewer: caller.viewer.clone(),
            name: caller.to_string(),
            peer: caller.peer,
            medium,
            channel,
            quality,
            since: Instant::now(),
        };
        self.guard(&caller.viewer, Some(self.media.insert(view)))
    }

    fn guard(&self, viewer: &ViewerId, medium: Option<Entry<MediaView>>) -> RequestGuard {
        self.change(viewer, 1);
        RequestGuard {
            activity: self.clone(),
            viewer: viewer.clone(),
            _medium: medium,
        }
    }

    /// Media under way, oldest first.
    pub fn media(&self) -> Vec<MediaView> {
        self.media.read(<[_]>::to_vec)
    }

    fn change(&self, viewer: &ViewerId, by: isize) {
        let at = Instant::now();
        let mut here = self.here();
        match here.get_mut(viewer) {
            Some(known) => {
                known.open = known.open.saturating_add_signed(by);
                known.at = at;
            }
            None => {
                let open = usize::from(by > 0);
                here.insert(viewer.clone(), Activity { open, at });
            }
        }
        if here.len() > MAX_GONE {
            let gone = here.iter().filter(|(_, known)| known.open == 0);
            let longest = gone.min_by_key(|(_, known)| known.at);
            if let Some(viewer) = longest.map(|(viewer, _)| viewer.clone()) {
                here.remove(&viewer);
            }
        }
    }

    /// Returns whether a viewer is there, or has asked something less than `grace` ago.
    pub fn is_there(&self, viewer: &ViewerId, grace: Duration) -> bool {
        let known = self.here().get(viewer).copied();
        if known.is_some_and(|known| known.open > 0) {
            return true;
        }
        self.sessions.has(viewer) || known.is_some_and(|known| known.at.elapsed() < grace)
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.activity.change(&self.viewer, -1);
    }
}

#[cfg(test)]
impl ActivityTracker {
    /// A tracker without sessions.
    pub(crate) fn without_sessions() -> Self {
        let events = crate::events::Events::new(peercam_hal::clock::Clock::start());
        Self::new(Sessions::new(0, crate::access::Metrics::default(), events))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> ViewerId {
        ViewerId::unauthenticated(&name.into())
    }

    #[test]
    fn a_viewer_is_there_as_long_as_it_is_sent_something() {
        let activity = ActivityTracker::without_sessions();
        assert!(!activity.is_there(&id("a"), Duration::MAX));
        let first = activity.attend(&id("a"));
        let second = activity.attend(&id("a"));
        drop(first);
        assert!(activity.is_there(&id("a"), Duration::ZERO));
        drop(second);
        assert!(!activity.is_there(&id("a"), Duration::ZERO));
        assert!(activity.is_there(&id("a"), Duration::MAX));
    }

    #[test]
    fn not_more_are_remembered_than_there_is_room_for() {
        let activity = ActivityTracker::without_sessions();
        let guard = activity.attend(&id("stays"));
        for number in 0..2 * MAX_GONE {
            activity.note(&id(&number.to_string()));
        }
        assert!(activity.here().len() <= MAX_GONE);
        assert!(activity.is_there(&id("stays"), Duration::ZERO));
        drop(guard);
    }
}
