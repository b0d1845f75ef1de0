//! Looks at what is on a card: lists what is whole, and mends what a power cut left.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use super::{
    catalog::Entry,
    disk::Disk,
    fragments::whole_part,
    name::{FileName, Whole, day_directory, is_day_directory, parse_channel_directory},
};
use crate::media::{ChannelId, Content};

/// What is on a card.
pub(super) struct Scanned {
    pub(super) channels: BTreeMap<ChannelId, Vec<Entry>>,
    /// Why it can be read only; what a power cut left was not mended then.
    pub(super) read_only: Option<io::Error>,
}

/// Names beyond these are not believed: the year 2100, a terabyte.
const LATEST: i64 = 4_102_444_800_000;
const LARGEST: u64 = 1 << 40;

/// Everything that can be played or fetched under `root`. Files of others are left alone, and what
/// cannot be read is left out.
///
/// # Errors
/// If the card as such cannot be had.
pub(super) fn scan(disk: &dyn Disk, root: &Path) -> io::Result<Scanned> {
    let read_only = match disk.claim(root) {
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Some(error),
        claimed => claimed.map(|()| None)?,
    };
    let mut channels: BTreeMap<ChannelId, Vec<Entry>> = BTreeMap::new();
    for (channel, directory) in directories(disk, root)? {
        let entries = channels.entry(channel).or_default();
        if let Err(error) = look_into(disk, &directory, read_only.is_none(), entries) {
            tracing::warn!(path = %directory.display(), %error, "recordings that cannot be read are left out");
        }
    }
    for entries in channels.values_mut() {
        entries.sort_unstable_by_key(Entry::order);
        entries.dedup_by_key(|entry| entry.order());
    }
    Ok(Scanned {
        channels,
        read_only,
    })
}

/// Adds the files of one day of a channel, mended if they may be.
fn look_into(
    disk: &dyn Disk,
    directory: &Path,
    mends: bool,
    entries: &mut Vec<Entry>,
) -> io::Result<()> {
    let day = directory.file_name().and_then(|day| day.to_str());
    let names = disk.list(directory)?.into_iter();
    let names = names.filter_map(|name| FileName::parse(&name));
    // A file that is elsewhere than its name says could be listed and not be found.
    let names = names.filter(|name| {
        let is_believed = name.whole.is_none_or(|whole| whole.size <= LARGEST);
        is_believed
            && name.start_millis <= LATEST
            && Some(day_directory(name.start_millis).as_str()) == day
    });
    let (open, whole): (Vec<_>, Vec<_>) = names.partition(|name| name.whole.is_none());
    entries.extend(whole.into_iter().map(entry_of));
    for name in open.into_iter().filter(|_| mends) {
        // A rename that was cut in half leaves two names of one file.
        let has_twin = entries
            .iter()
            .any(|entry| entry.start_millis == name.start_millis && entry.content == name.content);
        if has_twin {
            continue;
        }
        match mend(disk, directory, name) {
            Ok(mended) => entries.extend(mended.map(entry_of)),
            Err(error) => {
                let path = directory.join(name.to_string());
                tracing::warn!(path = %path.display(), %error, "a recording that was cut off cannot be mended");
            }
        }
    }
    Ok(())
}

/// The directories that can have files of ours.
pub(super) fn directories(disk: &dyn Disk, root: &Path) -> io::Result<Vec<(ChannelId, PathBuf)>> {
    let mut found = Vec::new();
    for name in disk.list(root)? {
        let Some(channel) = parse_channel_directory(&name) else {
            continue;
        };
        let directory = root.join(&name);
        match disk.list(&directory) {
            Ok(days) => {
                let days = days.into_iter().filter(|day| is_day_directory(day));
                found.extend(days.map(|day| (ChannelId(channel), directory.join(day))));
            }
            Err(error) => {
                tracing::warn!(path = %directory.display(), %error, "recordings that cannot be read are left out");
            }
        }
    }
    Ok(found)
}

fn entry_of(name: FileName) -> Entry {
    let whole = name.whole.unwrap_or(Whole {
        duration_millis: 0,
        size: 0,
    });
    Entry {
        start_millis: name.start_millis,
        duration_millis: whole.duration_millis,
        kind: name.kind,
        size: whole.size,
        content: name.content,
        is_dated: name.is_dated,
        is_open: false,
    }
}

/// Cuts a file that was being written to what is whole of it, and gives it its name. `None` if
/// nothing of it was.
fn mend(disk: &dyn Disk, directory: &Path, name: FileName) -> io::Result<Option<FileName>> {
    let path = directory.join(name.to_string());
    let whole = match name.content {
        // A still is whole or a draft.
        Content::Picture => None,
        Content::Video => {
            let mut file = disk.open(&path)?;
            let size = file.size()?;
            let whole = whole_part(
                &|buffer: &mut [u8], offset| file.read_at(buffer, offset),
                size,
            )?;
            if let Some((kept, _)) = whole {
                if kept < size {
                    file.truncate(kept)?;
                }
                // What is kept may be in memory only, if no power cut was the reason.
                file.sync()?;
            }
            whole.map(|(kept, millis)| (kept, millis, size - kept))
        }
    };
    let Some((size, duration_millis, cut)) = whole else {
        tracing::info!(path = %path.display(), "nothing of a recording was whole; removed");
        disk.remove(&path)?;
        return Ok(None);
    };
    let name = FileName {
        whole: Some(Whole {
            duration_millis,
            size,
        }),
        ..name
    };
    disk.rename(&path, &directory.join(name.to_string()))?;
    disk.sync_directory(directory)?;
    tracing::info!(path = %path.display(), duration_millis, cut, "a recording that was cut off was mended");
    Ok(Some(name))
}
