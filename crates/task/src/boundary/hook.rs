use std::{
    cell::{Cell, RefCell},
    fmt,
    panic::Location,
    sync::atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Notify;

use super::{Part, metrics};

/// A place in the code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PanicLocation(Option<(String, u32)>);

impl PanicLocation {
    fn of(location: &Location<'_>) -> Self {
        Self(Some((
            shortened(location.file()).to_owned(),
            location.line(),
        )))
    }
}

impl fmt::Display for PanicLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some((file, line)) => write!(f, "{file}:{line}"),
            None => f.write_str("not noted"),
        }
    }
}

/// A library's file without the directories of the machine that it was built on.
fn shortened(file: &str) -> &str {
    match file.split_once("/registry/src/") {
        Some((_, of_library)) => of_library.split_once('/').map_or(file, |(_, file)| file),
        None => file,
    }
}

thread_local! {
    /// The part that this thread is at.
    static INSIDE: Cell<Option<Part>> = const { Cell::new(None) };
    /// Place at which that has panicked, until its boundary has seen it.
    static PLACE: RefCell<Option<PanicLocation>> = const { RefCell::new(None) };
}

/// Mark that this thread is at a part, until it is dropped.
pub(super) struct Inside {
    outer: Option<Part>,
}

impl Inside {
    pub(super) fn enter(part: Part) -> Self {
        Self {
            outer: INSIDE.replace(Some(part)),
        }
    }

    /// Returns where it has panicked, if the hook is there to note it.
    pub(super) fn place(&self) -> Option<PanicLocation> {
        PLACE.take()
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.set(self.outer);
    }
}

/// Libraries' tasks that have panicked.
static STRAYS: AtomicUsize = AtomicUsize::new(0);
static STRAY: Notify = Notify::const_new();

/// Has the process say of a panic where it was, and nothing else. For programs, not for libraries:
/// it is one for the whole process.
pub fn install() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(PanicLocation::of).unwrap_or_default();
        let is_inside = INSIDE.try_with(Cell::get).is_ok_and(|part| part.is_some());
        if is_inside {
            let noted = PLACE.try_with(|noted| noted.replace(Some(place.clone())));
            if let Ok(Some(first)) = noted {
                tracing::error!(%first, second = %place, "panicked again while it unwound");
            }
            return;
        }
        tracing::error!(%place, "something outside of every part has panicked");
        metrics::count(Part::Library);
        // What reads cameras starts tasks to say goodbye to them, and nothing depends on those.
        if !place.to_string().starts_with("retina-") {
            note_library_panic();
        }
    }));
}

/// Notes that a task of a library may have panicked, so that whoever depends on it looks after it.
pub fn note_library_panic() {
    STRAYS.fetch_add(1, Ordering::AcqRel);
    STRAY.notify_waiters();
}

/// Number of tasks started by libraries that have panicked so far. Seen once [`install`] was
/// called.
pub fn library_panics() -> usize {
    STRAYS.load(Ordering::Acquire)
}

/// Waits until there are more than `known`.
pub async fn library_panicked(known: usize) {
    loop {
        let notified = STRAY.notified();
        if library_panics() > known {
            return;
        }
        notified.await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_says_nothing_of_who_built_it() {
        let file = "/home/somebody/.cargo/registry/src/index.crates.io-1949cf/retina-0.4.21/src/client/mod.rs";
        assert_eq!(shortened(file), "retina-0.4.21/src/client/mod.rs");
        assert_eq!(shortened("src/live/hub.rs"), "src/live/hub.rs");
    }
}
