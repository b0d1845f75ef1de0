//! Availability of cameras: what is known of whether they deliver, and who is told that.
//!
//! What reads a camera knows it, the camera itself may, and a check of one that nobody reads does
//! (`checks`). When and how is checked does not belong here.

use peercam_proto::media::{ChannelId, Quality, StreamId};
use peercam_task::boundary::Guarded;

use super::{Hub, hub::LiveState, stream::State};
use crate::{
    channels::ChannelEntry,
    events::{Event, Events, Text},
};

/// Availability of a camera, as far as those knew who last read or checked it; published when it
/// changes.
#[derive(Debug, Default)]
pub(super) struct Availability {
    known: Guarded<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Reason why it did not deliver when it was last read or checked.
    reason: Option<String>,
    /// Set for each stream of which it was published that it is off.
    are_off: [bool; Quality::ALL.len()],
    /// Set if the checked one is off by what is known of the camera as a whole.
    is_checked_off: bool,
}

/// Stream that stands for its camera, where nobody reads one.
const CHECKED: Quality = Quality::Super;

impl Availability {
    /// Reason why the camera did not deliver when it was last read or checked.
    pub(super) fn reason(&self) -> Option<String> {
        self.known.lock().reason.clone()
    }

    /// Notes a stream's state. A camera that is asked once more does not become well by that.
    pub(super) fn note(&self, events: &Events, stream: StreamId, state: &State) {
        let known = &mut *self.known.lock();
        match state {
            State::Starting => {}
            State::Online => {
                known.reason = None;
                known.publish_online(events, stream);
                if std::mem::take(&mut known.is_checked_off) {
                    let quality = CHECKED;
                    known.publish_online(events, StreamId { quality, ..stream });
                }
            }
            State::Offline(reason) => {
                known.reason = Some(reason.clone());
                known.publish_offline(events, stream, reason);
            }
        }
    }

    /// Notes why the camera as a whole does not deliver; `None`: nothing keeps it from that. One of its
    /// streams stands for it.
    pub(super) fn note_camera(&self, events: &Events, channel: ChannelId, reason: Option<&str>) {
        let known = &mut *self.known.lock();
        known.reason = reason.map(str::to_owned);
        match reason {
            None => {
                known.is_checked_off = false;
                for quality in Quality::ALL {
                    known.publish_online(events, StreamId { channel, quality });
                }
            }
            Some(_) if known.are_off.contains(&true) => {}
            Some(reason) => {
                known.is_checked_off = true;
                let quality = CHECKED;
                known.publish_offline(events, StreamId { channel, quality }, reason);
            }
        }
    }
}

impl Known {
    fn publish_online(&mut self, events: &Events, stream: StreamId) {
        if std::mem::take(&mut self.are_off[stream.quality as usize]) {
            events.publish(Event::CameraOnline { stream });
        }
    }

    fn publish_offline(&mut self, events: &Events, stream: StreamId, reason: &str) {
        if !std::mem::replace(&mut self.are_off[stream.quality as usize], true) {
            let reason = Text::new(reason);
            events.publish(Event::CameraOffline { stream, reason });
        }
    }
}

/// A camera that would not deliver now.
pub struct CameraOutage {
    /// Its channel.
    pub channel: ChannelId,
    /// Reason, as [`Hub::offline`] gives it.
    pub reason: String,
    /// Sentence on what a person can do.
    pub remedy: &'static str,
}

/// Returns whether what was last known of a camera holds until it is read or checked again.
pub(super) fn is_checked(entry: &ChannelEntry) -> bool {
    entry.capabilities.health_check.is_some() || entry.capabilities.stills_only
}

impl Hub {
    /// Cameras that would not deliver now.
    pub fn outages(&self) -> Vec<CameraOutage> {
        let entries = self.inner.channels.all();
        let outages = entries.values().filter_map(|entry| {
            Some(CameraOutage {
                channel: entry.id,
                reason: self.offline(entry.id)?,
                remedy: entry.camera.remedy(),
            })
        });
        outages.collect()
    }

    /// Reason why a channel would not deliver now: a stream of it is waited for in vain, the camera
    /// knows that it is off, or it was when it was last read or checked. `None` as far as anybody
    /// knows; on standby, where nobody looks again, what was known last does not count.
    pub fn offline(&self, channel: ChannelId) -> Option<String> {
        let entry = self.inner.channels.get(channel)?;
        let is_online = self.stream_states(channel).contains(&State::Online);
        let holds = is_checked(&entry) && self.is_working(channel) && !is_online;
        let last_known = || LiveState::of(&entry).availability.reason();
        let reason = self.known_offline(&entry);
        reason.or_else(|| holds.then(last_known).flatten())
    }

    /// The same as [`Hub::offline`], without what was so the last time: the next one may be had.
    pub(super) fn known_offline(&self, entry: &ChannelEntry) -> Option<String> {
        let mut states = self.stream_states(entry.id).into_iter();
        let waited = states.find_map(|state| match state {
            State::Offline(reason) => Some(reason),
            State::Starting | State::Online => None,
        });
        waited.or_else(|| entry.camera.offline())
    }

    /// States of a channel's running streams.
    fn stream_states(&self, channel: ChannelId) -> Vec<State> {
        let streams = self.inner.streams();
        let running = streams.running.values();
        let its = running.filter(|running| running.stream.id.channel == channel);
        its.map(|running| running.stream.state.borrow().clone())
            .collect()
    }

    /// Returns whether a stream of a channel runs.
    pub(super) fn is_read(&self, channel: ChannelId) -> bool {
        let streams = self.inner.streams();
        streams.running.keys().any(|id| id.channel == channel)
    }
}

#[cfg(test)]
mod tests {
    use peercam_hal::clock::Clock;

    use super::*;

    const CHANNEL: ChannelId = ChannelId(0);

    fn stream(quality: Quality) -> StreamId {
        StreamId {
            channel: CHANNEL,
            quality,
        }
    }

    fn off(quality: Quality, reason: &str) -> Event {
        let (stream, reason) = (stream(quality), Text::new(reason));
        Event::CameraOffline { stream, reason }
    }

    fn on(quality: Quality) -> Event {
        let stream = stream(quality);
        Event::CameraOnline { stream }
    }

    fn published(act: impl FnOnce(&Availability, &Events)) -> Vec<Event> {
        let events = Events::new(Clock::start());
        let mut reader = events.subscribe();
        act(&Availability::default(), &events);
        let read = std::iter::from_fn(|| reader.try_recv());
        read.map(|read| read.expect("nothing is lost").event.clone())
            .collect()
    }

    #[test]
    fn what_changes_is_published_once() {
        let off_for = |reason: &str| State::Offline(reason.to_owned());
        let published = published(|availability, events| {
            for state in [
                State::Online,
                off_for("no power"),
                off_for("no power still"),
                State::Starting,
                State::Online,
                State::Online,
            ] {
                availability.note(events, stream(Quality::High), &state);
            }
        });
        let expected = [off(Quality::High, "no power"), on(Quality::High)];
        assert_eq!(published, expected);
    }

    #[test]
    fn a_camera_that_nobody_reads_goes_and_comes_back() {
        let published = published(|availability, events| {
            availability.note_camera(events, CHANNEL, Some("no power"));
            availability.note_camera(events, CHANNEL, Some("no route"));
            assert_eq!(availability.reason().as_deref(), Some("no route"));
            availability.note_camera(events, CHANNEL, None);
            availability.note_camera(events, CHANNEL, None);
            assert_eq!(availability.reason(), None);
        });
        assert_eq!(published, [off(CHECKED, "no power"), on(CHECKED)]);
    }

    #[test]
    fn a_stream_and_a_check_know_of_each_other() {
        let high = stream(Quality::High);
        let published = published(|availability, events| {
            availability.note(events, high, &State::Offline("no power".to_owned()));
            availability.note_camera(events, CHANNEL, Some("no power"));
            availability.note_camera(events, CHANNEL, None);
            assert_eq!(availability.reason(), None);
            availability.note_camera(events, CHANNEL, Some("no power"));
            availability.note(events, high, &State::Online);
            assert_eq!(availability.reason(), None);
        });
        let expected = [
            off(Quality::High, "no power"),
            on(Quality::High),
            off(CHECKED, "no power"),
            on(CHECKED),
        ];
        assert_eq!(published, expected);
    }
}
