//! The data directory: checked at the start, locked by one daemon at a time, and where programs on
//! the device find the daemon that runs.
//!
//! Invariants: nobody but the device's user can write in it, and `endpoint.json` counts only while
//! the process that wrote it holds the lock. Secrets and lists in it are [`SecretStore`](super::SecretStore)'s.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::fs::Access;

use super::files::{self, FileError};
use crate::reach::Endpoint;

/// The directory in which the device keeps what must outlast it.
#[derive(Clone, Debug)]
pub struct DataDir {
    path: PathBuf,
}

/// Errors that make the data directory unusable.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// A path that cannot be made or read, or in which others may write.
    #[error("data_dir: {0}")]
    File(FileError),
    /// Another daemon uses it.
    #[error("data_dir: {} is in use by another peercam{}", path.display(), pid.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The process that uses it, if it said so.
        pid: Option<u32>,
    },
}

impl From<FileError> for DataDirError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

/// Time for which a daemon tries to get its lock: programs that only look whether one runs hold it
/// for a moment.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);

/// Holds the data directory for one daemon, until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl DataDir {
    /// The data directory at `path`, made if it is not there.
    ///
    /// # Errors
    /// [`DataDirError`] if it cannot be made, is not ours, or others may write into it.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(FileError::io(path))?;
        // A data directory may be reached through a link, so it is the target that is looked at.
        let path = fs::canonicalize(path).map_err(FileError::io(path))?;
        files::check_directory(&path, 0o022)?;
        Ok(Self { path })
    }

    /// Makes sure that a data directory can be used, without making one.
    ///
    /// # Errors
    /// [`DataDirError::File`] if it is on a file system that is read-only, as in a firmware image,
    /// or if others may write into it.
    pub fn check(path: &Path) -> Result<(), DataDirError> {
        // A directory that is not there yet is judged by the one in which it would be made.
        let existing = path.ancestors().find(|path| path.exists());
        let existing = existing.unwrap_or(Path::new("."));
        let system = rustix::fs::statvfs(existing);
        let system = system.map_err(|error| FileError::io(existing)(error.into()))?;
        if system
            .f_flag
            .contains(rustix::fs::StatVfsMountFlags::RDONLY)
        {
            return Err(FileError::refused(
                path,
                "is on a file system that is read-only; each device must be able to make its own secrets",
            )
            .into());
        }
        if existing == path {
            Self::open(path)?;
        }
        // To make something in a directory takes both.
        rustix::fs::access(existing, Access::WRITE_OK | Access::EXEC_OK)
            .map_err(|error| FileError::io(existing)(error.into()))?;
        Ok(())
    }

    /// Path of the directory, links resolved.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes sure that no daemon has the directory at `path`, without making anything.
    ///
    /// # Errors
    /// [`DataDirError::Locked`] if one has it. What else may be wrong is left to [`DataDir::open`].
    pub fn refuse_locked(path: &Path) -> Result<(), DataDirError> {
        let lock = path.join("lock");
        let Ok(file) = File::open(&lock) else {
            return Ok(());
        };
        let end = Instant::now() + LOCK_PATIENCE;
        match retry_until(end, || file.try_lock_shared()) {
            Err(TryLockError::WouldBlock) => Err(DataDirError::Locked {
                path: path.to_owned(),
                pid: pid_in(&lock),
            }),
            _ => Ok(()),
        }
    }

    /// Takes the directory for one daemon.
    ///
    /// # Errors
    /// [`DataDirError::Locked`] if there is one already.
    pub fn lock(&self) -> Result<Lock, DataDirError> {
        let lock = self.try_lock_for(LOCK_PATIENCE)?;
        // What an earlier run said of itself is not true any more.
        let _ = fs::remove_file(self.path.join("endpoint.json"));
        Ok(lock)
    }

    fn try_lock_for(&self, patience: Duration) -> Result<Lock, DataDirError> {
        let path = self.path.join("lock");
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(FileError::io(&path))?;
        let end = Instant::now() + patience;
        // A lock on the open file (flock(2)), not its being there: it ends with the process, so a
        // kill or a power cut locks nobody out.
        match retry_until(end, || file.try_lock()) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(DataDirError::Locked {
                    path: self.path.clone(),
                    pid: pid_in(&path),
                });
            }
            Err(TryLockError::Error(error)) => return Err(FileError::io(&path)(error).into()),
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(FileError::io(&path))?;
        Ok(Lock { _file: file })
    }

    /// Writes the daemon's description of itself.
    ///
    /// # Errors
    /// [`DataDirError::File`].
    pub fn publish(&self, endpoint: &Endpoint) -> Result<(), DataDirError> {
        let text = serde_json::to_string(endpoint).expect("strings and numbers serialize");
        let path = self.path.join("endpoint.json");
        Ok(files::write_private(&path, (text + "\n").as_bytes())?)
    }

    /// Reads the running daemon's description of itself; `None` if none runs.
    pub fn running(&self) -> Option<Endpoint> {
        let path = self.path.join("lock");
        let file = File::open(&path).ok()?;
        // Shared, so that several who look do not take each other for a daemon; let go with `file`.
        if !matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)) {
            return None;
        }
        let pid: u32 = fs::read_to_string(&path).ok()?.trim().parse().ok()?;
        let bytes = files::read_private(&self.path.join("endpoint.json")).ok()?;
        let endpoint: Endpoint = serde_json::from_slice(&bytes).ok()?;
        // A daemon that has the lock and has not published yet is not the one that this describes.
        (endpoint.pid == pid).then_some(endpoint)
    }
}

/// Process that the lock's file names.
fn pid_in(lock: &Path) -> Option<u32> {
    fs::read_to_string(lock).ok()?.trim().parse().ok()
}

/// Tries until it works or the time is over.
fn retry_until(
    end: Instant,
    attempt: impl Fn() -> Result<(), TryLockError>,
) -> Result<(), TryLockError> {
    loop {
        let result = attempt();
        if !matches!(result, Err(TryLockError::WouldBlock)) || Instant::now() >= end {
            return result;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;
    use crate::reach::{ListenerAccess, ListenerInfo};

    #[test]
    fn one_daemon_has_the_directory_and_others_find_it() {
        let parent = tempfile::tempdir().expect("a directory");
        let data_dir = DataDir::open(&parent.path().join("a/b")).expect("made");
        assert_eq!(
            fs::metadata(data_dir.path()).expect("is there").mode() & 0o777,
            0o700
        );
        assert_eq!(data_dir.running(), None);
        let lock = data_dir.lock().expect("free");
        let error = data_dir.lock().expect_err("taken").to_string();
        assert!(
            error.contains(&format!("process {}", std::process::id())),
            "{error}"
        );
        let endpoint = Endpoint {
            v: 1,
            pid: std::process::id(),
            device_id: "00".repeat(32),
            listen: vec![ListenerInfo {
                address: "[::1]:5".parse().expect("an address"),
                access: ListenerAccess::Token,
            }],
            lan: vec!["192.0.2.1:5".parse().expect("an address")],
            udp: vec!["192.0.2.1:6".parse().expect("an address")],
            relays: vec!["https://relay.example/".to_owned()],
            xp2p_info: None,
        };
        data_dir
            .publish(&Endpoint {
                pid: 1,
                ..endpoint.clone()
            })
            .expect("writes");
        assert_eq!(data_dir.running(), None, "that is what another one said");
        data_dir.publish(&endpoint).expect("writes");
        assert_eq!(data_dir.running(), Some(endpoint));
        drop(lock);
        assert_eq!(data_dir.running(), None, "nobody runs");
    }

    #[test]
    fn a_directory_that_others_may_write_into_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        for (mode, is_fine) in [
            (0o755, true),
            (0o775, false),
            (0o702, false),
            (0o1777, false),
        ] {
            fs::set_permissions(directory.path(), fs::Permissions::from_mode(mode))
                .expect("changes");
            assert_eq!(DataDir::open(directory.path()).is_ok(), is_fine, "{mode:o}");
        }
    }
}
