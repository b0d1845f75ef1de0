//! Recording, joined to the rest.

use std::{sync::Arc, time::Duration};

use jiff::tz::TimeZone;
use peercam_hal::{BoxFuture, clock::Clock};
use peercam_proto::media::ChannelId;
use prometheus_client::registry::Registry;

use super::StartError;
use crate::{
    budget::Budget,
    config::{self, Config},
    device::{CardState, RecordingControl, Recordings},
    live::{Channel, Hub},
    record::{
        LARGEST_FRAGMENT, MAX_FRAGMENT, MOST_FILES, Metrics, Mode, Recorded, Recorder, State,
    },
};

/// Begins to record what the configuration says; `None` if that is nothing.
pub(super) fn start(
    config: &Config,
    budget: &Budget,
    channels: &[Channel],
    hub: &Hub,
    clock: Clock,
    registry: &mut Registry,
) -> Result<Option<Arc<Recorder>>, StartError> {
    let Some(record) = &config.record else {
        return Ok(None);
    };
    let metrics = Metrics::default();
    metrics.register(registry);
    let mode = |channel: &Channel| -> Mode {
        if channel.camera.capabilities().stills_only {
            tracing::info!(channel = %channel.id, "nothing is recorded of it: its camera hands over single pictures only");
            return Mode::Off;
        }
        let mut configured = config.channels.iter();
        let own = configured.find(|configured| configured.id == channel.id);
        own.and_then(|own| own.record).unwrap_or(record.mode)
    };
    let cameras = channels.iter().map(|channel| Recorded {
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
    let recorder = Recorder::start(&bounded, cameras.collect(), hub, clock, &metrics);
    Ok(Some(Arc::new(recorder.map_err(StartError::Recorder)?)))
}

/// Recordings that can be played: ours, and those that hardware made by itself.
pub(super) fn recordings(
    config: Option<&config::Record>,
    recorder: Option<&Arc<Recorder>>,
    zone: TimeZone,
    channels: &[Channel],
) -> Recordings {
    let index = |channel: &Channel| {
        let own = recorder.map(|recorder| recorder.index(channel.id));
        Some((
            channel.id,
            own.or_else(|| channel.camera.capabilities().recordings)?,
        ))
    };
    let dialect = config.map(|config| config.file_list).unwrap_or_default();
    let recording = recorder.map(|recorder| -> Arc<dyn RecordingControl> {
        let recorder = Arc::clone(recorder);
        Arc::new(Told(recorder))
    });
    let indexes = channels.iter().filter_map(index).collect();
    Recordings::new(indexes, zone, dialect).recorded_by(recording)
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
