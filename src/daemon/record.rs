//! Recording, joined to the rest.

use std::{collections::BTreeMap, sync::Arc};

use peercam_proto::media::ChannelId;

use super::{
    StartError,
    assembly::Assembly,
    part::{Part, Phase},
};
use crate::{
    budget::Budget,
    channels::ChannelMap,
    config::{Config, Record},
    device::Recordings,
    record::{
        self, LARGEST_FRAGMENT, MAX_FRAGMENT, MOST_FILES, Metrics, Mode, Recorder, RecorderParts,
    },
};

/// Begins to record what the configuration says, if that is anything.
pub(super) fn add(assembly: &mut Assembly) -> Result<(), StartError> {
    let (config, budget) = (&assembly.config, &assembly.budget);
    let Some(record) = &config.record else {
        return Ok(());
    };
    let metrics = Metrics::default();
    metrics.register(&mut assembly.registry);
    let channels = assembly.channels.all();
    for channel in channels
        .values()
        .filter(|channel| channel.capabilities.stills_only)
    {
        tracing::info!(channel = %channel.id, "nothing is recorded of it: its camera hands over single pictures only");
    }
    let parts = RecorderParts {
        channels: assembly.channels.clone(),
        modes: modes(config, record, &channels),
        hub: assembly.hub.clone(),
        clock: assembly.clock,
        events: assembly.events.clone(),
        metrics,
    };
    let recorder = Recorder::start(&bounded(record, budget), parts);
    let recorder = Arc::new(recorder.map_err(StartError::Recorder)?);
    let (channels, zone) = (assembly.channels.clone(), config.device.timezone.clone());
    let recordings = Recordings::new(channels, zone, record.file_list);
    assembly.recordings = recordings.recorded_by(Arc::clone(&recorder) as _);
    assembly.recorder = Some(Arc::clone(&recorder));
    assembly
        .parts
        .add(Part::new("recorder", Phase::Drain, |context| async move {
            // With the streams, or it would wait for them to come again.
            context.phase(Phase::Streams).cancelled().await;
            recorder.finish(context.time_left(Phase::Drain)).await;
        }));
    Ok(())
}

/// Has a recorder go on with what the configuration says now.
pub(super) fn reconfigure(
    recorder: &Recorder,
    config: &Config,
    budget: &Budget,
    channels: &ChannelMap,
) {
    if let Some(record) = &config.record {
        let modes = modes(config, record, channels);
        recorder.configure(&bounded(record, budget), &modes);
    }
}

/// Settings of the recorder within its memory.
fn bounded(record: &Record, budget: &Budget) -> record::Config {
    let mut bounded = record.config.clone();
    bounded.memory = budget.record;
    bounded.fragment = budget.fragment.min(MAX_FRAGMENT);
    bounded.files = budget.recordings.min(MOST_FILES);
    // A player holds two of them, for which three pictures are counted.
    bounded.largest = (budget.picture / 2 * 3).min(LARGEST_FRAGMENT);
    bounded.cut.most_pre_roll = budget.pre_roll;
    bounded
}

/// Selection of what is recorded of each channel. Single pictures are not recorded.
fn modes(config: &Config, record: &Record, channels: &ChannelMap) -> BTreeMap<ChannelId, Mode> {
    let channels = channels.values().map(|channel| {
        let mut configured = config.channels.iter();
        let own = configured.find(|configured| configured.id == channel.id);
        let mode = own.and_then(|own| own.record).unwrap_or(record.mode);
        let has_video = !channel.capabilities.stills_only;
        (channel.id, if has_video { mode } else { Mode::Off })
    });
    channels.collect()
}
