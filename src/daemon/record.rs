//! Recording, joined to the rest.

use std::sync::Arc;

use super::{
    StartError,
    assembly::Assembly,
    part::{Part, Phase},
};
use crate::{
    channels::ChannelEntry,
    device::Recordings,
    record::{LARGEST_FRAGMENT, MAX_FRAGMENT, MOST_FILES, Metrics, Mode, Recorder, RecorderParts},
};

/// Begins to record what the configuration says, if that is anything.
pub(super) fn add(assembly: &mut Assembly) -> Result<(), StartError> {
    let (config, budget) = (&assembly.config, &assembly.budget);
    let Some(record) = &config.record else {
        return Ok(());
    };
    let metrics = Metrics::default();
    metrics.register(&mut assembly.registry);
    let mode = |channel: &ChannelEntry| -> Mode {
        if channel.capabilities.stills_only {
            tracing::info!(channel = %channel.id, "nothing is recorded of it: its camera hands over single pictures only");
            return Mode::Off;
        }
        let mut configured = config.channels.iter();
        let own = configured.find(|configured| configured.id == channel.id);
        own.and_then(|own| own.record).unwrap_or(record.mode)
    };
    let channels = assembly.channels.all();
    let modes = channels.values().map(|channel| (channel.id, mode(channel)));
    let mut bounded = record.config.clone();
    bounded.memory = budget.record;
    bounded.fragment = budget.fragment.min(MAX_FRAGMENT);
    bounded.files = budget.recordings.min(MOST_FILES);
    // A player holds two of them, for which three pictures are counted.
    bounded.largest = (budget.picture / 2 * 3).min(LARGEST_FRAGMENT);
    bounded.cut.most_pre_roll = budget.pre_roll;
    let parts = RecorderParts {
        channels: assembly.channels.clone(),
        modes: modes.collect(),
        hub: assembly.hub.clone(),
        clock: assembly.clock,
        events: assembly.events.clone(),
        metrics,
    };
    let recorder = Recorder::start(&bounded, parts);
    let recorder = Arc::new(recorder.map_err(StartError::Recorder)?);
    let (channels, zone) = (assembly.channels.clone(), config.device.timezone.clone());
    let recordings = Recordings::new(channels, zone, record.file_list);
    assembly.recordings = recordings.recorded_by(Arc::clone(&recorder) as _);
    assembly
        .parts
        .add(Part::new("recorder", Phase::Drain, |context| async move {
            // With the streams, or it would wait for them to come again.
            context.phase(Phase::Streams).cancelled().await;
            recorder.finish().await;
        }));
    Ok(())
}
