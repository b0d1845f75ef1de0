//! The device's call: one at a time, told to its viewers and ended when they have left.
//!
//! Keeps: viewers hear of changes in the order in which they happened, each one thing after the
//! other, and none waits for another. The rules of a call are in `peercam_proto::call`; wires do
//! not belong here.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, MutexGuard},
    time::{Duration, Instant},
};

use peercam_hal::clock::Clock;
use peercam_proto::{
    call::{Call, CallState, DeviceCallAction, Effect, Party, ViewerCallAction},
    error::{Error, ErrorKind},
    feedback::Feedback,
    media::ChannelId,
    viewer::ViewerId,
};
use peercam_task::boundary::{Backoff, Guarded, Part, contain};
use serde_json::json;
use tokio::{
    sync::{mpsc, watch},
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

use super::{ActivityTracker, ViewerNotifier};
use crate::{
    access::{Caller, Holder},
    events::{CallStage, Event, Events, Text},
    talk::Speakers,
};

/// Moves whose effects were not looked at yet. More are lost, and the log says so.
const QUEUE_LEN: usize = 64;
/// Messages that wait for one viewer while it is being told something else; the oldest is lost.
const UNSAID: usize = 4;
/// Interval of the check whether the viewers of a call are still there.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// Time after its last request for which a viewer without a session counts as there.
const GRACE_PERIOD: Duration = Duration::from_secs(10);

/// The device's call, for whoever has a part in it.
#[derive(Clone)]
pub struct Calls {
    clock: Clock,
    events: Events,
    call: Arc<Guarded<Call>>,
    shown: Arc<watch::Sender<CallView>>,
    effects: mpsc::Sender<Vec<Effect>>,
}

/// State of the call, with a number that is another one after each change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallView {
    /// The number.
    pub number: u64,
    /// The state.
    pub state: CallState,
    /// Set if the device is shutting down: nothing comes any more.
    pub closed: bool,
}

/// Does what follows from the moves in a call: tells viewers, gives up, notices who has left.
pub struct CallTask {
    calls: Calls,
    effects: mpsc::Receiver<Vec<Effect>>,
}

impl Calls {
    /// No call; one that comes rings so long, and is published in `events`. The [`CallTask`] has to
    /// run.
    pub fn new(clock: Clock, events: Events, ring: Duration) -> (Self, CallTask) {
        let (sender, effects) = mpsc::channel(QUEUE_LEN);
        let ring = micros(ring);
        let calls = Self {
            clock,
            events,
            call: Arc::new(Guarded::new(Call::new(ring), Call::forget)),
            shown: Arc::default(),
            effects: sender,
        };
        let task = CallTask {
            calls: calls.clone(),
            effects,
        };
        (calls, task)
    }

    fn call(&self) -> MutexGuard<'_, Call> {
        self.call.lock()
    }

    /// Has calls that come ring so long.
    pub fn set_ring(&self, ring: Duration) {
        self.call().set_ring(micros(ring));
    }

    /// Ends the call if it is about a channel that is no more.
    pub fn end_channel(&self, channel: ChannelId) {
        if self.shown.borrow().state.channel() == Some(channel) {
            // It may have ended by itself.
            let _ = self.device_moves(DeviceCallAction::HangUp);
        }
    }

    /// Watches the state, from now on.
    pub fn shown(&self) -> watch::Receiver<CallView> {
        self.shown.subscribe()
    }

    /// Rings these viewers.
    ///
    /// # Errors
    /// As [`Call::ring`].
    pub fn ring(&self, channel: ChannelId, viewers: Vec<ViewerId>) -> Result<(), Error> {
        let now = self.clock.now();
        self.change(|call| call.ring(channel, viewers, now))
    }

    /// Applies what a viewer does about the call.
    ///
    /// # Errors
    /// As [`Call::apply_request`].
    pub fn apply_request(
        &self,
        caller: &Caller,
        channel: ChannelId,
        what: ViewerCallAction,
    ) -> Result<(), Error> {
        let now = self.clock.now();
        let answers = caller.holder().map(Holder::answers);
        let party = Party {
            viewer: &caller.viewer,
            rank: caller.rank(),
            answers: answers.as_deref(),
        };
        self.change(|call| call.apply_request(party, (what, channel), now))
    }

    /// Applies what the device does about the call.
    ///
    /// # Errors
    /// As [`Call::device_moves`].
    pub fn device_moves(&self, what: DeviceCallAction) -> Result<(), Error> {
        self.change(|call| call.device_moves(what))
    }

    fn change(
        &self,
        change: impl FnOnce(&mut Call) -> Result<Vec<Effect>, Error>,
    ) -> Result<(), Error> {
        // The order of what is said is that of what happened.
        let mut call = self.call();
        let effects = change(&mut call)?;
        if !effects.is_empty() && self.effects.try_send(effects).is_err() {
            tracing::warn!("too much is to be said about calls at a time; something is left out");
        }
        self.shown.send_if_modified(|shown| {
            let is_new = shown.state != *call.state();
            if is_new {
                shown.number += 1;
                shown.state = call.state().clone();
                tracing::info!(state = ?shown.state, "call");
                self.events.publish(event_of(&shown.state));
            }
            is_new
        });
        Ok(())
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Event of a call that has come into a state.
fn event_of(state: &CallState) -> Event {
    let (stage, viewer) = match state {
        CallState::Idle => (CallStage::Idle, None),
        CallState::Calling { .. } => (CallStage::Calling, None),
        CallState::Called { viewer, .. } => (CallStage::Called, Some(viewer)),
        CallState::Talking { viewer, .. } => (CallStage::Talking, Some(viewer)),
    };
    Event::Call {
        stage,
        channel: state.channel(),
        viewer: viewer.map(|viewer| Text::new(viewer.as_str())),
    }
}

impl CallTask {
    /// Runs until `stop`; a call that is under way then is ended.
    pub async fn run(
        mut self,
        notifier: Option<Arc<dyn ViewerNotifier>>,
        activity: ActivityTracker,
        speakers: Speakers,
        stop: CancellationToken,
    ) {
        let mut pause = Backoff::default();
        loop {
            let began = Instant::now();
            let keep = self.keep(notifier.clone(), &activity, speakers.clone(), &stop);
            if contain(Part::Service, "calls", keep).await.is_ok() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(pause.after(began.elapsed())) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    async fn keep(
        &mut self,
        notifier: Option<Arc<dyn ViewerNotifier>>,
        activity: &ActivityTracker,
        speakers: Speakers,
        stop: &CancellationToken,
    ) {
        let mut sayer = Sayer {
            notifier,
            speakers,
            unsaid: HashMap::new(),
            saying: JoinSet::new(),
        };
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
                Some(effects) = self.effects.recv() => sayer.perform(effects),
                Ok(()) = shown.changed() => {}
                Some(said) = sayer.saying.join_next() => sayer.go_on(said),
                () = expires => {
                    let now = calls.clock.now();
                    self.settle(|call| call.expire(now));
                }
                () = tokio::time::sleep(POLL_INTERVAL), if !is_idle => {
                    let viewers = calls.call().viewers().to_vec();
                    for viewer in viewers {
                        if !activity.is_there(&viewer, GRACE_PERIOD) {
                            tracing::info!(viewer = viewer.as_str(), "a viewer has left its call");
                            self.settle(|call| call.left(&viewer));
                        }
                    }
                }
                () = stop.cancelled() => break,
            }
        }
        // There may be none.
        let _ = calls.device_moves(DeviceCallAction::HangUp);
        calls.shown.send_modify(|shown| shown.closed = true);
        while let Ok(effects) = self.effects.try_recv() {
            sayer.perform(effects);
        }
        // Whoever does not listen is not waited for.
        let all = async {
            while let Some(said) = sayer.saying.join_next().await {
                sayer.go_on(said);
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(1), all).await;
    }

    fn settle(&self, change: impl FnOnce(&mut Call) -> Vec<Effect>) {
        // It is never refused.
        let _ = self.calls.change(|call| Ok(change(call)));
    }
}

/// Says things to viewers: to each one after the other, to all at a time.
struct Sayer {
    notifier: Option<Arc<dyn ViewerNotifier>>,
    speakers: Speakers,
    /// Messages that wait for viewers that are being told something.
    unsaid: HashMap<ViewerId, VecDeque<Feedback>>,
    /// Messages under way; each ends with the viewer that it was for.
    saying: JoinSet<ViewerId>,
}

impl Sayer {
    /// Does what follows from a move.
    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::EndTalk(viewer) => self.speakers.hang_up(&viewer),
                Effect::Tell(viewer, signal) => self.say(viewer, Feedback::of_call(signal)),
                Effect::Ring(viewer, channel) => {
                    let text =
                        json!({"topic": "call", "data": {"cmd": "ring", "channel": channel.0}});
                    if let Ok(message) = Feedback::parse(text.to_string().as_bytes()) {
                        self.say(viewer, message);
                    }
                }
            }
        }
    }

    fn say(&mut self, viewer: ViewerId, message: Feedback) {
        match self.unsaid.get_mut(&viewer) {
            Some(unsaid) => {
                if unsaid.len() == UNSAID {
                    unsaid.pop_front();
                }
                unsaid.push_back(message);
            }
            None => {
                self.unsaid.insert(viewer.clone(), VecDeque::new());
                self.begin(viewer, message);
            }
        }
    }

    fn begin(&mut self, viewer: ViewerId, message: Feedback) {
        let notifier = self.notifier.clone();
        let name = format!("telling {viewer}");
        let told = viewer.clone();
        let say = async move {
            let said = match notifier {
                Some(notifier) => notifier.send(&told, message).await.map(|_| ()),
                None => Ok(()),
            };
            match said {
                Ok(()) => {}
                // It came over TCP, by which nothing can be said: its answers tell it.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    tracing::warn!(
                        viewer = told.as_str(),
                        reason = error.reason(),
                        "a viewer was not told about a call"
                    );
                }
            }
        };
        let said = contain(Part::Service, name, say);
        self.saying.spawn(async move {
            let _ = said.await;
            viewer
        });
    }

    /// Goes on with what waits for the viewer that was told something.
    fn go_on(&mut self, said: Result<ViewerId, JoinError>) {
        let Ok(viewer) = said else { return };
        match self.unsaid.get_mut(&viewer).and_then(VecDeque::pop_front) {
            Some(message) => self.begin(viewer, message),
            None => {
                self.unsaid.remove(&viewer);
            }
        }
    }
}
