//! Walks over the fragments of a recording.
//!
//! Keeps: a file is anybody's. No memory is taken for a size that was not checked, and of a file
//! that was cut off only what is as it was sealed counts. Writing belongs to `grow`.

use std::{collections::VecDeque, io};

use peercam_proto::{
    fmp4::{
        BOX_HEAD, Blanks, BoxHead, Damaged, Fragment, Head, Index, MAX_HEAD, MAX_INDEX,
        PresentationInterval, SEAL, read_seal,
    },
    media::Tracks,
};

use super::catalog::LONGEST_MILLIS;

/// A larger fragment is not read, however much memory there is: it is read as a whole. Ours have
/// 1 MiB at most, or one picture, which has 2 MiB, and the sound that belongs to it.
pub const LARGEST_FRAGMENT: usize = 3 << 20;
/// Fragments that are looked for in one file: an hour of them, four in a second.
pub(super) const MAX_FRAGMENTS: usize = 16 << 10;
/// Fragments at the end of a file that are looked at for one that is as it was sealed.
const MOST_UNSEALED: usize = 64;

/// Reads bytes of a file: up to the end of the buffer or of the file.
pub(super) trait ReadAt {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl<F: Fn(&mut [u8], u64) -> io::Result<usize>> ReadAt for F {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self(buffer, offset)
    }
}

/// A fragment cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Damaged(#[from] Damaged),
}

/// Place of a fragment in a file, and its index.
#[derive(Clone, Debug)]
pub(super) struct Located {
    /// Its first byte in the file.
    pub(super) offset: u64,
    /// Bytes of index and data.
    pub(super) size: usize,
    /// Check sum of these bytes, from its seal.
    pub(super) sum: u32,
    /// Its parsed index.
    pub(super) fragment: Fragment,
}

/// The bytes of a fragment and what they were summed up to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sealed {
    offset: u64,
    size: usize,
    sum: u32,
}

impl Located {
    pub(super) fn sealed(&self) -> Sealed {
        Sealed {
            offset: self.offset,
            size: self.size,
            sum: self.sum,
        }
    }

    /// Offset of the next one.
    pub(super) fn end(&self) -> u64 {
        self.offset + (self.size + SEAL) as u64
    }
}

/// The head of a file.
pub(super) fn read_head(file: &impl ReadAt) -> Result<Head, ReadError> {
    let mut bytes = vec![0; MAX_HEAD];
    let count = file.read_at(&mut bytes, 0)?;
    Ok(Head::parse(&bytes[..count])?)
}

/// The fragment at `offset`; `None` if there is no whole one up to `end`.
pub(super) fn read_fragment(
    file: &impl ReadAt,
    tracks: &Tracks,
    offset: u64,
    end: u64,
) -> Result<Option<Located>, ReadError> {
    let Some(head) = box_head(file, offset, *b"moof", end)? else {
        return Ok(None);
    };
    let index_size = usize::try_from(head.size).unwrap_or(usize::MAX);
    if index_size > MAX_INDEX {
        return Err(Damaged("the index of a fragment is too large").into());
    }
    let Some(data) = box_head(file, offset + head.size, *b"mdat", end)? else {
        return Ok(None);
    };
    let size = head.size + data.size;
    if size > LARGEST_FRAGMENT as u64 {
        return Err(Damaged("a fragment is too large").into());
    }
    let mut seal = [0; SEAL];
    if offset + size + SEAL as u64 > end || file.read_at(&mut seal, offset + size)? < SEAL {
        return Ok(None);
    }
    let sum = read_seal(&seal).ok_or(Damaged("a fragment has no seal"))?;
    let size = usize::try_from(size).map_err(|_| Damaged("a fragment is too large"))?;
    let mut index = vec![0; index_size];
    if file.read_at(&mut index, offset)? < index_size {
        return Ok(None);
    }
    let fragment = Fragment::parse(&index, tracks, size)?;
    Ok(Some(Located {
        offset,
        size,
        sum,
        fragment,
    }))
}

fn box_head(
    file: &impl ReadAt,
    offset: u64,
    kind: [u8; 4],
    end: u64,
) -> Result<Option<BoxHead>, ReadError> {
    let mut bytes = [0; BOX_HEAD];
    if offset + BOX_HEAD as u64 > end || file.read_at(&mut bytes, offset)? < BOX_HEAD {
        return Ok(None);
    }
    let head = BoxHead::parse(bytes)?;
    if head.kind != kind {
        return Err(Damaged("something else is where a fragment should be").into());
    }
    Ok((head.size <= end - offset).then_some(head))
}

/// Returns whether the bytes of a fragment are those that were sealed.
pub(super) fn is_as_sealed(file: &impl ReadAt, located: Sealed) -> io::Result<bool> {
    const BLOCK: usize = 64 << 10;
    let mut hasher = crc32fast::Hasher::new();
    let mut block = vec![0; BLOCK.min(located.size)];
    let mut done = 0;
    while done < located.size {
        let most = block.len().min(located.size - done);
        let count = file.read_at(&mut block[..most], located.offset + done as u64)?;
        if count == 0 {
            return Ok(false);
        }
        hasher.update(&block[..count]);
        done += count;
    }
    Ok(hasher.finalize() == located.sum)
}

/// The part of a file that is whole, and what is to be filled into its head.
pub(super) struct WholePart {
    /// Its bytes, from the file's first one on.
    pub(super) size: u64,
    /// Its playing time.
    pub(super) millis: u32,
    /// The head's blanks.
    pub(super) blanks: Blanks,
    /// Values that go into them.
    pub(super) index: Index,
}

/// A fragment that may be none: it was not looked at whether it is as it was sealed.
struct Unsealed {
    sealed: Sealed,
    millis: u32,
    shown: Option<PresentationInterval>,
}

impl WholePart {
    fn add(&mut self, next: &Unsealed) {
        let bytes = (next.sealed.size + SEAL) as u64;
        self.size = next.sealed.offset + bytes;
        self.millis = next.millis;
        self.index.add(bytes, next.shown);
    }
}

/// The part of a file that is whole. `None` if nothing of it can be played.
pub(super) fn whole_part(file: &impl ReadAt, size: u64) -> io::Result<Option<WholePart>> {
    let head = match read_head(file) {
        Ok(head) => head,
        Err(ReadError::Io(error)) => return Err(error),
        Err(ReadError::Damaged(_)) => return Ok(None),
    };
    let mut part = WholePart {
        size: 0,
        millis: 0,
        index: Index::new(&head.tracks),
        blanks: head.blanks,
    };
    // What was not synced may have a size and no content. All but the last one was; a file that is
    // worse is no reason to read all of it.
    let mut unsealed = VecDeque::new();
    let mut offset = head.size as u64;
    for _ in 0..MAX_FRAGMENTS {
        let located = match read_fragment(file, &head.tracks, offset, size) {
            Ok(Some(located)) => located,
            Err(ReadError::Io(error)) => return Err(error),
            Ok(None) | Err(ReadError::Damaged(_)) => break,
        };
        offset = located.end();
        let micros = located.fragment.end_micros().unwrap_or_default();
        let millis = micros / 1000;
        // What follows is dated after all that is recorded.
        let Some(millis) = u32::try_from(millis)
            .ok()
            .filter(|_| millis <= LONGEST_MILLIS)
        else {
            break;
        };
        if unsealed.len() == MOST_UNSEALED
            && let Some(oldest) = unsealed.pop_front()
        {
            part.add(&oldest);
        }
        unsealed.push_back(Unsealed {
            sealed: located.sealed(),
            millis,
            shown: located.fragment.shown(),
        });
    }
    while let Some(last) = unsealed.back()
        && !is_as_sealed(file, last.sealed)?
    {
        unsealed.pop_back();
    }
    unsealed.iter().for_each(|next| part.add(next));
    Ok((part.size > 0).then_some(part))
}
