//! Cameras, made as the configuration says.

use std::{collections::BTreeMap, path::PathBuf};
use std::{
    path::Path,
    sync::{Arc, Weak},
};

#[cfg(feature = "rtsp")]
use peercam_hal::rtsp::{self, JpegCamera, RtspCamera};
#[cfg(feature = "sim")]
use peercam_hal::sim::SimCamera;
use peercam_hal::socket::{self, SocketHal};
use peercam_hal::{
    Camera, ExecSpeaker, HalError, MediaInput, OneRate, Talkback, WithAudio, WithSpeaker,
    clock::Clock, file::FileCamera,
};
use peercam_proto::media::{ChannelId, Quality};
use peercam_task::{boundary::Guarded, watchdog::Notes};
use prometheus_client::registry::Registry;

use super::StartError;
use crate::{
    budget::Budget,
    channels::ChannelEntry,
    config::{Channel, Source},
};

/// Standstills of the daemon in a row after which a camera is left out.
const MOST_STANDSTILLS: u32 = 2;

/// Cameras as their sources make them, before sound and speaker are what the configuration says.
pub(super) type Cameras = BTreeMap<ChannelId, Arc<dyn Camera>>;

/// All cameras. One at which the daemon has stood still before, as `notes` say, is not made: it would
/// end the daemon again and again.
pub(super) fn cameras(
    channels: &[Channel],
    notes: &Notes,
    camera: impl Fn(&Channel) -> Result<Arc<dyn Camera>, StartError>,
) -> Result<Cameras, StartError> {
    channels
        .iter()
        .map(|channel| {
            let camera = match standstills(channel, notes) {
                MOST_STANDSTILLS.. => {
                    tracing::error!(channel = %channel.id, "{}", HeldBack::REASON);
                    Arc::new(HeldBack)
                }
                _ => camera(channel)?,
            };
            Ok((channel.id, camera))
        })
        .collect()
}

/// A channel with its camera, which is among `cameras`.
pub(super) fn entry(channel: &Channel, cameras: &Cameras) -> Result<ChannelEntry, StartError> {
    let camera = fitted(channel, cameras)?;
    Ok(ChannelEntry::new(channel.id, channel.name.clone(), camera))
}

/// The camera of a channel with sound and speaker as the configuration says.
pub(super) fn fitted(channel: &Channel, cameras: &Cameras) -> Result<Arc<dyn Camera>, StartError> {
    let camera = cameras.get(&channel.id).map(Arc::clone);
    let camera = camera.ok_or(StartError::NoOwnCamera(channel.id))?;
    let camera = Arc::new(WithAudio::new(camera, channel.id, channel.sound));
    with_speaker(camera, channel)
}

/// A camera with the speaker that the configuration says.
fn with_speaker(camera: Arc<dyn Camera>, channel: &Channel) -> Result<Arc<dyn Camera>, StartError> {
    let said = &channel.speaker;
    // A program in the configuration is meant, whatever the camera has.
    let speaker: Arc<dyn Talkback> = match &said.command {
        Some(command) => Arc::new(ExecSpeaker::new(command)?),
        None => match (said.sample_rate, camera.capabilities().talkback) {
            (Some(_), Some(own)) => own,
            _ => return Ok(camera),
        },
    };
    if let Some(doubt) = said.doubt() {
        tracing::warn!(channel = %channel.id, "{doubt}");
    }
    let is_mono = said.command.is_some() && !said.is_told_channels();
    let speaker: Arc<dyn Talkback> = match said.sample_rate {
        Some(rate) => Arc::new(OneRate::new(speaker, rate, is_mono)),
        None => speaker,
    };
    Ok(Arc::new(WithSpeaker::new(camera, speaker)))
}

/// Number of the daemon's standstills at this camera, of those that were noted.
fn standstills(channel: &Channel, notes: &Notes) -> u32 {
    let is_its = |name: &str| match &channel.source {
        #[cfg(feature = "rtsp")]
        Source::Rtsp(config) => config.urls.iter().any(|url| rtsp::shown(url) == name),
        Source::Socket { config, .. } => config.path.display().to_string() == name,
        _ => false,
    };
    let stream = format!("{}/", channel.id);
    let its = notes.iter().filter_map(|(part, times)| {
        let name = part.strip_prefix("camera ")?;
        (name.starts_with(&stream) || is_its(name)).then_some(*times)
    });
    its.sum()
}

/// Stand-in for a camera at which the daemon has stood still.
struct HeldBack;

impl HeldBack {
    const REASON: &str = "the daemon stood still twice at this camera, so it is left out; it is tried again when the daemon is started after ten minutes without it, or after it was stopped in order";
}

impl Camera for HeldBack {
    fn open(&self, _quality: Quality) -> Result<MediaInput, HalError> {
        Err(HalError::Failed(Self::REASON.to_owned()))
    }

    fn offline(&self) -> Option<String> {
        Some(Self::REASON.to_owned())
    }
}

/// Makes sure that the camera which the configuration names can be made. Reads the whole file of a
/// file source; connects to nothing.
pub(super) fn check(clock: Clock, channel: &Channel) -> Result<(), StartError> {
    match &channel.source {
        Source::File { path } => file(clock, channel.id, path).map(|_| ()),
        Source::Own => Err(StartError::NoOwnCamera(channel.id)),
        _ => Ok(()),
    }
}

fn file(clock: Clock, channel: ChannelId, path: &Path) -> Result<FileCamera, StartError> {
    let camera = FileCamera::new(clock, path.to_owned());
    camera.map_err(|error| StartError::File { channel, error })
}

/// Makes the cameras that a configuration names, in the daemon's runtime.
pub(super) struct CameraFactory {
    /// Memory of each stream.
    memory: peercam_hal::StreamMemory,
    /// Sockets that are listened on, by their path, for as long as a camera has them.
    sockets: Guarded<BTreeMap<PathBuf, Weak<SocketHal>>>,
    socket_metrics: socket::Metrics,
    /// Cameras that were made and are not read yet.
    #[cfg(feature = "rtsp")]
    unread: Guarded<Vec<Arc<RtspCamera>>>,
}

impl CameraFactory {
    /// Cameras that keep as much as the budget allows.
    pub(super) fn new(budget: &Budget) -> Self {
        Self {
            memory: budget.memory,
            sockets: Guarded::default(),
            socket_metrics: socket::Metrics::default(),
            #[cfg(feature = "rtsp")]
            unread: Guarded::default(),
        }
    }

    /// Counts what is lost on the way from firmware in `registry`.
    pub(super) fn counting(&self, mut registry: Registry) -> Registry {
        self.socket_metrics.register(&mut registry);
        registry
    }

    /// The camera of a channel. Reads the whole file of a file source.
    pub(super) fn camera(
        &self,
        clock: Clock,
        channel: &Channel,
    ) -> Result<Arc<dyn Camera>, StartError> {
        Ok(match &channel.source {
            #[cfg(feature = "sim")]
            Source::Sim(config) => Arc::new(SimCamera::new(clock, config.clone())),
            #[cfg(feature = "rtsp")]
            Source::Rtsp(config) => {
                let config = rtsp::Config {
                    memory: self.memory,
                    ..(**config).clone()
                };
                let camera = Arc::new(RtspCamera::new(clock, config));
                self.unread.lock().push(Arc::clone(&camera));
                camera
            }
            #[cfg(feature = "rtsp")]
            Source::Jpeg(config) => {
                Arc::new(JpegCamera::new((**config).clone(), self.memory.picture))
            }
            Source::Socket { config } => Arc::new(self.socket(clock, config)?.camera(channel.id)),
            Source::File { path } => Arc::new(file(clock, channel.id, path)?),
            Source::Own => return Err(StartError::NoOwnCamera(channel.id)),
        })
    }

    /// Has the cameras that were made read from now on, if they are to be read always.
    pub(super) fn begin(&self) {
        #[cfg(feature = "rtsp")]
        for camera in std::mem::take(&mut *self.unread.lock()) {
            camera.keep();
        }
    }

    /// Forgets the cameras that were made, because one of them could not be.
    pub(super) fn discard(&self) {
        #[cfg(feature = "rtsp")]
        self.unread.lock().clear();
    }

    fn socket(&self, clock: Clock, config: &socket::Config) -> Result<Arc<SocketHal>, StartError> {
        let mut sockets = self.sockets.lock();
        sockets.retain(|_, socket| socket.strong_count() > 0);
        if let Some(socket) = sockets.get(&config.path).and_then(Weak::upgrade) {
            return Ok(socket);
        }
        let socket = SocketHal::listen(
            clock,
            config.clone(),
            self.socket_metrics.clone(),
            self.memory,
        )?;
        let socket = Arc::new(socket);
        sockets.insert(config.path.clone(), Arc::downgrade(&socket));
        Ok(socket)
    }
}
