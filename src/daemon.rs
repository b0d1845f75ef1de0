//! Puts the parts together: the only file that knows every one of them.

use std::{
    future::Future,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use prometheus_client::{metrics::info::Info, registry::Registry};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

#[cfg(feature = "sim")]
use crate::hal::sim::SimCamera;
use crate::{
    clock::Clock,
    config::{Channel, Config, Listen, Source},
    device::{Device, Viewers},
    hal::{
        Camera,
        file::{FileCamera, FileError},
    },
    http::{self, App, Listening},
    live::{self, Hub},
    media::ChannelId,
    transport::{self, Connections, tcp::Listener},
};

/// Why the daemon does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener's address cannot be had.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: std::io::Error,
    },
    /// A channel's file cannot be played.
    #[error("channel {channel}: {error}")]
    File {
        /// The channel.
        channel: ChannelId,
        /// What is wrong with the file.
        error: FileError,
    },
}

/// A daemon that is ready to serve: its sockets are bound.
pub struct Daemon {
    listeners: Vec<(Listener, Listen)>,
    app: Arc<App>,
    connections: Connections,
}

/// How often connections are looked at for time-outs.
const SWEEP_INTERVAL: Duration = Duration::from_millis(500);
/// How often, at shutdown, connections are looked at that have been answered.
const DRAIN_INTERVAL: Duration = Duration::from_millis(10);
/// How long connections may take to end in order at shutdown.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(4);

impl Daemon {
    /// Builds every part and binds every socket.
    ///
    /// # Errors
    /// [`StartError`], one clear line.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        Self::with_cameras(config, camera).await
    }

    /// As [`Daemon::start`], with cameras of one's own in place of those that the configuration
    /// names: this is how hardware that is written in Rust comes in.
    ///
    /// # Errors
    /// As [`Daemon::start`].
    pub async fn with_cameras(
        config: Config,
        camera: impl Fn(Clock, &Channel) -> Result<Arc<dyn Camera>, StartError>,
    ) -> Result<Self, StartError> {
        let clock = Clock::start();
        let started = Instant::now();
        let mut registry = Registry::with_prefix("peercam");
        register_device(&config, &mut registry);
        let live_metrics = live::Metrics::default();
        live_metrics.register(&mut registry);
        let http_metrics = http::Metrics::default();
        http_metrics.register(&mut registry);
        let connection_metrics = transport::Metrics::default();
        connection_metrics.register(&mut registry);

        let hub = Hub::new(
            clock,
            config.live,
            cameras(&config.channels, |channel| camera(clock, channel))?,
            live_metrics,
        );
        let viewers = Viewers::new(config.http.max_viewers);
        let connections = Connections::new(
            config.http.max_connections,
            config.http.timeouts,
            connection_metrics,
        );
        let mut listeners = Vec::new();
        for listen in config.listen {
            listeners.push((bind(&listen).await?, listen));
        }
        let app = App {
            device: Device::new(hub.clone(), viewers.clone()),
            hub,
            viewers,
            hevc: config.hevc,
            body_timeout: config.http.body_timeout,
            metrics: http_metrics,
            registry,
            started,
        };
        Ok(Self {
            listeners,
            app: Arc::new(app),
            connections,
        })
    }

    /// The addresses that are listened on, in the order of the configuration.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners
            .iter()
            .map(|(listener, _)| listener.address())
            .collect()
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
            connections,
        } = self;
        let stopping = CancellationToken::new();
        let tasks = TaskTracker::new();
        let mut owned = tokio::task::JoinSet::new();
        for (listener, listen) in listeners {
            let listening = Listening {
                allow_origins: listen.allow_origins,
            };
            let ending = (stopping.clone(), tasks.clone());
            owned.spawn(http::serve(
                listener,
                listening,
                Arc::clone(&app),
                connections.clone(),
                ending,
            ));
        }
        owned.spawn(sweep(connections.clone()));

        stop.await;
        tracing::info!("shutting down");
        stopping.cancel();
        app.hub.close();
        tasks.close();
        let drained = async {
            loop {
                connections.end_waiting();
                tokio::select! {
                    () = tasks.wait() => break,
                    () = tokio::time::sleep(DRAIN_INTERVAL) => {}
                }
            }
        };
        if tokio::time::timeout(SHUTDOWN_GRACE, drained).await.is_err() {
            tracing::warn!(
                connections = tasks.len(),
                "cutting off connections that did not end in time"
            );
        }
        owned.shutdown().await;
    }
}

async fn bind(listen: &Listen) -> Result<Listener, StartError> {
    let failed = |error| StartError::Listen {
        address: listen.address,
        error,
    };
    let listener = Listener::bind(listen.address).await.map_err(failed)?;
    let address = listener.address();
    if !address.ip().to_canonical().is_loopback() {
        if !listen.allow_insecure_lan {
            let error = std::io::Error::other(
                "the address turned out not to be loopback, and the listener is open",
            );
            return Err(failed(error));
        }
        tracing::warn!(%address, "this listener is open: anybody who reaches it can watch, unencrypted");
    }
    Ok(listener)
}

async fn sweep(connections: Connections) {
    let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        ticks.tick().await;
        connections.sweep(Instant::now());
    }
}

fn cameras(
    channels: &[Channel],
    camera: impl Fn(&Channel) -> Result<Arc<dyn Camera>, StartError>,
) -> Result<Vec<live::Channel>, StartError> {
    channels
        .iter()
        .map(|channel| {
            Ok(live::Channel {
                id: channel.id,
                name: channel.name.clone(),
                camera: camera(channel)?,
            })
        })
        .collect()
}

/// Makes the camera that the configuration names. Reads the whole file of a file source.
fn camera(clock: Clock, channel: &Channel) -> Result<Arc<dyn Camera>, StartError> {
    Ok(match &channel.source {
        #[cfg(feature = "sim")]
        Source::Sim(config) => Arc::new(SimCamera::new(clock, config.clone())),
        Source::File { path } => Arc::new(FileCamera::new(clock, path.clone()).map_err(
            |error| StartError::File {
                channel: channel.id,
                error,
            },
        )?),
    })
}

/// Makes sure that the files which a configuration names can be used.
///
/// # Errors
/// [`StartError`] for the first one that cannot.
pub fn check(config: &Config) -> Result<(), StartError> {
    let clock = Clock::start();
    config
        .channels
        .iter()
        .try_for_each(|channel| camera(clock, channel).map(|_| ()))
}

fn register_device(config: &Config, registry: &mut Registry) {
    let labels = vec![
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("product_id", config.device.product_id.clone()),
        ("device_name", config.device.device_name.clone()),
    ];
    registry.register("device", "What runs here", Info::new(labels));
}
