//! Looks at what is on a card: lists what is whole, and mends what a power cut left.
//!
//! Keeps: a file is listed only if it has, to the byte, the size that its name says; what is not
//! ours is neither listed nor changed; no more files are noted than there may be.

use std::{collections::BTreeMap, io, ops::ControlFlow, path::Path};

use jiff::civil::Date;
use peercam_proto::media::{ChannelId, Content};

use super::{
    catalog::{Entry, LONGEST_MILLIS},
    disk::{Disk, Sizes, Visit},
    fragments::whole_part,
    grow::fill_in,
    name::{FileName, Whole, channel_directory, parse_channel_directory, parse_day_directory},
};

/// Contents of a card.
pub(super) struct Scanned {
    pub(super) channels: BTreeMap<ChannelId, Vec<Entry>>,
    /// Reason why it can be read only; what a power cut left was not mended then.
    pub(super) read_only: Option<io::Error>,
}

/// Names beyond this are not believed: the year 2100.
pub(super) const LATEST: i64 = 4_102_444_800_000;
/// Files that are mended at a time: a recorder leaves one for each channel.
const MOST_OPEN: usize = 1024;

/// Lists everything that can be played or fetched under `root`, `most` files at most. Files of
/// others are left alone, and what cannot be read is left out.
///
/// # Errors
/// If the card as such cannot be had.
pub(super) fn scan(disk: &dyn Disk, root: &Path, most: usize) -> io::Result<Scanned> {
    let read_only = match disk.claim(root) {
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Some(error),
        claimed => claimed.map(|()| None)?,
    };
    let mut found = Tally {
        mends: read_only.is_none(),
        room: most,
        ..Tally::default()
    };
    let mut channels: BTreeMap<ChannelId, Vec<Entry>> = BTreeMap::new();
    let visits = |path: &Path, visit: &mut Visit<'_>| disk.visit(path, visit);
    for channel in channels_of(&visits, root)? {
        let directory = root.join(channel_directory(channel.0));
        let mut entries = Vec::new();
        // The newest first: it is the oldest that are left out of too many.
        for day in days_of(&visits, &directory).iter().rev() {
            let directory = directory.join(day.to_string());
            if let Err(error) = found.look_into(disk, &directory, *day, &mut entries) {
                left_out(&directory, &error);
            }
        }
        entries.sort_unstable_by_key(Entry::order);
        entries.dedup_by_key(|entry| entry.order());
        entries.shrink_to_fit();
        channels.insert(channel, entries);
    }
    found.report(root, most);
    Ok(Scanned {
        channels,
        read_only,
    })
}

fn left_out(path: &Path, error: &io::Error) {
    tracing::warn!(path = %path.display(), %error, "recordings that cannot be read are left out");
}

/// Counts on the way over a card, and what may still be noted.
#[derive(Default)]
struct Tally {
    mends: bool,
    /// Files of which a note can still be made.
    room: usize,
    mended: usize,
    is_too_much: bool,
    /// Files with names of ours that are not what these say.
    foreign: usize,
}

impl Tally {
    /// Adds the files of one day of a channel, mended if they may be.
    fn look_into(
        &mut self,
        disk: &dyn Disk,
        directory: &Path,
        day: Date,
        entries: &mut Vec<Entry>,
    ) -> io::Result<()> {
        let (first, mut open) = (entries.len(), Vec::new());
        disk.visit(directory, &mut |name, sizes| {
            // A file that is elsewhere than its name says could be listed and not be found.
            let name = FileName::parse(name).filter(|name| {
                name.start_millis <= LATEST && super::name::day(name.start_millis) == day
            });
            let Some(name) = name else {
                return ControlFlow::Continue(());
            };
            if self.room == 0 {
                self.is_too_much = true;
                return ControlFlow::Break(());
            }
            let is_ours = |sizes: Sizes| name.whole.is_none_or(|whole| whole.is_true(sizes.bytes));
            match (sizes().ok().filter(|sizes| is_ours(*sizes)), name.whole) {
                (None, _) => self.foreign += 1,
                (Some(sizes), Some(whole)) => {
                    self.room -= 1;
                    entries.push(entry_of(name, whole, sizes));
                }
                (Some(_), None) if self.mended == MOST_OPEN => self.is_too_much = true,
                (Some(_), None) => {
                    self.room -= 1;
                    self.mended += 1;
                    open.push(name);
                }
            }
            ControlFlow::Continue(())
        })?;
        entries[first..].sort_unstable_by_key(Entry::order);
        let behind = entries.len();
        for name in open.into_iter().filter(|_| self.mends) {
            // A rename that was cut in half leaves two names of one file.
            let order = (name.start_millis, name.content);
            let whole = &entries[first..behind];
            if whole.binary_search_by_key(&order, Entry::order).is_ok() {
                continue;
            }
            match mend(disk, directory, name) {
                Ok(mended) => entries.extend(mended),
                Err(error) => {
                    let path = directory.join(name.to_string());
                    tracing::warn!(path = %path.display(), %error, "a recording that was cut off cannot be mended");
                }
            }
        }
        Ok(())
    }

    fn report(&self, root: &Path, most: usize) {
        let path = root.display();
        if self.foreign > 0 {
            tracing::warn!(
                %path, files = self.foreign,
                "files that are not what their names say are left alone: they are not listed, and no room is made of them"
            );
        }
        if self.is_too_much {
            tracing::warn!(
                %path, most,
                "there are too many recordings; the oldest are left alone: they are not listed, and no room is made of them"
            );
        }
    }
}

/// Function that goes through the names in a directory.
pub(super) type Visits<'a> = dyn Fn(&Path, &mut Visit<'_>) -> io::Result<()> + 'a;

/// The channels that can have files of ours, in order.
pub(super) fn channels_of(visits: &Visits<'_>, root: &Path) -> io::Result<Vec<ChannelId>> {
    let mut found = Vec::new();
    visits(root, &mut |name, _| {
        found.extend(parse_channel_directory(name).map(ChannelId));
        ControlFlow::Continue(())
    })?;
    found.sort_unstable();
    Ok(found)
}

/// The days of which a channel can have files, in order.
pub(super) fn days_of(visits: &Visits<'_>, channel: &Path) -> Vec<Date> {
    let mut found = Vec::new();
    let visited = visits(channel, &mut |name, _| {
        found.extend(parse_day_directory(name));
        ControlFlow::Continue(())
    });
    if let Err(error) = visited {
        left_out(channel, &error);
    }
    found.sort_unstable();
    found
}

impl Whole {
    /// Returns whether a file of so many bytes can be what is said here.
    fn is_true(&self, bytes: u64) -> bool {
        self.size == bytes && i64::from(self.duration_millis) <= LONGEST_MILLIS
    }
}

fn entry_of(name: FileName, whole: Whole, sizes: Sizes) -> Entry {
    let hole = sizes.bytes.saturating_sub(sizes.allocated);
    Entry {
        start_millis: name.start_millis,
        duration_millis: whole.duration_millis,
        kind: name.kind,
        size: whole.size,
        hole_kib: u32::try_from(hole >> 10).unwrap_or(u32::MAX),
        content: name.content,
        is_dated: name.is_dated,
        is_open: false,
    }
}

/// Cuts a file that was being written to what is whole of it, and gives it its name. `None` if
/// nothing of it was.
fn mend(disk: &dyn Disk, directory: &Path, name: FileName) -> io::Result<Option<Entry>> {
    let path = directory.join(name.to_string());
    let whole = match name.content {
        // A still is whole or a draft.
        Content::Snapshot => None,
        Content::Video => cut(disk, &path)?,
    };
    let Some((whole, sizes, cut)) = whole else {
        tracing::info!(path = %path.display(), "nothing of a recording was whole; removed");
        disk.remove(&path)?;
        return Ok(None);
    };
    let name = FileName {
        whole: Some(whole),
        ..name
    };
    disk.rename(&path, &directory.join(name.to_string()))?;
    disk.sync_directory(directory)?;
    let duration_millis = whole.duration_millis;
    tracing::info!(path = %path.display(), duration_millis, cut, "a recording that was cut off was mended");
    Ok(Some(entry_of(name, whole, sizes)))
}

/// Cuts a file to what is whole of it: what that is, and how many bytes were cut off.
fn cut(disk: &dyn Disk, path: &Path) -> io::Result<Option<(Whole, Sizes, u64)>> {
    let mut file = disk.open(path)?;
    let before = file.sizes()?.bytes;
    let read = |buffer: &mut [u8], offset| file.read_at(buffer, offset);
    let Some(part) = whole_part(&read, before)? else {
        return Ok(None);
    };
    if part.size < before {
        file.truncate(part.size)?;
    }
    // What is kept may be in memory only, if no power cut was the reason.
    file.sync()?;
    fill_in(file.as_mut(), path, &part.blanks, &part.index, part.millis);
    let whole = Whole {
        duration_millis: part.millis,
        size: part.size,
    };
    Ok(Some((whole, file.sizes()?, before - part.size)))
}
