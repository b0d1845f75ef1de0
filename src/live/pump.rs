use std::{sync::Arc, time::Duration};

use peercam_hal::{Camera, SourceEvent};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout_at},
};

use super::{
    ring::Pushed,
    stream::{State, Stream},
};

/// A source that delivers nothing for this long is taken to be off.
const FRAME_TIMEOUT: Duration = Duration::from_secs(5);
/// Grace period of viewers whose camera is off, before their streams are ended in order.
const OFFLINE_GRACE: Duration = Duration::from_secs(10);

/// Opens a picture when its `turn` comes, and moves frames from it into the stream's ring until
/// it has been off for too long. Its owner stops it by aborting the task; however it ends, `forget`
/// is called with the stream.
pub(super) async fn run(
    stream: Arc<Stream>,
    camera: Arc<dyn Camera>,
    turn: Arc<Mutex<()>>,
    forget: impl Fn(&Arc<Stream>),
) {
    // Whatever ends this task, a panic of the source included, no viewer is left waiting.
    let ending = EndGuard { stream, forget };
    let stream = &ending.stream;
    // Declared before the source, so dropped after it.
    let _turn = turn.lock_owned().await;
    let mut source = match camera.open(stream.id.quality) {
        Ok(input) => {
            if let Some(control) = input.control {
                // Nobody else sets it.
                let _ = stream.control.set(control);
            }
            input.source
        }
        Err(error) => {
            return stream.set_state(State::Offline(format!("it does not start: {error}")));
        }
    };
    let mut give_up: Option<Instant> = None;
    loop {
        let deadline = give_up.unwrap_or_else(|| Instant::now() + FRAME_TIMEOUT);
        let event = match timeout_at(deadline, source.next()).await {
            Ok(event) => event,
            Err(_) if give_up.is_some() => return,
            Err(_) => SourceEvent::Offline("it did not deliver within 5 s".to_owned()),
        };
        match event {
            SourceEvent::Online(tracks) => {
                give_up = None;
                stream.ring().set_tracks(tracks);
                stream.set_state(State::Online);
            }
            SourceEvent::TracksChanged(tracks) => stream.ring().set_tracks(tracks),
            SourceEvent::Frame(frame) => {
                if give_up.take().is_some() {
                    stream.set_state(State::Online);
                }
                let (track, bytes) = (frame.track, frame.data.len());
                stream.metrics.source_frames.inc();
                if stream.ring().push(frame) == Pushed::Lost {
                    stream.metrics.source_lost.inc();
                    tracing::debug!(stream = %stream.id, %track, bytes, "frame of the camera lost");
                }
            }
            SourceEvent::Offline(reason) => {
                tracing::warn!(stream = %stream.id, reason, "camera off");
                stream.set_state(State::Offline(reason));
                give_up.get_or_insert_with(|| Instant::now() + OFFLINE_GRACE);
            }
        }
    }
}

struct EndGuard<F: Fn(&Arc<Stream>)> {
    stream: Arc<Stream>,
    forget: F,
}

impl<F: Fn(&Arc<Stream>)> Drop for EndGuard<F> {
    fn drop(&mut self) {
        self.stream.ring().close();
        self.stream.state.send_if_modified(|state| {
            let was_starting = *state == State::Starting;
            if was_starting {
                *state = State::Offline("it stopped while it was starting".to_owned());
            }
            was_starting
        });
        (self.forget)(&self.stream);
    }
}
