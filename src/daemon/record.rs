//! Recording, joined to the rest.

use std::sync::Arc;

use super::{
    StartError,
    assembly::Assembly,
    part::{Part, Phase},
};
use crate::{
    device::{RecordingControl, Recordings},
    live::Channel,
    record::{
        LARGEST_FRAGMENT, MAX_FRAGMENT, MOST_FILES, Metrics, Mode, Recorded, Recorder,
        RecorderParts,
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
    let mode = |channel: &Channel| -> Mode {
        if channel.camera.capabilities().stills_only {
            tracing::info!(channel = %channel.id, "nothing is recorded of it: its camera hands over single pictures only");
            return Mode::Off;
        }
        let mut configured = config.channels.iter();
        let own = configured.find(|configured| configured.id == channel.id);
        own.and_then(|own| own.record).unwrap_or(record.mode)
    };
    let cameras = assembly.channels.iter().map(|channel| Recorded {
        channel: channel.id,
        mode: mode(channel),
        camera: Arc::clone(&channel.camera),
    });
    let mut bounded = record.config.clone();
    bounded.memory = budget.record;
    bounded.fragment = budget.fragment.min(MAX_FRAGMENT);
    bounded.files = budget.recordings.min(MOST_FILES);
    // A player holds two of them, for which three pictures are counted.
    bounded.largest = (budget.picture / 2 * 3).min(LARGEST_FRAGMENT);
    bounded.cut.most_pre_roll = budget.pre_roll;
    let parts = RecorderParts {
        cameras: cameras.collect(),
        hub: assembly.hub.clone(),
        clock: assembly.clock,
        events: assembly.events.clone(),
        metrics,
    };
    let recorder = Recorder::start(&bounded, parts);
    let recorder = Arc::new(recorder.map_err(StartError::Recorder)?);
    let indexes = assembly.channels.iter();
    let indexes = indexes.map(|channel| (channel.id, recorder.index(channel.id)));
    let control: Arc<dyn RecordingControl> = Arc::clone(&recorder) as _;
    let zone = config.device.timezone.clone();
    assembly.recordings =
        Recordings::new(indexes.collect(), zone, record.file_list).recorded_by(Some(control));
    assembly
        .parts
        .add(Part::new("recorder", Phase::Drain, |context| async move {
            // With the streams, or it would wait for them to come again.
            context.phase(Phase::Streams).cancelled().await;
            recorder.finish().await;
        }));
    Ok(())
}
