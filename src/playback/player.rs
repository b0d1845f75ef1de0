//! A playback under way: sends each frame when its playhead says that it is due, and follows the
//! viewer's commands meanwhile.
//!
//! Keeps: one frame at most is in hand besides those on their way to the viewer, and what the
//! viewer does not take is not read; every command that is taken is answered. Finding frames
//! belongs to `source`, the arithmetic of pace to `peercam_proto::playhead`.

use std::time::Duration;

use peercam_hal::{HalError, clock::Clock};
use peercam_proto::{
    command::{PlaybackCommand, SeekTo},
    error::{Error, ErrorKind},
    media::{Delivery, MediaTime},
    playhead::{Pace, Playhead},
};
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    Item,
    source::{PositionedFrame, Source, Step},
};
use crate::hal_failure;

/// Interval of the check, in a pause, whether there is still something to go on with.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Smallest number that is a date in milliseconds; a smaller one is a distance.
const EARLIEST_DATE: i64 = 1_000_000_000_000;
/// Tolerance within which an interval is that of the recording, in microseconds.
const SAME_INTERVAL: i64 = 1_000;

/// A command and where its answer goes.
pub(super) struct PlayerCommand {
    pub(super) command: PlaybackCommand,
    pub(super) reply: oneshot::Sender<Result<u64, Error>>,
}

/// Sends frames when they are due, and follows commands.
pub(super) struct Player {
    source: Source,
    head: Playhead,
    clock: Clock,
    items: mpsc::Sender<Item>,
    orders: mpsc::Receiver<PlayerCommand>,
    /// Reason why it has to end.
    ends: watch::Receiver<Option<&'static str>>,
    /// The next frame.
    next: Option<PositionedFrame>,
    /// Number of key frames up to the next one that is sent, at the pace of every n-th.
    steps: u32,
    has_ended: bool,
}

impl Player {
    /// A player whose source stands at `start_millis`.
    pub(super) fn new(
        source: Source,
        start_millis: i64,
        clock: Clock,
        items: mpsc::Sender<Item>,
        orders: mpsc::Receiver<PlayerCommand>,
        ends: watch::Receiver<Option<&'static str>>,
    ) -> Self {
        Self {
            source,
            head: Playhead::new(start_millis.saturating_mul(1000), clock.now()),
            clock,
            items,
            orders,
            ends,
            next: None,
            steps: 1,
            has_ended: false,
        }
    }

    /// Plays to the end.
    pub(super) async fn run(mut self) {
        let reason = match self.play().await {
            Ok(reason) => reason,
            Err(error) => {
                tracing::warn!(%error, "a playback ends: the card cannot be read");
                Some("the recordings cannot be read any more")
            }
        };
        // A viewer that takes nothing may keep what follows waiting; the recording is not kept with it.
        self.source.let_go();
        self.next = None;
        if let Some(reason) = reason {
            // It fails for a viewer that has left.
            let _ = self.items.send(Item::Ended(reason)).await;
        }
    }

    /// Plays to the end; returns the reason for ending, if it is not simply the end.
    async fn play(&mut self) -> Result<Option<&'static str>, HalError> {
        // What was there before it decides where it begins.
        while let Ok(order) = self.orders.try_recv() {
            self.follow(order).await?;
        }
        let mut has_begun = false;
        loop {
            let seeks = self.next.is_none() && !self.has_ended && !self.head.is_paused();
            if seeks {
                match self.fetch().await? {
                    Step::Frame(found) => self.next = Some(found),
                    Step::On => {}
                    Step::End => self.has_ended = true,
                }
            }
            if self.source.is_revoked() {
                return Ok(Some("what was being played was deleted to make room"));
            }
            if let Some(first) = self.next.as_ref().filter(|_| !has_begun) {
                let position = first.position;
                has_begun = true;
                self.tell_length(position).await?;
            }
            if self.has_ended && !self.head.is_paused() {
                return Ok(None);
            }
            let due = self.next.as_ref().map(|next| self.due(next));
            let (items, clock) = (self.items.clone(), self.clock);
            let is_due = async {
                let due = due.unwrap_or_default();
                tokio::time::sleep(due.duration_from(clock.now())).await;
                items.reserve().await
            };
            let goes_on = seeks && self.next.is_none();
            tokio::select! {
                // Whoever is replaced gets no orders any more either.
                biased;
                Some(reason) = end_of(&mut self.ends) => return Ok(Some(reason)),
                order = self.orders.recv() => match order {
                    Some(order) => self.follow(order).await?,
                    None => return Ok(Some("the device is shutting down")),
                },
                permit = is_due, if due.is_some() && !self.head.is_paused() => {
                    let (Ok(permit), Some(found)) = (permit, self.next.take()) else {
                        return Ok(None);
                    };
                    let track = found.frame.track;
                    let timestamp = self.head.due(found.position, track).timestamp;
                    self.head.sent(found.position, track, clock.now());
                    if let Pace::Keys { every } = self.head.pace() {
                        self.steps = every;
                    }
                    permit.send(Item::Frame(Delivery {
                        timestamp,
                        composition_ms: composition(&self.head, found.frame.composition_micros),
                        frame: found.frame,
                        new_tracks: found.new_tracks,
                    }));
                }
                // What is being deleted ends in a pause too.
                () = tokio::time::sleep(POLL_INTERVAL), if self.head.is_paused() => {}
                () = items.closed() => return Ok(None),
                () = std::future::ready(()), if goes_on => {}
            }
        }
    }

    /// Says how long it will be from its first frame on. At another pace that is not known.
    async fn tell_length(&mut self, first: i64) -> Result<(), HalError> {
        if self.head.pace() != Pace::Normal {
            return Ok(());
        }
        if let Some(micros) = self.source.rest(first).await? {
            let millis = u64::try_from(micros / 1000).unwrap_or(0);
            // It fails for a viewer that has left.
            let _ = self.items.send(Item::Length(millis)).await;
        }
        Ok(())
    }

    fn due(&self, found: &PositionedFrame) -> MediaTime {
        self.head.due(found.position, found.frame.track).at
    }

    /// Goes towards the next frame that is to be sent at this pace.
    async fn fetch(&mut self) -> Result<Step, HalError> {
        let position = self.head.position();
        match self.head.pace() {
            Pace::Normal | Pace::Interval { .. } => match self.source.next().await? {
                Step::Frame(found) if !self.head.takes(found.frame.track) => Ok(Step::On),
                step => Ok(step),
            },
            Pace::Keys { .. } => self.source.key_after(position, &mut self.steps).await,
            Pace::Back { until } => match self.source.key_before(position).await? {
                Step::Frame(found) if found.position >= until => Ok(Step::Frame(found)),
                Step::On => Ok(Step::On),
                // Where it was going to: from there it goes on as usual.
                Step::Frame(_) | Step::End => {
                    self.source.seek(position).await?;
                    self.set_pace(Pace::Normal);
                    Ok(Step::On)
                }
            },
        }
    }

    async fn follow(&mut self, order: PlayerCommand) -> Result<(), HalError> {
        let result = match self.perform(order.command).await {
            Ok(result) => result,
            Err(error) => {
                // It fails for one who does not wait any more.
                let _ = order.reply.send(Err(hal_failure::recordings(&error)));
                return Err(error);
            }
        };
        let progress = self.head.progress_millis();
        let _ = order.reply.send(result.map(|()| progress));
        Ok(())
    }

    async fn perform(&mut self, command: PlaybackCommand) -> Result<Result<(), Error>, HalError> {
        let now = self.clock.now();
        match command {
            PlaybackCommand::Progress => {}
            PlaybackCommand::Pause => {
                self.back_to_normal().await?;
                self.head.pause(now);
            }
            PlaybackCommand::Resume => {
                self.back_to_normal().await?;
                self.head.resume(now);
            }
            PlaybackCommand::Seek(to) => {
                let position = match to {
                    SeekTo::Offset { millis } => self.source.window().start + millis * 1000,
                    SeekTo::Date { millis } => millis * 1000,
                };
                let gone = self.go_to(position).await?;
                if gone.is_ok() {
                    self.head.seek(position);
                }
                return Ok(gone);
            }
            PlaybackCommand::Speed { millis } => {
                let interval = i64::from(millis) * 1000;
                let is_same = (interval - self.head.recorded_step()).abs() <= SAME_INTERVAL;
                self.back_to_normal().await?;
                self.set_pace(if is_same {
                    Pace::Normal
                } else {
                    Pace::Interval { micros: interval }
                });
            }
            PlaybackCommand::Fast { every: 0 } => {
                self.back_to_normal().await?;
                self.head.resume(now);
            }
            PlaybackCommand::Fast { every } => {
                self.next = None;
                self.set_pace(Pace::Keys { every });
            }
            PlaybackCommand::Rewind { from, to } => {
                let window = self.source.window();
                let position = |value: Option<i64>| match value? {
                    date if date >= EARLIEST_DATE => Some(date * 1000),
                    distance => Some(window.start + distance * 1000),
                };
                let until = position(to).unwrap_or(window.start).max(window.start);
                if let Some(from) = position(from) {
                    // From behind the last picture it goes back to that one.
                    let from = from.min(window.end - 1);
                    if from < window.start || !self.source.open_before(from + 1).await? {
                        return Ok(Err(nothing_there()));
                    }
                    self.head.jump(from);
                }
                self.next = None;
                self.set_pace(Pace::Back { until });
            }
        }
        Ok(Ok(()))
    }

    async fn go_to(&mut self, position: i64) -> Result<Result<(), Error>, HalError> {
        let window = self.source.window();
        // Where it stays where it was, its source does too.
        if !window.contains(&position) || !self.source.seek(position).await? {
            return Ok(Err(nothing_there()));
        }
        self.next = None;
        self.has_ended = false;
        self.head.jump(position);
        Ok(Ok(()))
    }

    /// Goes back from key frames to all frames, from the key frame on that was sent last.
    async fn back_to_normal(&mut self) -> Result<(), HalError> {
        match self.head.pace() {
            Pace::Normal => return Ok(()),
            Pace::Interval { .. } => {}
            Pace::Keys { .. } | Pace::Back { .. } => {
                self.next = None;
                self.source.seek(self.head.position()).await?;
            }
        }
        self.set_pace(Pace::Normal);
        Ok(())
    }

    fn set_pace(&mut self, pace: Pace) {
        self.head.set_pace(pace, self.clock.now());
        self.steps = 1;
        self.has_ended = false;
    }
}

fn nothing_there() -> Error {
    let reason = "there is nothing there; the position is outside what is being played";
    Error::new(ErrorKind::NotFound, reason)
}

/// Composition offset of a picture in milliseconds, at the pace at which it is sent.
fn composition(head: &Playhead, micros: i32) -> i32 {
    let micros = i64::from(micros);
    let scaled = match head.pace() {
        Pace::Normal => micros,
        Pace::Interval { micros: interval } => micros * interval / head.recorded_step().max(1),
        // Each one is shown at once.
        Pace::Keys { .. } | Pace::Back { .. } => 0,
    };
    i32::try_from(scaled / 1000).unwrap_or(0)
}

/// Reason to end, once there is one.
async fn end_of(ends: &mut watch::Receiver<Option<&'static str>>) -> Option<&'static str> {
    let reason = ends.wait_for(Option::is_some).await;
    // A table that was emptied ends the orders too.
    reason.ok().and_then(|reason| *reason)
}

impl Drop for Player {
    fn drop(&mut self) {
        tracing::debug!(progress = self.head.progress_millis(), "a playback ended");
    }
}
