//! File system calls of the recorder, as a trait, so that a test can be one that fails.
//!
//! Keeps: one process at a time writes to a card; what lies on it is opened beneath the handle of
//! its directory, never by a path from the root, since a link there is an order to a program with
//! more rights than who made it.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, IoSlice, Seek, SeekFrom, Write},
    ops::ControlFlow,
    os::unix::fs::{DirBuilderExt, FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{Arc, MutexGuard},
};

use peercam_task::boundary::Guarded;
use rustix::fs::{Access, OFlags, StatVfsMountFlags, access, statvfs};

use super::{Config, beneath::Directory};

/// A card or disk. Calls block; the recorder's thread makes them.
pub trait Disk: Send {
    /// Makes sure that this directory can be had, and by nobody else; it is made if it is not
    /// there. Holds until the disk is dropped or this is called again.
    fn claim(&self, root: &Path) -> io::Result<()>;

    /// Makes a directory and those above it, so that they outlast a power cut.
    fn make_directory(&self, path: &Path) -> io::Result<()>;

    /// Goes through the names in a directory, in no order.
    fn visit(&self, path: &Path, visit: &mut Visit<'_>) -> io::Result<()>;

    /// Makes a file that must not be there yet.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a plain file to be read and cut.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Gives a file of a directory another name in it. A power cut may undo it until the directory
    /// is synced.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes a directory, if it is empty.
    fn remove_directory(&self, path: &Path) -> io::Result<()>;

    /// Makes names in a directory outlast a power cut.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;

    /// Bytes that can still be written.
    fn free(&self, path: &Path) -> io::Result<u64>;
}

/// Action for each name of a directory, until it breaks off. What the name stands for is looked at
/// if that is asked for; an error: it is no plain file.
pub type Visit<'a> = dyn FnMut(&str, &dyn Fn() -> io::Result<Sizes>) -> ControlFlow<()> + 'a;

/// Sizes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes in it.
    pub bytes: u64,
    /// Bytes of the card that it takes: fewer, if there are holes in it.
    pub allocated: u64,
}

/// An open file.
pub trait DiskFile: Send {
    /// Writes all of this at the end. After an error some of it may be there.
    fn append(&mut self, parts: &mut [IoSlice<'_>]) -> io::Result<()>;

    /// Writes these bytes over those that are there.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes what was written outlast a power cut.
    fn sync(&mut self) -> io::Result<()>;

    /// Reads up to the end of the buffer or of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Sizes of it now.
    fn sizes(&self) -> io::Result<Sizes>;

    /// Cuts it to this size.
    fn truncate(&mut self, size: u64) -> io::Result<()>;
}

/// Location of the recordings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// The directory. Above it links are followed: whoever wrote the configuration made them.
    pub path: PathBuf,
    /// Directory that must be a mount point for there to be a card; `None`: it is always there.
    /// Below it nothing is followed.
    pub mount: Option<PathBuf>,
}

impl Root {
    /// Opens it.
    pub(super) fn open(&self) -> io::Result<Directory> {
        let (above, below) = self.above()?;
        match self.mount {
            Some(_) => above.beneath(below),
            None => match below.file_name() {
                Some(name) => above.child(name),
                None => Ok(above),
            },
        }
        .map_err(|error| self.explained(error))
    }

    /// Opens it, or makes it.
    fn make(&self) -> io::Result<Directory> {
        if self.mount.is_none() {
            make_above(above(&self.path))?;
        }
        let opened = self.open();
        match &opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let (above, below) = self.above()?;
                above.make(below)
            }
            _ => opened,
        }
    }

    /// The part of the path that is the owner's, open, and the rest.
    fn above(&self) -> io::Result<(Directory, &Path)> {
        let Some(mount) = &self.mount else {
            let name = self.path.file_name().map_or(Path::new(""), Path::new);
            return Ok((Directory::named(above(&self.path))?, name));
        };
        let missing = || {
            let reason = format!("no card is mounted at {}", mount.display());
            io::Error::new(io::ErrorKind::NotFound, reason)
        };
        let card = match Directory::named(mount) {
            // A card may be mounted on a directory that is made for it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing()),
            card => card?,
        };
        if !card.is_mount_point()? {
            return Err(missing());
        }
        let below = self.path.strip_prefix(mount).map_err(|_| missing())?;
        Ok((card, below))
    }

    fn explained(&self, error: io::Error) -> io::Error {
        match error.kind() {
            io::ErrorKind::InvalidData => io::Error::other(format!(
                "{} cannot be used for recordings: {error}",
                self.path.display()
            )),
            _ => error,
        }
    }
}

/// Free bytes of the card that recordings go to, which can be written to. Makes nothing.
///
/// # Errors
/// If it is not mounted, or nothing can be written there.
pub fn free_space(config: &Config) -> io::Result<u64> {
    let root = Root {
        path: config.path.clone(),
        mount: config.mount.clone(),
    };
    if root.mount.is_some() {
        root.above()?;
    }
    let existing = root.path.ancestors().find(|path| path.exists());
    let existing = existing.unwrap_or(Path::new("."));
    let system = statvfs(existing)?;
    if system.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Err(io::ErrorKind::ReadOnlyFilesystem.into());
    }
    // To make something in a directory takes both.
    access(existing, Access::WRITE_OK | Access::EXEC_OK)?;
    Ok(system.f_bavail * system.f_frsize)
}

/// The directory of a path; that of one that is none in itself, such as `/`.
fn above(path: &Path) -> &Path {
    match path.file_name() {
        Some(_) => path.parent().unwrap_or(Path::new("")),
        None => path,
    }
}

/// Makes a directory that the owner named and those above it, so that they outlast a power cut.
fn make_above(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    let above = above(path);
    make_above(above)?;
    match DirBuilder::new().mode(0o750).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    if let Err(error) = Directory::named(above).and_then(|above| above.sync()) {
        // Otherwise it would be taken for one that is there for good.
        let _ = fs::remove_dir(path);
        return Err(error);
    }
    Ok(())
}

/// Cards and disks of the system.
#[derive(Debug, Default)]
pub struct SystemDisk {
    mount: Option<PathBuf>,
    claimed: Guarded<Option<Claimed>>,
}

/// A card that is ours.
#[derive(Debug)]
struct Claimed {
    root: Root,
    directory: Arc<Directory>,
    /// `None` on a card that can be read only.
    _lock: Option<File>,
}

impl SystemDisk {
    /// A disk whose card is mounted here; `None`: it is always there.
    pub fn new(mount: Option<PathBuf>) -> Self {
        Self {
            mount,
            claimed: Guarded::default(),
        }
    }

    fn claimed(&self) -> MutexGuard<'_, Option<Claimed>> {
        self.claimed.lock()
    }

    /// The directory of the recordings, and the part of a path that is in it.
    fn inside<'p>(&self, path: &'p Path) -> io::Result<(Arc<Directory>, &'p Path)> {
        let claimed = self.claimed();
        let claimed = claimed.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let inside = path.strip_prefix(&claimed.root.path);
        let inside = inside.map_err(|_| io::ErrorKind::InvalidInput)?;
        Ok((Arc::clone(&claimed.directory), inside))
    }
}

/// The file by which a second process sees that there is a first.
const LOCK: &str = ".peercam-lock";

/// Locks a card.
fn lock(root: &Root, directory: &Directory) -> io::Result<File> {
    let (path, flags) = (Path::new(LOCK), OFlags::RDWR | OFlags::APPEND);
    let opened = match directory.open(path, flags) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => directory.create(path, flags),
        opened => opened.map(|(file, _)| file),
    };
    let file = opened.map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => {
            let lock = root.path.join(LOCK);
            io::Error::other(format!("{} cannot be locked: {error}", lock.display()))
        }
        _ => error,
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            "another process records into it",
        )),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

impl Disk for SystemDisk {
    fn claim(&self, path: &Path) -> io::Result<()> {
        let mut claimed = self.claimed();
        // The file of a card that was pulled is of no use for the one that is there now.
        *claimed = None;
        let root = Root {
            path: path.to_owned(),
            mount: self.mount.clone(),
        };
        let directory = root.make()?;
        let (lock, read_only) = match lock(&root, &directory) {
            Ok(lock) => (Some(lock), None),
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => (None, Some(error)),
            Err(error) => return Err(error),
        };
        *claimed = Some(Claimed {
            root,
            directory: Arc::new(directory),
            _lock: lock,
        });
        read_only.map_or(Ok(()), Err)
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        let (root, inside) = self.inside(path)?;
        let made = root.make(inside).map(drop);
        made.map_err(|error| match error.kind() {
            // What is in the way is to be found by who reads that.
            kind @ io::ErrorKind::InvalidData => {
                io::Error::new(kind, format!("{}: {error}", path.display()))
            }
            _ => error,
        })
    }

    fn visit(&self, path: &Path, visit: &mut Visit<'_>) -> io::Result<()> {
        let (root, path) = self.inside(path)?;
        root.beneath(path)?.visit(visit)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let (root, path) = self.inside(path)?;
        let file = root.create(path, OFlags::RDWR)?;
        Ok(Box::new(SystemFile(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let (root, path) = self.inside(path)?;
        let (file, _) = root.open(path, OFlags::RDWR)?;
        Ok(Box::new(SystemFile(file)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (root, from) = self.inside(from)?;
        root.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let (root, path) = self.inside(path)?;
        root.remove(path)
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        let (root, path) = self.inside(path)?;
        root.remove_directory(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let (root, path) = self.inside(path)?;
        root.beneath(path)?.sync()
    }

    fn free(&self, _: &Path) -> io::Result<u64> {
        let claimed = self.claimed();
        let claimed = claimed.as_ref().ok_or(io::ErrorKind::NotFound)?;
        if !claimed.root.open()?.is(&claimed.directory) {
            let reason = "another file system is where the card was";
            return Err(io::Error::new(io::ErrorKind::NotFound, reason));
        }
        claimed.directory.free()
    }
}

/// Not opened for appending: Linux would write everything at the end, whatever the offset.
struct SystemFile(File);

impl DiskFile for SystemFile {
    fn append(&mut self, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        self.0.seek(SeekFrom::End(0))?;
        while !parts.is_empty() {
            match self.0.write_vectored(parts) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut parts, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        read_full(&self.0, buffer, offset)
    }

    fn sizes(&self) -> io::Result<Sizes> {
        let metadata = self.0.metadata()?;
        Ok(Sizes {
            bytes: metadata.len(),
            allocated: metadata.blocks() * 512,
        })
    }

    fn truncate(&mut self, size: u64) -> io::Result<()> {
        self.0.set_len(size)
    }
}

/// Fills the buffer, or as much of it as the file has from `offset`.
pub(super) fn read_full(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_on_which_nothing_is_mounted_is_no_card() {
        let directory = tempfile::tempdir().expect("a directory");
        for mount in [directory.path().to_owned(), directory.path().join("none")] {
            let root = mount.join("recordings");
            let refused = SystemDisk::new(Some(mount.clone())).claim(&root);
            let reason = refused.expect_err("no card").to_string();
            assert!(reason.contains("no card is mounted at"), "{reason}");
            assert!(!root.exists(), "nothing is written beside the card");
        }
        let proc = Root {
            path: PathBuf::from("/proc/self"),
            mount: Some(PathBuf::from("/proc")),
        };
        let reason = proc.open().expect_err("it is a link").to_string();
        assert!(reason.contains("cannot be used for recordings"), "{reason}");
        let proc = Root {
            path: PathBuf::from("/proc/sys"),
            ..proc
        };
        proc.open().expect("it is on what is mounted");
    }

    #[test]
    fn the_directory_of_the_recordings_is_no_link_and_what_is_above_may_be_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        fs::create_dir_all(at("card/flash")).expect("a directory");
        std::os::unix::fs::symlink(at("card"), at("mine")).expect("a link");
        std::os::unix::fs::symlink(at("card/flash"), at("card/theirs")).expect("a link");
        let disk = SystemDisk::new(None);
        disk.claim(&at("mine/recordings")).expect("it is ours");
        assert!(at("card/recordings/.peercam-lock").exists());
        let refused = disk.claim(&at("mine/theirs")).expect_err("it is a link");
        assert!(refused.to_string().contains("link"), "{refused}");
        assert_eq!(
            fs::read_dir(at("card/flash")).expect("it is there").count(),
            0
        );
    }
}
