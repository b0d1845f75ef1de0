//! Recording, joined to the rest.

use std::{sync::Arc, time::Duration};

use peercam_hal::BoxFuture;
use peercam_proto::media::ChannelId;

use super::{
    StartError,
    assembly::Assembly,
    part::{Part, Phase},
};
use crate::{
    device::{CardState, RecordingControl, Recordings},
    live::Channel,
    record::{
        LARGEST_FRAGMENT, MAX_FRAGMENT, MOST_FILES, Metrics, Mode, Recorded, Recorder, State,
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
    let (cameras, hub, clock) = (cameras.collect(), &assembly.hub, assembly.clock);
    let recorder = Recorder::start(&bounded, cameras, hub, clock, &metrics);
    let recorder = Arc::new(recorder.map_err(StartError::Recorder)?);
    let indexes = assembly.channels.iter();
    let indexes = indexes.map(|channel| (channel.id, recorder.index(channel.id)));
    let zone = config.device.timezone.clone();
    assembly.recordings = Recordings::new(indexes.collect(), zone, record.file_list)
        .recorded_by(Some(Arc::new(Told(Arc::clone(&recorder)))));
    let finish = |_| async move { recorder.finish().await };
    assembly
        .parts
        .add(Part::ending("recorder", Phase::Drain, finish));
    Ok(())
}

/// The recorder as the device sees it.
struct Told(Arc<Recorder>);

impl RecordingControl for Told {
    fn state(&self) -> CardState {
        let catalog = self.0.catalog();
        let state = catalog.state().borrow().clone();
        CardState {
            is_readable: !matches!(state, State::Gone(_)),
            problem: match state {
                State::Ready => None,
                State::Starting => Some("the card is being looked at".to_owned()),
                State::Stuck(reason) | State::Gone(reason) => Some(reason),
            },
            bytes: catalog.bytes(),
            files: catalog.count(),
        }
    }

    fn event(&self, channel: ChannelId, kind: u32, length: Option<Duration>) -> bool {
        self.0.event(channel, kind, length)
    }

    fn erase(&self) -> BoxFuture<'_, bool> {
        Box::pin(self.0.erase())
    }
}
