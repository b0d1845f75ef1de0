//! Recording: from the live hub to files on a card, and back.
//!
//! ```text
//! Subscription ─► Interleaver ─► Cutter ─► Segmenter ─► Queue ─► Store (a thread) ─► files
//!                                                   └─► Catalog ─► RecordingIndex ─► players
//! ```
//!
//! The file system is the index ([`name`]): the catalogue is made from the file names at start.
//! Keeps: nothing waits for a card but the recorder's thread and the readers' threads, so that a
//! card that hangs costs recordings and nothing else.
//! Does not belong here: how recordings are played (`playback`), HTTP.

mod beneath;
mod card_calls;
mod card_check;
mod card_writer;
mod catalog;
mod channel;
mod config;
mod control;
pub mod disk;
mod erase;
mod failure;
mod fragmenter;
mod fragments;
mod grow;
mod index;
mod interleave;
mod metrics;
pub mod name;
mod reader;
mod readers;
mod scan;
mod segmenter;
mod writer;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

pub use card_check::{CardCheck, CardFile, CheckResult};
pub use card_writer::{CardWriter, Limits, WriteJob};
pub use catalog::{BYTES_OF_FILE, Catalog, Entry, Key, Lease, MOST_FILES, State};
pub use disk::free_space;
pub use fragmenter::{Fragment, Fragmenter, MAX_FRAGMENT};
pub use fragments::LARGEST_FRAGMENT;
use jiff::Timestamp;
pub use metrics::Metrics;
use peercam_hal::{RecordingIndex, clock::Clock};
use peercam_proto::media::{ChannelId, Quality};
use peercam_task::boundary::{Guarded, Part, restarting};
pub use reader::player_memory;
pub use segmenter::{Date, FragmentWrite, SegmentPolicy, Segmenter, Wanted};
use tokio::{
    sync::{oneshot, watch},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use self::{
    card_calls::{CardCalls, Watched},
    channel::{ChannelRecorder, ChannelSettings},
    disk::{Disk, Root, SystemDisk},
    index::ChannelIndex,
    readers::Readers,
    writer::Queue,
};
pub use crate::device::RecordMode as Mode;
use crate::{channels::ChannelRegistry, events::Events, live::Hub};

/// Settings of the recorder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Directory of the files.
    pub path: PathBuf,
    /// Directory that must be a mount point for anything to be recorded; `None`: none must.
    pub mount: Option<PathBuf>,
    /// The picture that is recorded.
    pub quality: Quality,
    /// Rule by which segments are cut.
    pub cut: SegmentPolicy,
    /// Bounds of what may be taken of the card.
    pub limits: Limits,
    /// Length of an event that does not say.
    pub event_length: Duration,
    /// Bytes of frames that may wait to be written.
    pub memory: usize,
    /// Bytes of a fragment; at most [`MAX_FRAGMENT`].
    pub fragment: usize,
    /// Files that are known, and begun; at most [`MOST_FILES`].
    pub files: usize,
    /// Bytes of the largest fragment that is read; at most [`LARGEST_FRAGMENT`]. On a card of
    /// somebody else there may be larger ones.
    pub largest: usize,
    /// Set if a still is kept with each recording.
    pub snapshots: bool,
}

/// What a recorder is made of, beside its settings.
pub struct RecorderParts {
    /// The channels.
    pub channels: ChannelRegistry,
    /// Selection of what is recorded of each.
    pub modes: BTreeMap<ChannelId, Mode>,
    /// Live streams, from which frames come.
    pub hub: Hub,
    /// The device's clocks.
    pub clock: Clock,
    /// Stream of events, some of which are recorded.
    pub events: Events,
    /// Counters.
    pub metrics: Metrics,
}

/// A card that owes an answer for so long counts as gone, until it answers.
const CARD_TIMEOUT: Duration = Duration::from_secs(30);

/// Records channels.
pub struct Recorder {
    catalog: Catalog,
    readers: Readers,
    limits: watch::Sender<Limits>,
    stop: CancellationToken,
    /// Owns the channels' tasks and the thread, until they were waited for.
    running: Guarded<Option<Running>>,
}

struct Running {
    /// Recorder of a channel, as all of them begin.
    template: ChannelRecorder,
    /// Settings of each channel, which its task follows.
    channels: BTreeMap<ChannelId, watch::Sender<ChannelSettings>>,
    tasks: JoinSet<()>,
    ended: oneshot::Receiver<()>,
}

impl Recorder {
    /// Begins to record.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(config: &Config, parts: RecorderParts) -> std::io::Result<Self> {
        let disk = Box::new(SystemDisk::new(config.mount.clone()));
        Self::start_on(disk, CARD_TIMEOUT, config, parts)
    }

    fn start_on(
        disk: Box<dyn Disk>,
        silence: Duration,
        config: &Config,
        parts: RecorderParts,
    ) -> std::io::Result<Self> {
        let RecorderParts {
            channels,
            modes,
            hub,
            clock,
            events,
            metrics,
        } = parts;
        let root = Root {
            path: config.path.clone(),
            mount: config.mount.clone(),
        };
        let catalog = Catalog::of(root, config.files, events.clone());
        let calls = CardCalls::default();
        let store = CardWriter::new(
            Box::new(Watched {
                disk,
                calls: calls.clone(),
            }),
            catalog.clone(),
            config.limits,
            channels.clone(),
            metrics.clone(),
        );
        let (limits, followed) = watch::channel(config.limits);
        let store = store.following(followed);
        let (queue, ended) = Queue::start(store, clock, config.memory, metrics)?;
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let listener = Listener {
            catalog: catalog.clone(),
            calls: calls.clone(),
            silence,
            clock,
        };
        let listening = stop.clone();
        tasks.spawn(async move {
            let listen = || listener.clone().run(listening.clone());
            restarting(
                Part::Recorder,
                "whether the card answers",
                &listening,
                listen,
            )
            .await;
        });
        let template = ChannelRecorder {
            channel: ChannelId::default(),
            settings: settings(config, Mode::Off),
            largest: config.fragment,
            channels,
            events,
            hub,
            clock,
            catalog: catalog.clone(),
            queue,
            stop: stop.clone(),
        };
        let recorder = Self {
            readers: Readers::new(catalog.clone(), calls, config.largest),
            catalog,
            limits,
            stop,
            running: Guarded::whole(Some(Running {
                template,
                channels: BTreeMap::new(),
                tasks,
                ended,
            })),
        };
        recorder.configure(config, &modes);
        Ok(recorder)
    }

    /// Goes on with other settings: those of `config` that are not of the card and of its files, and
    /// these channels. A channel whose settings have changed goes on in a new file.
    pub fn configure(&self, config: &Config, modes: &BTreeMap<ChannelId, Mode>) {
        self.limits.send_replace(config.limits);
        let mut running = self.running.lock();
        let Some(Running {
            template,
            channels,
            tasks,
            ..
        }) = running.as_mut()
        else {
            return;
        };
        template.queue.set_most(config.memory);
        while tasks.try_join_next().is_some() {}
        channels.retain(|channel, _| modes.contains_key(channel));
        for (&channel, &mode) in modes {
            let settings = settings(config, mode);
            let Some(known) = channels.get(&channel) else {
                let (sender, followed) = watch::channel(settings);
                let recorder = ChannelRecorder {
                    channel,
                    ..template.clone()
                };
                tasks.spawn(recorder.keep(followed));
                channels.insert(channel, sender);
                continue;
            };
            known.send_if_modified(|known| std::mem::replace(known, settings) != settings);
        }
    }

    /// Ends the recordings of all channels but these, in order.
    pub fn retain(&self, is_kept: impl Fn(ChannelId) -> bool) {
        if let Some(running) = self.running.lock().as_mut() {
            running.channels.retain(|channel, _| is_kept(*channel));
        }
    }

    /// Selection of what is recorded of a channel.
    fn mode_of(&self, channel: ChannelId) -> Mode {
        let running = self.running.lock();
        let channels = running.as_ref().map(|running| &running.channels);
        let settings = channels.and_then(|channels| channels.get(&channel));
        settings.map_or(Mode::Off, |settings| settings.borrow().mode)
    }

    /// Recordings of a channel.
    pub fn index_of(&self, channel: ChannelId) -> Arc<dyn RecordingIndex> {
        let readers = self.readers.clone();
        Arc::new(ChannelIndex::new(self.catalog.clone(), readers, channel))
    }

    /// Index of the files on the card.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Deletes all recordings; returns whether that was done. What is being recorded goes on in new
    /// files. A card that does not answer is not waited for.
    pub async fn erase_all(&self) -> bool {
        let replied = {
            let running = self.running.lock();
            running
                .as_ref()
                .map(|running| running.template.queue.erase())
        };
        let Some(replied) = replied else {
            return false;
        };
        let mut silent = self.catalog.silent();
        tokio::select! {
            replied = replied => replied.unwrap_or(false),
            _ = silent.wait_for(Option::is_some) => false,
        }
    }

    /// Ends every recording in order and waits for this `time` until all is on the card, but no
    /// longer for one that takes it slowly or not at all: what is missing then is lost, but for whole
    /// fragments.
    pub async fn finish(&self, time: Duration) {
        self.stop.cancel();
        let running = self.running.lock().take();
        let Some(Running {
            template,
            mut tasks,
            ended,
            ..
        }) = running
        else {
            return;
        };
        drop(template);
        let all = async {
            while tasks.join_next().await.is_some() {}
            // With the tasks the last handles of the queue are gone.
            ended.await
        };
        match timeout(time, all).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => tracing::error!("the recorder's thread did not end in order"),
            Err(_) => {
                tracing::error!("the card did not take in time what was recorded last; it is lost");
            }
        }
    }
}

fn settings(config: &Config, mode: Mode) -> ChannelSettings {
    ChannelSettings {
        mode,
        quality: config.quality,
        cut: config.cut,
        event_length: config.event_length,
        has_stills: config.snapshots,
    }
}

/// Says when the card does not answer, and when it does again.
#[derive(Clone)]
struct Listener {
    catalog: Catalog,
    calls: CardCalls,
    silence: Duration,
    clock: Clock,
}

impl Listener {
    async fn run(self, stop: CancellationToken) {
        const TICK: Duration = Duration::from_secs(1);
        let mut is_silent = false;
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.silence.min(TICK)) => {}
                () = stop.cancelled() => return,
            }
            let silence = self.calls.silence();
            if is_silent == (silence >= self.silence) {
                continue;
            }
            is_silent = !is_silent;
            let reason = is_silent.then(|| self.reason(silence));
            match &reason {
                Some(reason) => tracing::error!(path = %self.catalog.root().display(), "{reason}"),
                None => {
                    tracing::info!(path = %self.catalog.root().display(), "the card answers again");
                }
            }
            self.catalog.set_silent(reason);
        }
    }

    fn reason(&self, silence: Duration) -> String {
        if self.clock.date().is_none() {
            return "the card does not answer".to_owned();
        }
        let millis = i64::try_from(silence.as_millis()).unwrap_or(0);
        let since = Timestamp::from_millisecond(self.clock.wall_millis() - millis);
        format!(
            "the card does not answer since {:.0}",
            since.unwrap_or_default()
        )
    }
}

#[cfg(test)]
mod tests;
