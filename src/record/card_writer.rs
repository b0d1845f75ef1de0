//! The card as the recorder's thread writes it: fragments, beginnings and ends of files, room for
//! them, and going on when the card fails and comes back. Blocking; no clock of its own.
//!
//! Keeps: the catalogue tells of nothing that was not synced; a file gets its last name when it is
//! whole; none that grows is deleted.

use std::{
    collections::BTreeMap,
    io::{self, IoSlice},
    path::Path,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use peercam_hal::{HalError, Storage};
use peercam_proto::media::{ChannelId, Content};
use tokio::sync::watch;

use super::{
    catalog::{Catalog, Entry, Key, State},
    disk::Disk,
    failure::Failure,
    grow::Growing,
    metrics::Metrics,
    scan,
    segmenter::FragmentWrite,
};
use crate::channels::{ChannelEntry, ChannelRegistry};

/// Bounds of what recordings may take of the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all files; those that grow count.
    pub max_size: u64,
    /// The oldest are deleted when they are older than this; `None`: never for that.
    pub max_age: Option<Duration>,
    /// Bytes that are left free on the card for others.
    pub min_free: u64,
}

impl Limits {
    /// Bytes from which on a file ends at the next key frame: the oldest one never is the one that
    /// grows.
    pub const fn largest_file(&self) -> u64 {
        const PART_OF_ALL: u64 = 8;
        self.max_size / PART_OF_ALL
    }
}

/// A job of the recorder's thread.
#[derive(Debug)]
pub enum WriteJob {
    /// Write this.
    Fragment {
        /// Its channel.
        channel: ChannelId,
        /// The fragment.
        write: FragmentWrite,
    },
    /// The channel's file grows no more.
    Close(ChannelId),
    /// Keep a still.
    Picture {
        /// Its channel.
        channel: ChannelId,
        /// Time at which it was taken, in milliseconds since 1970.
        start_millis: i64,
        /// Set if the device knew the date.
        is_dated: bool,
        /// Kind of the recording that it belongs to.
        kind: u32,
        /// A JPEG file.
        jpeg: Bytes,
    },
}

/// Space for what a file system writes beside our bytes.
const SLACK: u64 = 64 << 10;
/// Files that are deleted at a time for one that is written.
const MOST_DELETED: usize = 64;
/// The same for a card that says it is full though there should be room: more of them would not
/// help.
const MOST_DELETED_FOR_FULL: usize = 2;

/// The card, with the files on it that grow.
pub struct CardWriter {
    pub(super) disk: Box<dyn Disk>,
    pub(super) catalog: Catalog,
    limits: watch::Receiver<Limits>,
    channels: ChannelRegistry,
    open: BTreeMap<ChannelId, Growing>,
    now_millis: Option<i64>,
    metrics: Metrics,
}

/// Card of a channel's camera.
fn storage(channel: &ChannelEntry) -> Option<&Arc<dyn Storage>> {
    channel.capabilities.storage.as_ref()
}

impl CardWriter {
    /// A card whose files are under the catalogue's root. [`CardWriter::look`] comes first.
    pub fn new(
        disk: Box<dyn Disk>,
        catalog: Catalog,
        limits: Limits,
        channels: ChannelRegistry,
        metrics: Metrics,
    ) -> Self {
        Self {
            disk,
            catalog,
            // They stay as they are, unless others are followed.
            limits: watch::channel(limits).1,
            channels,
            open: BTreeMap::new(),
            now_millis: None,
            metrics,
        }
    }

    /// Goes by bounds that may change.
    pub(super) fn following(self, limits: watch::Receiver<Limits>) -> Self {
        Self { limits, ..self }
    }

    fn limits(&self) -> Limits {
        *self.limits.borrow()
    }

    /// Looks at the card: lists what is whole, mends what a power cut left. `Ready` if it can be
    /// written.
    pub fn look(&mut self) {
        self.open.clear();
        let root = self.catalog.root().to_owned();
        let looked = self
            .check_cards()
            .and_then(|()| Ok(scan::scan(self.disk.as_ref(), &root, self.catalog.most())?));
        match looked {
            Ok(scan::Scanned {
                channels,
                read_only,
            }) => {
                self.catalog.fill(channels);
                match read_only {
                    Some(error) => self.fail(&error.into()),
                    None => self.catalog.set_state(State::Ready),
                }
                tracing::info!(
                    files = self.catalog.count(), bytes = self.catalog.bytes(), path = %root.display(),
                    "recordings found"
                );
            }
            Err(failure) => self.fail(&failure),
        }
    }

    fn check_cards(&self) -> Result<(), Failure> {
        let channels = self.channels.all();
        let mut cards = channels.values().filter_map(|entry| storage(entry));
        cards.try_for_each(|card| match card.admit(0) {
            // It can be read, and room can be made.
            Ok(()) | Err(HalError::Full | HalError::ReadOnly) => Ok(()),
            Err(error) => Err(error.into()),
        })
    }

    /// Says what day it is, if that is known, in milliseconds since 1970.
    pub fn set_date(&mut self, now_millis: Option<i64>) {
        self.now_millis = now_millis;
    }

    /// Returns whether the card has to be looked at before anything is written.
    pub fn is_failed(&self) -> bool {
        self.catalog.is_lost() || *self.catalog.found().borrow() != State::Ready
    }

    /// Does a job; returns whether it was done. What is not done is counted and said once.
    pub fn perform(&mut self, job: &WriteJob) -> bool {
        let frames = match job {
            WriteJob::Fragment { write, .. } => write.fragment.frames.len(),
            WriteJob::Close(_) | WriteJob::Picture { .. } => 0,
        };
        let done = if self.is_failed() {
            Ok(false)
        } else {
            self.try_to(job)
        };
        let is_done = done.unwrap_or_else(|failure| {
            match failure {
                // The encoder's fault, not the card's.
                Failure::Unwritable(_) => {
                    tracing::warn!(%failure, "a part of a recording is left out");
                    self.close_behind_hole(job);
                }
                failure => self.fail(&failure),
            }
            false
        });
        if !is_done && frames > 0 {
            self.metrics.lost_card.inc();
        }
        is_done
    }

    /// Closes the file of a fragment that was left out: what follows cannot go on behind a hole.
    fn close_behind_hole(&mut self, job: &WriteJob) {
        if let WriteJob::Fragment { channel, .. } = job
            && let Err(failure) = self.close(*channel)
        {
            self.fail(&failure);
        }
    }

    fn fail(&mut self, failure: &Failure) {
        // What is open stays as it is: looking at the card mends it.
        self.open.clear();
        let reason = failure.to_string();
        let state = if failure.is_readable() {
            State::Stuck(reason.clone())
        } else {
            State::Gone(reason.clone())
        };
        if *self.catalog.found().borrow() != state {
            tracing::error!(
                path = %self.catalog.root().display(), reason,
                "recordings cannot be written; it is tried again by itself"
            );
        }
        if matches!(state, State::Gone(_)) {
            self.catalog.fill(BTreeMap::new());
        }
        self.catalog.set_state(state);
    }

    fn try_to(&mut self, job: &WriteJob) -> Result<bool, Failure> {
        match job {
            WriteJob::Fragment { channel, write } => self.write(*channel, write),
            WriteJob::Close(channel) => self.close(*channel).map(|()| true),
            WriteJob::Picture {
                channel,
                start_millis,
                is_dated,
                kind,
                jpeg,
            } => self
                .keep(*channel, *start_millis, *is_dated, *kind, jpeg)
                .map(|()| true),
        }
    }

    fn write(&mut self, channel: ChannelId, write: &FragmentWrite) -> Result<bool, Failure> {
        let is_key = write.fragment.is_key;
        let goes_on = self.open.get(&channel).is_some_and(|open| {
            let is_large = open.entry.size >= self.limits().largest_file();
            !(write.begins || is_key && is_large) && open.takes(&write.fragment)
        });
        if !goes_on && !is_key {
            return Ok(false);
        }
        if !goes_on {
            self.close(channel)?;
        }
        let size = write.fragment.size() as u64;
        self.make_room(size + SLACK)?;
        for left in (0..=MOST_DELETED_FOR_FULL).rev() {
            let written = self.admit(channel, size).and_then(|()| {
                if goes_on {
                    self.append(channel, write)
                } else {
                    self.begin(channel, write)
                }
            });
            match written {
                Err(failure) if failure.is_full() && left > 0 => self.delete_oldest()?,
                Err(failure) => return Err(failure),
                Ok(()) => break,
            }
        }
        Ok(true)
    }

    fn admit(&self, channel: ChannelId, size: u64) -> Result<(), Failure> {
        let entry = self.channels.get(channel);
        let card = entry.as_deref().and_then(storage);
        Ok(card.map_or(Ok(()), |card| card.admit(size))?)
    }

    fn begin(&mut self, channel: ChannelId, write: &FragmentWrite) -> Result<(), Failure> {
        let fragment = &write.fragment;
        let origin = fragment.start();
        let start_millis = self.free_start(channel, write.date.of(origin), Content::Video);
        let entry = Entry {
            start_millis,
            duration_millis: 0,
            kind: write.kind,
            size: 0,
            hole_kib: 0,
            content: Content::Video,
            is_dated: write.date.is_known,
            is_open: true,
        };
        let directory = self.catalog.directory(channel, start_millis);
        self.disk.make_directory(&directory)?;
        let path = self.catalog.path(channel, &entry);
        let file = self.disk.create(&path)?;
        let begun = Growing::begin(file, entry, fragment)
            .and_then(|open| Ok(self.disk.sync_directory(&directory).map(|()| open)?));
        let open = match begun {
            Ok(open) => open,
            Err(failure) => {
                // It is of no use; if it cannot be removed now, looking at the card does.
                let _ = self.disk.remove(&path);
                return Err(failure);
            }
        };
        self.note_written(channel, open.entry, 0);
        self.open.insert(channel, open);
        Ok(())
    }

    fn append(&mut self, channel: ChannelId, write: &FragmentWrite) -> Result<(), Failure> {
        let Some(open) = self.open.get_mut(&channel) else {
            return Ok(());
        };
        let before = open.entry.size;
        open.append(&write.fragment)?;
        let entry = open.entry;
        self.note_written(channel, entry, before);
        Ok(())
    }

    /// A fragment was written to a file that had `before` bytes.
    fn note_written(&self, channel: ChannelId, entry: Entry, before: u64) {
        self.catalog.put(channel, entry);
        self.metrics.fragments.inc();
        self.metrics.written_bytes.inc_by(entry.size - before);
    }

    /// The first start from this one on that no other file of the channel has.
    fn free_start(&self, channel: ChannelId, start_millis: i64, content: Content) -> i64 {
        let mut start = start_millis.max(0);
        while self.catalog.entry((channel, start, content)).is_some() {
            start += 1;
        }
        start
    }

    fn close(&mut self, channel: ChannelId) -> Result<(), Failure> {
        let Some(mut open) = self.open.remove(&channel) else {
            return Ok(());
        };
        let from = self.catalog.path(channel, &open.entry);
        // The name comes last: a start after a power cut believes it to the byte, and mends what has
        // not got it.
        open.fill_in(&from);
        let entry = Entry {
            is_open: false,
            ..open.entry
        };
        self.disk
            .rename(&from, &self.catalog.path(channel, &entry))?;
        self.catalog.put(channel, entry);
        let directory = self.catalog.directory(channel, entry.start_millis);
        self.disk.sync_directory(&directory)?;
        self.catalog.note_closed(channel, &entry);
        Ok(())
    }

    fn keep(
        &mut self,
        channel: ChannelId,
        start_millis: i64,
        is_dated: bool,
        kind: u32,
        jpeg: &Bytes,
    ) -> Result<(), Failure> {
        let size = jpeg.len() as u64;
        self.make_room(size + SLACK)?;
        let mut entry = Entry {
            start_millis: self.free_start(channel, start_millis, Content::Snapshot),
            duration_millis: 0,
            kind,
            size,
            hole_kib: 0,
            content: Content::Snapshot,
            is_dated,
            is_open: true,
        };
        let directory = self.catalog.directory(channel, entry.start_millis);
        self.disk.make_directory(&directory)?;
        let draft = self.catalog.path(channel, &entry);
        let kept = self.disk.create(&draft).and_then(|mut file| {
            file.append(&mut [IoSlice::new(jpeg)])?;
            file.sync()?;
            entry.is_open = false;
            self.disk
                .rename(&draft, &self.catalog.path(channel, &entry))
        });
        if let Err(error) = kept {
            let _ = self.disk.remove(&draft);
            return Err(error.into());
        }
        self.catalog.put(channel, entry);
        self.disk.sync_directory(&directory)?;
        Ok(())
    }

    /// Deletes the oldest until there is room for so many bytes.
    fn make_room(&mut self, bytes: u64) -> Result<(), Failure> {
        let limits = self.limits();
        let (mut fits, mut has_room) = (false, false);
        for _ in 0..MOST_DELETED {
            fits = self.catalog.bytes() + bytes <= limits.max_size;
            let free = self.disk.free(self.catalog.root())?;
            self.catalog.note_free(free);
            has_room =
                self.catalog.count() < self.catalog.most() && free >= limits.min_free + bytes;
            if fits && has_room {
                return Ok(());
            }
            self.delete_oldest()?;
        }
        // A bound that was lowered is reached with what is written next, and nothing is lost for it.
        if !fits && has_room {
            return Ok(());
        }
        Err(Failure::NoRoom)
    }

    /// Deletes what is older than it may be. What has no date of its own does not age.
    pub fn forget_old(&mut self) {
        let (Some(now), Some(age)) = (self.now_millis, self.limits().max_age) else {
            return;
        };
        let oldest_kept = now.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        loop {
            let old = self.catalog.ended_before(oldest_kept);
            if old.is_empty() {
                return;
            }
            for key in old {
                if self.is_failed() {
                    return;
                }
                if let Err(error) = self.delete(key) {
                    self.fail(&error.into());
                }
            }
        }
    }

    fn delete_oldest(&mut self) -> Result<(), Failure> {
        let oldest = self.catalog.next_to_delete(self.now_millis);
        let (key, _) = oldest.ok_or(Failure::NoRoom)?;
        Ok(self.delete(key)?)
    }

    fn delete(&mut self, key: Key) -> io::Result<()> {
        let Some(entry) = self.catalog.take(key) else {
            return Ok(());
        };
        let path = self.catalog.path(key.0, &entry);
        match self.disk.remove(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => return Err(error),
            // It is in nobody's way but its own, until the card is looked at again.
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a recording cannot be deleted");
                return Ok(());
            }
        }
        self.metrics.deleted.inc();
        tracing::debug!(path = %path.display(), "recording deleted to make room");
        // It fails while there are others of that day.
        let _ = path
            .parent()
            .map(|day: &Path| self.disk.remove_directory(day));
        Ok(())
    }

    /// Ends every file in order.
    pub fn finish(&mut self) {
        let channels: Vec<ChannelId> = self.open.keys().copied().collect();
        for channel in channels {
            self.perform(&WriteJob::Close(channel));
        }
    }
}
