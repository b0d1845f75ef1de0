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
    name::{FileName, Whole, is_day_directory, parse_channel_directory},
};
use crate::media::{ChannelId, Content};

/// Everything that can be played or fetched under `root`. Files of others are left alone.
pub(super) fn scan(disk: &dyn Disk, root: &Path) -> io::Result<BTreeMap<ChannelId, Vec<Entry>>> {
    disk.claim(root)?;
    let mut channels: BTreeMap<ChannelId, Vec<Entry>> = BTreeMap::new();
    for (channel, directory) in directories(disk, root)? {
        let entries = channels.entry(channel).or_default();
        let mut open = Vec::new();
        for name in disk.list(&directory)? {
            match FileName::parse(&name) {
                Some(name) if name.whole.is_none() => open.push(name),
                Some(name) => entries.push(entry_of(name)),
                None => {}
            }
        }
        for name in open {
            // A rename that was cut in half leaves two names of one file.
            let has_twin = entries.iter().any(|entry| {
                entry.start_millis == name.start_millis && entry.content == name.content
            });
            if !has_twin {
                entries.extend(mend(disk, &directory, name)?.map(entry_of));
            }
        }
    }
    for entries in channels.values_mut() {
        entries.sort_unstable_by_key(|entry| (entry.start_millis, entry.content));
        entries.dedup_by_key(|entry| (entry.start_millis, entry.content));
    }
    Ok(channels)
}

/// The directories that can have files of ours.
pub(super) fn directories(disk: &dyn Disk, root: &Path) -> io::Result<Vec<(ChannelId, PathBuf)>> {
    let mut found = Vec::new();
    for name in disk.list(root)? {
        let Some(channel) = parse_channel_directory(&name) else {
            continue;
        };
        let directory = root.join(&name);
        let days = disk.list(&directory)?.into_iter();
        let days = days.filter(|day| is_day_directory(day));
        found.extend(days.map(|day| (ChannelId(channel), directory.join(day))));
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
            if let Some((kept, _)) = whole.filter(|(kept, _)| *kept < size) {
                file.truncate(kept)?;
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
