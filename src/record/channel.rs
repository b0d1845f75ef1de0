//! One channel's way to the card: takes its frames and says what is to be written.
//!
//! Keeps: nothing is written that depends on what was lost; no frame waits here for the card; the
//! channel's file is closed when its stream ends. Files belong to `card_writer`.

use std::{future::poll_fn, pin::pin, sync::Arc, time::Duration};

use peercam_hal::{Snapshot, clock::Clock};
use peercam_proto::media::{ChannelId, Delivery, MediaTime, Quality, StreamId};
use peercam_task::boundary::{Panicked, Part, contain, restarting};
use tokio::{sync::watch, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    Mode,
    card_writer::WriteJob,
    catalog::{Catalog, State},
    fragmenter::{Fragment, Fragmenter},
    interleave::Interleaver,
    segmenter::{Date, FragmentWrite, SegmentPolicy, Segmenter, Wanted},
    writer::Queue,
};
use crate::{
    channels::ChannelRegistry,
    events::{Event, Events},
    live::{Hub, Subscription},
};

/// A camera that is silent for this long has what it delivered written meanwhile.
const FRAME_TIMEOUT: Duration = Duration::from_secs(3);
/// The pause before a camera that is off is asked again.
const RETRY: Duration = Duration::from_secs(2);
/// Timeout of a still.
const STILL: Duration = Duration::from_secs(5);
/// Distance from the newest recording at which an unset clock goes on.
const PAUSE_MILLIS: i64 = 1000;

/// Something that was detected at a channel and is recorded, until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Detected {
    kind: u32,
    until: MediaTime,
}

/// The kind of what is recorded without an event.
const TIMED: u32 = 0;

/// Settings by which a channel is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChannelSettings {
    pub(super) mode: Mode,
    pub(super) quality: Quality,
    pub(super) cut: SegmentPolicy,
    /// Length of an event that does not say.
    pub(super) event_length: Duration,
    /// Set if a still is kept with each recording.
    pub(super) has_stills: bool,
}

/// Takes a channel's frames to the card.
#[derive(Clone)]
pub(super) struct ChannelRecorder {
    pub(super) channel: ChannelId,
    pub(super) settings: ChannelSettings,
    /// Bytes of a fragment.
    pub(super) largest: usize,
    pub(super) channels: ChannelRegistry,
    pub(super) events: Events,
    pub(super) hub: Hub,
    pub(super) clock: Clock,
    pub(super) catalog: Catalog,
    pub(super) queue: Queue,
    pub(super) stop: CancellationToken,
}

/// State of a channel's frames on their way.
struct Progress {
    /// The event that counts now: the last one.
    detected: watch::Receiver<Option<Detected>>,
    interleaver: Interleaver,
    fragmenter: Fragmenter,
    segmenter: Segmenter,
    /// Offset of the dates of an unset clock, in milliseconds; looked up once.
    guess: Option<i64>,
    stills: JoinSet<Result<(), Panicked>>,
}

impl ChannelRecorder {
    /// Records as the settings say, also when these change, until it is told to stop or the channel
    /// is no more, whatever panics.
    pub(super) async fn keep(mut self, mut settings: watch::Receiver<ChannelSettings>) {
        let end = self.stop.clone();
        loop {
            self.settings = *settings.borrow_and_update();
            self.stop = end.child_token();
            let mut recording = pin!(self.keep_recording());
            let is_changed = tokio::select! {
                // With its channel its stream ends: that is no camera that will be back.
                biased;
                changed = settings.changed() => changed.is_ok(),
                () = &mut recording => return,
            };
            // In order: the file that it has begun is whole before another one begins.
            self.stop.cancel();
            recording.await;
            if !is_changed {
                return;
            }
        }
    }

    /// Records until it is told to stop, whatever panics.
    async fn keep_recording(&self) {
        let (part, stop) = (Part::Recorder, &self.stop);
        if self.settings.mode == Mode::Off {
            return stop.cancelled().await;
        }
        let name = format!("channel {}", self.channel);
        restarting(part, name, stop, || self.clone().run()).await;
    }

    /// Records until it is told to stop, and ends its file then.
    async fn run(self) {
        let largest = self.largest;
        let (sender, detected) = watch::channel(None);
        let progress = Progress {
            detected,
            interleaver: Interleaver::new(largest / 3),
            fragmenter: Fragmenter::new(largest),
            segmenter: Segmenter::new(self.settings.cut),
            guess: None,
            stills: JoinSet::new(),
        };
        tokio::select! {
            // An event is known before the frames that come with it.
            biased;
            () = self.detect(&sender) => {}
            () = self.record(progress) => {}
        }
    }

    /// Notes what is detected at the channel, beginning with what is kept of the stream. Never ends.
    async fn detect(&self, detected: &watch::Sender<Option<Detected>>) {
        let mut events = self.events.replay();
        loop {
            let record = match events.recv().await {
                Ok(record) => record,
                Err(lagged) => {
                    tracing::warn!(channel = %self.channel, %lagged, "an event may not be recorded");
                    continue;
                }
            };
            let Event::Detected {
                channel,
                kind,
                length,
            } = record.event
            else {
                continue;
            };
            if channel == self.channel {
                let length = length.unwrap_or(self.settings.event_length);
                let micros = i64::try_from(length.as_micros()).unwrap_or(i64::MAX);
                let until = record.at.plus_micros(micros);
                detected.send_replace(Some(Detected { kind, until }));
            }
        }
    }

    async fn record(&self, mut progress: Progress) {
        let mut states = self.catalog.found();
        // What is there must be known before anything is dated after it.
        tokio::select! {
            _ = states.wait_for(|state| *state != State::Starting) => {}
            () = self.stop.cancelled() => return,
        }
        let mut is_off = false;
        while !self.stop.is_cancelled() {
            let stream = StreamId {
                channel: self.channel,
                quality: self.settings.quality,
            };
            let subscribed = tokio::select! {
                subscribed = self.hub.record(stream) => subscribed,
                () = self.stop.cancelled() => break,
            };
            match subscribed {
                Ok(subscription) => {
                    is_off = false;
                    self.take(subscription, &mut progress).await;
                    self.write_rest(&mut progress);
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_off, true) {
                        tracing::warn!(%stream, %error, "nothing is recorded until the camera is back");
                    }
                    tokio::select! {
                        () = tokio::time::sleep(RETRY) => {}
                        () = self.stop.cancelled() => {}
                    }
                }
            }
        }
        // What is on its way may be written; a still camera that hangs is not waited for.
        progress.stills.shutdown().await;
    }

    /// Takes frames until the stream ends, or this is told to stop.
    async fn take(&self, mut subscription: Subscription, progress: &mut Progress) {
        let mut skipped = subscription.skipped_frames();
        loop {
            let mut taken: Vec<Delivery> = Vec::new();
            let frames = poll_fn(|context| {
                subscription.poll_frames(context, |delivery| taken.push(delivery))
            });
            let has_frames = tokio::select! {
                () = self.stop.cancelled() => return,
                has_frames = timeout(FRAME_TIMEOUT, frames) => has_frames,
            };
            match has_frames {
                Ok(false) => return,
                Ok(true) => {}
                Err(_) => {
                    self.cut_rest(progress);
                    let rest = progress.fragmenter.finish(None);
                    self.write_all(rest, progress);
                }
            }
            let skipped_now = subscription.skipped_frames();
            if std::mem::replace(&mut skipped, skipped_now) != skipped_now {
                self.lose(progress);
            }
            for delivery in taken {
                let Delivery {
                    frame, new_tracks, ..
                } = delivery;
                progress.interleaver.push(frame, new_tracks);
                self.cut(progress);
            }
            while progress.stills.try_join_next().is_some() {}
        }
    }

    /// Cuts what has nothing to wait for.
    fn cut(&self, progress: &mut Progress) {
        while let Some((frame, new_tracks)) = progress.interleaver.pop() {
            let fragment = progress.fragmenter.push(frame, new_tracks);
            self.write_all(fragment, progress);
        }
    }

    /// Cuts all there is.
    fn cut_rest(&self, progress: &mut Progress) {
        progress.interleaver.settle();
        self.cut(progress);
    }

    /// Notes that frames were lost behind all there is.
    fn lose(&self, progress: &mut Progress) {
        self.cut_rest(progress);
        let rest = progress.fragmenter.lose();
        self.write_all(rest, progress);
    }

    /// Writes what there is and ends the file.
    fn write_rest(&self, progress: &mut Progress) {
        self.lose(progress);
        progress.segmenter.lost();
        self.queue.push(WriteJob::Close(self.channel));
    }

    fn write_all(&self, fragment: Option<Fragment>, progress: &mut Progress) {
        let Some(fragment) = fragment else { return };
        let date = self.date(&mut progress.guess);
        let detected = *progress.detected.borrow();
        let wanted = self.wanted(fragment.start(), detected);
        let (closes, writes) = progress.segmenter.push(fragment, wanted, date);
        if closes {
            self.queue.push(WriteJob::Close(self.channel));
        }
        let mut has_hole = false;
        for mut write in writes {
            // What depends on one that was lost is of no use.
            if has_hole && !write.fragment.is_key {
                continue;
            }
            write.begins |= has_hole;
            has_hole = !self.write(write, progress);
        }
    }

    /// Queues a fragment, and a still with the first one of a segment; returns whether there was
    /// room.
    fn write(&self, write: FragmentWrite, progress: &mut Progress) -> bool {
        let start_millis = write.date.of(write.fragment.start());
        let is_dated = write.date.is_known;
        let (begins, kind) = (write.begins, write.kind);
        let channel = self.channel;
        if !self.queue.push(WriteJob::Fragment { channel, write }) {
            progress.segmenter.lost();
            return false;
        }
        if begins
            && progress.stills.is_empty()
            && let Some(snapshot) = self.snapshot()
        {
            let queue = self.queue.clone();
            let still = async move {
                match timeout(STILL, snapshot.capture()).await {
                    Ok(Ok(jpeg)) => {
                        queue.push(WriteJob::Picture {
                            channel,
                            start_millis,
                            is_dated,
                            kind,
                            jpeg,
                        });
                    }
                    Ok(Err(error)) => tracing::warn!(%channel, %error, "no still was taken"),
                    Err(_) => tracing::warn!(%channel, "the still camera does not answer"),
                }
            };
            let name = format!("still of channel {channel}");
            progress.stills.spawn(contain(Part::Camera, name, still));
        }
        true
    }

    /// Still camera of which a still is kept with each recording.
    fn snapshot(&self) -> Option<Arc<dyn Snapshot>> {
        let entry = self.channels.get(self.channel)?;
        let snapshot = entry.capabilities.snapshot.clone();
        snapshot.filter(|_| self.settings.has_stills)
    }

    /// Selection for a fragment that starts here: an event has all that it touches.
    fn wanted(&self, start: MediaTime, detected: Option<Detected>) -> Wanted {
        let detected = detected.filter(|event| event.until > start);
        match (detected, self.settings.mode) {
            (Some(event), _) => Wanted::Kind(event.kind),
            (None, Mode::Always) => Wanted::Kind(TIMED),
            (None, Mode::Event | Mode::Off) => Wanted::Nothing,
        }
    }

    /// Offset by which media times become dates now.
    fn date(&self, guess: &mut Option<i64>) -> Date {
        let now_millis = self.clock.now().as_micros() / 1000;
        if self.clock.date().is_some() {
            return Date {
                offset_millis: self.clock.wall_millis() - now_millis,
                is_known: true,
            };
        }
        if matches!(
            *self.catalog.found().borrow(),
            State::Starting | State::Gone(_)
        ) {
            // The card that comes may have newer recordings, or none.
            *guess = None;
            return Date {
                offset_millis: -now_millis,
                is_known: false,
            };
        }
        let newest = || self.catalog.newest_end().unwrap_or_default() + PAUSE_MILLIS;
        Date {
            offset_millis: *guess.get_or_insert_with(|| newest() - now_millis),
            is_known: false,
        }
    }
}
