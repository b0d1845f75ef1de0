//! Puts the parts together: the only file that knows every one of them.

mod cameras;
mod error;
mod listen;
#[cfg(feature = "p2p")]
mod p2p;
mod reachability;
#[cfg(feature = "record")]
mod record;
mod registry;
mod services;
mod shares;
mod user;

use std::{
    future::Future,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use peercam_hal::{Camera, clock::Clock};
use peercam_net::{self as transport, ProvenSources, UnauthenticatedLimiter, tcp::Listener};
use peercam_task::{boundary, watchdog};
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::error::StartError;
use self::{
    cameras::{CameraFactory, cameras},
    listen::{bind, lan_hints},
    reachability::{publish_changes, watch_lan},
    registry::registry,
    services::{service, sweep},
    shares::{ByKind, Shares},
    user::custom_commands,
};
use crate::{
    access::{self, Authority, DataDir, Lock, SecretStore},
    budget::Budget,
    config::{Channel, Config, Listen},
    device::{self, ActivityTracker, CallTask, Calls, Device, Standby, ViewerNotifier, Viewers},
    http::{self, App},
    live::{self, Hub, Stills},
    log,
    playback::PlaybackSessions,
    reach::{Endpoint, Reachability},
    talk::{self, Speakers},
};

/// A daemon that is ready to serve: its sockets are bound.
pub struct Daemon {
    listeners: Vec<(Listener, Listen)>,
    app: Arc<App>,
    call_task: CallTask,
    notifier: Option<Arc<dyn ViewerNotifier>>,
    connections: ByKind,
    entrance: UnauthenticatedLimiter,
    #[cfg(feature = "p2p")]
    known: ProvenSources,
    data_dir: DataDir,
    store: SecretStore,
    authority: Arc<Authority>,
    #[cfg(feature = "p2p")]
    p2p: Option<p2p::P2p>,
    #[cfg(feature = "record")]
    recorder: Option<Arc<crate::record::Recorder>>,
    reach: watch::Sender<Reachability>,
    _lock: Lock,
}

/// Interval, at shutdown, between looks for connections that have been answered.
const DRAIN_INTERVAL: Duration = Duration::from_millis(10);
/// Timeout for connections to end in order at shutdown.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(4);

impl Daemon {
    /// Builds every part and binds every socket.
    ///
    /// # Errors
    /// [`StartError`], one clear line.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let budget = Budget::from_config(&config)?;
        let factory = CameraFactory::new(&budget);
        let registry = registry(&config);
        let registry = factory.counting(registry);
        let camera = |clock, channel: &Channel| factory.camera(clock, channel);
        Self::assemble(config, budget, camera, registry).await
    }

    /// Same as [`Daemon::start`], with cameras of one's own in place of those that the configuration
    /// names: this is how hardware that is written in Rust comes in.
    ///
    /// # Errors
    /// As [`Daemon::start`].
    pub async fn with_cameras(
        config: Config,
        camera: impl Fn(Clock, &Channel) -> Result<Arc<dyn Camera>, StartError>,
    ) -> Result<Self, StartError> {
        let registry = registry(&config);
        let budget = Budget::from_config(&config)?;
        Self::assemble(config, budget, camera, registry).await
    }

    async fn assemble(
        config: Config,
        budget: Budget,
        camera: impl Fn(Clock, &Channel) -> Result<Arc<dyn Camera>, StartError>,
        mut registry: Registry,
    ) -> Result<Self, StartError> {
        let clock = Clock::start();
        let started = Instant::now();
        let live_metrics = live::Metrics::default();
        live_metrics.register(&mut registry);
        boundary::register(&mut registry);
        log::register(&mut registry);
        let http_metrics = http::Metrics::default();
        http_metrics.register(&mut registry);
        let connection_metrics = transport::Metrics::default();
        connection_metrics.register(&mut registry, "connections", "TCP connections");
        let access_metrics = access::Metrics::default();
        access_metrics.register(&mut registry);

        let data_dir = DataDir::open(&config.data_dir)?;
        let lock = data_dir.lock()?;
        let store = SecretStore::open(data_dir.path())?;
        let max_sessions = config.access.max_sessions;
        let authority = Arc::new(Authority::new(&store, clock, max_sessions, access_metrics)?);
        let notes = watchdog::noted(data_dir.path());
        let channels = cameras(&config.channels, &notes, |channel| camera(clock, channel))?;
        let bounds = live::Config {
            memory: budget.live,
            max_frame: budget.picture,
        };
        let hub = Hub::new(clock, bounds, channels.clone(), live_metrics);
        // Before anybody, the recorder included, could have a picture.
        let standby = Standby::restore(hub.clone(), data_dir.path().join("standby.json"));
        #[cfg(feature = "record")]
        let recorder = record::start(&config, &budget, &channels, &hub, clock, &mut registry)?;
        let shares = Shares::from_config(&config, &budget);
        let viewers = Viewers::new(budget.viewers, shares.media)
            .with_recordings(budget.players, budget.downloads);
        let connections = ByKind::new(&shares, config.http.timeouts, &connection_metrics);
        #[cfg(feature = "p2p")]
        let p2p = p2p::P2p::start(&config, &budget, &authority, &mut registry).await?;
        #[cfg(feature = "p2p")]
        let notifier = p2p.as_ref().map(|p2p| p2p.notifier(&authority, &config));
        #[cfg(not(feature = "p2p"))]
        let notifier: Option<Arc<dyn ViewerNotifier>> = None;
        let stills = Stills::new(&hub, &channels, budget.picture, &mut registry);
        let zone = config.device.timezone.clone();
        let mut listeners = Vec::new();
        let mut reachability = Reachability::default();
        for listen in config.listen {
            let listener = bind(&listen).await?;
            reachability
                .listeners
                .push(listen::info(&listener, &listen));
            listeners.push((listener, listen));
        }
        reachability.lan = lan_hints(&reachability.listeners);
        #[cfg(feature = "p2p")]
        if let Some(p2p) = &p2p {
            p2p.describe(&mut reachability);
        }
        #[cfg(feature = "record")]
        let recordings =
            record::recordings(config.record.as_ref(), recorder.as_ref(), zone, &channels);
        #[cfg(not(feature = "record"))]
        let recordings = {
            let index = |channel: &live::Channel| {
                Some((channel.id, channel.camera.capabilities().recordings?))
            };
            let indexes = channels.iter().filter_map(index).collect();
            device::Recordings::new(indexes, zone, Default::default())
        };
        let players = PlaybackSessions::default();
        let talk_metrics = talk::Metrics::default();
        talk_metrics.register(&mut registry);
        let speakers = channels.iter();
        let speakers = speakers
            .filter_map(|channel| Some((channel.id, channel.camera.capabilities().talkback?)));
        let talks = talk::Config {
            ahead: budget.talk_ahead,
            ..config.talk
        };
        let speakers = Speakers::new(clock, talks, speakers.collect(), talk_metrics);
        let (calls, call_task) = Calls::new(clock, config.call_ring);
        let device = Device::new(device::DeviceParts {
            hub: hub.clone(),
            channels,
            viewers: viewers.clone(),
            notifier: notifier.clone(),
            recordings,
            players,
            speakers,
            calls,
            activity: ActivityTracker::new(authority.sessions.clone()),
            standby,
            commands: custom_commands(config.user),
        });
        let app = App {
            device,
            hub,
            stills,
            viewers,
            hevc: config.hevc,
            body_timeout: config.http.body_timeout,
            metrics: http_metrics,
            registry,
            started,
            clock,
            send_buffer: budget.send_buffer,
        };
        let known = ProvenSources::default();
        let daemon = Self {
            listeners,
            app: Arc::new(app),
            call_task,
            notifier,
            connections,
            data_dir,
            store,
            authority,
            #[cfg(feature = "p2p")]
            p2p,
            #[cfg(feature = "record")]
            recorder,
            entrance: UnauthenticatedLimiter::new(
                known.clone(),
                shares.unauthenticated.max,
                access::random()?,
                started,
            ),
            #[cfg(feature = "p2p")]
            known,
            reach: watch::Sender::new(reachability),
            _lock: lock,
        };
        let device = daemon.authority.device();
        let endpoint = Endpoint::of(device, &daemon.reach.borrow());
        daemon.data_dir.publish(&endpoint)?;
        tracing::info!(%device, data_dir = %daemon.data_dir.path().display(), "started");
        Ok(daemon)
    }

    /// The addresses that are listened on, in the order of the configuration.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let reachability = self.reach.borrow();
        let listeners = reachability.listeners.iter();
        listeners.map(|listener| listener.address).collect()
    }

    /// Ways to reach the device, from now on.
    pub fn reachability(&self) -> watch::Receiver<Reachability> {
        self.reach.subscribe()
    }

    /// The live streams.
    pub fn hub(&self) -> &Hub {
        &self.app.hub
    }

    /// Serves until `stop` completes, then ends everything in order, within 5 s:
    /// no new connections; live bodies end with their terminator; answers under way finish;
    /// what is left after 4 s is cut off.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Self {
            listeners,
            app,
            call_task,
            notifier,
            connections,
            entrance,
            #[cfg(feature = "p2p")]
            known,
            data_dir,
            store,
            authority,
            #[cfg(feature = "p2p")]
            p2p,
            #[cfg(feature = "record")]
            recorder,
            reach,
            _lock,
        } = self;
        let stopping = CancellationToken::new();
        let tasks = TaskTracker::new();
        let mut owned = tokio::task::JoinSet::new();
        for (listener, listen) in listeners {
            let (listening, connections) =
                connections.of(&listener, listen.access, &authority, &entrance);
            let ending = (stopping.clone(), tasks.clone());
            owned.spawn(http::serve(
                listener,
                listening,
                Arc::clone(&app),
                connections,
                ending,
            ));
        }
        let device = &app.device;
        let about = (device.activity().clone(), device.speakers().clone());
        let ending_calls = CancellationToken::new();
        let calls = tasks.spawn(call_task.run(notifier, about, ending_calls.clone()));
        let watched = vec![connections.sealed, connections.open];
        #[cfg(feature = "p2p")]
        let watched = {
            let more = p2p.iter().flat_map(p2p::P2p::watched);
            more.chain(watched).collect::<Vec<_>>()
        };
        #[cfg(feature = "p2p")]
        let p2p = p2p.map(|p2p| {
            let (app, authority) = (Arc::clone(&app), Arc::clone(&authority));
            p2p.serve(
                app,
                authority,
                known,
                reach.clone(),
                stopping.clone(),
                tasks.clone(),
                &mut owned,
            )
        });
        owned.spawn(service("sweep", {
            let watched = watched.clone();
            move || sweep(watched.clone())
        }));
        let (device, published) = (authority.device(), reach.subscribe());
        owned.spawn(service("access", move || {
            access::watch(store.clone(), Arc::clone(&authority))
        }));
        owned.spawn(service("addresses", move || watch_lan(reach.clone())));
        owned.spawn(service("endpoint.json", move || {
            publish_changes(data_dir.clone(), device, published.clone())
        }));

        stop.await;
        tracing::info!("shutting down");
        // Who is in a call is told while there is a way to.
        ending_calls.cancel();
        let _ = calls.await;
        stopping.cancel();
        app.hub.close();
        app.stills.close();
        app.device.players().close();
        app.device.close();
        tasks.close();
        let drained = async {
            loop {
                for connections in &watched {
                    connections.end_waiting();
                }
                tokio::select! {
                    () = tasks.wait() => break,
                    () = tokio::time::sleep(DRAIN_INTERVAL) => {}
                }
            }
        };
        let drained = async {
            #[cfg(feature = "record")]
            if let Some(recorder) = &recorder {
                tokio::join!(drained, recorder.finish());
                return;
            }
            drained.await;
        };
        if tokio::time::timeout(SHUTDOWN_GRACE, drained).await.is_err() {
            tracing::warn!(
                connections = tasks.len(),
                "cutting off connections that did not end in time"
            );
        }
        #[cfg(feature = "p2p")]
        if let Some(p2p) = p2p {
            p2p.close().await;
        }
        owned.shutdown().await;
    }
}

/// Makes sure that the files which a configuration names can be used. Makes none.
///
/// # Errors
/// [`StartError`] for the first one that cannot.
pub fn check(config: &Config) -> Result<(), StartError> {
    Budget::from_config(config)?;
    DataDir::check(&config.data_dir)?;
    SecretStore::check(&config.data_dir)?;
    #[cfg(feature = "p2p")]
    p2p::check(config)?;
    let clock = Clock::start();
    let mut channels = config.channels.iter();
    channels.try_for_each(|channel| cameras::check(clock, channel))
}
