//! Files that hold secrets or decide about access: written as a whole or not at all, and read only
//! if nobody else can.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

/// The longest file that is read, in bytes.
const MAX_LENGTH: u64 = 1 << 20;

/// Errors that make a file unusable.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// A call that the system refused.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// A file that others could read or change, or that is not what it should be.
    #[error("{}: {reason}", path.display())]
    Unsafe {
        /// The file.
        path: PathBuf,
        /// The fault, and how to mend it.
        reason: String,
    },
}

impl FileError {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |error| Self::Io {
            path: path.to_owned(),
            error,
        }
    }

    /// Returns whether the file is missing.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { error, .. } if error.kind() == io::ErrorKind::NotFound)
    }

    pub(super) fn refused(path: &Path, reason: impl Into<String>) -> Self {
        Self::Unsafe {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }
}

/// Makes a directory that only its owner can enter.
pub(super) fn make_directory(path: &Path) -> Result<(), FileError> {
    DirBuilder::new()
        .mode(0o700)
        .create(path)
        .map_err(FileError::io(path))
}

/// Makes sure that a directory is a real one of ours, and that nobody else can get at it.
pub(super) fn check_directory(path: &Path, forbidden: u32) -> Result<(), FileError> {
    let data = fs::symlink_metadata(path).map_err(FileError::io(path))?;
    if !data.is_dir() {
        return Err(FileError::refused(path, "is not a directory"));
    }
    check_owner(path, &data)?;
    if data.mode() & forbidden != 0 {
        let mode = data.mode() & 0o777;
        let fix = format!("chmod {:o}", mode & !forbidden);
        return Err(FileError::refused(
            path,
            format!(
                "others may get at it (mode {mode:o}); mend it with {fix}, or keep it on a file system that has owners and modes"
            ),
        ));
    }
    Ok(())
}

fn check_owner(path: &Path, data: &fs::Metadata) -> Result<(), FileError> {
    let uid = rustix::process::geteuid().as_raw();
    if data.uid() == uid {
        return Ok(());
    }
    Err(FileError::refused(
        path,
        format!(
            "belongs to user {} and this runs as user {uid}; run it as the one that the device runs as",
            data.uid()
        ),
    ))
}

/// Reads a file that only its owner can read; links are not followed.
pub(super) fn read_private(path: &Path) -> Result<Vec<u8>, FileError> {
    // A link could lead to any file, and a FIFO in the file's place would block the daemon's start.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
        .open(path)
        .map_err(FileError::io(path))?;
    // Of the file that is open, not of the path: what is checked is what is read.
    let data = file.metadata().map_err(FileError::io(path))?;
    if !data.is_file() || data.len() > MAX_LENGTH {
        return Err(FileError::refused(path, "is not a file of ours"));
    }
    check_owner(path, &data)?;
    if data.mode() & 0o077 != 0 {
        let mode = data.mode() & 0o777;
        return Err(FileError::refused(
            path,
            format!(
                "others may read it (mode {mode:o}); what it held may be known to them. Was that a mistake, mend it with chmod 600"
            ),
        ));
    }
    let mut bytes = Vec::new();
    file.take(MAX_LENGTH)
        .read_to_end(&mut bytes)
        .map_err(FileError::io(path))?;
    Ok(bytes)
}

/// Writes a file that only its owner can read, so that at every moment, also after a power cut,
/// it is either the old one or the new one as a whole.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let temporary = path.with_extension("new");
    // What an earlier run left behind may have another mode.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(FileError::io(&temporary)(error));
        }
        _ => {}
    }
    // Synced before it is named: otherwise the name may outlast a power cut and the bytes not; on
    // UBIFS that leaves an empty file.
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
    written.map_err(FileError::io(&temporary))?;
    fs::rename(&temporary, path).map_err(FileError::io(path))?;
    sync_directory(path.parent().unwrap_or(Path::new(".")))
}

/// Makes what was renamed in a directory outlast a power cut.
pub(super) fn sync_directory(path: &Path) -> Result<(), FileError> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(FileError::io(path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("is there").mode() & 0o777
    }

    #[test]
    fn only_the_owner_can_read_what_is_written() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("secret");
        fs::write(path.with_extension("new"), b"left behind").expect("writes");
        write_private(&path, b"one").expect("writes");
        write_private(&path, b"two").expect("writes again");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(read_private(&path).expect("reads"), b"two");
        assert_eq!(fs::read_dir(directory.path()).expect("lists").count(), 1);
    }

    #[test]
    fn what_others_can_read_or_replace_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("secret");
        write_private(&path, b"x").expect("writes");
        for bits in [0o604, 0o640, 0o660, 0o622] {
            fs::set_permissions(&path, fs::Permissions::from_mode(bits)).expect("changes");
            let error = read_private(&path).expect_err("refused").to_string();
            assert!(error.contains("secret: others may read it"), "{error}");
        }
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &link).expect("links");
        assert!(read_private(&link).is_err(), "a link");
        assert!(read_private(directory.path()).is_err(), "a directory");
        assert!(
            read_private(&directory.path().join("none"))
                .expect_err("missing")
                .is_not_found()
        );
        let inner = directory.path().join("inner");
        make_directory(&inner).expect("makes");
        assert_eq!(mode(&inner), 0o700);
        check_directory(&inner, 0o077).expect("ours alone");
        fs::set_permissions(&inner, fs::Permissions::from_mode(0o710)).expect("changes");
        let error = check_directory(&inner, 0o077).expect_err("refused");
        assert!(error.to_string().contains("chmod 700"), "{error}");
    }
}
