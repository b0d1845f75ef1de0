//! The recorder's thread, and the queue in front of it.
//!
//! Keeps: whoever pushes never waits for the card; what waits is bounded in bytes and in jobs; a
//! panic costs what is open and what comes until the card was looked at again, and no more.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

use peercam_hal::clock::Clock;
use peercam_task::boundary::{self, Backoff, Part};
use tokio::sync::oneshot;

use super::{
    card_writer::{CardWriter, WriteJob},
    catalog::State,
    erase::Erasing,
    metrics::Metrics,
};

/// Jobs that wait at a time, however small they are.
const MOST_JOBS: usize = 256;
/// Interval at which the thread looks around when nothing is to be done.
const TICK: Duration = Duration::from_secs(1);
/// The pause before a card that failed is looked at again: it doubles up to the second one, until
/// something was written.
const RETRY: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(30)];
/// Interval at which old files are looked for.
const FORGET: Duration = Duration::from_secs(60);

/// Work of the thread.
enum WriterTask {
    WriteJob(WriteJob),
    /// Delete all recordings, and say whether that was done.
    Erase(oneshot::Sender<bool>),
}

/// Jobs that wait to be written.
///
/// Bound: frames of the weight that the configuration says, over all channels, and 256 jobs. A
/// fragment that finds no room is lost as a whole and counted; whoever pushed it is told.
#[derive(Clone)]
pub(super) struct Queue {
    jobs: SyncSender<WriterTask>,
    waiting: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    metrics: Metrics,
}

impl Queue {
    /// Starts the thread, which begins anew after a panic. It ends when every handle of the queue is gone
    /// and all was written; what comes tells that. Nobody can end one that waits for a card.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn start(
        store: CardWriter,
        clock: Clock,
        most: usize,
        metrics: Metrics,
    ) -> std::io::Result<(Self, oneshot::Receiver<()>)> {
        let (jobs, waiting_jobs) = sync_channel(MOST_JOBS);
        let waiting = Arc::new(AtomicUsize::new(0));
        let queue = Self {
            jobs,
            waiting: Arc::clone(&waiting),
            most: Arc::new(AtomicUsize::new(most)),
            metrics: metrics.clone(),
        };
        let writer = Writer {
            jobs: waiting_jobs,
            clock,
            waiting,
            metrics,
        };
        let (end, ended) = oneshot::channel();
        boundary::thread(Part::Recorder, "recorder", move || {
            writer.keep(store);
            // Nobody may be interested.
            let _ = end.send(());
        })?;
        Ok((queue, ended))
    }

    /// Hands a job to the thread; returns whether there was room for it.
    pub(super) fn push(&self, job: WriteJob) -> bool {
        let weight = weight_of(&job);
        let before = self.waiting.fetch_add(weight, Ordering::AcqRel);
        let is_full = before > 0 && before + weight > self.most.load(Ordering::Relaxed);
        let is_taken = !is_full && self.jobs.try_send(WriterTask::WriteJob(job)).is_ok();
        if !is_taken {
            self.waiting.fetch_sub(weight, Ordering::AcqRel);
            self.metrics.lost_slow.inc();
        }
        is_taken
    }

    /// Changes the bytes that may wait. What waits already is written.
    pub(super) fn set_most(&self, bytes: usize) {
        self.most.store(bytes, Ordering::Relaxed);
    }

    /// Has all recordings deleted; what comes tells whether that was done. Nothing comes if there
    /// is no room for the job.
    pub(super) fn erase(&self) -> oneshot::Receiver<bool> {
        let (reply, replied) = oneshot::channel();
        // What is not taken drops the reply, and that tells.
        let _ = self.jobs.try_send(WriterTask::Erase(reply));
        replied
    }
}

/// Trust in the date for deleting by it: it has not jumped for an hour.
#[derive(Default)]
struct DateTrust(Option<(i64, Instant)>);

impl DateTrust {
    /// Notes how far the wall clock is from the one that never steps, in milliseconds; returns
    /// whether the date can be trusted.
    fn note(&mut self, offset: Option<i64>) -> bool {
        const JUMP: u64 = 60_000;
        const LONG: Duration = Duration::from_secs(3600);
        match (offset, self.0) {
            (Some(offset), Some((known, since))) if offset.abs_diff(known) <= JUMP => {
                since.elapsed() >= LONG
            }
            (offset, _) => {
                self.0 = offset.map(|offset| (offset, Instant::now()));
                false
            }
        }
    }
}

fn weight_of(job: &WriteJob) -> usize {
    match job {
        WriteJob::Fragment { write, .. } => write.fragment.weight(),
        WriteJob::Picture { jpeg, .. } => jpeg.len(),
        WriteJob::Close(_) => 0,
    }
}

/// The queue's other end.
struct Writer {
    jobs: Receiver<WriterTask>,
    clock: Clock,
    waiting: Arc<AtomicUsize>,
    metrics: Metrics,
}

impl Writer {
    /// Writes until the queue is no more. After a panic it begins with a look at the card, and what was
    /// open is forgotten.
    fn keep(&self, mut store: CardWriter) {
        let mut pause = Backoff::default();
        loop {
            let began = Instant::now();
            if boundary::run(Part::Recorder, "the card", || self.write(&mut store)).is_ok() {
                return;
            }
            let reason = "the recorder failed by a fault and begins anew";
            store.catalog.set_state(State::Stuck(reason.to_owned()));
            self.metrics.is_ready.set(0);
            if !self.rest(Instant::now() + pause.after(began.elapsed())) {
                return;
            }
        }
    }

    /// Lets what comes until then go; returns whether the queue is still there.
    fn rest(&self, until: Instant) -> bool {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.jobs.recv_timeout(left) {
                Ok(WriterTask::WriteJob(job)) => {
                    drop(self.take(&job));
                    if let WriteJob::Fragment { .. } = job {
                        self.metrics.lost_card.inc();
                    }
                }
                // What is not done drops the reply, and that tells.
                Ok(WriterTask::Erase(_)) => {}
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    /// A job that is in hand, until what is returned is dropped.
    fn take(&self, job: &WriteJob) -> InHand<'_> {
        InHand(self, weight_of(job))
    }

    fn write(&self, store: &mut CardWriter) {
        let Self {
            jobs,
            clock,
            metrics,
            ..
        } = self;
        store.look();
        let [mut pause, longest] = RETRY;
        let (mut looked, mut forgot) = (Instant::now(), Instant::now());
        let mut steady = DateTrust::default();
        let mut erasing: Option<Erasing> = None;
        loop {
            let next = match &mut erasing {
                // Between two jobs, so that what is recorded meanwhile is not lost.
                Some(all) => {
                    if all.go_on(store) {
                        erasing = None;
                    }
                    jobs.recv_timeout(Duration::ZERO)
                }
                None => jobs.recv_timeout(TICK),
            };
            match next {
                // Whoever asked was told that it was not done.
                Ok(WriterTask::Erase(reply)) if reply.is_closed() => {}
                Ok(WriterTask::Erase(reply)) => erasing = Some(Erasing::begin(store, reply)),
                Ok(WriterTask::WriteJob(job)) => {
                    let _in_hand = self.take(&job);
                    let is_written =
                        store.perform(&job) && matches!(job, WriteJob::Fragment { .. });
                    if is_written {
                        pause = RETRY[0];
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if store.is_failed() {
                if looked.elapsed() >= pause {
                    store.look();
                    looked = Instant::now();
                    pause = (pause * 2).min(longest);
                }
            } else {
                // It may fail again with what comes next.
                looked = Instant::now();
            }
            metrics.is_ready.set(i64::from(!store.is_failed()));
            let date = clock.date().map(|_| clock.wall_millis());
            store.set_date(date);
            let is_steady = steady.note(date.map(|date| date - clock.now().as_micros() / 1000));
            if is_steady && forgot.elapsed() >= FORGET {
                store.forget_old();
                forgot = Instant::now();
            }
        }
        store.finish();
    }
}

/// A job's bytes still count; dropped, they do not.
struct InHand<'a>(&'a Writer, usize);

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        let Self(writer, size) = self;
        let left = writer.waiting.fetch_sub(*size, Ordering::AcqRel) - *size;
        let left = i64::try_from(left).unwrap_or(i64::MAX);
        writer.metrics.waiting_bytes.set(left);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use bytes::Bytes;

    use super::*;
    use crate::{
        channels::ChannelRegistry,
        record::{Catalog, Limits, disk::SystemDisk},
    };
    use peercam_hal::{Capabilities, HalError, Storage, StorageState};
    use peercam_proto::media::ChannelId;

    /// A card that makes whoever asks it panic, the first time.
    #[derive(Default)]
    struct Bad(AtomicUsize);

    impl Storage for Bad {
        fn admit(&self, _bytes: u64) -> Result<(), HalError> {
            assert!(self.0.fetch_add(1, Ordering::SeqCst) > 0, "bad");
            Ok(())
        }

        fn state(&self) -> StorageState {
            StorageState::Ready {
                total: 1 << 20,
                free: 1 << 20,
            }
        }
    }

    #[tokio::test]
    async fn after_a_panic_the_card_is_looked_at_again_and_written_to() {
        let directory = tempfile::tempdir().unwrap();
        let (catalog, metrics) = (Catalog::new(directory.path().into()), Metrics::default());
        let card = Arc::new(Bad::default());
        let channels = ChannelRegistry::for_tests(Capabilities {
            storage: Some(Arc::clone(&card) as _),
            ..Capabilities::default()
        });
        let limits = Limits {
            max_size: 1 << 20,
            max_age: None,
            min_free: 0,
        };
        let disk = Box::new(SystemDisk::new(None));
        let store = CardWriter::new(disk, catalog.clone(), limits, channels, metrics.clone());
        let (queue, ended) = Queue::start(store, Clock::start(), 1 << 20, metrics).unwrap();
        let picture = |start: i64| WriteJob::Picture {
            channel: ChannelId(0),
            start_millis: start,
            is_dated: true,
            kind: 0,
            jpeg: Bytes::from_static(&[7; 100]),
        };
        // Nobody is there to write it.
        assert!(queue.push(picture(1_800_000_000_000)));
        let mut states = catalog.state();
        states
            .wait_for(|state| *state == State::Ready)
            .await
            .unwrap();
        assert!(queue.push(picture(1_800_000_001_000)));
        let waiting = Arc::clone(&queue.waiting);
        drop(queue);
        ended.await.unwrap();
        assert_eq!(waiting.load(Ordering::SeqCst), 0, "nothing counts for ever");
        assert!(catalog.count() > 0);
    }
}
