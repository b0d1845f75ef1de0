//! The work of each thread of the runtime, for the watchdog to name when it stands still.
//!
//! Nothing here takes a lock or allocates while work goes on: it is on the way of every poll.

use std::{
    array::from_fn,
    fmt::{self, Display, Write},
    sync::atomic::{AtomicUsize, Ordering, fence},
};

use super::Part;

/// Threads of the runtime whose work is known; a further one shares a place with another.
const THREADS: usize = 16;
/// Bytes of a name that are kept: enough for an address or a stream of a camera.
const NAME: usize = 48;
const WORD: usize = size_of::<usize>();
const WORDS: usize = NAME / WORD;

/// Work of each thread of the runtime.
static AT: [PanicLocation; THREADS] = [const { PanicLocation::new() }; THREADS];
static NEXT_THREAD: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static THREAD: usize = NEXT_THREAD.fetch_add(1, Ordering::Relaxed) % THREADS;
}

/// A task, for whoever wants to know what the runtime is at. Nobody may ever ask: so it is with the
/// task, and a thread that goes on with that copies it to its place, without a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Work {
    part: Part,
    /// Its name, with zeros behind it.
    name: [usize; WORDS],
}

impl Work {
    pub(super) fn new(part: Part, name: &dyn Display) -> Self {
        let mut text = Text::default();
        // What does not fit is left out.
        let _ = write!(text, "{name}");
        Self {
            part,
            name: from_fn(|at| {
                let bytes = &text.bytes[at * WORD..(at + 1) * WORD];
                usize::from_ne_bytes(from_fn(|at| bytes[at]))
            }),
        }
    }

    /// This thread is at it until what is returned is dropped.
    pub(super) fn begin(&self) -> Begun {
        let place = THREAD.try_with(|thread| &AT[*thread]).unwrap_or(&AT[0]);
        let outer = place.get();
        place.set(Some(self));
        Begun { place, outer }
    }
}

impl Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: Vec<u8> = self
            .name
            .iter()
            .flat_map(|word| word.to_ne_bytes())
            .collect();
        let end = bytes.iter().position(|byte| *byte == 0);
        let name = String::from_utf8_lossy(&bytes[..end.unwrap_or(NAME)]);
        write!(f, "{} {name}", self.part.word())
    }
}

/// Buffer that takes as much of a text as fits.
struct Text {
    bytes: [u8; NAME],
    length: usize,
}

impl Default for Text {
    fn default() -> Self {
        Self {
            bytes: [0; NAME],
            length: 0,
        }
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = &mut self.bytes[self.length..];
        let fitting = text.len().min(room.len());
        room[..fitting].copy_from_slice(&text.as_bytes()[..fitting]);
        self.length += fitting;
        if fitting == text.len() {
            Ok(())
        } else {
            Err(fmt::Error)
        }
    }
}

/// Work of one thread, which alone writes it; others read it whole or not at all: a seqlock.
struct PanicLocation {
    /// Odd while it is being written.
    version: AtomicUsize,
    /// Index into all parts, counted from 1; 0: none.
    part: AtomicUsize,
    name: [AtomicUsize; WORDS],
}

impl PanicLocation {
    const fn new() -> Self {
        Self {
            version: AtomicUsize::new(0),
            part: AtomicUsize::new(0),
            name: [const { AtomicUsize::new(0) }; WORDS],
        }
    }

    fn set(&self, work: Option<&Work>) {
        let version = self.version.load(Ordering::Relaxed) | 1;
        self.version.store(version, Ordering::Relaxed);
        fence(Ordering::Release);
        let part = work.map_or(0, |work| work.part as usize + 1);
        self.part.store(part, Ordering::Relaxed);
        for (place, word) in self.name.iter().zip(work.iter().flat_map(|work| work.name)) {
            place.store(word, Ordering::Relaxed);
        }
        self.version
            .store(version.wrapping_add(1), Ordering::Release);
    }

    fn get(&self) -> Option<Work> {
        let part = self.part.load(Ordering::Relaxed).checked_sub(1)?;
        Some(Work {
            part: *Part::ALL.get(part)?,
            name: from_fn(|at| self.name[at].load(Ordering::Relaxed)),
        })
    }

    /// The same, from another thread; `None` also while it is being changed.
    fn look(&self) -> Option<Work> {
        let before = self.version.load(Ordering::Acquire);
        let work = self.get();
        fence(Ordering::Acquire);
        let is_whole = before.is_multiple_of(2) && self.version.load(Ordering::Relaxed) == before;
        work.filter(|_| is_whole)
    }
}

pub(super) struct Begun {
    place: &'static PanicLocation,
    outer: Option<Work>,
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.place.set(self.outer.as_ref());
    }
}

/// Returns the work of the runtime's threads, in words.
pub(crate) fn at_work() -> Vec<String> {
    let known = AT.iter().filter_map(PanicLocation::look);
    known.map(|work| work.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::contain, *};

    #[tokio::test]
    async fn it_is_known_what_a_thread_is_at() {
        let is_known = |name: &str| at_work().contains(&name.to_owned());
        let (outer, inner) = ("player of this test", "request within it");
        assert!(!is_known(outer));
        let seen = contain(Part::Player, "of this test", async {
            let first = is_known(outer);
            let within = contain(Part::Request, "within it", async { is_known(inner) });
            let second = within.await == Ok(true) && !is_known(inner);
            tokio::task::yield_now().await;
            first && second && is_known(outer)
        });
        assert_eq!(seen.await, Ok(true));
        assert!(!is_known(outer));
    }

    #[test]
    fn of_a_long_name_is_kept_what_fits() {
        let named = |name: &str| Work::new(Part::Camera, &name).to_string();
        assert_eq!(named("0/super"), "camera 0/super");
        assert_eq!(named(""), "camera ");
        let long = "x".repeat(NAME);
        assert_eq!(named(&long), format!("camera {long}"));
        assert_eq!(named(&(long.clone() + "y")), format!("camera {long}"));
        assert!(named(&"é".repeat(NAME)).starts_with("camera éé"));
    }
}
