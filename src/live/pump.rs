use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    hub::{Inner, State, Stream},
    ring::Pushed,
};
use crate::hal::{MediaSource, SourceEvent};

/// How long viewers wait for a camera that went off before their streams are ended in order.
const OFFLINE_GRACE: Duration = Duration::from_secs(10);

/// Moves frames from a source into a stream's ring until the source stays off for too long. Its
/// owner stops it by aborting the task.
pub(super) async fn run(hub: Weak<Inner>, stream: Arc<Stream>, mut source: Box<dyn MediaSource>) {
    // Whatever ends this task, a panic of the source included, no viewer is left waiting.
    let ending = Ending { hub, stream };
    let stream = &ending.stream;
    let mut give_up: Option<Instant> = None;
    loop {
        let event = match give_up {
            None => source.next().await,
            Some(deadline) => match tokio::time::timeout_at(deadline, source.next()).await {
                Ok(event) => event,
                Err(_) => return,
            },
        };
        match event {
            SourceEvent::Online(tracks) => {
                give_up = None;
                stream.ring().set_tracks(tracks);
                ending.set_state(State::Online);
            }
            SourceEvent::TracksChanged(tracks) => stream.ring().set_tracks(tracks),
            SourceEvent::Frame(frame) => {
                stream.metrics.source_frames.inc();
                if stream.ring().push(frame) == Pushed::Lost {
                    stream.metrics.source_lost.inc();
                }
            }
            SourceEvent::Offline(reason) => {
                tracing::warn!(stream = %stream.id, reason, "camera off");
                ending.set_state(State::Offline(reason));
                give_up.get_or_insert_with(|| Instant::now() + OFFLINE_GRACE);
            }
        }
    }
}

struct Ending {
    hub: Weak<Inner>,
    stream: Arc<Stream>,
}

impl Ending {
    fn set_state(&self, state: State) {
        if let Some(hub) = self.hub.upgrade() {
            hub.set_offline(self.stream.id.channel, state != State::Online);
        }
        self.stream.state.send_replace(state);
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.stream.ring().close();
        self.stream.state.send_if_modified(|state| {
            let was_starting = *state == State::Starting;
            if was_starting {
                *state = State::Offline("it stopped while it was starting".to_owned());
            }
            was_starting
        });
        if let Some(hub) = self.hub.upgrade() {
            hub.forget(&self.stream);
        }
    }
}
