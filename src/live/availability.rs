use std::sync::atomic::{AtomicBool, Ordering};

use peercam_proto::media::StreamId;

use super::stream::State;
use crate::events::{Event, Events, Text};

/// Availability of one of a camera's streams, as far as its last reader knew; published when it
/// changes.
#[derive(Debug, Default)]
pub(super) struct Availability {
    is_off: AtomicBool,
}

impl Availability {
    /// Notes the stream's state. A camera that is asked once more does not become well by that.
    pub(super) fn note(&self, events: &Events, stream: StreamId, state: &State) {
        let event = match state {
            State::Starting => return,
            State::Online => Event::CameraOnline { stream },
            State::Offline(reason) => Event::CameraOffline {
                stream,
                reason: Text::new(reason),
            },
        };
        let is_off = matches!(state, State::Offline(_));
        if self.is_off.swap(is_off, Ordering::AcqRel) != is_off {
            events.publish(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use peercam_hal::clock::Clock;
    use peercam_proto::media::{ChannelId, Quality};

    use super::*;

    #[test]
    fn what_changes_is_published_once() {
        let events = Events::new(Clock::start());
        let mut reader = events.subscribe();
        let availability = Availability::default();
        let stream = StreamId {
            channel: ChannelId(0),
            quality: Quality::High,
        };
        let off = |reason: &str| State::Offline(reason.to_owned());
        for state in [
            State::Online,
            off("no power"),
            off("no power still"),
            State::Starting,
            State::Online,
            State::Online,
        ] {
            availability.note(&events, stream, &state);
        }
        let read = std::iter::from_fn(|| reader.try_recv());
        let read: Vec<_> = read
            .map(|read| read.expect("nothing is lost").event.clone())
            .collect();
        let reason = Text::new("no power");
        let off = Event::CameraOffline { stream, reason };
        assert_eq!(read, [off, Event::CameraOnline { stream }]);
    }
}
