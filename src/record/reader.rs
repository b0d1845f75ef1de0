//! Reads recordings: frames to be played, bytes to be fetched.

use std::{
    collections::VecDeque,
    fs::File,
    future::ready,
    io::{self, IoSliceMut},
    sync::Arc,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use rustix::{
    fs::OFlags,
    io::{ReadWriteFlags, preadv2},
};
use tokio::task::{JoinHandle, spawn_blocking};

use super::{
    catalog::{Catalog, Key, Lease},
    disk::read_full,
    fragments::{Located, MOST, ReadError, read_fragment, read_head},
};
use crate::{
    hal::{BoxFuture, HalError, RecordingFile, RecordingReader},
    media::{Frame, MediaTime, TrackKind, Tracks},
};

/// How long a file may be between two names.
const RENAMING: Duration = Duration::from_millis(5);

/// Opens the file of a key where it is now. Blocks.
pub(super) fn open(catalog: &Catalog, key: Key) -> Result<(Arc<File>, Lease, u64), HalError> {
    let missing = HalError::Missing;
    for _ in 0..3 {
        let (entry, lease) = catalog.lease(key).ok_or_else(|| missing.clone())?;
        let opened = catalog.place().open().and_then(|root| {
            let (file, sizes) = root.open(&Catalog::inside(key.0, &entry), OFlags::RDONLY)?;
            match entry.is_open || sizes.bytes == entry.size {
                true => Ok(file),
                false => Err(io::Error::other("it is not as long as its name says")),
            }
        });
        match opened {
            Ok(file) => return Ok((Arc::new(file), lease, entry.size)),
            // It may just have got its last name.
            Err(error) if error.kind() == io::ErrorKind::NotFound => std::thread::sleep(RENAMING),
            Err(error) => return Err(HalError::Failed(error.to_string())),
        }
    }
    Err(missing)
}

fn failed(error: &ReadError) -> HalError {
    HalError::Failed(error.to_string())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, HalError> + Send + 'static,
) -> Result<T, HalError> {
    joined(spawn_blocking(work)).await
}

async fn joined<T>(work: JoinHandle<Result<T, HalError>>) -> Result<T, HalError> {
    let result = work.await;
    result.unwrap_or_else(|error| Err(HalError::Failed(error.to_string())))
}

/// The frames of a fragment, on their way from the card.
type Loading = JoinHandle<Result<Vec<Frame>, HalError>>;

/// Where a fragment lies and when it starts.
#[derive(Clone, Copy, Debug)]
struct Place {
    offset: u64,
    end: u64,
    start_micros: i64,
    is_key: bool,
}

/// A recording that is played. Reads one fragment ahead.
pub(super) struct Player {
    file: Arc<File>,
    catalog: Catalog,
    key: Key,
    lease: Lease,
    tracks: Arc<Tracks>,
    /// What may be read, as far as it is known.
    sealed: u64,
    /// The fragments that are known, and where the next one begins.
    places: Vec<Place>,
    known_to: u64,
    /// The fragment after the one whose frames are here.
    next: usize,
    frames: VecDeque<Frame>,
    ahead: Option<(usize, Loading)>,
    /// It is read on; after a seek it may be sought again.
    reads_ahead: bool,
}

impl Player {
    pub(super) async fn open(catalog: Catalog, key: Key) -> Result<Self, HalError> {
        let within = catalog.clone();
        let ((file, lease, sealed), head) = blocking(move || {
            let (file, lease, sealed) = open(&within, key)?;
            let head = read_head(&|buffer: &mut [u8], offset| read_full(&file, buffer, offset));
            Ok(((file, lease, sealed), head.map_err(|error| failed(&error))?))
        })
        .await?;
        Ok(Self {
            file,
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
        if self.known_to >= self.sealed {
            return Ok(());
        }
        let (file, tracks) = (Arc::clone(&self.file), Arc::clone(&self.tracks));
        let (from, sealed) = (self.known_to, self.sealed);
        let found = blocking(move || places(&file, &tracks, from, sealed)).await?;
        if let Some(last) = found.last() {
            self.known_to = last.end;
        }
        self.places.extend(found);
        Ok(())
    }

    fn load(&self, index: usize) -> Option<Loading> {
        let place = *self.places.get(index)?;
        let (file, tracks) = (Arc::clone(&self.file), Arc::clone(&self.tracks));
        Some(spawn_blocking(move || frames(&file, &tracks, place)))
    }

    async fn fill(&mut self) -> Result<(), HalError> {
        if self.next >= self.places.len() {
            self.look().await?;
        }
        let loading = match self.ahead.take() {
            Some((index, loading)) if index == self.next => Some(loading),
            _ => self.load(self.next),
        };
        let Some(loading) = loading else {
            return Ok(());
        };
        self.frames = joined(loading).await?.into();
        self.next += 1;
        if std::mem::replace(&mut self.reads_ahead, true) {
            self.ahead = self.load(self.next).map(|loading| (self.next, loading));
        }
        Ok(())
    }
}

fn places(file: &File, tracks: &Tracks, from: u64, sealed: u64) -> Result<Vec<Place>, HalError> {
    let read = |buffer: &mut [u8], offset| read_full(file, buffer, offset);
    let (mut found, mut offset) = (Vec::new(), from);
    while found.len() < MOST {
        let located = match read_fragment(&read, tracks, offset, sealed) {
            Ok(Some(located)) => located,
            // What is in front of damage can be played.
            Ok(None) | Err(ReadError::Damaged(_)) => break,
            Err(error) => return Err(failed(&error)),
        };
        offset = located.end();
        found.push(Place {
            offset: located.offset,
            end: offset,
            start_micros: located.fragment.start_micros().unwrap_or_default(),
            is_key: located.fragment.is_key(),
        });
    }
    Ok(found)
}

/// The frames of a fragment, which share one buffer.
fn frames(file: &File, tracks: &Tracks, place: Place) -> Result<Vec<Frame>, HalError> {
    let read = |buffer: &mut [u8], offset| read_full(file, buffer, offset);
    let located: Option<Located> =
        read_fragment(&read, tracks, place.offset, place.end).map_err(|error| failed(&error))?;
    let damaged = || HalError::Failed("the recording was cut off while it was read".to_owned());
    let located = located.ok_or_else(damaged)?;
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
            let before = |place: &Place| place.is_key && place.start_micros <= position;
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
    file: Arc<File>,
    size: u64,
    tag: String,
    ahead: Option<(u64, JoinHandle<Result<Bytes, HalError>>)>,
    /// Blocks that were given out; what nobody holds any more is filled again.
    blocks: [Bytes; 3],
}

/// What is taken at a time of what the system has in memory: as much as a processor's cache holds.
const CACHED: usize = 64 << 10;

impl Fetched {
    pub(super) async fn open(catalog: Catalog, key: Key) -> Result<Self, HalError> {
        let (file, _, size) = blocking(move || open(&catalog, key)).await?;
        Ok(Self {
            file,
            size,
            tag: format!("{}-{}-{size}", key.0, key.1),
            ahead: None,
            blocks: Default::default(),
        })
    }

    /// What the system has in memory of it, which is read at once; `None` if a card would have to
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
        let mut parts = [IoSliceMut::new(&mut block)];
        let read = preadv2(&*self.file, &mut parts, offset, ReadWriteFlags::NOWAIT).ok()?;
        block.truncate(read);
        let block = block.freeze();
        let free = index.or_else(|| self.blocks.iter().position(Bytes::is_empty));
        if let Some(index) = free {
            self.blocks[index] = block.clone();
        }
        Some(block).filter(|block| !block.is_empty())
    }

    fn load(&self, offset: u64, most: usize) -> JoinHandle<Result<Bytes, HalError>> {
        let left = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let (file, most) = (Arc::clone(&self.file), most.min(left));
        spawn_blocking(move || {
            let mut bytes = vec![0; most];
            let read = read_full(&file, &mut bytes, offset);
            bytes.truncate(read.map_err(|error| HalError::Failed(error.to_string()))?);
            Ok(Bytes::from(bytes))
        })
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
        let loading = ahead.map_or_else(|| self.load(offset, most), |(_, loading)| loading);
        Box::pin(async move {
            let bytes = joined(loading).await?;
            let next = offset + bytes.len() as u64;
            if !bytes.is_empty() && next < self.size {
                self.ahead = Some((next, self.load(next, most)));
            }
            Ok(bytes)
        })
    }
}
