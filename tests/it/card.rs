//! A card in memory that loses power: what was not synced is gone, or torn, or half there.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, IoSlice},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use peercam::record::disk::{Disk, DiskFile, Sizes, Visit};

/// A small generator of random numbers, so that a failure can be had again by its seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }

    fn is(&mut self) -> bool {
        self.below(2) == 1
    }
}

/// What the system holds of a file, and what of that is on the card for good.
#[derive(Clone, Debug, Default)]
struct Content {
    now: Vec<u8>,
    synced: Vec<u8>,
}

/// A change of names that is not on the card yet.
#[derive(Clone, Debug)]
enum Change {
    Add(PathBuf, usize),
    Rename(PathBuf, PathBuf, usize),
    Remove(PathBuf),
}

#[derive(Clone, Debug, Default)]
struct Model {
    contents: Vec<Content>,
    names: BTreeMap<PathBuf, usize>,
    synced_names: BTreeMap<PathBuf, usize>,
    changes: Vec<Change>,
    directories: BTreeSet<PathBuf>,
    calls: usize,
    failing: Option<Failing>,
    /// Bytes that it holds.
    room: usize,
}

/// When calls fail, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failing {
    /// The first call.
    pub(crate) from: usize,
    /// How many of them.
    pub(crate) calls: usize,
    pub(crate) kind: io::ErrorKind,
}

/// The card. Every copy is the same one.
#[derive(Clone)]
pub(crate) struct Card(Arc<Mutex<Model>>);

impl Card {
    pub(crate) fn new() -> Self {
        let model = Model {
            room: usize::MAX,
            ..Model::default()
        };
        Self(Arc::new(Mutex::new(model)))
    }

    pub(crate) fn fail(&self, failing: Option<Failing>) {
        self.0.lock().unwrap().failing = failing;
    }

    pub(crate) fn calls(&self) -> usize {
        self.0.lock().unwrap().calls
    }

    pub(crate) fn set_room(&self, bytes: usize) {
        self.0.lock().unwrap().room = bytes;
    }

    /// Every file that can be seen.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let model = self.0.lock().unwrap();
        let files = model.names.iter();
        files
            .map(|(path, content)| (path.clone(), model.contents[*content].now.clone()))
            .collect()
    }

    /// The power goes and comes back: a card with what was left.
    pub(crate) fn cut_power(&self, random: &mut Random) -> Self {
        let before = self.0.lock().unwrap();
        let mut names = before.synced_names.clone();
        for change in &before.changes {
            // Nothing says in which order a card does what was not synced.
            match (change, random.below(3)) {
                (_, 0) => {}
                (Change::Add(path, content), _) => {
                    names.insert(path.clone(), *content);
                }
                (Change::Remove(path), _) => {
                    names.remove(path);
                }
                (Change::Rename(from, to, content), kind) => {
                    names.insert(to.clone(), *content);
                    if kind == 1 {
                        names.remove(from);
                    }
                }
            }
        }
        let contents = before.contents.iter().map(|content| torn(content, random));
        let contents = contents.map(|now| Content {
            synced: now.clone(),
            now,
        });
        let after = Model {
            contents: contents.collect(),
            synced_names: names.clone(),
            names,
            directories: before.directories.clone(),
            room: usize::MAX,
            ..Model::default()
        };
        Self(Arc::new(Mutex::new(after)))
    }

    fn call<T>(&self, act: impl FnOnce(&mut Model) -> io::Result<T>) -> io::Result<T> {
        let mut model = self.0.lock().unwrap();
        let number = model.calls;
        model.calls += 1;
        match model.failing {
            Some(failing)
                if (failing.from..failing.from.saturating_add(failing.calls)).contains(&number) =>
            {
                Err(failing.kind.into())
            }
            _ => act(&mut model),
        }
    }
}

/// A card writes so many bytes at once, or not at all: fewer than any real one, so that small files
/// have many.
const SECTOR: usize = 64;

/// What is left of a file's content: what was synced, of what was written over it some sectors, and
/// of the rest some, in whatever state.
fn torn(content: &Content, random: &mut Random) -> Vec<u8> {
    let Content { now, synced } = content;
    if now.len() < synced.len() {
        // It was cut shorter, and that was not synced.
        return if random.is() {
            now.clone()
        } else {
            synced.clone()
        };
    }
    let rest = now.len() - synced.len();
    let kept = synced.len() + random.below(rest as u64 + 1) as usize;
    let mut left = now[..kept].to_vec();
    let old = left.chunks_mut(SECTOR).zip(synced.chunks(SECTOR));
    for (sector, old) in old {
        let over = &mut sector[..old.len()];
        if over != old && random.is() {
            over.copy_from_slice(old);
        }
    }
    match random.below(4) {
        // The size is there and the content is not.
        0 => left[synced.len()..].fill(0),
        1 => left.resize(now.len(), 0),
        2 => {
            for sector in left[synced.len()..].chunks_mut(SECTOR) {
                if random.is() {
                    sector.fill(0xff);
                }
            }
        }
        _ => {}
    }
    left
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Disk for Card {
    fn claim(&self, root: &Path) -> io::Result<()> {
        self.make_directory(root)
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        self.call(|model| {
            model
                .directories
                .extend(path.ancestors().map(Path::to_owned));
            Ok(())
        })
    }

    fn visit(&self, path: &Path, visit: &mut Visit<'_>) -> io::Result<()> {
        let found = self.call(|model| {
            let files = model.names.iter().map(|(name, content)| {
                let bytes = model.contents[*content].now.len() as u64;
                let allocated = bytes;
                (name, Some(Sizes { bytes, allocated }))
            });
            let inside = files.chain(model.directories.iter().map(|name| (name, None)));
            let inside = inside.filter(|(name, _)| name.parent() == Some(path));
            let names =
                inside.filter_map(|(name, sizes)| Some((name.file_name()?.to_owned(), sizes)));
            Ok(names.collect::<Vec<_>>())
        })?;
        for (name, sizes) in found {
            let sizes = || sizes.ok_or_else(|| io::ErrorKind::InvalidData.into());
            if visit(name.to_str().unwrap(), &sizes).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.call(|model| {
            if model.names.contains_key(path) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let content = model.contents.len();
            model.contents.push(Content::default());
            model.names.insert(path.to_owned(), content);
            model.changes.push(Change::Add(path.to_owned(), content));
            Ok(content)
        })
        .map(|content| -> Box<dyn DiskFile> { Box::new(CardFile(self.clone(), content)) })
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let content = self.call(|model| model.names.get(path).copied().ok_or_else(missing))?;
        Ok(Box::new(CardFile(self.clone(), content)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(|model| {
            let content = model.names.remove(from).ok_or_else(missing)?;
            model.names.insert(to.to_owned(), content);
            let change = Change::Rename(from.to_owned(), to.to_owned(), content);
            model.changes.push(change);
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.call(|model| {
            model.names.remove(path).ok_or_else(missing)?;
            model.changes.push(Change::Remove(path.to_owned()));
            Ok(())
        })
    }

    fn remove_directory(&self, _path: &Path) -> io::Result<()> {
        self.call(|_| Err(io::ErrorKind::DirectoryNotEmpty.into()))
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.call(|model| {
            let is_inside = |change: &Change| {
                let (Change::Add(name, _) | Change::Rename(name, ..) | Change::Remove(name)) =
                    change;
                name.parent() == Some(path)
            };
            model.changes.retain(|change| !is_inside(change));
            model
                .synced_names
                .retain(|name, _| name.parent() != Some(path));
            let inside = model
                .names
                .iter()
                .filter(|(name, _)| name.parent() == Some(path));
            let inside: Vec<_> = inside
                .map(|(name, content)| (name.clone(), *content))
                .collect();
            model.synced_names.extend(inside);
            Ok(())
        })
    }

    fn free(&self, _path: &Path) -> io::Result<u64> {
        self.call(|model| Ok(model.free() as u64))
    }
}

impl Model {
    fn free(&self) -> usize {
        let used: usize = self
            .names
            .values()
            .map(|content| self.contents[*content].now.len())
            .sum();
        self.room.saturating_sub(used)
    }
}

struct CardFile(Card, usize);

impl DiskFile for CardFile {
    fn append(&mut self, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        self.0.call(|model| {
            let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
            let fits = bytes.len().min(model.free());
            model.contents[self.1].now.extend_from_slice(&bytes[..fits]);
            match fits == bytes.len() {
                true => Ok(()),
                false => Err(io::ErrorKind::StorageFull.into()),
            }
        })
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.call(|model| {
            let content = &mut model.contents[self.1].now;
            let over = content.get_mut(offset as usize..);
            let over = over.and_then(|rest| rest.get_mut(..bytes.len()));
            over.expect("over what is there").copy_from_slice(bytes);
            Ok(())
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.call(|model| {
            let content = &mut model.contents[self.1];
            content.synced.clone_from(&content.now);
            Ok(())
        })
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.call(|model| {
            let content = &model.contents[self.1].now;
            let rest = content.get(offset as usize..).unwrap_or_default();
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            Ok(count)
        })
    }

    fn sizes(&self) -> io::Result<Sizes> {
        self.0.call(|model| {
            let bytes = model.contents[self.1].now.len() as u64;
            let allocated = bytes;
            Ok(Sizes { bytes, allocated })
        })
    }

    fn truncate(&mut self, size: u64) -> io::Result<()> {
        self.0.call(|model| {
            model.contents[self.1].now.truncate(size as usize);
            Ok(())
        })
    }
}
