//! Stills: JPEGs of cameras that hand them over: firmware, the simulated one, and by HTTP an RTSP camera's
//! `snapshot_url` and a camera of single pictures, which is known by its stills alone. Who asks while one is taken, or waits for its turn,
//! gets the same; nothing is kept.

use std::{any::Any, sync::Arc, time::Duration};

use bytes::Bytes;
use peercam_hal::Snapshot;
use peercam_proto::{
    error::{Error, ErrorKind},
    jpeg,
    media::ChannelId,
};
use peercam_task::boundary::{self, Guarded, Part, contain};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until, timeout},
};

use super::Hub;
use crate::{
    channels::{ChannelEntry, ChannelRegistry},
    hal_failure,
};

/// Pause between the end of one still and the next: a camera is asked no more often, whoever asks
/// and leaves, and whatever came of it.
const PAUSE: Duration = Duration::from_secs(1);
/// Timeout of a camera: shorter than the one that a firmware has for its answers, so that this is
/// the one that is reported.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(4);

/// The still cameras of all channels.
///
/// Bound: of each channel one still of `largest` bytes is on its way from the camera, in the place of
/// who asked first; a larger one is refused. Who waits has a place of its own.
pub struct Stills {
    channels: ChannelRegistry,
    shared: Arc<Shared>,
}

/// Permit of a caller, held while its still is taken.
pub type Permit = Arc<dyn Any + Send + Sync>;

type StillResult = Result<Bytes, Error>;

/// What all still cameras have in common.
struct Shared {
    hub: Hub,
    largest: usize,
    metrics: Metrics,
}

/// Still camera of one channel.
struct StillCamera {
    shared: Arc<Shared>,
    channel: ChannelId,
    camera: Arc<dyn Snapshot>,
    slot: Arc<Slot>,
}

/// Place of the one still of a channel that is under way.
type Slot = Guarded<State>;

#[derive(Default)]
struct State {
    taking: Option<Taking>,
    /// Earliest time at which the camera may be asked again.
    next: Option<Instant>,
}

/// A still that is being taken, or waits for that.
struct Taking {
    /// Spell of the camera's work in which it was asked for.
    spell: u64,
    waiting: Vec<oneshot::Sender<StillResult>>,
    _task: boundary::Task,
}

impl Stills {
    /// Still cameras among these channels, counted in `registry`.
    pub fn new(
        hub: &Hub,
        channels: ChannelRegistry,
        largest: usize,
        registry: &mut Registry,
    ) -> Self {
        let metrics = Metrics::default();
        let help = "Stills that a camera was asked for, and what came of it: taken, failed or late";
        registry.register("snapshots", help, metrics.0.clone());
        let shared = Arc::new(Shared {
            hub: hub.clone(),
            largest,
            metrics,
        });
        Self { channels, shared }
    }

    /// A still of a channel that exists, taken now. It is never from before the camera last stood by.
    /// `place` is held while it is taken, whoever leaves.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if the camera hands over none; as [`Hub::subscribe`] if it is off or
    /// stands by; [`ErrorKind::NoAnswer`] if it takes too long, [`ErrorKind::BadAnswer`] if what it
    /// gives is no JPEG or too large.
    pub async fn take(&self, channel: ChannelId, place: &Permit) -> Result<Bytes, Error> {
        let hub = &self.shared.hub;
        let camera = || {
            let camera = self.camera(channel);
            camera.ok_or_else(|| hal_failure::no_stills(channel))
        };
        camera()?;
        loop {
            // Before the camera, so that it is never one from before this spell.
            let spell = hub.check_delivers(channel)?;
            let taken = camera()?.ask(spell, place).await;
            // Who told it to stand by meanwhile does not want it to be seen.
            if hub.check_delivers(channel)? == spell {
                return taken
                    .unwrap_or_else(|_| Err(hal_failure::still_failed(channel, "it was ended")));
            }
        }
    }

    fn camera(&self, channel: ChannelId) -> Option<Arc<StillCamera>> {
        let entry = self.channels.get(channel)?;
        Some(Arc::new(StillCamera {
            shared: Arc::clone(&self.shared),
            channel,
            camera: entry.capabilities.snapshot.clone()?,
            slot: entry.state(),
        }))
    }

    /// Forgets what is about a channel that is no more; whoever waits for a still of it is refused.
    pub fn forget(&self, entry: &ChannelEntry) {
        let taking = entry.state::<Slot>().lock().taking.take();
        drop(taking);
        self.shared.metrics.forget(entry.id);
    }

    /// Takes no more; whoever waits is refused.
    pub fn close(&self) {
        for entry in self.channels.all().values() {
            let taking = entry.state::<Slot>().lock().taking.take();
            drop(taking);
        }
    }
}

impl StillCamera {
    /// Receiver of the still that is under way in this spell, or in a newer one than the caller
    /// knows of; otherwise one is begun.
    fn ask(self: &Arc<Self>, spell: u64, place: &Permit) -> oneshot::Receiver<StillResult> {
        let (sender, taken) = oneshot::channel();
        let mut state = self.slot.lock();
        if let Some(taking) = state.taking.as_mut().filter(|taking| taking.spell >= spell) {
            taking.waiting.retain(|waiting| !waiting.is_closed());
            taking.waiting.push(sender);
            return taken;
        }
        // As streams are called, for whoever looks for the camera at which the daemon stood still.
        let name = format!("{}/still", self.channel);
        let task = take(Arc::clone(self), spell, state.next, Arc::clone(place));
        let before = state.taking.replace(Taking {
            spell,
            waiting: vec![sender],
            _task: boundary::spawn(Part::Camera, name, task),
        });
        drop(state);
        // Its end is not waited for with the lock.
        drop(before);
        taken
    }

    async fn capture(&self) -> StillResult {
        let (channel, name) = (self.channel, format!("{}/still", self.channel));
        let capture = contain(Part::Camera, name, self.camera.capture());
        let (taken, outcome) = match timeout(SNAPSHOT_TIMEOUT, capture).await {
            Err(_) => {
                let reason = format!("the camera of channel {channel} gave no still within 4 s");
                (Err(Error::new(ErrorKind::NoAnswer, reason)), "late")
            }
            Ok(Err(_)) => (
                Err(hal_failure::still_failed(
                    channel,
                    "it failed; the log says where",
                )),
                "failed",
            ),
            Ok(Ok(Err(error))) => (Err(hal_failure::still(channel, &error)), "failed"),
            Ok(Ok(Ok(still))) => match checked(&still, self.shared.largest) {
                Ok(still) => (Ok(still), "taken"),
                Err(why) => {
                    let reason =
                        format!("the still of the camera of channel {channel} is none: {why}");
                    (Err(Error::new(ErrorKind::BadAnswer, reason)), "failed")
                }
            },
        };
        self.shared.metrics.count(channel, outcome);
        if let Err(error) = &taken {
            tracing::debug!(%channel, %error, "no still was taken");
        }
        taken
    }
}

/// Takes one when the camera's pause is over, and hands it to all who wait.
async fn take(still: Arc<StillCamera>, spell: u64, next: Option<Instant>, place: Permit) {
    if let Some(next) = next {
        sleep_until(next).await;
    }
    let taken = still.capture().await;
    let taking = {
        let mut state = still.slot.lock();
        state.next = Some(Instant::now() + PAUSE);
        // Another one is of another spell.
        state.taking.take_if(|taking| taking.spell == spell)
    };
    drop(place);
    let Some(mut taking) = taking else { return };
    let failure = taken.as_ref().err().map(Error::reason);
    still.shared.hub.note_still(still.channel, failure);
    for waiting in taking.waiting.drain(..) {
        // Who has left does not need it.
        let _ = waiting.send(taken.clone());
    }
}

/// The JPEG that a camera gave, and nothing of what may be behind it.
fn checked(still: &Bytes, largest: usize) -> Result<Bytes, String> {
    if still.len() > largest {
        return Err(format!(
            "it has {} bytes, and {largest} are allowed (a smaller picture or more memory helps)",
            still.len()
        ));
    }
    let length = jpeg::length(still).map_err(|why| why.to_string())?;
    Ok(still.slice(..length))
}

/// Counts what came of stills.
#[derive(Clone, Default)]
struct Metrics(Family<Labels, Counter>);

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    channel: u32,
    outcome: &'static str,
}

impl Metrics {
    fn forget(&self, channel: ChannelId) {
        let channel = u32::from(channel.0);
        for outcome in ["taken", "failed", "late"] {
            self.0.remove(&Labels { channel, outcome });
        }
    }

    fn count(&self, channel: ChannelId, outcome: &'static str) {
        let channel = u32::from(channel.0);
        self.0.get_or_create(&Labels { channel, outcome }).inc();
    }
}
