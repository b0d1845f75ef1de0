//! Calls to a card that are under way, and the time for which it has not answered.
//!
//! Keeps: whatever can wait for the card is counted, closing a file too. Measured by call: a card
//! that takes long over many files answers all the time, and is not taken for one that hangs.

use std::{
    io::{self, IoSlice},
    ops::ControlFlow,
    path::Path,
    time::{Duration, Instant},
};

use peercam_task::registry::{Entry, Registry};

use super::disk::{Disk, DiskFile, Sizes, Visit};

/// The calls under way, by when they were begun: a few at most, one for each thread.
#[derive(Clone, Debug, Default)]
pub(super) struct CardCalls(Registry<Instant>);

/// A call under way.
pub(super) type CardCall = Entry<Instant>;

impl CardCalls {
    /// Notes that the card is asked something; what is given back is dropped when it has answered.
    pub(super) fn begin(&self) -> CardCall {
        self.0.insert(Instant::now())
    }

    /// Time for which the card has owed an answer.
    pub(super) fn silence(&self) -> Duration {
        let oldest = self.0.read(|begun| begun.first().copied());
        oldest.map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn ask<T>(&self, ask: impl FnOnce() -> T) -> T {
        let _call = self.begin();
        ask()
    }
}

/// A card of which it is known how long it takes to answer.
pub(super) struct Watched {
    pub(super) disk: Box<dyn Disk>,
    pub(super) calls: CardCalls,
}

struct WatchedFile {
    /// `None` while it is dropped: closing a file asks the card too.
    file: Option<Box<dyn DiskFile>>,
    calls: CardCalls,
}

impl Watched {
    fn file(&self, file: io::Result<Box<dyn DiskFile>>) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(WatchedFile {
            file: Some(file?),
            calls: self.calls.clone(),
        }))
    }
}

impl Disk for Watched {
    fn claim(&self, root: &Path) -> io::Result<()> {
        self.calls.ask(|| self.disk.claim(root))
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        self.calls.ask(|| self.disk.make_directory(path))
    }

    fn visit(&self, path: &Path, visit: &mut Visit<'_>) -> io::Result<()> {
        // Each name is an answer: many of them are no silence.
        let mut call = Some(self.calls.begin());
        self.disk
            .visit(path, &mut |name, sizes| -> ControlFlow<()> {
                call = None;
                let goes_on = visit(name, &|| self.calls.ask(sizes));
                call = Some(self.calls.begin());
                goes_on
            })
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.file(self.calls.ask(|| self.disk.create(path)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.file(self.calls.ask(|| self.disk.open(path)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.calls.ask(|| self.disk.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.calls.ask(|| self.disk.remove(path))
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        self.calls.ask(|| self.disk.remove_directory(path))
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.calls.ask(|| self.disk.sync_directory(path))
    }

    fn free(&self, path: &Path) -> io::Result<u64> {
        self.calls.ask(|| self.disk.free(path))
    }
}

impl WatchedFile {
    fn file(&self) -> io::Result<&dyn DiskFile> {
        let file = self.file.as_deref();
        file.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut dyn DiskFile) -> io::Result<T>) -> io::Result<T> {
        let _call = self.calls.begin();
        let file = self.file.as_deref_mut();
        act(file.ok_or(io::ErrorKind::NotFound)?)
    }
}

impl DiskFile for WatchedFile {
    fn append(&mut self, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        self.with(|file| file.append(parts))
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.with(|file| file.write_at(bytes, offset))
    }

    fn sync(&mut self) -> io::Result<()> {
        self.with(|file| file.sync())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let _call = self.calls.begin();
        self.file()?.read_at(buffer, offset)
    }

    fn sizes(&self) -> io::Result<Sizes> {
        let _call = self.calls.begin();
        self.file()?.sizes()
    }

    fn truncate(&mut self, size: u64) -> io::Result<()> {
        self.with(|file| file.truncate(size))
    }
}

impl Drop for WatchedFile {
    fn drop(&mut self) {
        let _call = self.calls.begin();
        self.file = None;
    }
}
