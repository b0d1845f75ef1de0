//! The threads that read the card for viewers: a few of their own, so that a card that does not
//! answer takes these and no more.
//!
//! Keeps: a job has a place before it is handed over, and a thread is free, or can be begun, for
//! each free place; so a job never waits for another one here.

use std::{
    collections::VecDeque,
    fs::File,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use peercam_hal::HalError;
use peercam_task::boundary::{self, Part};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::timeout,
};

use super::{card_calls::CardCalls, catalog::Catalog};

/// Threads, and with that what a card is asked at a time.
const THREADS: usize = 4;
/// Bytes of a thread's stack: nothing that they call is deep.
const STACK: usize = 256 << 10;
/// Timeout of waiting for one of them to be free.
const FREE_READER_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads the card for viewers. Cheap to clone; the threads end with the last one.
///
/// Bound: what is asked waits, in the order in which it came, with whoever asks, for 5 s at most;
/// whoever leaves gives up the place. What a thread has begun it ends.
#[derive(Clone)]
pub(super) struct Readers(Arc<Handle>);

struct Handle {
    catalog: Catalog,
    calls: CardCalls,
    /// The largest fragment that is read.
    largest: usize,
    /// One for each thread.
    places: Arc<Semaphore>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    /// Files that nobody needs any more: closing one may wait for the card. No more than were open.
    unneeded: Vec<File>,
    idle: usize,
    has_ended: bool,
}

/// Something to be done, and the place in which it is.
struct Job {
    work: Box<dyn FnOnce() + Send>,
    place: OwnedSemaphorePermit,
}

/// Result of a read that is under way.
pub(super) struct Reading<T> {
    done: oneshot::Receiver<Result<T, HalError>>,
    catalog: Catalog,
}

impl<T> Reading<T> {
    /// Waits for it, but not for a card that is gone.
    pub(super) async fn done(self) -> Result<T, HalError> {
        let mut silent = self.catalog.silent();
        let gone = async {
            let silent = silent.wait_for(Option::is_some).await;
            silent.ok().and_then(|reason| reason.clone())
        };
        tokio::select! {
            biased;
            done = self.done => {
                let ended = || HalError::Failed("reading the card ended unexpectedly".to_owned());
                done.unwrap_or_else(|_| Err(ended()))
            }
            reason = gone => {
                let reason = reason.unwrap_or_default();
                Err(HalError::Failed(format!("the card is gone: {reason}")))
            }
        }
    }
}

impl Readers {
    pub(super) fn new(catalog: Catalog, calls: CardCalls, largest: usize) -> Self {
        Self(Arc::new(Handle {
            catalog,
            calls,
            largest,
            places: Arc::new(Semaphore::new(THREADS)),
            shared: Arc::default(),
        }))
    }

    /// Calls by which it is known for how long the card does not answer.
    pub(super) fn calls(&self) -> &CardCalls {
        &self.0.calls
    }

    /// Weight of the largest fragment that is read, in bytes.
    pub(super) fn largest(&self) -> usize {
        self.0.largest
    }

    /// Does something that blocks.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, HalError> + Send + 'static,
    ) -> Result<T, HalError> {
        let place = timeout(
            FREE_READER_TIMEOUT,
            Arc::clone(&self.0.places).acquire_owned(),
        )
        .await;
        let Ok(Ok(place)) = place else {
            let reason = "the card does not keep up with what it is asked; try again later";
            return Err(HalError::Failed(reason.to_owned()));
        };
        self.begin(place, work).done().await
    }

    /// Begins to do something that blocks, if nobody has to wait for that.
    pub(super) fn ahead<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, HalError> + Send + 'static,
    ) -> Option<Reading<T>> {
        let place = Arc::clone(&self.0.places).try_acquire_owned().ok()?;
        Some(self.begin(place, work))
    }

    fn begin<T: Send + 'static>(
        &self,
        place: OwnedSemaphorePermit,
        work: impl FnOnce() -> Result<T, HalError> + Send + 'static,
    ) -> Reading<T> {
        let (reply, done) = oneshot::channel();
        let work = Box::new(move || {
            // Whoever asked may have left.
            let _ = reply.send(work());
        });
        self.0.shared.submit(Job { work, place });
        Reading {
            done,
            catalog: self.0.catalog.clone(),
        }
    }

    /// Closes a file, wherever this is called.
    pub(super) fn close(&self, file: File) {
        let shared = &self.0.shared;
        shared.waiting().unneeded.push(file);
        // Who is at work closes it when that is done.
        if let Ok(place) = Arc::clone(&self.0.places).try_acquire_owned() {
            let work = Box::new(|| {});
            shared.submit(Job { work, place });
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.waiting().has_ended = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a job to a thread. There is one: so many are idle, or not begun yet, as places are free.
    fn submit(self: &Arc<Self>, job: Job) {
        let mut waiting = self.waiting();
        waiting.jobs.push_back(job);
        if waiting.idle > 0 {
            waiting.idle -= 1;
            self.changed.notify_one();
            return;
        }
        let own = Arc::clone(self);
        let thread = thread::Builder::new().name("card".to_owned());
        let begun = thread.stack_size(STACK).spawn(move || own.work());
        if let Err(error) = begun {
            // Its reply goes with it.
            waiting.jobs.pop_back();
            drop(waiting);
            report(&error);
        }
    }

    fn work(&self) {
        let mut waiting = self.waiting();
        loop {
            if let Some(job) = waiting.jobs.pop_front() {
                drop(waiting);
                // Its reply goes with it.
                let _ = boundary::run(Part::Recorder, "reading", job.work);
                waiting = self.waiting();
                while let Some(file) = waiting.unneeded.pop() {
                    drop(waiting);
                    drop(file);
                    waiting = self.waiting();
                }
                // Whoever gets the place finds this thread.
                waiting.idle += 1;
                drop(job.place);
            } else if waiting.has_ended {
                return;
            } else {
                let changed = self.changed.wait(waiting);
                waiting = changed.unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

fn report(error: &io::Error) {
    tracing::error!(%error, "the system gives no thread to read the card");
}

#[cfg(test)]
mod tests;
