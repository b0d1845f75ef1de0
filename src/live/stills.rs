//! Stills: JPEGs of cameras that hand them over: firmware, the simulated one, and by HTTP an RTSP camera's
//! `snapshot_url` and a camera of single pictures, which is known by its stills alone. Who asks while one is taken, or waits for its turn,
//! gets the same; nothing is kept.

use std::{any::Any, collections::BTreeMap, sync::Arc, time::Duration};

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

use super::{Channel, Hub};
use crate::hal_failure;

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
    hub: Hub,
    slots: BTreeMap<ChannelId, Arc<Slot>>,
}

/// Permit of a caller, held while its still is taken.
pub type Permit = Arc<dyn Any + Send + Sync>;

type StillResult = Result<Bytes, Error>;

/// Still camera of one channel.
struct Slot {
    hub: Hub,
    channel: ChannelId,
    camera: Arc<dyn Snapshot>,
    largest: usize,
    metrics: Metrics,
    state: Guarded<State>,
}

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
    /// Still cameras among these cameras, counted in `registry`.
    pub fn new(hub: &Hub, cameras: &[Channel], largest: usize, registry: &mut Registry) -> Self {
        let metrics = Metrics::default();
        let help = "Stills that a camera was asked for, and what came of it: taken, failed or late";
        registry.register("snapshots", help, metrics.0.clone());
        let slots = cameras.iter().filter_map(|channel| {
            let slot = Slot {
                hub: hub.clone(),
                channel: channel.id,
                camera: channel.camera.capabilities().snapshot?,
                largest,
                metrics: metrics.clone(),
                state: Guarded::default(),
            };
            Some((channel.id, Arc::new(slot)))
        });
        Self {
            hub: hub.clone(),
            slots: slots.collect(),
        }
    }

    /// A still of a channel that exists, taken now. It is never from before the camera last stood by.
    /// `place` is held while it is taken, whoever leaves.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if the camera hands over none; as [`Hub::subscribe`] if it is off or
    /// stands by; [`ErrorKind::NoAnswer`] if it takes too long, [`ErrorKind::BadAnswer`] if what it
    /// gives is no JPEG or too large.
    pub async fn take(&self, channel: ChannelId, place: &Permit) -> Result<Bytes, Error> {
        let slot = self
            .slots
            .get(&channel)
            .ok_or_else(|| hal_failure::no_stills(channel))?;
        loop {
            let spell = self.hub.check_delivers(channel)?;
            let taken = slot.ask(spell, place).await;
            // Who told it to stand by meanwhile does not want it to be seen.
            if self.hub.check_delivers(channel)? == spell {
                return taken
                    .unwrap_or_else(|_| Err(hal_failure::still_failed(channel, "it was ended")));
            }
        }
    }

    /// Returns whether the camera of a channel hands over stills.
    pub fn has(&self, channel: ChannelId) -> bool {
        self.slots.contains_key(&channel)
    }

    /// Takes no more; whoever waits is refused.
    pub fn close(&self) {
        for slot in self.slots.values() {
            let taking = slot.state.lock().taking.take();
            drop(taking);
        }
    }
}

impl Slot {
    /// Receiver of the still that is under way in this spell, or in a newer one than the caller
    /// knows of; otherwise one is begun.
    fn ask(self: &Arc<Self>, spell: u64, place: &Permit) -> oneshot::Receiver<StillResult> {
        let (sender, taken) = oneshot::channel();
        let mut state = self.state.lock();
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
            Ok(Ok(Ok(still))) => match checked(&still, self.largest) {
                Ok(still) => (Ok(still), "taken"),
                Err(why) => {
                    let reason =
                        format!("the still of the camera of channel {channel} is none: {why}");
                    (Err(Error::new(ErrorKind::BadAnswer, reason)), "failed")
                }
            },
        };
        self.metrics.count(channel, outcome);
        if let Err(error) = &taken {
            tracing::debug!(%channel, %error, "no still was taken");
        }
        taken
    }
}

/// Takes one when the camera's pause is over, and hands it to all who wait.
async fn take(slot: Arc<Slot>, spell: u64, next: Option<Instant>, place: Permit) {
    if let Some(next) = next {
        sleep_until(next).await;
    }
    let taken = slot.capture().await;
    let taking = {
        let mut state = slot.state.lock();
        state.next = Some(Instant::now() + PAUSE);
        // Another one is of another spell.
        state.taking.take_if(|taking| taking.spell == spell)
    };
    drop(place);
    let Some(mut taking) = taking else { return };
    let failure = taken.as_ref().err().map(|error| error.reason().to_owned());
    slot.hub.note_still(slot.channel, failure);
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
    fn count(&self, channel: ChannelId, outcome: &'static str) {
        let channel = u32::from(channel.0);
        self.0.get_or_create(&Labels { channel, outcome }).inc();
    }
}
