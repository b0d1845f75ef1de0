//! What is asked of a file system, so that a test can be one that fails.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, IoSlice, Write},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// A card or disk. Calls block; the recorder's thread makes them.
pub trait Disk: Send {
    /// Makes sure that this directory can be had, and by nobody else; it is made if it is not
    /// there. Holds until the disk is dropped or this is called again.
    fn claim(&self, root: &Path) -> io::Result<()>;

    /// Makes a directory and those above it, so that they outlast a power cut.
    fn make_directory(&self, path: &Path) -> io::Result<()>;

    /// The names in a directory.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;

    /// Makes a file that must not be there yet.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file to be read and cut.
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

/// An open file.
pub trait DiskFile: Send {
    /// Writes all of this at the end. After an error some of it may be there.
    fn append(&mut self, parts: &mut [IoSlice<'_>]) -> io::Result<()>;

    /// Makes what was written outlast a power cut.
    fn sync(&mut self) -> io::Result<()>;

    /// Reads up to the end of the buffer or of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Bytes in it.
    fn size(&self) -> io::Result<u64>;

    /// Cuts it to this size.
    fn truncate(&mut self, size: u64) -> io::Result<()>;
}

/// The system's.
#[derive(Debug, Default)]
pub struct SystemDisk {
    /// What must be a mount point for there to be a card; `None`: nothing.
    pub mount: Option<PathBuf>,
    lock: Mutex<Option<File>>,
}

impl SystemDisk {
    /// One whose card is mounted here; `None`: it is always there.
    pub fn new(mount: Option<PathBuf>) -> Self {
        Self {
            mount,
            lock: Mutex::default(),
        }
    }
}

/// The file by which a second process sees that there is a first.
const LOCK: &str = ".peercam-lock";

impl Disk for SystemDisk {
    fn claim(&self, root: &Path) -> io::Result<()> {
        if let Some(mount) = &self.mount
            && !is_mount_point(mount)?
        {
            let reason = format!("no card is mounted at {}", mount.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, reason));
        }
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        // The file of a card that was pulled is of no use for the one that is there now.
        *lock = None;
        self.make_directory(root)?;
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).open(root.join(LOCK))?;
        match file.try_lock() {
            Ok(()) => {
                *lock = Some(file);
                Ok(())
            }
            Err(fs::TryLockError::WouldBlock) => Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                "another process records into it",
            )),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        if let Some(above) = path.parent() {
            self.make_directory(above)?;
            match fs::create_dir(path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            if let Err(error) = self.sync_directory(above) {
                // Otherwise it would be taken for one that is there for good.
                let _ = fs::remove_dir(path);
                return Err(error);
            }
        }
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(path)? {
            // Names of ours are ASCII.
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        let file = options
            .create_new(true)
            .read(true)
            .append(true)
            .open(path)?;
        Ok(Box::new(SystemFile(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).append(true).open(path)?;
        Ok(Box::new(SystemFile(file)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        match File::open(path)?.sync_all() {
            // Some file systems of cards cannot.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            result => result,
        }
    }

    fn free(&self, path: &Path) -> io::Result<u64> {
        let lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = lock.as_ref()
            && lock.metadata()?.dev() != fs::metadata(path)?.dev()
        {
            let reason = "another file system is where the card was";
            return Err(io::Error::new(io::ErrorKind::NotFound, reason));
        }
        let space = rustix::fs::statvfs(path)?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }
}

/// Whether something is mounted here: what is above is on another device.
fn is_mount_point(path: &Path) -> io::Result<bool> {
    let own = match path.canonicalize() {
        // A card may be mounted on a directory that is made for it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        own => own?,
    };
    let above = own.parent().unwrap_or(Path::new("/"));
    let [own, above] = [fs::metadata(path)?, fs::metadata(above)?];
    Ok(own.dev() != above.dev() || own.ino() == above.ino())
}

struct SystemFile(File);

impl DiskFile for SystemFile {
    fn append(&mut self, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
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

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        read_full(&self.0, buffer, offset)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
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
        assert!(is_mount_point(Path::new("/proc")).expect("it can be read"));
    }
}
