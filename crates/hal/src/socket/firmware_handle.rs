//! Messages to one firmware, and the answers that are waited for.

use std::{
    collections::HashMap,
    sync::{
        Arc, MutexGuard,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use peercam_proto::{command::ANSWER_TIME, hal_socket::ToFirmware};
use peercam_task::boundary::Guarded;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::HalError;

/// Messages that wait for a firmware that does not read. Sound beyond it is lost; anything else
/// ends the connection.
pub(super) const QUEUE: usize = 256;
/// Requests without an answer yet.
const MOST_REQUESTS: usize = 16;
/// Timeout of a still.
pub(super) const STILL_TIME: Duration = Duration::from_secs(5);

/// Timeout for beginning to format its card, or to start again: what is done is not to
/// be called failed, and no app that waits for 2 s learns more from an early error. Less than a
/// command has in all.
pub(super) const UPKEEP_TIME: Duration = Duration::from_secs(5);

/// One firmware's end. Clones are the same.
#[derive(Clone)]
pub(super) struct FirmwareHandle {
    pub(super) number: u64,
    queue: mpsc::Sender<Vec<u8>>,
    /// The firmware does not read.
    stuck: CancellationToken,
    requests: Arc<Requests>,
}

#[derive(Default)]
struct Requests {
    next: AtomicU32,
    waiting: Guarded<HashMap<u32, oneshot::Sender<Result<Bytes, String>>>>,
}

impl Requests {
    fn waiting(&self) -> MutexGuard<'_, HashMap<u32, oneshot::Sender<Result<Bytes, String>>>> {
        self.waiting.lock()
    }
}

impl FirmwareHandle {
    /// A link, and where what it is to send comes out.
    pub(super) fn new(number: u64) -> (Self, mpsc::Receiver<Vec<u8>>) {
        let (queue, receiver) = mpsc::channel(QUEUE);
        let firmware = Self {
            number,
            queue,
            stuck: CancellationToken::new(),
            requests: Arc::default(),
        };
        (firmware, receiver)
    }

    /// Sends a message, without waiting.
    pub(super) fn send(&self, message: &ToFirmware<'_>) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.queue.try_send(message.encode()) {
            self.stuck.cancel();
        }
    }

    /// Sends a block of sound; what there is no room for is lost.
    pub(super) fn send_sound(&self, message: &ToFirmware<'_>) {
        // Half of the room stays for what matters more.
        if self.queue.capacity() > QUEUE / 2 {
            self.send(message);
        }
    }

    /// Ends the connection.
    pub(super) fn give_up(&self) {
        self.stuck.cancel();
    }

    /// Waits until the firmware has not read for too long, or is given up.
    pub(super) async fn stuck(&self) {
        self.stuck.cancelled().await;
    }

    /// Asks for something that an app waits for.
    pub(super) async fn ask(
        &self,
        request: impl FnOnce(u32) -> Vec<u8>,
    ) -> Result<Bytes, HalError> {
        self.ask_for(ANSWER_TIME, request).await
    }

    /// Asks for something and waits so long for the answer.
    pub(super) async fn ask_for(
        &self,
        time: Duration,
        request: impl FnOnce(u32) -> Vec<u8>,
    ) -> Result<Bytes, HalError> {
        let id = self.requests.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        {
            let mut waiting = self.requests.waiting();
            waiting.retain(|_, sender| !sender.is_closed());
            if waiting.len() >= MOST_REQUESTS {
                return Err(HalError::Busy);
            }
            waiting.insert(id, sender);
        }
        if self.queue.try_send(request(id)).is_err() {
            return Err(HalError::Busy);
        }
        match tokio::time::timeout(time, answer).await {
            Ok(Ok(answer)) => answer.map_err(HalError::Failed),
            Ok(Err(_)) => Err(super::not_connected()),
            Err(_) => {
                let seconds = time.as_secs_f64();
                let reason = format!("the firmware did not answer within {seconds} s");
                Err(HalError::NoAnswer(reason))
            }
        }
    }

    /// An answer came; `false` if nobody waits for it.
    pub(super) fn answer(&self, id: u32, answer: Result<Bytes, String>) -> bool {
        let waiting = self.requests.waiting().remove(&id);
        waiting.is_some_and(|waiting| waiting.send(answer).is_ok())
    }

    /// Fails all that wait: nobody will answer any more.
    pub(super) fn close(&self) {
        self.requests.waiting().clear();
    }
}
