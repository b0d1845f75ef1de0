//! Looks at a card without changing anything on it, such as one in a laptop.

use std::{
    io,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use peercam_proto::media::{ChannelId, Content};
use rustix::fs::OFlags;

use super::{
    beneath::Directory,
    disk::{Visit, read_full},
    fragments::{ReadAt, ReadError, is_as_sealed, read_fragment, read_head},
    name::{FileName, channel_directory},
    scan,
};

/// A file on a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardFile {
    /// Its channel.
    pub channel: ChannelId,
    /// Its name, parsed.
    pub name: FileName,
    /// Path of the file.
    pub path: PathBuf,
    inside: PathBuf,
}

/// Result of a closer look at a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckResult {
    /// Written to its end, and not changed since.
    Whole,
    /// Being written when the power went, or now: so much of it plays, in milliseconds. A recorder
    /// that finds it gives it its name.
    Unfinished(u32),
    /// Changed since it was written, or incomplete, for this reason.
    Damaged(String),
}

/// A card that is looked at.
#[derive(Debug)]
pub struct CardCheck {
    path: PathBuf,
    root: Directory,
}

impl CardCheck {
    /// The card whose recordings are in this directory.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn new(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            root: Directory::named(path)?,
        })
    }

    /// Goes through the files of recordings, by channel and start.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn files(&self, each: &mut dyn FnMut(&CardFile)) -> io::Result<()> {
        let visits = |path: &Path, visit: &mut Visit<'_>| self.root.beneath(path)?.visit(visit);
        for channel in scan::channels_of(&visits, Path::new(""))? {
            let directory = PathBuf::from(channel_directory(channel.0));
            for day in scan::days_of(&visits, &directory) {
                let directory = directory.join(day.to_string());
                let mut found = Vec::new();
                visits(&directory, &mut |text, _| {
                    found.extend(FileName::parse(text).map(|name| CardFile {
                        channel,
                        name,
                        path: self.path.join(&directory).join(text),
                        inside: directory.join(text),
                    }));
                    ControlFlow::Continue(())
                })?;
                found.sort_by_key(|one| (one.name.start_millis, one.name.content));
                found.iter().for_each(&mut *each);
            }
        }
        Ok(())
    }

    /// Reads all of a file and compares it with its check sums.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn check(&self, found: &CardFile) -> io::Result<CheckResult> {
        let (file, sizes) = self.root.open(&found.inside, OFlags::RDONLY)?;
        let size = sizes.bytes;
        if let Some(whole) = found.name.whole
            && whole.size != size
        {
            let promised = whole.size;
            let reason = format!("it has {size} bytes, and its name says {promised}");
            return Ok(CheckResult::Damaged(reason));
        }
        let read = |buffer: &mut [u8], offset| read_full(&file, buffer, offset);
        match (found.name.content, found.name.whole) {
            (Content::Snapshot, None) => Ok(CheckResult::Unfinished(0)),
            (Content::Snapshot, Some(_)) => check_picture(&read, size),
            (Content::Video, whole) => Ok(match check_video(&read, size) {
                Ok((_, end)) if end == size && whole.is_some() => CheckResult::Whole,
                Ok((millis, _)) if whole.is_none() => CheckResult::Unfinished(millis),
                Ok((millis, end)) => {
                    CheckResult::Damaged(format!("behind byte {end}, after {millis} ms"))
                }
                Err(ReadError::Io(error)) => return Err(error),
                Err(ReadError::Damaged(damaged)) => CheckResult::Damaged(damaged.0.to_owned()),
            }),
        }
    }
}

/// Playing time of the part that is as it was written, in milliseconds, and the offset of its end.
fn check_video(file: &impl ReadAt, size: u64) -> Result<(u32, u64), ReadError> {
    let head = read_head(file)?;
    let (mut end, mut micros) = (head.size as u64, 0);
    while let Ok(Some(located)) = read_fragment(file, &head.tracks, end, size)
        && is_as_sealed(file, located.sealed())?
    {
        end = located.end();
        micros = located.fragment.end_micros().unwrap_or(micros);
    }
    Ok((u32::try_from(micros / 1000).unwrap_or(0), end))
}

/// Checks that a still begins and ends as JPEG files do.
fn check_picture(file: &impl ReadAt, size: u64) -> io::Result<CheckResult> {
    let (mut first, mut last) = ([0; 2], [0; 2]);
    file.read_at(&mut first, 0)?;
    file.read_at(&mut last, size.saturating_sub(2))?;
    Ok(match (first, last) {
        ([0xff, 0xd8], [0xff, 0xd9]) => CheckResult::Whole,
        _ => CheckResult::Damaged("it is no whole JPEG file".to_owned()),
    })
}
