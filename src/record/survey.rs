//! Looks at a card without changing anything on it, such as one in a laptop.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use super::{
    disk::{Disk, SystemDisk, read_full},
    fragments::{ReadAt, ReadError, is_as_sealed, read_fragment, read_head},
    name::FileName,
    scan,
};
use crate::media::{ChannelId, Content};

/// A file on a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its channel.
    pub channel: ChannelId,
    /// What its name says.
    pub name: FileName,
    /// Where it is.
    pub path: PathBuf,
}

/// What a closer look at a file found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is as it was written.
    Whole,
    /// It was being written when the power went, or is being written now: so much of it plays, in
    /// milliseconds. A recorder that finds it gives it its name.
    Unfinished(u32),
    /// It is not as it was written, for this reason.
    Damaged(String),
}

/// The files of recordings under `root`, by channel and start.
///
/// # Errors
/// Whatever the system says.
pub fn survey(root: &Path) -> io::Result<Vec<Found>> {
    let disk = SystemDisk::default();
    let mut found = Vec::new();
    for (channel, directory) in scan::directories(&disk, root)? {
        let names = disk.list(&directory)?.into_iter();
        found.extend(names.filter_map(|name| {
            Some(Found {
                channel,
                name: FileName::parse(&name)?,
                path: directory.join(name),
            })
        }));
    }
    found.sort_by_key(|one| (one.channel, one.name.start_millis, one.name.content));
    Ok(found)
}

impl Found {
    /// Reads all of the file and compares it with its check sums.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn check(&self) -> io::Result<Verdict> {
        let file = File::open(&self.path)?;
        let size = file.metadata()?.len();
        if let Some(whole) = self.name.whole
            && whole.size != size
        {
            let promised = whole.size;
            let reason = format!("it has {size} bytes, and its name says {promised}");
            return Ok(Verdict::Damaged(reason));
        }
        let read = |buffer: &mut [u8], offset| read_full(&file, buffer, offset);
        match (self.name.content, self.name.whole) {
            (Content::Picture, None) => Ok(Verdict::Unfinished(0)),
            (Content::Picture, Some(_)) => check_picture(&read, size),
            (Content::Video, whole) => Ok(match check_video(&read, size) {
                Ok((_, end)) if end == size && whole.is_some() => Verdict::Whole,
                Ok((millis, _)) if whole.is_none() => Verdict::Unfinished(millis),
                Ok((millis, end)) => {
                    Verdict::Damaged(format!("behind byte {end}, after {millis} ms"))
                }
                Err(ReadError::Io(error)) => return Err(error),
                Err(ReadError::Damaged(damaged)) => Verdict::Damaged(damaged.0.to_owned()),
            }),
        }
    }
}

/// How long the part plays that is as it was written, and where it ends.
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

/// Whether a still begins and ends as JPEG files do.
fn check_picture(file: &impl ReadAt, size: u64) -> io::Result<Verdict> {
    let (mut first, mut last) = ([0; 2], [0; 2]);
    file.read_at(&mut first, 0)?;
    file.read_at(&mut last, size.saturating_sub(2))?;
    Ok(match (first, last) {
        ([0xff, 0xd8], [0xff, 0xd9]) => Verdict::Whole,
        _ => Verdict::Damaged("it is no whole JPEG file".to_owned()),
    })
}
