//! Puts the parts together: the only room that knows every one of them.
//!
//! [`Daemon::start`] makes them one after the other, each in its own file, and [`Daemon::run`] runs
//! their table, which also says in which order they end (`part`).

mod app;
mod assembly;
mod cameras;
mod connections;
mod control;
mod error;
mod health;
mod listen;
#[cfg(feature = "p2p")]
mod p2p;
mod part;
mod reachability;
#[cfg(feature = "record")]
mod record;
mod registry;
mod reload;
mod shares;
mod user;

use std::{future::Future, net::SocketAddr, sync::Arc};

use peercam_hal::{Camera, clock::Clock};
use peercam_task::boundary::PanicListener;
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use self::{assembly::Assembly, cameras::CameraFactory, part::Parts, registry::registry};
pub use crate::config::ReloadReport;

pub use self::{
    error::StartError,
    reload::{ReloadError, Reloader},
};
use crate::{
    access::{DataDir, Lock, SecretStore},
    budget::Budget,
    channels::ChannelRegistry,
    config::{Channel, Config},
    events::Events,
    http::App,
    live::Hub,
    reach::Reachability,
};

/// A daemon that is ready to serve: its sockets are bound.
pub struct Daemon {
    parts: Parts,
    app: Arc<App>,
    reach: watch::Sender<Reachability>,
    reloader: Reloader,
    _panics: Arc<PanicListener>,
    _lock: Lock,
}

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
        let assembly = Self::assemble(config, budget, camera, registry).await?;
        factory.begin();
        Ok(app::complete(assembly, Some(factory)))
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
        let assembly = Self::assemble(config, budget, camera, registry).await?;
        Ok(app::complete(assembly, None))
    }

    async fn assemble(
        config: Config,
        budget: Budget,
        camera: impl Fn(Clock, &Channel) -> Result<Arc<dyn Camera>, StartError>,
        registry: Registry,
    ) -> Result<Assembly, StartError> {
        // What another program may have is taken before secrets are made: a start that fails for it
        // leaves nothing behind.
        DataDir::refuse_locked(&config.data_dir)?;
        let listeners = listen::bind(&config.listen).await?;
        #[cfg(feature = "p2p")]
        let port = p2p::reserve(&config)?;
        let mut assembly = Assembly::new(config, budget, camera, registry)?;
        // Parts, in the order in which they are made. Each ends when its `Phase` has come.
        #[cfg(feature = "record")]
        record::add(&mut assembly)?;
        #[cfg(feature = "p2p")]
        p2p::add(&mut assembly, port).await?;
        listen::add(&mut assembly, listeners)?;
        connections::add(&mut assembly);
        reachability::add(&mut assembly)?;
        control::add(&mut assembly);
        let (device, data_dir) = (assembly.authority.device(), assembly.data_dir.path());
        tracing::info!(%device, data_dir = %data_dir.display(), "started");
        Ok(assembly)
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

    /// The channels.
    #[doc(hidden)]
    pub fn channels(&self) -> &ChannelRegistry {
        self.app.device.channels()
    }

    /// Handle with which the configuration is read again, from the file that it came from.
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// The live streams.
    #[doc(hidden)]
    pub fn hub(&self) -> &Hub {
        self.app.device.hub()
    }

    /// Stream of what happens.
    pub fn events(&self) -> &Events {
        self.app.device.events()
    }

    /// Serves until `stop` completes, then ends everything in order, within 5 s:
    /// no new connections; live bodies end with their terminator; answers under way finish;
    /// what is left 4 s after the beginning is cut off.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Self {
            parts,
            app,
            reloader,
            _panics,
            _lock,
            ..
        } = self;
        parts.run(app, reloader, stop).await;
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
