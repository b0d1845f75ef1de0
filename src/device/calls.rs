use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::json;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{Outbox, Presence};
use crate::{
    clock::Clock,
    error::{Error, ErrorKind},
    media::ChannelId,
    proto::{
        call::{Call, CallState, DeviceMove, Effect, ViewerMove},
        feedback::Feedback,
    },
    talk::Talkers,
};

/// What is to be said about calls and was not said yet. More is lost, and the log says so.
const WAITING: usize = 64;
/// How often it is looked whether the viewers of a call are still there.
const LOOK: Duration = Duration::from_millis(500);
/// A viewer without a session is taken for gone so long after its last request.
const GRACE: Duration = Duration::from_secs(10);

/// The device's call, for whoever has a part in it.
#[derive(Clone)]
pub struct Calls {
    clock: Clock,
    call: Arc<Mutex<Call>>,
    shown: Arc<watch::Sender<Shown>>,
    effects: mpsc::Sender<Effect>,
}

/// How it stands with the call, with a number that is another one after each change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// The number.
    pub number: u64,
    /// How it stands.
    pub state: CallState,
}

/// Does what follows from the moves in a call: tells viewers, gives up, notices who has left.
pub struct CallKeeper {
    calls: Calls,
    effects: mpsc::Receiver<Effect>,
}

impl Calls {
    /// No call; one that comes rings so long. The keeper has to run.
    pub fn new(clock: Clock, ring: Duration) -> (Self, CallKeeper) {
        let (sender, effects) = mpsc::channel(WAITING);
        let ring = i64::try_from(ring.as_micros()).unwrap_or(i64::MAX);
        let calls = Self {
            clock,
            call: Arc::new(Mutex::new(Call::new(ring))),
            shown: Arc::default(),
            effects: sender,
        };
        let keeper = CallKeeper {
            calls: calls.clone(),
            effects,
        };
        (calls, keeper)
    }

    fn call(&self) -> MutexGuard<'_, Call> {
        self.call.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it stands, now and later.
    pub fn shown(&self) -> watch::Receiver<Shown> {
        self.shown.subscribe()
    }

    /// The device rings these viewers.
    ///
    /// # Errors
    /// As [`Call::ring`].
    pub fn ring(&self, channel: ChannelId, viewers: Vec<String>) -> Result<(), Error> {
        let now = self.clock.now();
        self.change(|call| call.ring(channel, viewers, now))
    }

    /// A viewer does something.
    ///
    /// # Errors
    /// As [`Call::viewer_moves`].
    pub fn viewer_moves(
        &self,
        viewer: &str,
        channel: ChannelId,
        what: ViewerMove,
    ) -> Result<(), Error> {
        let now = self.clock.now();
        self.change(|call| call.viewer_moves(viewer, (what, channel), now))
    }

    /// The device takes its part.
    ///
    /// # Errors
    /// As [`Call::device_moves`].
    pub fn device_moves(&self, what: DeviceMove) -> Result<(), Error> {
        self.change(|call| call.device_moves(what))
    }

    fn change(
        &self,
        change: impl FnOnce(&mut Call) -> Result<Vec<Effect>, Error>,
    ) -> Result<(), Error> {
        // The order of what is said is that of what happened.
        let mut call = self.call();
        let effects = change(&mut call)?;
        for effect in effects {
            if self.effects.try_send(effect).is_err() {
                tracing::warn!(
                    "too much is to be said about calls at a time; something is left out"
                );
            }
        }
        self.shown.send_if_modified(|shown| {
            let is_new = shown.state != *call.state();
            if is_new {
                *shown = Shown {
                    number: shown.number + 1,
                    state: call.state().clone(),
                };
                tracing::info!(state = ?shown.state, "call");
            }
            is_new
        });
        Ok(())
    }
}

impl CallKeeper {
    /// Runs until `stop`; a call that is under way then is ended.
    pub async fn run(
        mut self,
        outbox: Option<Arc<dyn Outbox>>,
        (presence, talkers): (Presence, Talkers),
        stop: CancellationToken,
    ) {
        let mut saying = JoinSet::new();
        let mut shown = self.calls.shown();
        let calls = self.calls.clone();
        loop {
            let deadline = calls.call().deadline();
            let is_idle = shown.borrow_and_update().state == CallState::Idle;
            let expires = async {
                match deadline {
                    Some(at) => tokio::time::sleep(at.duration_from(calls.clock.now())).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(effect) = self.effects.recv() => say(effect, outbox.as_ref(), &talkers, &mut saying),
                Ok(()) = shown.changed() => {}
                Some(_) = saying.join_next() => {}
                () = expires => {
                    let now = calls.clock.now();
                    self.settle(|call| call.expire(now));
                }
                () = tokio::time::sleep(LOOK), if !is_idle => {
                    let viewers = calls.call().viewers().to_vec();
                    for viewer in viewers {
                        if !presence.is_there(&viewer, GRACE) {
                            tracing::info!(viewer, "a viewer has left its call");
                            self.settle(|call| call.left(&viewer));
                        }
                    }
                }
                () = stop.cancelled() => break,
            }
        }
        // There may be none.
        let _ = calls.device_moves(DeviceMove::HangUp);
        while let Ok(effect) = self.effects.try_recv() {
            say(effect, outbox.as_ref(), &talkers, &mut saying);
        }
        // Whoever does not listen is not waited for.
        let all = async { while saying.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(Duration::from_secs(1), all).await;
    }

    fn settle(&self, change: impl FnOnce(&mut Call) -> Vec<Effect>) {
        // It is never refused.
        let _ = self.calls.change(|call| Ok(change(call)));
    }
}

/// Does what follows.
fn say(
    effect: Effect,
    outbox: Option<&Arc<dyn Outbox>>,
    talkers: &Talkers,
    saying: &mut JoinSet<()>,
) {
    let (viewer, message) = match effect {
        Effect::EndTalk(viewer) => {
            talkers.hang_up(&viewer);
            return;
        }
        Effect::Tell(viewer, signal) => (viewer, Ok(Feedback::of_call(signal))),
        Effect::Ring(viewer, channel) => {
            let text = json!({"topic": "call", "data": {"cmd": "ring", "channel": channel.0}});
            (viewer, Feedback::parse(text.to_string().as_bytes()))
        }
    };
    let (Some(outbox), Ok(message)) = (outbox.map(Arc::clone), message) else {
        return;
    };
    saying.spawn(async move {
        match outbox.send(&viewer, message).await {
            Ok(_) => {}
            // It came over TCP, by which nothing can be said: its answers tell it.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(
                viewer,
                reason = error.reason(),
                "a viewer was not told about a call"
            ),
        }
    });
}
