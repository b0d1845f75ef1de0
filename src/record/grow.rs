//! A file that grows: fragments are added, and when it is whole, what players need to seek is filled
//! in.

use std::{
    io::{self, IoSlice},
    path::Path,
    sync::Arc,
};

use peercam_proto::{
    fmp4::{self, Blanks, Index, SEAL},
    media::{MediaTime, Tracks},
};

use super::{catalog::Entry, disk::DiskFile, failure::Failure, fragmenter::Fragment};

/// A file that grows.
pub(super) struct Growing {
    file: Box<dyn DiskFile>,
    /// Entry of what is written for good.
    pub(super) entry: Entry,
    tracks: Arc<Tracks>,
    /// The time of its first frame.
    origin: MediaTime,
    fragments: u32,
    blanks: Blanks,
    index: Index,
}

impl Growing {
    /// Begins an empty file with this fragment, and syncs it.
    pub(super) fn begin(
        file: Box<dyn DiskFile>,
        entry: Entry,
        fragment: &Fragment,
    ) -> Result<Self, Failure> {
        let head = fmp4::head(&fragment.tracks, entry.start_millis)?;
        let mut growing = Self {
            file,
            entry,
            tracks: Arc::clone(&fragment.tracks),
            origin: fragment.start(),
            fragments: 0,
            blanks: Blanks::find(&head),
            index: Index::new(&fragment.tracks),
        };
        growing.write(&head, fragment)?;
        Ok(growing)
    }

    /// Returns whether this fragment can be added.
    pub(super) fn takes(&self, fragment: &Fragment) -> bool {
        self.tracks == fragment.tracks && self.origin <= fragment.start()
    }

    /// Adds a fragment, and syncs it. One for which there is no room leaves nothing behind.
    pub(super) fn append(&mut self, fragment: &Fragment) -> Result<(), Failure> {
        let written = self.write(&[], fragment);
        if let Err(failure) = &written
            && failure.is_full()
        {
            self.file.truncate(self.entry.size)?;
        }
        written
    }

    fn write(&mut self, head: &[u8], fragment: &Fragment) -> Result<(), Failure> {
        let number = self.fragments + 1;
        let frames = &fragment.frames;
        let index = fmp4::fragment(&self.tracks, frames, self.origin, fragment.end, number)?;
        let payload = fmp4::Fragment::payload(frames);
        let mut parts = vec![IoSlice::new(head), IoSlice::new(&index)];
        parts.extend(payload.map(|frame| IoSlice::new(&frame.data)));
        let mut hasher = crc32fast::Hasher::new();
        for part in &parts[1..] {
            hasher.update(part);
        }
        let seal = fmp4::seal(hasher.finalize());
        parts.push(IoSlice::new(&seal));
        self.file.append(&mut parts)?;
        self.file.sync()?;
        let size = index.len() + fragment.size();
        let read = fmp4::Fragment::parse(&index, &self.tracks, size)?;
        let (size, end) = (
            (size + SEAL) as u64,
            read.end_micros().unwrap_or_default() / 1000,
        );
        self.index.add(size, read.shown());
        self.fragments = number;
        self.entry.size += head.len() as u64 + size;
        self.entry.duration_millis = u32::try_from(end).unwrap_or(u32::MAX);
        Ok(())
    }

    /// Fills in how long it is and where its fragments lie: nothing follows any more.
    pub(super) fn fill_in(&mut self, path: &Path) {
        let millis = self.entry.duration_millis;
        fill_in(self.file.as_mut(), path, &self.blanks, &self.index, millis);
    }
}

/// Fills in what players need to seek. It is whole without: one that cannot be is as good as those
/// of a card that lost power.
pub(super) fn fill_in(
    file: &mut dyn DiskFile,
    path: &Path,
    blanks: &Blanks,
    index: &Index,
    millis: u32,
) {
    let filled: io::Result<()> = index.fill(blanks, millis).into_iter().try_for_each(|part| {
        let mut fillings = part.into_iter();
        fillings.try_for_each(|(offset, bytes)| file.write_at(&bytes, offset))?;
        // What comes next says that this is there.
        file.sync()
    });
    if let Err(error) = filled {
        tracing::warn!(path = %path.display(), %error, "a recording has no index; some players cannot seek in it");
    }
}
