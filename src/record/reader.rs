//! Reads recordings: frames to be played, bytes to be fetched.
//!
//! Keeps: whatever a file says, a player holds no more than `player_memory` of it, and nobody waits
//! for the card but the threads of `readers`.

use std::{
    collections::VecDeque,
    fs::File,
    future::ready,
    io::{self, IoSliceMut},
    sync::Arc,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use peercam_hal::{BoxFuture, HalError, RecordingFile, RecordingReader};
use peercam_proto::media::{FRAME_COST, Frame, MediaTime, TrackKind, Tracks};
use rustix::{
    fs::OFlags,
    io::{ReadWriteFlags, preadv2},
};

use super::{
    catalog::{Catalog, Entry, Key, Lease},
    disk::read_full,
    fragments::{Located, MAX_FRAGMENTS, ReadError, read_fragment, read_head},
    readers::{Readers, Reading},
};

/// Fragments that are looked for at a time, so that others have a turn at a slow card.
const AT_A_TIME: usize = 256;
/// Bytes that a player holds of a card at most, whatever is on it, where fragments of this weight
/// are read: the one whose frames are sent together with the one ahead, that of the frames on their
/// way to the viewer, and the places of all the fragments.
pub const fn player_memory(largest: usize) -> usize {
    2 * largest + MAX_FRAGMENTS * size_of::<SampleLocation>()
}

/// Time for which a file may be between two names.
const RENAMING: Duration = Duration::from_millis(5);

/// A file that is read, by threads that may wait for the card.
struct CardFile {
    /// `None` while it is dropped.
    file: Option<File>,
    readers: Readers,
}

impl CardFile {
    fn read_full(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let _call = self.readers.calls().begin();
        let file = self.file.as_ref().ok_or(io::ErrorKind::NotFound)?;
        read_full(file, buffer, offset)
    }

    /// Reads what the system has in memory; waits for nothing.
    fn read_cached(&self, buffer: &mut [u8], offset: u64) -> Option<usize> {
        let file = self.file.as_ref()?;
        let mut parts = [IoSliceMut::new(buffer)];
        preadv2(file, &mut parts, offset, ReadWriteFlags::NOWAIT).ok()
    }
}

impl Drop for CardFile {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            self.readers.close(file);
        }
    }
}

/// Opens the file of a key where it is now. Blocks.
fn open(
    catalog: &Catalog,
    readers: Readers,
    key: Key,
) -> Result<(Arc<CardFile>, Lease, Entry), HalError> {
    let missing = HalError::Missing;
    for _ in 0..3 {
        let (entry, lease) = catalog.lease(key).ok_or_else(|| missing.clone())?;
        let opened = {
            let _call = readers.calls().begin();
            open_entry(catalog, key, &entry)
        };
        match opened {
            Ok(file) => {
                let file = Some(file);
                return Ok((Arc::new(CardFile { file, readers }), lease, entry));
            }
            // It may just have got its last name.
            Err(error) if error.kind() == io::ErrorKind::NotFound => std::thread::sleep(RENAMING),
            Err(error) => return Err(HalError::Failed(error.to_string())),
        }
    }
    Err(missing)
}

fn open_entry(catalog: &Catalog, key: Key, entry: &Entry) -> io::Result<File> {
    let root = catalog.place().open()?;
    let (file, sizes) = root.open(&Catalog::inside(key.0, entry), OFlags::RDONLY)?;
    if entry.is_open || sizes.bytes == entry.size {
        Ok(file)
    } else {
        Err(io::Error::other("it is not as long as its name says"))
    }
}

fn failed(error: &ReadError) -> HalError {
    HalError::Failed(error.to_string())
}

/// The frames of a fragment, on their way from the card.
type Loading = Reading<Vec<Frame>>;

/// Place of a fragment, and its start.
#[derive(Clone, Copy, Debug)]
struct SampleLocation {
    offset: u64,
    start_micros: i64,
    /// Weight of its frames, rounded up.
    weight_kib: u16,
    is_key: bool,
}

/// Weight of the frames that were read from a fragment, as when they were recorded.
fn weight(located: &Located) -> usize {
    located.size + located.fragment.samples.len() * FRAME_COST
}

/// A recording that is played. Reads one fragment ahead.
pub(super) struct Player {
    file: Arc<CardFile>,
    readers: Readers,
    catalog: Catalog,
    key: Key,
    lease: Lease,
    tracks: Arc<Tracks>,
    /// Bytes that may be read, as far as they are known.
    sealed: u64,
    /// The fragments that are known, and where the next one begins.
    places: Vec<SampleLocation>,
    known_to: u64,
    /// The fragment after the one whose frames are here.
    next: usize,
    frames: VecDeque<Frame>,
    ahead: Option<(usize, Loading)>,
    /// Set if it is read on; after a seek it may be sought again.
    reads_ahead: bool,
}

impl Player {
    pub(super) async fn open(
        catalog: Catalog,
        readers: Readers,
        key: Key,
    ) -> Result<Self, HalError> {
        let within = (catalog.clone(), readers.clone());
        let open = move || {
            let (catalog, readers) = within;
            let (file, lease, entry) = open(&catalog, readers, key)?;
            let head = read_head(&|buffer: &mut [u8], offset| file.read_full(buffer, offset));
            Ok((
                (file, lease, entry.size),
                head.map_err(|error| failed(&error))?,
            ))
        };
        let ((file, lease, sealed), head) = readers.run(open).await?;
        Ok(Self {
            file,
            readers,
            catalog,
            key,
            lease,
            tracks: Arc::new(head.tracks),
            sealed,
            places: Vec::new(),
            known_to: head.size as u64,
            next: 0,
            frames: VecDeque::new(),
            ahead: None,
            reads_ahead: false,
        })
    }

    /// Finds all fragments that are sealed by now.
    async fn look(&mut self) -> Result<(), HalError> {
        if let Some(entry) = self.catalog.entry(self.key) {
            self.sealed = self.sealed.max(entry.size);
        }
        while self.known_to < self.sealed && self.places.len() < MAX_FRAGMENTS {
            let (file, tracks) = (Arc::clone(&self.file), Arc::clone(&self.tracks));
            let (from, sealed) = (self.known_to, self.sealed);
            let found = move || places(&file, &tracks, from, sealed);
            let found = self.readers.run(found).await?;
            let Some((end, found)) = found else {
                break;
            };
            self.known_to = end;
            self.places.reserve_exact(found.len());
            self.places.extend(found);
        }
        Ok(())
    }

    /// Returns the job that reads a fragment.
    fn load(
        &self,
        place: SampleLocation,
    ) -> impl FnOnce() -> Result<Vec<Frame>, HalError> + Send + use<> {
        let (file, tracks, end) = (
            Arc::clone(&self.file),
            Arc::clone(&self.tracks),
            self.known_to,
        );
        move || frames(&file, &tracks, place, end)
    }

    /// Begins to read the next fragment, if both together are no more than one may be.
    fn read_ahead(&self) -> Option<(usize, Loading)> {
        let [current, next] = [self.next.checked_sub(1)?, self.next].map(|at| self.places.get(at));
        let (current, next) = (current?, next?);
        let both = usize::from(current.weight_kib) + usize::from(next.weight_kib);
        let is_small = both << 10 <= self.readers.largest();
        let loading = is_small.then(|| self.readers.ahead(self.load(*next)))??;
        Some((self.next, loading))
    }

    async fn fill(&mut self) -> Result<(), HalError> {
        if self.next >= self.places.len() {
            self.look().await?;
        }
        let Some(place) = self.places.get(self.next) else {
            return Ok(());
        };
        let ahead = self.ahead.take().filter(|(index, _)| *index == self.next);
        let frames = match ahead {
            Some((_, loading)) => loading.done().await?,
            None => self.readers.run(self.load(*place)).await?,
        };
        self.frames = frames.into();
        self.next += 1;
        if std::mem::replace(&mut self.reads_ahead, true) {
            self.ahead = self.read_ahead();
        }
        Ok(())
    }
}

fn places(
    file: &CardFile,
    tracks: &Tracks,
    from: u64,
    sealed: u64,
) -> Result<Option<(u64, Vec<SampleLocation>)>, HalError> {
    let read = |buffer: &mut [u8], offset| file.read_full(buffer, offset);
    let (mut found, mut offset) = (Vec::new(), from);
    while found.len() < AT_A_TIME {
        let located = match read_fragment(&read, tracks, offset, sealed) {
            Ok(Some(located)) => located,
            // What is in front of damage can be played.
            Ok(None) | Err(ReadError::Damaged(_)) => break,
            Err(error) => return Err(failed(&error)),
        };
        // What is in front of one that there is no memory for can be played too.
        let weight = weight(&located);
        if weight > file.readers.largest() {
            break;
        }
        offset = located.end();
        found.push(SampleLocation {
            offset: located.offset,
            weight_kib: u16::try_from(weight.div_ceil(1 << 10)).unwrap_or(u16::MAX),
            start_micros: located.fragment.start_micros().unwrap_or_default(),
            is_key: located.fragment.is_key(),
        });
    }
    Ok((!found.is_empty()).then_some((offset, found)))
}

/// The frames of a fragment, which share one buffer.
fn frames(
    file: &CardFile,
    tracks: &Tracks,
    place: SampleLocation,
    end: u64,
) -> Result<Vec<Frame>, HalError> {
    let read = |buffer: &mut [u8], offset| file.read_full(buffer, offset);
    let located: Option<Located> =
        read_fragment(&read, tracks, place.offset, end).map_err(|error| failed(&error))?;
    let damaged = || HalError::Failed("the recording was cut off while it was read".to_owned());
    // It is looked at again: the card may have changed.
    let is_small = |located: &Located| weight(located) <= usize::from(place.weight_kib) << 10;
    let located = located.filter(is_small).ok_or_else(damaged)?;
    let mut bytes = vec![0; located.size];
    let count = read(&mut bytes, place.offset).map_err(|error| failed(&error.into()))?;
    if count < bytes.len() {
        return Err(damaged());
    }
    let bytes = Bytes::from(bytes);
    let samples = located.fragment.samples.iter();
    let frames = samples.map(|sample| Frame {
        track: sample.track,
        key: sample.key || sample.track == TrackKind::Audio,
        time: MediaTime::from_micros(sample.micros),
        composition_micros: sample.composition_micros,
        data: bytes.slice(sample.offset..sample.offset + sample.size),
    });
    Ok(frames.collect())
}

impl RecordingReader for Player {
    fn tracks(&self) -> &Tracks {
        &self.tracks
    }

    fn keys(&mut self) -> BoxFuture<'_, Result<Vec<i64>, HalError>> {
        Box::pin(async {
            self.look().await?;
            let keys = self.places.iter().filter(|place| place.is_key);
            Ok(keys.map(|place| place.start_micros).collect())
        })
    }

    fn seek(&mut self, position: i64) -> BoxFuture<'_, Result<(), HalError>> {
        Box::pin(async move {
            self.look().await?;
            let before = |place: &SampleLocation| place.is_key && place.start_micros <= position;
            self.next = self.places.iter().rposition(before).unwrap_or(0);
            self.frames.clear();
            self.ahead = None;
            self.reads_ahead = false;
            Ok(())
        })
    }

    fn next(&mut self) -> BoxFuture<'_, Result<Option<Frame>, HalError>> {
        Box::pin(async {
            if self.frames.is_empty() {
                self.fill().await?;
            }
            Ok(self.frames.pop_front())
        })
    }

    fn is_revoked(&self) -> bool {
        self.lease.is_revoked()
    }
}

/// A file that is fetched. What the system has in memory is read at once; of what it has not, one
/// block is read ahead. Deleting it takes nothing away from who has it.
pub(super) struct Fetched {
    file: Arc<CardFile>,
    readers: Readers,
    size: u64,
    tag: String,
    ahead: Option<(u64, Reading<Bytes>)>,
    /// Blocks that were given out; what nobody holds any more is filled again.
    blocks: [Bytes; 3],
}

/// Bytes that are taken at a time of what the system has in memory: as much as a processor's cache
/// holds. Read like this a download is as fast as nginx's without `sendfile`; block by block through
/// another thread it had 0.82 of that speed, and 0.61 with 8 connections (docs/performance.md).
const CACHED: usize = 64 << 10;

impl Fetched {
    pub(super) async fn open(
        catalog: Catalog,
        readers: Readers,
        key: Key,
    ) -> Result<Self, HalError> {
        let within = readers.clone();
        let (file, _, entry) = readers.run(move || open(&catalog, within, key)).await?;
        let size = entry.size;
        // What is filled into the head at the end makes another file of it.
        let state = if entry.is_open { "-open" } else { "" };
        Ok(Self {
            file,
            readers,
            size,
            tag: format!("{}-{}-{size}{state}", key.0, key.1),
            ahead: None,
            blocks: Default::default(),
        })
    }

    /// Bytes that the system has in memory, which are read at once; `None` if a card would have to
    /// be asked.
    fn cached(&mut self, offset: u64, most: usize) -> Option<Bytes> {
        let left = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let index = self.blocks.iter().position(Bytes::is_unique);
        let mut block = match index {
            Some(index) => std::mem::take(&mut self.blocks[index]).try_into_mut(),
            None => Ok(BytesMut::new()),
        }
        .unwrap_or_default();
        block.resize(most.min(CACHED).min(left), 0);
        let read = self.file.read_cached(&mut block, offset)?;
        block.truncate(read);
        let block = block.freeze();
        let free = index.or_else(|| self.blocks.iter().position(Bytes::is_empty));
        if let Some(index) = free {
            self.blocks[index] = block.clone();
        }
        Some(block).filter(|block| !block.is_empty())
    }

    /// Returns the job that reads a block.
    fn load(
        &self,
        offset: u64,
        most: usize,
    ) -> impl FnOnce() -> Result<Bytes, HalError> + Send + use<> {
        let left = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let (file, most) = (Arc::clone(&self.file), most.min(left));
        move || {
            let mut bytes = vec![0; most];
            let read = file.read_full(&mut bytes, offset);
            bytes.truncate(read.map_err(|error| HalError::Failed(error.to_string()))?);
            Ok(Bytes::from(bytes))
        }
    }
}

impl RecordingFile for Fetched {
    fn size(&self) -> u64 {
        self.size
    }

    fn tag(&self) -> String {
        self.tag.clone()
    }

    fn read(&mut self, offset: u64, most: usize) -> BoxFuture<'_, Result<Bytes, HalError>> {
        let ahead = self.ahead.take().filter(|(known, _)| *known == offset);
        if ahead.is_none()
            && let Some(bytes) = self.cached(offset, most)
        {
            return Box::pin(ready(Ok(bytes)));
        }
        Box::pin(async move {
            let bytes = match ahead {
                Some((_, loading)) => loading.done().await?,
                None => self.readers.run(self.load(offset, most)).await?,
            };
            let next = offset + bytes.len() as u64;
            if !bytes.is_empty() && next < self.size {
                let loading = self.readers.ahead(self.load(next, most));
                self.ahead = loading.map(|loading| (next, loading));
            }
            Ok(bytes)
        })
    }
}
