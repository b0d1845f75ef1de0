use std::{
    collections::BTreeMap,
    fmt::Display,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::{Guarded, Part};

/// Threads of the runtime whose work is known; a further one shares a place with another.
const THREADS: usize = 16;

/// What tasks are called, by number. Each entry is by itself.
static NAMES: Guarded<BTreeMap<usize, (Part, String)>> = Guarded::whole(BTreeMap::new());
static NEXT: AtomicUsize = AtomicUsize::new(1);
/// The task that each thread of the runtime is at; 0: none.
static AT: [AtomicUsize; THREADS] = [const { AtomicUsize::new(0) }; THREADS];
static NEXT_THREAD: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static THREAD: usize = NEXT_THREAD.fetch_add(1, Ordering::Relaxed) % THREADS;
}

/// A task, for whoever wants to know what the runtime is at.
pub(super) struct Work(usize);

impl Work {
    pub(super) fn new(part: Part, name: &dyn Display) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        NAMES.lock().insert(number, (part, name.to_string()));
        Self(number)
    }

    /// This thread is at it until what is returned is dropped.
    pub(super) fn begin(&self) -> Begun {
        let place = THREAD.try_with(|thread| &AT[*thread]).unwrap_or(&AT[0]);
        let outer = place.swap(self.0, Ordering::Relaxed);
        Begun { place, outer }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        NAMES.lock().remove(&self.0);
    }
}

pub(super) struct Begun {
    place: &'static AtomicUsize,
    outer: usize,
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.place.store(self.outer, Ordering::Relaxed);
    }
}

/// What the runtime's threads are at, in words.
pub fn at_work() -> Vec<String> {
    let names = NAMES.lock();
    let numbers = AT.iter().map(|number| number.load(Ordering::Relaxed));
    let known = numbers.filter_map(|number| names.get(&number));
    known
        .map(|(part, name)| format!("{} {name}", part.word()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{super::contain, *};

    #[tokio::test]
    async fn it_is_known_what_a_thread_is_at() {
        let is_known = || at_work().contains(&"player of this test".to_owned());
        assert!(!is_known());
        let seen = contain(Part::Player, "of this test", async {
            let first = is_known();
            tokio::task::yield_now().await;
            first && is_known()
        });
        assert_eq!(seen.await, Ok(true));
        assert!(!is_known());
    }
}
