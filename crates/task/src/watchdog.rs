//! Ends the process when its runtime stands still: then nobody is served, not even the signal that
//! would end it, and only who started it can help.
//!
//! A task of the runtime beats; a thread counts the steps of its own in which it saw no beat. A step
//! that took far longer than it should is not counted: then the thread did not run either, because
//! the process was stopped or the machine suspended (which the monotonic clock does not count).

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::boundary::{self, Exit, Part, at_work, end_process};

/// Time for which a runtime may stand still.
pub const LIMIT: Duration = Duration::from_secs(10);
/// Steps of the thread within the limit, and beats that it misses then.
const STEPS: u32 = 10;
const BEATS: u32 = 5;
/// After so long without a standstill those before count no more.
const GOOD: Duration = Duration::from_secs(600);

/// A watch over a runtime, until it is dropped.
pub struct Watchdog {
    has_ended: Arc<AtomicBool>,
    _beat: boundary::Task,
}

impl Watchdog {
    /// Watches the runtime that calls it. Before the process is ended, what was at work is counted
    /// in a file of `data_dir`.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(limit: Duration, data_dir: &Path) -> io::Result<Self> {
        let notes = path(data_dir);
        let beats = Arc::new(AtomicUsize::new(0));
        let has_ended = Arc::new(AtomicBool::new(false));
        let (seen, is_over) = (Arc::clone(&beats), Arc::clone(&has_ended));
        boundary::thread(Part::Service, "watchdog", move || {
            watch(limit / STEPS, &seen, &is_over, notes);
        })?;
        let beat = async move {
            let mut ticks = tokio::time::interval(limit / BEATS);
            loop {
                ticks.tick().await;
                beats.fetch_add(1, Ordering::Relaxed);
            }
        };
        Ok(Self {
            has_ended,
            _beat: boundary::spawn(Part::Service, "beat", beat),
        })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.has_ended.store(true, Ordering::Relaxed);
    }
}

fn watch(step: Duration, beats: &AtomicUsize, is_over: &AtomicBool, notes: PathBuf) {
    let mut count = Count::default();
    let started = Instant::now();
    let mut is_noted = notes.exists();
    loop {
        let began = Instant::now();
        if is_noted && began - started >= GOOD {
            is_noted = false;
            // Should it stay, the worst is that it is told again.
            let _ = fs::remove_file(&notes);
        }
        thread::sleep(step);
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        if count.is_over(beats.load(Ordering::Relaxed), began.elapsed(), step) {
            break;
        }
    }
    let at_work = at_work();
    end_process(Exit::Stalled, move || {
        // The log first: the disk may be what it waits for.
        tracing::error!(?at_work, "the daemon stands still: the process ends");
        if let Err(error) = note(&notes, &at_work) {
            tracing::warn!(path = %notes.display(), %error, "what was at work cannot be noted");
        }
    })
}

/// Steps without a beat, in a row.
#[derive(Debug, Default)]
struct Count {
    seen: usize,
    still: u32,
}

impl Count {
    /// Returns whether the runtime has stood still for too long, after a step that took so long.
    fn is_over(&mut self, beats: usize, took: Duration, step: Duration) -> bool {
        if beats != self.seen {
            *self = Self {
                seen: beats,
                still: 0,
            };
        } else if took < 2 * step {
            self.still += 1;
        }
        self.still >= STEPS
    }
}

/// Number of times that the process was ended while a part was at work, by part.
pub type Notes = BTreeMap<String, u32>;
/// Parts that are remembered; those that are new beyond it are not noted.
const MOST_NOTES: usize = 64;

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("stalled.json")
}

/// Returns the notes since the daemon was last stopped in order, or has run well for ten minutes.
pub fn noted(data_dir: &Path) -> Notes {
    read(&path(data_dir))
}

/// Forgets the notes: the daemon was stopped in order.
pub fn forget(data_dir: &Path) {
    // In most cases there is none.
    let _ = fs::remove_file(path(data_dir));
}

fn read(path: &Path) -> Notes {
    let text = fs::read(path).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

fn note(path: &Path, at_work: &[String]) -> io::Result<()> {
    let mut notes = read(path);
    for part in at_work {
        if notes.len() < MOST_NOTES || notes.contains_key(part) {
            *notes.entry(part.clone()).or_default() += 1;
        }
    }
    let draft = path.with_extension("new");
    fs::write(&draft, serde_json::to_vec(&notes)?)?;
    fs::rename(&draft, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_secs(1);

    #[test]
    fn a_runtime_that_beats_is_left_alone() {
        let mut count = Count::default();
        // A beat in two steps, as it should be, for an hour.
        assert!((0..3600).all(|step| !count.is_over(step / 2, STEP, STEP)));
    }

    #[test]
    fn ten_steps_without_a_beat_are_too_many() {
        let mut count = Count::default();
        count.is_over(1, STEP, STEP);
        let verdicts: Vec<_> = (0..10).map(|_| count.is_over(1, STEP, STEP)).collect();
        assert!(verdicts[9] && verdicts[..9].iter().all(|is_over| !is_over));
        assert!(!count.is_over(2, STEP, STEP), "one that beats again lives");
        assert!((0..9).all(|_| !count.is_over(2, STEP, STEP)));
    }

    #[test]
    fn a_process_that_was_stopped_did_not_stand_still() {
        let mut count = Count::default();
        for _ in 0..100 {
            assert!(!count.is_over(0, 3600 * STEP, STEP));
        }
        assert_eq!(count.still, 0);
    }

    #[test]
    fn who_was_at_work_is_counted() {
        let directory = tempfile::tempdir().unwrap();
        let path = path(directory.path());
        assert!(noted(directory.path()).is_empty());
        let camera = "camera 0/super".to_owned();
        note(&path, std::slice::from_ref(&camera)).unwrap();
        note(&path, &[camera.clone(), "recorder".to_owned()]).unwrap();
        assert_eq!(noted(directory.path())[&camera], 2);
        fs::write(&path, "no JSON").unwrap();
        assert!(noted(directory.path()).is_empty());
        forget(directory.path());
        assert!(!path.exists());
    }
}
