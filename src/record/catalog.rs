//! Index of the files on the card, in memory: made from their names, kept true by the recorder's
//! thread.
//!
//! Keeps: a channel's entries are sorted by start and content, each once; `bytes` is what they all
//! take; a reader's lease is revoked when its file is deleted. Nothing here asks the card.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{
        Arc, MutexGuard, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use peercam_hal::{Page, Query, Recording, clock::Clock};
use peercam_proto::media::{ChannelId, Content};
use peercam_task::boundary::Guarded;
use tokio::sync::watch;

use super::{
    disk::Root,
    name::{FileName, Whole, channel_directory, day_directory},
};
use crate::events::{Event, Events, StorageState, Text};

/// No recording is longer: what starts earlier than this before a window does not reach into it.
pub(super) const LONGEST_MILLIS: i64 = 2 * 3_600_000;
/// No more files are known, or begun, however much memory there is: the catalogue is in it.
pub const MOST_FILES: usize = 200_000;
/// Bytes that the catalogue takes for each of them.
pub const BYTES_OF_FILE: usize = size_of::<Entry>();
/// Latest date at which an unset clock goes on: ten years before dates that are not believed.
const LATEST_END: i64 = super::scan::LATEST - 10 * 366 * DAY_MILLIS;

const DAY_MILLIS: i64 = 86_400_000;

/// All recordings of a device. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Catalog {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    root: Root,
    most: usize,
    /// State that the recorder's thread reports.
    found: watch::Sender<State>,
    /// Reason why the card counts as gone though nobody says so: it does not answer.
    silent: watch::Sender<Option<String>>,
    /// State that follows from both.
    state: watch::Sender<State>,
    files: Guarded<Files>,
    events: Events,
}

#[derive(Debug, Default)]
struct Files {
    channels: BTreeMap<ChannelId, Vec<Entry>>,
    bytes: u64,
    /// Free space of the card, when something was written last.
    free: Option<u64>,
    leases: HashMap<Key, Vec<Weak<AtomicBool>>>,
    /// Set if the entries were lost: the card has to be looked at again.
    is_lost: bool,
}

impl Files {
    /// Forgets all: a look at the card tells it once more.
    fn mend(&mut self) {
        *self = Self {
            is_lost: true,
            ..Self::default()
        };
    }

    fn entry(&self, key: Key) -> Option<Entry> {
        let entries = self.channels.get(&key.0)?;
        let index = entries.binary_search_by_key(&(key.1, key.2), Entry::order);
        index.ok().map(|index| entries[index])
    }
}

/// Replaces a value; returns whether that is something new.
fn replace<T: PartialEq>(known: &mut T, new: T) -> bool {
    let is_new = *known != new;
    *known = new;
    is_new
}

fn directory(channel: ChannelId, start_millis: i64) -> PathBuf {
    PathBuf::from(channel_directory(channel.0)).join(day_directory(start_millis))
}

/// Key of a file: channel, start in milliseconds since 1970, content.
pub type Key = (ChannelId, i64, Content);

/// State of the card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Being looked at.
    Starting,
    /// Writable.
    Ready,
    /// Readable, and takes nothing, for this reason.
    Stuck(String),
    /// Not readable either, for this reason.
    Gone(String),
}

impl State {
    /// The state in an event.
    fn shown(&self) -> StorageState {
        match self {
            Self::Starting => StorageState::Starting,
            Self::Ready => StorageState::Ready,
            Self::Stuck(reason) => StorageState::Stuck(Text::new(reason)),
            Self::Gone(reason) => StorageState::Gone(Text::new(reason)),
        }
    }
}

/// One file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Start, in milliseconds since 1970.
    pub start_millis: i64,
    /// Length of what can be played, in milliseconds.
    pub duration_millis: u32,
    /// Kind of the recording.
    pub kind: u32,
    /// Bytes that are written for good.
    pub size: u64,
    /// KiB of that which take no room on the card: a foreign file may have holes.
    pub hole_kib: u32,
    /// Content of the file.
    pub content: Content,
    /// Set if the device knew the date.
    pub is_dated: bool,
    /// Set while it grows.
    pub is_open: bool,
}

impl Entry {
    /// Its name.
    pub fn name(&self) -> FileName {
        let whole = Whole {
            duration_millis: self.duration_millis,
            size: self.size,
        };
        FileName {
            start_millis: self.start_millis,
            kind: self.kind,
            is_dated: self.is_dated,
            content: self.content,
            whole: (!self.is_open).then_some(whole),
        }
    }

    /// Bytes that it takes of the card.
    fn taken(&self) -> u64 {
        self.size.saturating_sub(u64::from(self.hole_kib) << 10)
    }

    fn end_millis(&self) -> i64 {
        self.start_millis + i64::from(self.duration_millis)
    }

    /// Sort key of a channel's files, by which they are told apart too.
    pub(super) fn order(&self) -> (i64, Content) {
        (self.start_millis, self.content)
    }
}

/// A reader's hold on a file. When it is to be deleted, the reader is told.
#[derive(Clone, Debug)]
pub struct Lease(Arc<AtomicBool>);

impl Lease {
    /// Returns whether the file is being deleted.
    pub fn is_revoked(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Catalog {
    /// The catalogue of the files under `root`; it is empty until it was filled.
    pub fn new(root: PathBuf) -> Self {
        let root = Root {
            path: root,
            mount: None,
        };
        // Nobody reads these.
        Self::of(root, MOST_FILES, Events::new(Clock::start()))
    }

    /// A catalogue of so many files at most, which publishes in `events`.
    pub(super) fn of(root: Root, most: usize, events: Events) -> Self {
        Self {
            shared: Arc::new(Shared {
                root,
                most,
                found: watch::Sender::new(State::Starting),
                silent: watch::Sender::default(),
                state: watch::Sender::new(State::Starting),
                files: Guarded::new(Files::default(), Files::mend),
                events,
            }),
        }
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.shared.files.lock()
    }

    /// Directory of the files.
    pub fn root(&self) -> &Path {
        &self.shared.root.path
    }

    /// Number of files that are known at most.
    pub(super) fn most(&self) -> usize {
        self.shared.most
    }

    /// Root of the files, to be opened.
    pub(super) fn place(&self) -> &Root {
        &self.shared.root
    }

    /// The directory of a channel's files that start on one day.
    pub fn directory(&self, channel: ChannelId, start_millis: i64) -> PathBuf {
        self.root().join(directory(channel, start_millis))
    }

    /// Path of a file, as it is named now.
    pub fn path(&self, channel: ChannelId, entry: &Entry) -> PathBuf {
        self.root().join(Self::inside(channel, entry))
    }

    /// Path of a file from the root.
    pub(super) fn inside(channel: ChannelId, entry: &Entry) -> PathBuf {
        directory(channel, entry.start_millis).join(entry.name().to_string())
    }

    /// Watches the state of the card.
    pub fn state(&self) -> watch::Receiver<State> {
        self.shared.state.subscribe()
    }

    /// Watches the state of the card as far as the recorder's thread knows.
    pub(super) fn found(&self) -> watch::Receiver<State> {
        self.shared.found.subscribe()
    }

    /// Watches the reason why the card does not answer; `None`: it does.
    pub(super) fn silent(&self) -> watch::Receiver<Option<String>> {
        self.shared.silent.subscribe()
    }

    pub(super) fn set_state(&self, state: State) {
        self.shared
            .found
            .send_if_modified(|known| replace(known, state));
        self.publish();
    }

    /// Says that the card does not answer, or that it does.
    pub(super) fn set_silent(&self, silent: Option<String>) {
        self.shared
            .silent
            .send_if_modified(|known| replace(known, silent));
        self.publish();
    }

    fn publish(&self) {
        self.shared.state.send_if_modified(|known| {
            // Looked at within, so that of two that publish the later one has the last word.
            let silent = self.shared.silent.borrow().clone();
            let found = || self.shared.found.borrow().clone();
            let is_new = replace(known, silent.map_or_else(found, State::Gone));
            if is_new {
                self.shared.events.publish(Event::Storage(known.shown()));
            }
            is_new
        });
    }

    /// Returns whether the card has to be looked at to know what is on it.
    pub(super) fn is_lost(&self) -> bool {
        self.files().is_lost
    }

    /// Bytes that all files take.
    pub fn bytes(&self) -> u64 {
        self.files().bytes
    }

    /// Free space of the card in bytes, when something was written last; `None` if nothing was.
    pub fn free(&self) -> Option<u64> {
        self.files().free
    }

    pub(super) fn note_free(&self, bytes: u64) {
        self.files().free = Some(bytes);
    }

    /// Number of files.
    pub fn count(&self) -> usize {
        self.files().channels.values().map(Vec::len).sum()
    }

    /// The files of a channel that are asked for, by start. Of a video that has nothing to play yet
    /// nothing is said.
    pub fn list(&self, channel: ChannelId, query: &Query) -> Vec<Recording> {
        let (window, starts) = (&query.window, &query.starts);
        let files = self.files();
        let Some(entries) = files.channels.get(&channel) else {
            return Vec::new();
        };
        let earliest = window
            .start
            .saturating_sub(LONGEST_MILLIS)
            .max(starts.start);
        let latest = window.end.min(starts.end);
        let first = entries.partition_point(|entry| entry.start_millis < earliest);
        let behind = entries.partition_point(|entry| entry.start_millis < latest);
        let overlapping = entries.get(first..behind).unwrap_or_default().iter();
        let asked = |entry: &&Entry| query.content.is_none_or(|content| content == entry.content);
        let overlapping = overlapping
            .filter(asked)
            .filter(|entry| match entry.content {
                Content::Video => entry.duration_millis > 0 && entry.end_millis() > window.start,
                // The second in which it was taken counts: lists tell whole seconds.
                Content::Snapshot => entry.start_millis + 999 >= window.start,
            });
        let recordings = overlapping.map(|entry| Recording {
            start_millis: entry.start_millis,
            end_millis: entry.end_millis(),
            kind: entry.kind,
            size: entry.size,
            content: entry.content,
        });
        match query.page {
            Page::Oldest(most) => recordings.take(most).collect(),
            Page::Newest(most) => {
                let mut newest: Vec<_> = recordings.rev().take(most).collect();
                newest.reverse();
                newest
            }
        }
    }

    /// Every file, by channel and start.
    pub(super) fn keys(&self) -> Vec<Key> {
        let files = self.files();
        let channels = files.channels.iter();
        let keys = channels.flat_map(|(channel, entries)| {
            let key = |entry: &Entry| (*channel, entry.start_millis, entry.content);
            entries.iter().map(key)
        });
        keys.collect()
    }

    /// Entry of a file.
    pub fn entry(&self, key: Key) -> Option<Entry> {
        self.files().entry(key)
    }

    /// Holds on to a file.
    pub fn lease(&self, key: Key) -> Option<(Entry, Lease)> {
        let mut files = self.files();
        let entry = files.entry(key)?;
        let flag = Arc::new(AtomicBool::new(false));
        files.leases.retain(|_, held| {
            held.retain(|lease| lease.strong_count() > 0);
            !held.is_empty()
        });
        files
            .leases
            .entry(key)
            .or_default()
            .push(Arc::downgrade(&flag));
        Some((entry, Lease(flag)))
    }

    /// The end of the newest recording of all channels.
    pub fn newest_end(&self) -> Option<i64> {
        let files = self.files();
        let newest = files.channels.values().filter_map(|entries| entries.last());
        let end = newest.map(Entry::end_millis).max()?;
        // A foreign name would otherwise take what follows beyond all dates.
        Some(end.min(LATEST_END))
    }

    /// Replaces all that is known. The files of a channel are by start and content.
    pub(super) fn fill(&self, channels: BTreeMap<ChannelId, Vec<Entry>>) {
        let mut files = self.files();
        files.channels = channels;
        files.is_lost = false;
        let sizes = files.channels.values().flatten().map(Entry::taken);
        files.bytes = sizes.fold(0, u64::saturating_add);
    }

    /// Adds a file, or says what is true of it now.
    pub(super) fn put(&self, channel: ChannelId, entry: Entry) {
        let mut files = self.files();
        let entries = files.channels.entry(channel).or_default();
        let before = match entries.binary_search_by_key(&entry.order(), Entry::order) {
            Ok(index) => std::mem::replace(&mut entries[index], entry).taken(),
            Err(index) => {
                entries.insert(index, entry);
                0
            }
        };
        files.bytes = files
            .bytes
            .saturating_add(entry.taken())
            .saturating_sub(before);
    }

    /// Publishes that a file is whole.
    pub(super) fn note_closed(&self, channel: ChannelId, entry: &Entry) {
        self.shared.events.publish(Event::SegmentClosed {
            channel,
            start_millis: entry.start_millis,
            duration_millis: entry.duration_millis,
            kind: entry.kind,
            size: entry.size,
        });
    }

    /// Forgets a file, and tells its readers.
    pub(super) fn take(&self, key: Key) -> Option<Entry> {
        let mut files = self.files();
        let entries = files.channels.get_mut(&key.0)?;
        let index = entries.binary_search_by_key(&(key.1, key.2), Entry::order);
        let entry = entries.remove(index.ok()?);
        files.bytes = files.bytes.saturating_sub(entry.taken());
        for lease in files.leases.remove(&key).into_iter().flatten() {
            if let Some(flag) = lease.upgrade() {
                flag.store(true, Ordering::Release);
            }
        }
        Some(entry)
    }

    /// Some of the files that are dated and ended before this; none that grows.
    pub(super) fn ended_before(&self, millis: i64) -> Vec<Key> {
        const AT_A_TIME: usize = 64;
        let files = self.files();
        let keys = files.channels.iter().flat_map(|(channel, entries)| {
            let behind = entries.partition_point(|entry| entry.start_millis < millis);
            let old = entries[..behind].iter().filter(move |entry| {
                !entry.is_open && entry.is_dated && entry.end_millis() < millis
            });
            old.map(|entry| (*channel, entry.start_millis, entry.content))
        });
        keys.take(AT_A_TIME).collect()
    }

    /// The file that goes first when there is no room: one of the future, of a clock that was wrong,
    /// or else the oldest; none that grows. `now_millis` is the date, if it is known.
    pub(super) fn next_to_delete(&self, now_millis: Option<i64>) -> Option<(Key, Entry)> {
        let files = self.files();
        let named = |(channel, entry): (&ChannelId, &Entry)| {
            ((*channel, entry.start_millis, entry.content), *entry)
        };
        let latest = now_millis.map_or(i64::MAX, |now| now.saturating_add(DAY_MILLIS));
        let newest = files.channels.iter().filter_map(|(channel, entries)| {
            let entry = entries.iter().rfind(|entry| !entry.is_open)?;
            (entry.start_millis > latest).then_some((channel, entry))
        });
        let of_the_future = newest.max_by_key(|(_, entry)| entry.start_millis);
        let oldest = files.channels.iter().filter_map(|(channel, entries)| {
            let entry = entries.iter().find(|entry| !entry.is_open)?;
            Some((channel, entry))
        });
        let oldest = oldest.min_by_key(|(_, entry)| entry.start_millis);
        of_the_future.or(oldest).map(named)
    }
}
