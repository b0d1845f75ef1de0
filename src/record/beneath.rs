//! Opens what lies under a directory of which nothing is believed: a card may be anybody's.
//!
//! No part of a path may be a link or lead to another file system, and what is opened is a
//! directory or a plain file with one name: two names could be one of a file that is elsewhere.
//! Devices, pipes and sockets are not even opened to be looked at: opening one can do something.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    ops::ControlFlow,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Component, Path},
};

use rustix::{
    fs::{
        AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, fstatvfs, fsync, mkdirat,
        openat, openat2, renameat, statat, unlinkat,
    },
    io::Errno,
};

use super::disk::{Sizes, Visit};

/// Mode of files: nobody else reads what is recorded, but for a group that the owner gives it to.
const FILE_MODE: u32 = 0o640;
const DIRECTORY_MODE: u32 = 0o750;
/// Flags of each open: no link is followed, and no program that we start gets the file.
const ALWAYS: OFlags = OFlags::CLOEXEC.union(OFlags::NOFOLLOW);
/// Flags by which nothing that is opened is waited for, or becomes a terminal of ours.
const QUIETLY: OFlags = OFlags::NONBLOCK.union(OFlags::NOCTTY);
/// Tries with a kernel that answers EAGAIN since it saw something being renamed.
const TRIES: usize = 4;

/// An open directory.
#[derive(Debug)]
pub(super) struct Directory {
    fd: OwnedFd,
    own: Stat,
    method: OpenMethod,
}

/// Way in which what is beneath is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OpenMethod {
    /// `openat2`, if the kernel has it.
    Kernel,
    /// Part by part, as where the kernel has it not.
    #[cfg(test)]
    Parts,
}

/// Error of something that is there and is not what it should be.
fn foreign(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

impl Directory {
    /// Opens a directory that the owner named; links on the way to it are the owner's too.
    pub(super) fn named(path: &Path) -> io::Result<Self> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())?;
        Self::of(fd, OpenMethod::Kernel)
    }

    fn of(fd: OwnedFd, method: OpenMethod) -> io::Result<Self> {
        let own = fstat(&fd)?;
        Ok(Self { fd, own, method })
    }

    /// Opens a directory in this one that is no link. Something may be mounted on it.
    pub(super) fn child(&self, name: &OsStr) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | ALWAYS | QUIETLY;
        let fd = openat(&self.fd, name, flags, Mode::empty()).map_err(explained)?;
        Self::of(fd, self.method)
    }

    /// Opens a directory beneath; this one, if the path is empty.
    pub(super) fn beneath(&self, path: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY;
        Self::of(self.open_raw(path, flags, 0)?, self.method)
    }

    /// Opens a plain file beneath.
    pub(super) fn open(&self, path: &Path, flags: OFlags) -> io::Result<(File, Sizes)> {
        // What it is must be known before it is opened.
        self.plain(&fstat(self.open_raw(path, OFlags::PATH, 0)?)?)?;
        let fd = self.open_raw(path, flags, 0)?;
        let sizes = self.plain(&fstat(&fd)?)?;
        Ok((fd.into(), sizes))
    }

    /// Makes a file beneath that must not be there yet, and opens it.
    pub(super) fn create(&self, path: &Path, flags: OFlags) -> io::Result<File> {
        let fd = self.open_raw(path, flags | OFlags::CREATE | OFlags::EXCL, FILE_MODE)?;
        let checked = fstat(&fd).map_err(io::Error::from);
        match checked.and_then(|stat| self.plain(&stat)) {
            Ok(_) => Ok(fd.into()),
            Err(error) => {
                // It is this one's own, and of no use: each further try would leave another.
                let _ = self.remove(path);
                Err(error)
            }
        }
    }

    /// Makes sure that there is a directory beneath, so that it outlasts a power cut.
    pub(super) fn make(&self, path: &Path) -> io::Result<Self> {
        if let Ok(there) = self.beneath(path) {
            return Ok(there);
        }
        let mut at = self.beneath(Path::new(""))?;
        for part in path.components() {
            let name = Path::new(part.as_os_str());
            let made = mkdirat(&at.fd, name, Mode::from_raw_mode(DIRECTORY_MODE));
            match made {
                Err(error) if error != Errno::EXIST => return Err(error.into()),
                _ => {}
            }
            if made.is_ok()
                && let Err(error) = at.sync()
            {
                // Otherwise it would be taken for one that is there for good.
                let _ = unlinkat(&at.fd, name, AtFlags::REMOVEDIR);
                return Err(error);
            }
            at = at.beneath(name)?;
        }
        Ok(at)
    }

    /// Gives a file beneath another name in its directory.
    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (directory, from) = self.place(from)?;
        let to = to.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        Ok(renameat(&directory.fd, from, &directory.fd, to)?)
    }

    /// Removes a name beneath; of a link that, and not what it leads to.
    pub(super) fn remove(&self, path: &Path) -> io::Result<()> {
        let (directory, name) = self.place(path)?;
        Ok(unlinkat(&directory.fd, name, AtFlags::empty())?)
    }

    /// Removes a directory beneath, if it is empty.
    pub(super) fn remove_directory(&self, path: &Path) -> io::Result<()> {
        let (directory, name) = self.place(path)?;
        Ok(unlinkat(&directory.fd, name, AtFlags::REMOVEDIR)?)
    }

    /// Makes the names in it outlast a power cut.
    pub(super) fn sync(&self) -> io::Result<()> {
        match fsync(&self.fd) {
            // Some file systems of cards cannot.
            Err(Errno::INVAL) => Ok(()),
            result => Ok(result?),
        }
    }

    /// Bytes that can still be written to its file system.
    pub(super) fn free(&self) -> io::Result<u64> {
        let space = fstatvfs(&self.fd)?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }

    /// Returns whether this is the same directory of the same file system.
    pub(super) fn is(&self, other: &Self) -> bool {
        (self.own.st_dev, self.own.st_ino) == (other.own.st_dev, other.own.st_ino)
    }

    /// Returns whether something is mounted here: what is above is on another device.
    pub(super) fn is_mount_point(&self) -> io::Result<bool> {
        let above = statat(&self.fd, "..", AtFlags::empty())?;
        Ok(self.own.st_dev != above.st_dev || self.own.st_ino == above.st_ino)
    }

    /// Goes through the names in it, in no order. None is kept.
    pub(super) fn visit(&self, visit: &mut Visit<'_>) -> io::Result<()> {
        for entry in Dir::read_from(&self.fd)? {
            let entry = entry?;
            // Names of ours are ASCII.
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            let sizes = || {
                let stat = statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)?;
                self.plain(&stat)
            };
            if let (false, ControlFlow::Break(())) =
                (matches!(name, "." | ".."), visit(name, &sizes))
            {
                break;
            }
        }
        Ok(())
    }

    /// The directory of something beneath, and its name there.
    fn place<'p>(&self, path: &'p Path) -> io::Result<(Self, &'p OsStr)> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let above = path.parent().unwrap_or(Path::new(""));
        Ok((self.beneath(above)?, name))
    }

    /// The sizes of a plain file of this file system.
    fn plain(&self, stat: &Stat) -> io::Result<Sizes> {
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(foreign("it is no plain file"));
        }
        if stat.st_nlink > 1 {
            return Err(foreign("it has more than one name"));
        }
        Ok(Sizes {
            bytes: u64::try_from(stat.st_size).unwrap_or(0),
            allocated: u64::try_from(stat.st_blocks).unwrap_or(0) * 512,
        })
    }

    fn open_raw(&self, path: &Path, flags: OFlags, mode: u32) -> io::Result<OwnedFd> {
        let mode = Mode::from_raw_mode(mode);
        let flags = if flags.contains(OFlags::PATH) {
            flags | ALWAYS
        } else {
            flags | ALWAYS | QUIETLY
        };
        if path.as_os_str().is_empty() {
            return Ok(openat(&self.fd, ".", flags, mode)?);
        }
        if self.method == OpenMethod::Kernel {
            match kernel(self.fd.as_fd(), path, flags, mode) {
                // Older kernels do not know it, and some sandboxes refuse what they do not know.
                Err(Errno::NOSYS | Errno::PERM) => {}
                opened => return opened.map_err(explained),
            }
        }
        self.parts(path, flags, mode)
    }

    fn parts(&self, path: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        let mut parts = path.components().peekable();
        let mut at: Option<OwnedFd> = None;
        while let Some(part) = parts.next() {
            let Component::Normal(name) = part else {
                return Err(foreign("it leads out of the directory of the recordings"));
            };
            let flags = match parts.peek() {
                Some(_) => OFlags::DIRECTORY | OFlags::PATH | ALWAYS,
                None => flags,
            };
            let above = at.as_ref().map_or(self.fd.as_fd(), OwnedFd::as_fd);
            let fd = openat(above, name, flags, mode).map_err(explained)?;
            // Of directories only: a file of an overlay has the device of a layer, and what is
            // mounted on a single file was put there by somebody who may do anything.
            if flags.contains(OFlags::DIRECTORY) && fstat(&fd)?.st_dev != self.own.st_dev {
                return Err(foreign("it is on another file system"));
            }
            at = Some(fd);
        }
        at.ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }

    #[cfg(test)]
    fn part_by_part(self) -> Self {
        Self {
            method: OpenMethod::Parts,
            ..self
        }
    }
}

fn kernel(
    directory: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    mode: Mode,
) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let mut opened = Err(Errno::AGAIN);
    for _ in 0..TRIES {
        opened = openat2(directory, path, flags, mode, resolve);
        if !matches!(opened, Err(Errno::AGAIN)) {
            break;
        }
    }
    opened
}

fn explained(error: Errno) -> io::Error {
    match error {
        Errno::LOOP => foreign("it is a link, and links are not followed on a card"),
        Errno::NOTDIR => foreign("it is no directory (links are not followed on a card)"),
        Errno::XDEV => foreign("it is on another file system, or leads out of the card"),
        // What a pipe without a reader and a socket say.
        Errno::NXIO => foreign("it is no plain file"),
        error => error.into(),
    }
}

#[cfg(test)]
mod tests;
