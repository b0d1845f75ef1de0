use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, MutexGuard},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame as BodyFrame};
use peercam_proto::feedback::Feedback;
use peercam_task::boundary::Guarded;
use tokio::{
    sync::mpsc,
    time::{Instant, Interval, interval_at},
};

use crate::p2p::OnFeedback;

/// Messages that wait for one reader. A reader for which there are more loses the newest.
const QUEUE_LEN: usize = 64;
/// Readers at a time; a further one displaces the oldest.
const MAX_READERS: usize = 16;
/// Interval at which a reader is shown that its connection lives.
const TICK: Duration = Duration::from_secs(15);

/// Hands what the device says to whoever reads along.
#[derive(Clone, Default)]
pub struct Events(Arc<Guarded<Readers>>);

#[derive(Default)]
struct Readers {
    /// The one that stays: nobody displaces it.
    kept: Option<mpsc::Sender<Arc<str>>>,
    /// Oldest first.
    others: Vec<mpsc::Sender<Arc<str>>>,
}

impl Events {
    /// Reads along from now on.
    pub(super) fn subscribe(&self) -> mpsc::Receiver<Arc<str>> {
        let (sender, receiver) = mpsc::channel(QUEUE_LEN);
        let readers = &mut self.lock().others;
        readers.retain(|reader| !reader.is_closed());
        if readers.len() >= MAX_READERS {
            readers.remove(0);
        }
        readers.push(sender);
        receiver
    }

    /// Reads along as the one that stays.
    pub(super) fn subscribe_for_good(&self) -> mpsc::Receiver<Arc<str>> {
        let (sender, receiver) = mpsc::channel(QUEUE_LEN);
        self.lock().kept = Some(sender);
        receiver
    }

    fn lock(&self) -> MutexGuard<'_, Readers> {
        self.0.lock()
    }
}

impl OnFeedback for Events {
    fn on_feedback(&self, message: &Feedback) -> bool {
        // One line, so that it can forge no other event.
        let text: Arc<str> = message.to_string().into();
        let readers = self.lock();
        for reader in readers.kept.iter().chain(&readers.others) {
            if reader.try_send(Arc::clone(&text)).is_err() {
                tracing::warn!("a reader of /events is too slow or gone and misses a message");
            }
        }
        true
    }
}

/// Messages as server-sent events.
pub(super) struct EventBody {
    messages: mpsc::Receiver<Arc<str>>,
    ticks: Interval,
    has_begun: bool,
}

impl EventBody {
    pub(super) fn new(messages: mpsc::Receiver<Arc<str>>) -> Self {
        Self {
            messages,
            ticks: interval_at(Instant::now() + TICK, TICK),
            has_begun: false,
        }
    }
}

impl Body for EventBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<Bytes>, Infallible>>> {
        let frame = |text: String| Poll::Ready(Some(Ok(BodyFrame::data(Bytes::from(text)))));
        if !std::mem::replace(&mut self.has_begun, true) {
            return frame(": what the device says\n\n".to_owned());
        }
        if let Poll::Ready(message) = self.messages.poll_recv(context) {
            return match message {
                Some(text) => frame(format!("event: feedback\ndata: {text}\n\n")),
                None => Poll::Ready(None),
            };
        }
        ready!(self.ticks.poll_tick(context));
        frame(":\n\n".to_owned())
    }
}
