//! Stream of what happens, as lines: JSON for programs, text for people.
//!
//! Loss rule: nobody who publishes waits for who follows; one that falls behind the ring of events is
//! told how many it has lost. No more than [`MAX_FOLLOWERS`] follow at a time, so that there are
//! always connections for short requests.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use jiff::Timestamp;
use peercam_proto::{
    error::{Error, ErrorKind},
    media::StreamId,
    text::Json,
};
use serde_json::{Map, Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::body::Form;
use crate::events::{CallStage, Event, EventReceiver, EventRecord, Lagged, StorageState, Text};

/// Programs that follow at a time.
const MAX_FOLLOWERS: usize = 2;
/// Bytes that are handed on at a time, if so many wait.
const PIECE: usize = 4 << 10;

/// Places for those who follow what happens.
#[derive(Clone, Debug)]
pub struct Followers(Arc<Semaphore>);

impl Default for Followers {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_FOLLOWERS)))
    }
}

impl Followers {
    /// Number of programs that follow, and how many there may be.
    pub(super) fn count(&self) -> (usize, usize) {
        (MAX_FOLLOWERS - self.0.available_permits(), MAX_FOLLOWERS)
    }

    fn enter(&self) -> Result<OwnedSemaphorePermit, Error> {
        let place = Arc::clone(&self.0).try_acquire_owned();
        place.map_err(|_| {
            let reason = format!("{MAX_FOLLOWERS} programs follow the events already");
            Error::new(ErrorKind::Full, reason)
        })
    }
}

type Next = Pin<Box<dyn Future<Output = Option<(EventReceiver, String)>> + Send>>;

/// Lines of what happens from now on, to the end of the daemon.
pub(super) struct EventLines {
    /// `None` at the end.
    next: Option<Next>,
    form: Form,
    stop: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl EventLines {
    pub(super) fn new(
        receiver: EventReceiver,
        form: Form,
        stop: CancellationToken,
        followers: &Followers,
    ) -> Result<Self, Error> {
        Ok(Self {
            _place: followers.enter()?,
            next: Some(next(receiver, form, stop.clone())),
            form,
            stop,
        })
    }

    /// The next lines; `None` at the end.
    pub(super) fn poll_lines(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Some(waiting) = &mut self.next else {
            return Poll::Ready(None);
        };
        let read = ready!(waiting.as_mut().poll(context));
        self.next = None;
        Poll::Ready(read.map(|(receiver, lines)| {
            self.next = Some(next(receiver, self.form, self.stop.clone()));
            lines.into()
        }))
    }
}

/// Waits for what happens next.
fn next(mut receiver: EventReceiver, form: Form, stop: CancellationToken) -> Next {
    Box::pin(async move {
        let mut read = stop.run_until_cancelled(receiver.recv()).await;
        let mut lines = String::new();
        while let Some(happened) = read {
            line(&happened, form, &mut lines);
            read = (lines.len() < PIECE).then(|| receiver.try_recv()).flatten();
        }
        (!lines.is_empty()).then_some((receiver, lines))
    })
}

/// Writes what was read as one line.
fn line(read: &Result<Arc<EventRecord>, Lagged>, form: Form, lines: &mut String) {
    let fields = match read {
        Ok(record) => fields(record),
        Err(Lagged(lost)) => json!({ "event": "lost", "count": lost }),
    };
    let text = match (form, fields) {
        (Form::Text, Value::Object(fields)) => words(fields),
        (_, fields) => fields.to_string(),
    };
    *lines += &Json(&text).to_string();
    lines.push('\n');
}

/// An event's fields: its number, its time, its kind, and what it tells.
fn fields(record: &EventRecord) -> Value {
    let stream = |stream: &StreamId| json!({ "channel": stream.channel.0, "quality": stream.quality.as_str() });
    let (kind, mut fields) = match &record.event {
        Event::Detected {
            channel,
            kind,
            length,
        } => {
            let seconds = length.map(|length| length.as_secs());
            let fields = json!({ "channel": channel.0, "type": kind, "length_seconds": seconds });
            ("detected", fields)
        }
        Event::Call {
            stage,
            channel,
            viewer,
        } => {
            let state = match stage {
                CallStage::Idle => "idle",
                CallStage::Calling => "calling",
                CallStage::Called => "called",
                CallStage::Talking => "talking",
            };
            let channel = channel.map(|channel| channel.0);
            let viewer = viewer.as_ref().map(Text::as_str);
            let fields = json!({ "state": state, "channel": channel, "viewer": viewer });
            ("call", fields)
        }
        Event::ViewerJoined {
            session,
            name,
            path,
        } => {
            let (session, name) = (session.as_str(), name.as_str());
            let fields = json!({ "session": session, "name": name, "path": path.as_str() });
            ("viewer_joined", fields)
        }
        Event::ViewerLeft {
            session,
            name,
            reason,
        } => {
            let (session, name) = (session.as_str(), name.as_str());
            let fields = json!({ "session": session, "name": name, "reason": reason });
            ("viewer_left", fields)
        }
        Event::Storage(state) => {
            let (state, reason) = match state {
                StorageState::Starting => ("starting", None),
                StorageState::Ready => ("ready", None),
                StorageState::Stuck(reason) => ("read only", Some(reason.as_str())),
                StorageState::Gone(reason) => ("gone", Some(reason.as_str())),
            };
            ("card", json!({ "state": state, "reason": reason }))
        }
        Event::Standby { channel, is_on } => {
            ("standby", json!({ "channel": channel.0, "on": is_on }))
        }
        Event::Mirror { channel, is_on } => {
            ("mirror", json!({ "channel": channel.0, "on": is_on }))
        }
        Event::CameraOffline { stream: id, reason } => {
            let mut fields = stream(id);
            fields["reason"] = reason.as_str().into();
            ("camera_offline", fields)
        }
        Event::CameraOnline { stream: id } => ("camera_online", stream(id)),
        Event::SegmentClosed {
            channel,
            start_millis,
            duration_millis,
            kind,
            size,
        } => {
            let fields = json!({
                "channel": channel.0, "start_ms": start_millis, "duration_ms": duration_millis,
                "type": kind, "bytes": size,
            });
            ("recorded", fields)
        }
        Event::ReachabilityChanged => ("reachability_changed", json!({})),
        Event::Reloaded => ("reloaded", json!({})),
        Event::Panicked { part } => ("panicked", json!({ "part": part })),
    };
    let time = record
        .wall_millis
        .and_then(|millis| Timestamp::from_millisecond(millis).ok());
    fields["number"] = record.number.into();
    fields["time"] = time.map(|time| time.to_string()).into();
    fields["event"] = kind.into();
    fields
}

/// Fields as people read them: time and kind, and then each that has a value.
fn words(mut fields: Map<String, Value>) -> String {
    let mut take = |key: &str| match fields.remove(key) {
        Some(Value::String(text)) => text,
        _ => "-".to_owned(),
    };
    let mut text = format!("{} {}", take("time"), take("event"));
    fields.remove("number");
    for (key, value) in fields.into_iter().filter(|(_, value)| !value.is_null()) {
        text += &format!(" {key}={value}");
    }
    text
}

#[cfg(test)]
mod tests {
    use peercam_proto::media::{ChannelId, MediaTime, Quality};

    use super::*;
    use crate::events::ViewerPath;

    fn record(event: Event, wall_millis: Option<i64>) -> Result<Arc<EventRecord>, Lagged> {
        Ok(Arc::new(EventRecord {
            number: 7,
            at: MediaTime::from_micros(0),
            wall_millis,
            event,
        }))
    }

    #[test]
    fn an_event_is_a_line_for_programs_and_one_for_people() {
        let stream = StreamId {
            channel: ChannelId(1),
            quality: Quality::Super,
        };
        let joined = Event::ViewerJoined {
            session: Text::new("AAAABBBBCCCC"),
            name: Text::new("Mum\u{1b}[2J\nforged"),
            path: ViewerPath::Relay,
        };
        for (read, json, text) in [
            (
                record(joined, Some(1_764_327_600_500)),
                r#"{"event":"viewer_joined","name":"Mum\\u{1b}[2J\\nforged","number":7,"path":"relay","session":"AAAABBBBCCCC","time":"2025-11-28T11:00:00.5Z"}"#,
                r#"2025-11-28T11:00:00.5Z viewer_joined name="Mum\\u{1b}[2J\\nforged" path="relay" session="AAAABBBBCCCC""#,
            ),
            (
                record(
                    Event::CameraOffline {
                        stream,
                        reason: Text::new("no power"),
                    },
                    None,
                ),
                r#"{"channel":1,"event":"camera_offline","number":7,"quality":"super","reason":"no power","time":null}"#,
                r#"- camera_offline channel=1 quality="super" reason="no power""#,
            ),
            (
                Err(Lagged(12)),
                r#"{"count":12,"event":"lost"}"#,
                "- lost count=12",
            ),
        ] {
            let told = |form| {
                let mut lines = String::new();
                line(&read, form, &mut lines);
                lines
            };
            assert_eq!(told(Form::Json), format!("{json}\n"));
            assert_eq!(told(Form::Text), format!("{text}\n"));
        }
    }

    #[test]
    fn few_follow_at_a_time() {
        let followers = Followers::default();
        let _held: Vec<_> = (0..MAX_FOLLOWERS)
            .map(|_| followers.enter().expect("room"))
            .collect();
        assert!(followers.enter().is_err());
    }
}
