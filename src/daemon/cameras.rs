//! Cameras, made as the configuration says.

#[cfg(feature = "hal-socket")]
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};
use std::{path::Path, sync::Arc};

#[cfg(feature = "hal-socket")]
use prometheus_client::registry::Registry;

use super::StartError;
#[cfg(feature = "rtsp")]
use crate::hal::rtsp::{self, RtspCamera};
#[cfg(feature = "sim")]
use crate::hal::sim::SimCamera;
#[cfg(feature = "hal-socket")]
use crate::hal::socket::{self, SocketHal};
use crate::{
    budget::Budget,
    clock::Clock,
    config::{Channel, Source},
    hal::{Camera, ExecSpeaker, Room, WithSpeaker, file::FileCamera},
    live,
    media::ChannelId,
};

pub(super) fn cameras(
    channels: &[Channel],
    camera: impl Fn(&Channel) -> Result<Arc<dyn Camera>, StartError>,
) -> Result<Vec<live::Channel>, StartError> {
    channels
        .iter()
        .map(|channel| {
            let camera = camera(channel)?;
            // A program in the configuration is meant, whatever the camera has.
            let speaker = channel.speaker.as_deref().map(ExecSpeaker::new);
            let camera: Arc<dyn Camera> = match speaker.transpose()? {
                Some(speaker) => Arc::new(WithSpeaker::new(camera, Arc::new(speaker))),
                None => camera,
            };
            Ok(live::Channel {
                id: channel.id,
                name: channel.name.clone(),
                camera,
            })
        })
        .collect()
}

/// Makes sure that the camera which the configuration names can be made. Reads the whole file of a
/// file source; connects to nothing.
pub(super) fn check(clock: Clock, channel: &Channel) -> Result<(), StartError> {
    match &channel.source {
        Source::File { path } => file(clock, channel.id, path).map(|_| ()),
        #[cfg(any(feature = "hal-socket", feature = "rtsp", feature = "sim"))]
        _ => Ok(()),
    }
}

fn file(clock: Clock, channel: ChannelId, path: &Path) -> Result<FileCamera, StartError> {
    let camera = FileCamera::new(clock, path.to_owned());
    camera.map_err(|error| StartError::File { channel, error })
}

/// Makes the cameras that a configuration names, in the daemon's runtime.
pub(super) struct Workshop {
    /// Of each stream.
    #[cfg(any(feature = "hal-socket", feature = "rtsp"))]
    room: Room,
    /// Sockets that are listened on already, by their path.
    #[cfg(feature = "hal-socket")]
    sockets: Mutex<BTreeMap<PathBuf, Arc<SocketHal>>>,
    #[cfg(feature = "hal-socket")]
    socket_metrics: socket::Metrics,
}

impl Workshop {
    /// Cameras that keep as much as the budget allows.
    #[cfg_attr(
        not(any(feature = "hal-socket", feature = "rtsp")),
        expect(unused_variables)
    )]
    pub(super) fn new(budget: &Budget) -> Self {
        Self {
            #[cfg(any(feature = "hal-socket", feature = "rtsp"))]
            room: budget.room,
            #[cfg(feature = "hal-socket")]
            sockets: Mutex::default(),
            #[cfg(feature = "hal-socket")]
            socket_metrics: socket::Metrics::default(),
        }
    }

    /// Counts what is lost on the way from firmware in `registry`.
    #[cfg(feature = "hal-socket")]
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
                let camera = RtspCamera::new(
                    clock,
                    rtsp::Config {
                        room: self.room,
                        ..(**config).clone()
                    },
                );
                camera.keep();
                Arc::new(camera)
            }
            #[cfg(feature = "hal-socket")]
            Source::Socket { config, sound } => {
                Arc::new(self.socket(clock, config)?.camera(channel.id, *sound))
            }
            Source::File { path } => Arc::new(file(clock, channel.id, path)?),
        })
    }

    #[cfg(feature = "hal-socket")]
    fn socket(&self, clock: Clock, config: &socket::Config) -> Result<Arc<SocketHal>, StartError> {
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(socket) = sockets.get(&config.path) {
            return Ok(Arc::clone(socket));
        }
        let socket = SocketHal::listen(
            clock,
            config.clone(),
            self.socket_metrics.clone(),
            self.room,
        )?;
        let socket = Arc::new(socket);
        sockets.insert(config.path.clone(), Arc::clone(&socket));
        Ok(socket)
    }
}
