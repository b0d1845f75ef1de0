//! The daemon while it is put together: what parts stand on, and what they add.

use std::{sync::Arc, time::Instant};

use peercam_hal::{Camera, clock::Clock};
use peercam_net::{Connections, ProvenSources};
use peercam_proto::origin_policy::Allowed;
use peercam_task::{
    boundary::{self, PanicListener},
    watchdog,
};
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use super::{
    StartError,
    cameras::{Cameras, cameras, entry},
    part::{Part, Parts},
    shares::Shares,
};
#[cfg(feature = "record")]
use crate::record::Recorder;
use crate::{
    access::{self, Authority, DataDir, Lock, SecretStore},
    budget::Budget,
    channels::ChannelRegistry,
    config::{self, Config},
    device::{Recordings, Standby, ViewerNotifier},
    events::{Event, Events},
    live::{self, Hub},
    log,
    reach::Reachability,
};

/// A daemon to which parts are added.
pub(super) struct Assembly {
    pub(super) config: Config,
    pub(super) budget: Budget,
    pub(super) shares: Shares,
    pub(super) clock: Clock,
    /// Stream in which parts publish what happens.
    pub(super) events: Events,
    /// What publishes panics.
    pub(super) panics: Arc<PanicListener>,
    pub(super) started: Instant,
    pub(super) registry: Registry,
    pub(super) data_dir: DataDir,
    pub(super) lock: Lock,
    pub(super) store: SecretStore,
    pub(super) authority: Arc<Authority>,
    pub(super) channels: ChannelRegistry,
    pub(super) hub: Hub,
    pub(super) standby: Standby,
    /// Cameras as each channel's source has made them, without what stands around them.
    pub(super) cameras: Cameras,
    /// Origins and hosts that are let in, of each listener.
    pub(super) origins: Vec<watch::Sender<Arc<Allowed>>>,
    /// Recorder, which follows the configuration of recordings.
    #[cfg(feature = "record")]
    pub(super) recorder: Option<Arc<Recorder>>,
    /// Sources at which viewers authenticated lately.
    pub(super) known: ProvenSources,
    /// The table of parts, as far as it is known.
    pub(super) parts: Parts,
    /// Ways to reach the device, as far as they are known.
    pub(super) reach: watch::Sender<Reachability>,
    /// Connections to be watched over.
    pub(super) connections: Vec<Connections>,
    /// Way to the viewers; `None`: nobody can be told anything.
    pub(super) notifier: Option<Arc<dyn ViewerNotifier>>,
    /// Recordings that can be played: those that hardware makes by itself, until a recorder is added.
    pub(super) recordings: Recordings,
}

impl Assembly {
    /// Foundation of all parts: the data directory, who has access, cameras and their live streams.
    pub(super) fn new(
        config: Config,
        budget: Budget,
        camera: impl Fn(Clock, &config::Channel) -> Result<Arc<dyn Camera>, StartError>,
        mut registry: Registry,
    ) -> Result<Self, StartError> {
        let (clock, started) = (Clock::start(), Instant::now());
        let events = Events::with_memory(clock, budget.events);
        let panics = boundary::on_panic({
            let events = events.clone();
            move |part| events.publish(Event::Panicked { part: part.word() })
        });
        let live_metrics = live::Metrics::default();
        live_metrics.register(&mut registry);
        boundary::register(&mut registry);
        log::register(&mut registry);
        let access_metrics = access::Metrics::default();
        access_metrics.register(&mut registry);

        let data_dir = DataDir::open(&config.data_dir)?;
        let lock = data_dir.lock()?;
        let store = SecretStore::open(data_dir.path())?;
        let max_sessions = config.access.max_sessions;
        let authority = Arc::new(Authority::new(
            &store,
            clock,
            max_sessions,
            access_metrics,
            events.clone(),
        )?);
        let notes = watchdog::noted(data_dir.path());
        let cameras = cameras(&config.channels, &notes, |channel| camera(clock, channel))?;
        let entries = config.channels.iter();
        let entries = entries.map(|channel| entry(channel, &cameras));
        let channels = ChannelRegistry::new(entries.collect::<Result<Vec<_>, _>>()?);
        let bounds = live::Config {
            memory: budget.live,
            max_frame: budget.picture,
        };
        let hub = Hub::new(
            clock,
            events.clone(),
            bounds,
            channels.clone(),
            live_metrics,
        );
        hub.register_cameras(&mut registry);
        // Before anybody, the recorder included, could have a picture.
        let kept = data_dir.path().join("standby.json");
        let standby = Standby::restore(&channels, hub.clone(), kept);
        let zone = config.device.timezone.clone();
        let recordings = Recordings::new(channels.clone(), zone, Default::default());
        let mut parts = Parts::default();
        let (kept, watched) = (store.clone(), Arc::clone(&authority));
        parts.add(Part::service("access", move |_| {
            access::watch(kept.clone(), Arc::clone(&watched))
        }));
        Ok(Self {
            shares: Shares::from_config(&config, &budget),
            config,
            budget,
            clock,
            events,
            panics,
            started,
            registry,
            data_dir,
            lock,
            store,
            authority,
            channels,
            hub,
            standby,
            cameras,
            origins: Vec::new(),
            #[cfg(feature = "record")]
            recorder: None,
            known: ProvenSources::default(),
            parts,
            reach: watch::Sender::default(),
            connections: Vec::new(),
            notifier: None,
            recordings,
        })
    }
}
