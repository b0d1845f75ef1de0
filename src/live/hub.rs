//! Live streams of a device: each is started by its first subscriber, stopped by its last one, and
//! has its share of the memory for frames.
//!
//! Keeps: a picture is held open by one pump at most, since hardware may be exclusive, and a
//! channel on standby delivers to nobody. Frames and joining are not here: `ring`, `subscription`.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{
        Arc, MutexGuard,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use peercam_hal::clock::Clock;
use peercam_proto::{
    credential::Channels,
    error::{Error, ErrorKind},
    media::{ChannelId, Quality, StreamId},
};
use peercam_task::boundary::{self, Guarded, Part, RestartDelay};

use super::{
    availability::Availability,
    checks::Schedule,
    metrics::Metrics,
    pump,
    refusal::{off, shutting_down},
    ring::MAX_FRAME,
    stream::{State, Stream},
    subscription::Subscription,
};
use crate::{
    channels::{ChannelEntry, ChannelRegistry},
    events::{Event, Events},
};

/// Bounds of the live path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Bytes of frames that all streams together keep, shared out evenly among those that run.
    /// Frames that are on their way to a viewer come on top: at most 64 KiB and one frame each.
    pub memory: usize,
    /// A larger frame is lost; at most [`MAX_FRAME`].
    pub max_frame: usize,
}

impl Default for Config {
    /// 16 MiB, and frames of 2 MiB.
    fn default() -> Self {
        Self {
            memory: 16 << 20,
            max_frame: MAX_FRAME,
        }
    }
}

/// No stream keeps more than this, however much memory there is.
const MAX_RING: usize = MAX_FRAME;
/// Timeout of waiting for a camera to come online; its viewer is refused then.
const START_TIMEOUT: Duration = Duration::from_secs(5);

/// Starts a stream when its first viewer comes and stops it when the last one has gone.
#[derive(Clone)]
pub struct Hub {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    clock: Clock,
    pub(super) events: Events,
    config: Config,
    /// Bytes of all rings together.
    memory: AtomicUsize,
    pub(super) channels: ChannelRegistry,
    streams: Guarded<Streams>,
    metrics: Metrics,
}

/// State of a channel's pictures.
#[derive(Default)]
pub(super) struct LiveState {
    pub(super) availability: Arc<Availability>,
    /// Times of checks.
    pub(super) schedule: Guarded<Schedule>,
    /// Number of changes between work and standby; while it is odd, nobody gets the picture.
    turned: AtomicU64,
    /// Open locks, one for each quality: held by the pump that has the picture open, so that
    /// hardware is never opened again before it was let go.
    turns: [Arc<tokio::sync::Mutex<()>>; Quality::ALL.len()],
    /// Pauses, one for each quality: a picture that makes its pump panic is left alone for a while.
    rests: [Guarded<RestartDelay>; Quality::ALL.len()],
}

impl LiveState {
    pub(super) fn of(channel: &ChannelEntry) -> Arc<Self> {
        channel.state()
    }

    /// Number of the spell of work that it is in; an error on standby.
    fn working(&self, channel: ChannelId) -> Result<u64, Error> {
        match self.turned.load(Ordering::Acquire) {
            spell if spell.is_multiple_of(2) => Ok(spell),
            _ => {
                let reason = format!("the camera of channel {channel} is on standby");
                Err(Error::new(ErrorKind::Unavailable, reason))
            }
        }
    }
}

#[derive(Default)]
pub(super) struct Streams {
    pub(super) running: HashMap<StreamId, Running>,
    closed: bool,
}

impl Streams {
    /// Ends every stream; those who watch come again.
    fn mend(&mut self) {
        for running in std::mem::take(&mut self.running).values() {
            running.stream.ring().close();
        }
    }
}

pub(super) struct Running {
    pub(super) stream: Arc<Stream>,
    subscribers: usize,
    /// Owns the pump: dropping it stops the source.
    _pump: boundary::Task,
}

impl Hub {
    /// A hub over `channels`. Streams run as tasks of the runtime that calls [`Hub::subscribe`];
    /// what happens to them is published in `events`.
    pub fn new(
        clock: Clock,
        events: Events,
        config: Config,
        channels: ChannelRegistry,
        metrics: Metrics,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                clock,
                events,
                memory: AtomicUsize::new(config.memory),
                config,
                channels,
                streams: Guarded::new(Streams::default(), Streams::mend),
                metrics,
            }),
        }
    }

    /// Joins a stream, starting it if nobody watches it yet.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such channel; [`ErrorKind::Unsupported`] if it has single
    /// pictures only; [`ErrorKind::Unavailable`] with the camera's reason if it does not deliver, or
    /// after 5 s of waiting for it.
    pub async fn subscribe(&self, id: StreamId) -> Result<Subscription, Error> {
        self.join(id, Role::Viewer).await
    }

    /// The same for a recorder, which is no viewer.
    ///
    /// # Errors
    /// As [`Hub::subscribe`].
    pub async fn record(&self, id: StreamId) -> Result<Subscription, Error> {
        self.join(id, Role::Recorder).await
    }

    async fn join(&self, id: StreamId, role: Role) -> Result<Subscription, Error> {
        let guard = SubscriberGuard::enter(&self.inner, id, role)?;
        guard.wait_until_online().await?;
        let start = guard.stream.start(self.inner.clock.now());
        Ok(Subscription::new(
            Arc::clone(&guard.stream),
            start,
            Box::new(guard),
        ))
    }

    /// Notes why a camera gave no still, or that it gave one. It counts where stills are all there is.
    pub(super) fn note_still(&self, channel: ChannelId, failure: Option<&str>) {
        let entry = self.inner.channels.get(channel);
        if let Some(entry) = entry.filter(|entry| entry.capabilities.stills_only) {
            let availability = &LiveState::of(&entry).availability;
            availability.note_camera(&self.inner.events, channel, failure);
        }
    }

    /// Returns whether it has ended all streams, and starts no more.
    pub fn is_closed(&self) -> bool {
        self.inner.streams().closed
    }

    /// Number of running streams of these channels.
    pub fn running_streams(&self, visible: &Channels) -> usize {
        let streams = self.inner.streams();
        let ids = streams.running.keys();
        ids.filter(|id| visible.contains(id.channel)).count()
    }

    /// Bytes of frames that running streams keep.
    pub fn kept_bytes(&self) -> usize {
        let streams = self.inner.streams();
        let running = streams.running.values();
        running.map(|running| running.stream.ring().bytes()).sum()
    }

    /// Returns whether a channel gives its picture to anybody.
    pub fn is_working(&self, channel: ChannelId) -> bool {
        let entry = self.inner.channels.get(channel);
        entry.is_some_and(|entry| LiveState::of(&entry).working(channel).is_ok())
    }

    /// Makes sure that somebody could have a still of a channel now, as far as is known without
    /// trying. Gives the number of the spell in which it works: what was taken in another one is
    /// from before it stood by, and nobody's any more.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] and [`ErrorKind::Unavailable`] as [`Hub::subscribe`].
    pub fn check_delivers(&self, channel: ChannelId) -> Result<u64, Error> {
        let entry = self.inner.channels.require(channel)?;
        if self.inner.streams().closed {
            return Err(shutting_down());
        }
        let spell = LiveState::of(&entry).working(channel)?;
        match self.known_offline(&entry) {
            None => Ok(spell),
            Some(reason) => Err(off(channel, &reason)),
        }
    }

    /// Has a channel give its picture, or keep it: then its streams end in order, and nobody is
    /// let in.
    pub fn set_working(&self, channel: ChannelId, working: bool) {
        let Some(entry) = self.inner.channels.get(channel) else {
            return;
        };
        let turn = |turned: u64| (turned.is_multiple_of(2) != working).then_some(turned + 1);
        if LiveState::of(&entry)
            .turned
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, turn)
            .is_ok()
        {
            tracing::info!(%channel, working, "the camera was told to work or to stand by");
            let is_on = !working;
            self.inner.events.publish(Event::Standby { channel, is_on });
        }
        if working {
            return;
        }
        for running in self.inner.take(channel) {
            running.stream.ring().close();
        }
    }

    /// Has a channel of which nobody knows yet begin on standby.
    pub fn begin_on_standby(&self, entry: &ChannelEntry) {
        LiveState::of(entry).turned.store(1, Ordering::Release);
    }

    /// Ends the streams of a channel whose camera has been replaced or taken away, in order and with
    /// this reason. What was known of that camera is forgotten: another one is on until it is known to be
    /// off, also for those who were told that this one was.
    pub fn end_channel(&self, entry: &ChannelEntry, reason: &'static str) {
        let live = LiveState::of(entry);
        // Another spell of the same: a still that is on its way is the old camera's.
        live.turned.fetch_add(2, Ordering::AcqRel);
        *live.schedule.lock() = Schedule::default();
        for rest in &live.rests {
            *rest.lock() = RestartDelay::default();
        }
        for running in self.inner.take(entry.id) {
            running.stream.end(reason);
        }
        if self.inner.channels.get(entry.id).is_some() {
            let availability = &live.availability;
            availability.note_camera(&self.inner.events, entry.id, None);
        }
    }

    /// Forgets the counters of a channel that is no more.
    pub fn forget_metrics(&self, channel: ChannelId) {
        self.inner.metrics.forget(channel);
    }

    /// Changes the memory that all streams together have for frames.
    pub fn set_memory(&self, bytes: usize) {
        self.inner.memory.store(bytes, Ordering::Relaxed);
        self.inner.share_out(&self.inner.streams());
    }

    /// Ends every stream in order and starts no more.
    pub fn close(&self) {
        let running = {
            let mut streams = self.inner.streams();
            streams.closed = true;
            std::mem::take(&mut streams.running)
        };
        for running in running.values() {
            running.stream.ring().close();
        }
    }
}

impl Inner {
    pub(super) fn streams(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock()
    }

    /// Takes the streams of a channel out of those that run.
    fn take(&self, channel: ChannelId) -> Vec<Running> {
        let mut streams = self.streams();
        let taken = streams.running.extract_if(|id, _| id.channel == channel);
        let taken = taken.map(|(_, running)| running).collect();
        self.share_out(&streams);
        taken
    }

    /// Forgets a stream that ended by itself, or by a panic that unwinds now.
    fn forget(&self, stream: &Arc<Stream>) {
        if std::thread::panicking()
            && let Some(entry) = self.channels.get(stream.id.channel)
        {
            let rest = &LiveState::of(&entry).rests[stream.id.quality as usize];
            rest.lock().panicked();
        }
        let mut streams = self.streams();
        if streams
            .running
            .get(&stream.id)
            .is_some_and(|running| Arc::ptr_eq(&running.stream, stream))
        {
            streams.running.remove(&stream.id);
        }
        self.share_out(&streams);
    }

    fn start(
        self: &Arc<Self>,
        id: StreamId,
        entry: &ChannelEntry,
        live: &LiveState,
    ) -> Result<Running, Error> {
        let quality = id.quality as usize;
        if let Err(left) = live.rests[quality].lock().begin() {
            let reason = format!(
                "the camera of channel {} is off: it made what reads it fail, and is tried again in {} s",
                id.channel,
                left.as_secs() + 1
            );
            return Err(Error::new(ErrorKind::Unavailable, reason));
        }
        let stream = Arc::new(Stream::new(
            id,
            MAX_RING,
            self.config.max_frame,
            self.metrics.of(id),
            self.events.clone(),
            Arc::clone(&live.availability),
        ));
        let turn = Arc::clone(&live.turns[quality]);
        let camera = Arc::clone(&entry.camera);
        let hub = Arc::downgrade(self);
        let forget = move |stream: &Arc<Stream>| {
            if let Some(hub) = hub.upgrade() {
                hub.forget(stream);
            }
        };
        let pump = pump::run(Arc::clone(&stream), camera, turn, forget);
        tracing::debug!(stream = %id, "stream started");
        Ok(Running {
            stream,
            subscribers: 0,
            _pump: boundary::spawn(Part::Camera, id, pump),
        })
    }

    /// Gives every running stream its share of the memory.
    fn share_out(&self, streams: &Streams) {
        let memory = self.memory.load(Ordering::Relaxed);
        let share = memory / streams.running.len().max(1);
        for running in streams.running.values() {
            running.stream.ring().set_limit(share.min(MAX_RING));
        }
    }
}

/// Kind of a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Viewer,
    Recorder,
}

/// A subscriber's hold on a running stream. Dropping it lets go; the last one stops the stream.
struct SubscriberGuard {
    role: Role,
    hub: Arc<Inner>,
    stream: Arc<Stream>,
}

impl SubscriberGuard {
    fn enter(hub: &Arc<Inner>, id: StreamId, role: Role) -> Result<Self, Error> {
        let mut streams = hub.streams();
        if streams.closed {
            return Err(shutting_down());
        }
        let entry = hub.channels.require(id.channel)?;
        entry.check_video()?;
        let live = LiveState::of(&entry);
        live.working(id.channel)?;
        let (running, is_new) = match streams.running.entry(id) {
            Entry::Occupied(running) => (running.into_mut(), false),
            Entry::Vacant(place) => (place.insert(hub.start(id, &entry, &live)?), true),
        };
        running.subscribers += 1;
        let stream = Arc::clone(&running.stream);
        let viewers = &stream.metrics.viewers;
        viewers.inc_by(i64::from(role == Role::Viewer));
        if is_new {
            hub.share_out(&streams);
        }
        Ok(Self {
            role,
            hub: Arc::clone(hub),
            stream,
        })
    }

    async fn wait_until_online(&self) -> Result<(), Error> {
        let channel = self.stream.id.channel;
        let mut states = self.stream.state.subscribe();
        let settled = states.wait_for(|state| *state != State::Starting);
        match tokio::time::timeout(START_TIMEOUT, settled).await {
            Ok(Ok(state)) => match &*state {
                State::Offline(reason) => Err(off(channel, reason)),
                State::Starting | State::Online => Ok(()),
            },
            Ok(Err(_)) | Err(_) => Err(off(channel, "it did not deliver within 5 s")),
        }
    }
}

impl Drop for SubscriberGuard {
    fn drop(&mut self) {
        let viewers = &self.stream.metrics.viewers;
        viewers.dec_by(i64::from(self.role == Role::Viewer));
        let mut streams = self.hub.streams();
        let Some(running) = streams.running.get_mut(&self.stream.id) else {
            return;
        };
        if !Arc::ptr_eq(&running.stream, &self.stream) {
            return;
        }
        running.subscribers -= 1;
        if running.subscribers == 0 {
            streams.running.remove(&self.stream.id);
            self.hub.share_out(&streams);
            tracing::debug!(stream = %self.stream.id, "stream stopped: nobody watches");
        }
    }
}
