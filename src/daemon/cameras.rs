//! Cameras, made as the configuration says.

use std::sync::Arc;

use super::StartError;
#[cfg(feature = "sim")]
use crate::hal::sim::SimCamera;
use crate::{
    clock::Clock,
    config::{Channel, Source},
    hal::{Camera, ExecSpeaker, WithSpeaker, file::FileCamera},
    live,
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

/// Makes the camera that the configuration names. Reads the whole file of a file source.
pub(super) fn camera(clock: Clock, channel: &Channel) -> Result<Arc<dyn Camera>, StartError> {
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
