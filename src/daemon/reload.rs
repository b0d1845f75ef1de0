//! The configuration, read again while the daemon serves.
//!
//! Keeps: a reload is done as a whole or not at all. All that can fail is made first: the file is
//! read, what changed is weighed against the memory that was given out, and each new camera is
//! made. Then everything is put in its place without a pause in which somebody else could do
//! something. Rules of keys are in `config::Change`; what belonged to a camera that goes is ended by
//! `Device::replace`.

use std::{path::Path, sync::Arc};

use peercam_hal::{BoxFuture, Camera, clock::Clock};
use peercam_proto::{
    error::{Error, ErrorKind},
    origin_policy::Allowed,
};
use peercam_task::boundary::{self, Guarded, Part};
use tokio::sync::{Mutex, watch};

#[cfg(feature = "record")]
use super::record;
use super::{
    StartError,
    cameras::{CameraFactory, Cameras, fitted},
    shares::allowed,
    user::{Programs, custom_commands},
};
#[cfg(feature = "record")]
use crate::record::Recorder;
use crate::{
    budget::{Budget, TooLittleMemory},
    channels::{ChannelEntry, ChannelMap},
    config::{Change, Channel, Config, ConfigError, ReloadReport},
    control,
    device::Replacement,
    events::Event,
    http::App,
    talk,
};

/// Reads the configuration again. Cheap to clone.
#[derive(Clone)]
pub struct Reloader {
    inner: Arc<Inner>,
}

/// Reason why a reload has changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The daemon runs without a file.
    #[error("there is nothing to read again: this daemon was started without a configuration file")]
    NoFile,
    /// The file cannot be read, or has mistakes.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The channels need more memory than was given out at the start.
    #[error("{0}. A restart gives memory out anew")]
    Memory(TooLittleMemory),
    /// A camera cannot be made.
    #[error(transparent)]
    Camera(#[from] StartError),
    /// The daemon ends.
    #[error("the device is shutting down")]
    ShuttingDown,
    /// A fault of the daemon, of which the log says more.
    #[error("reading the configuration failed by a fault of the daemon")]
    Failed,
}

impl From<ReloadError> for Error {
    fn from(error: ReloadError) -> Self {
        let kind = match &error {
            ReloadError::NoFile => ErrorKind::Unsupported,
            ReloadError::Config(_) => ErrorKind::BadRequest,
            ReloadError::Memory(_) | ReloadError::Camera(_) => ErrorKind::Conflict,
            ReloadError::ShuttingDown | ReloadError::Failed => ErrorKind::Unavailable,
        };
        Self::new(kind, error.to_string())
    }
}

impl control::Reload for Reloader {
    fn reload(&self) -> BoxFuture<'_, Result<ReloadReport, Error>> {
        Box::pin(async { Ok(Self::reload(self).await?) })
    }

    fn budget(&self) -> Arc<Budget> {
        Arc::clone(&self.inner.budget.lock())
    }
}

/// What follows the configuration.
pub(super) struct ReloaderParts {
    pub(super) app: Arc<App>,
    /// The budget of the start.
    pub(super) budget: Budget,
    /// What makes cameras; `None`: the program around the daemon did.
    pub(super) factory: Option<CameraFactory>,
    /// Origins of each listener.
    pub(super) origins: Vec<watch::Sender<Arc<Allowed>>>,
    /// Programs that do commands, which are looked for.
    pub(super) programs: watch::Sender<Arc<Programs>>,
    #[cfg(feature = "record")]
    pub(super) recorder: Option<Arc<Recorder>>,
}

struct Inner {
    parts: ReloaderParts,
    /// Held for as long as a reload takes: there is one at a time.
    in_force: Mutex<InForce>,
    /// The budget with the channels in force.
    budget: Guarded<Arc<Budget>>,
}

/// Configuration in force, and its cameras.
#[derive(Clone)]
struct InForce {
    config: Config,
    cameras: Cameras,
}

/// All that a reload needs, made.
struct Prepared {
    change: Change,
    budget: Budget,
    cameras: Cameras,
    channels: ChannelMap,
}

impl Reloader {
    pub(super) fn new(parts: ReloaderParts, config: Config, cameras: Cameras) -> Self {
        Self {
            inner: Arc::new(Inner {
                budget: Guarded::whole(Arc::new(parts.budget.clone())),
                parts,
                in_force: Mutex::new(InForce { config, cameras }),
            }),
        }
    }

    /// Reads the configuration again from the file that it came from, and applies what can be applied
    /// while the daemon runs. What came of it is in the log too. Once begun it goes to its end,
    /// whether somebody waits for it or not.
    ///
    /// # Errors
    /// [`ReloadError`]: nothing has changed.
    pub async fn reload(&self) -> Result<ReloadReport, ReloadError> {
        let inner = Arc::clone(&self.inner);
        let reload = async move { inner.reload().await };
        // A task of its own, which outlasts whoever asked: two that make cameras at once would
        // undo each other's.
        let reload = boundary::spawn(Part::Service, "reload", reload).detach();
        match reload.await {
            Ok(Ok(reloaded)) => reloaded,
            _ => Err(ReloadError::Failed),
        }
    }
}

/// Says in the log what came of it.
fn log(report: &ReloadReport) {
    if report.applied.is_empty() && report.restart.is_empty() {
        tracing::info!("the configuration was read again, and has not changed");
    }
    for what in &report.applied {
        tracing::info!("changed by the configuration: {what}");
    }
    for what in &report.restart {
        tracing::warn!("changed in the configuration, and needs a restart: {what}");
    }
}

impl Inner {
    fn is_closed(&self) -> bool {
        self.parts.app.device.hub().is_closed()
    }

    async fn reload(self: Arc<Self>) -> Result<ReloadReport, ReloadError> {
        let reloaded = self.read().await;
        match &reloaded {
            Ok(report) => log(report),
            Err(error @ ReloadError::NoFile) => tracing::info!("{error}"),
            Err(error) => {
                tracing::error!(
                    "the configuration was not read again, nothing has changed: {error}"
                );
            }
        }
        reloaded
    }

    async fn read(self: &Arc<Self>) -> Result<ReloadReport, ReloadError> {
        let mut in_force = self.in_force.lock().await;
        let prepared = self.prepared(&in_force).await;
        if prepared.is_err()
            && let Some(factory) = &self.parts.factory
        {
            factory.discard();
        }
        Ok(self.apply(prepared?, &mut in_force))
    }

    async fn prepared(self: &Arc<Self>, before: &InForce) -> Result<Prepared, ReloadError> {
        let file = before.config.file.clone().ok_or(ReloadError::NoFile)?;
        let (inner, before) = (Arc::clone(self), before.clone());
        // Files are read, and sockets are made.
        let prepare = move || inner.prepare(&before, &file);
        let prepared = boundary::blocking(Part::Service, "reload", prepare).await;
        let prepared = prepared.map_err(|_| ReloadError::Failed)??;
        if self.is_closed() {
            return Err(ReloadError::ShuttingDown);
        }
        Ok(prepared)
    }

    /// Makes all that is new. Blocks.
    fn prepare(&self, before: &InForce, file: &Path) -> Result<Prepared, ReloadError> {
        if self.is_closed() {
            return Err(ReloadError::ShuttingDown);
        }
        let config = Config::load(file)?;
        if let Some(doubt) = config.exposed_secret(file) {
            tracing::warn!("{doubt}");
        }
        let change = before.config.change(config, self.parts.factory.is_none());
        let budget = self.parts.budget.with_channels(&change.config);
        let budget = budget.map_err(ReloadError::Memory)?;
        let (cameras, channels) = self.make(&change, before)?;
        Ok(Prepared {
            change,
            budget,
            cameras,
            channels,
        })
    }

    /// Cameras and channels of the new configuration: those that have not changed are the same.
    fn make(&self, change: &Change, before: &InForce) -> Result<(Cameras, ChannelMap), StartError> {
        let known = self.parts.app.device.channels().all();
        let (mut cameras, mut channels) = (Cameras::new(), ChannelMap::new());
        for channel in &change.config.channels {
            let camera = match before.camera_of(channel) {
                Some(camera) => camera,
                None => self.camera(channel)?,
            };
            cameras.insert(channel.id, camera);
        }
        for channel in &change.config.channels {
            let (id, name) = (channel.id, channel.name.clone());
            let is_other = change.cameras.contains(&id) || change.speakers.contains(&id);
            let entry = match known.get(&id) {
                None => Arc::new(ChannelEntry::new(id, name, fitted(channel, &cameras)?)),
                Some(entry) if is_other => {
                    let entry = entry.with_camera(fitted(channel, &cameras)?);
                    Arc::new(entry.renamed(name))
                }
                Some(entry) if entry.name != name => Arc::new(entry.renamed(name)),
                Some(entry) => Arc::clone(entry),
            };
            channels.insert(id, entry);
        }
        Ok((cameras, channels))
    }

    fn camera(&self, channel: &Channel) -> Result<Arc<dyn Camera>, StartError> {
        let factory = self.parts.factory.as_ref();
        let factory = factory.ok_or(StartError::NoOwnCamera(channel.id))?;
        factory.camera(self.clock(), channel)
    }

    fn clock(&self) -> Clock {
        self.parts.app.clock
    }

    /// Puts everything in its place.
    fn apply(&self, prepared: Prepared, in_force: &mut InForce) -> ReloadReport {
        let Prepared {
            change,
            budget,
            cameras,
            channels,
        } = prepared;
        let Change {
            config,
            applied,
            restart,
            cameras: replaced,
            speakers,
        } = change;
        // What is known of programs that are the same is kept.
        let is_other = config.user != in_force.config.user;
        let commands = is_other.then(|| {
            let (commands, programs) = custom_commands(&config.user);
            self.parts.programs.send_replace(Arc::new(programs));
            commands
        });
        // Before their streams end, or it would wait for these to come again.
        #[cfg(feature = "record")]
        if let Some(recorder) = &self.parts.recorder {
            recorder.retain(|id| channels.contains_key(&id));
        }
        let device = &self.parts.app.device;
        device.replace(Replacement {
            channels,
            cameras: replaced,
            speakers,
            live_memory: budget.live,
            talk: talk::Config {
                ahead: budget.talk_ahead,
                ..config.talk
            },
            call_ring: config.call_ring,
            commands,
        });
        #[cfg(feature = "record")]
        if let Some(recorder) = &self.parts.recorder {
            record::reconfigure(recorder, &config, &budget, &device.channels().all());
        }
        *self.budget.lock() = Arc::new(budget);
        for (origins, listener) in self.parts.origins.iter().zip(&config.listen) {
            origins.send_replace(allowed(&listener.access));
        }
        // Many cameras have few places: the old one leaves before the new one connects.
        let before = std::mem::replace(in_force, InForce { config, cameras });
        let _ = boundary::run(Part::Camera, "cameras that go", || drop(before));
        if let Some(factory) = &self.parts.factory {
            factory.begin();
        }
        if !applied.is_empty() {
            device.events().publish(Event::Reloaded);
        }
        ReloadReport { applied, restart }
    }
}

impl InForce {
    /// The camera that a channel has already, if its source is the same.
    fn camera_of(&self, channel: &Channel) -> Option<Arc<dyn Camera>> {
        let mut known = self.config.channels.iter();
        known.find(|known| known.id == channel.id && known.source == channel.source)?;
        self.cameras.get(&channel.id).cloned()
    }
}
