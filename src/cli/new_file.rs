//! Files that a command makes: nothing that is there is overwritten, and only the owner can read them.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::CliError;

/// Gives a draft its name, if nothing has that by now.
pub(super) fn publish_new(draft: impl rustix::path::Arg, path: &Path) -> io::Result<()> {
    Ok(renameat_with(
        CWD,
        draft,
        CWD,
        path,
        RenameFlags::NOREPLACE,
    )?)
}

/// Refuses a file that is there, or whose directory is not, before anything is asked for it.
pub(super) fn must_be_new(output: Option<&Path>) -> Result<(), CliError> {
    let Some(path) = output else {
        return Ok(());
    };
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    let reason = if path.exists() {
        "there is such a file already; remove it, or name another"
    } else if above.is_some_and(|above| !above.is_dir()) {
        "there is no such directory"
    } else {
        return Ok(());
    };
    Err(CliError::Usage(format!("{}: {reason}", path.display())))
}

/// Makes a file of this, under its name only once it is whole. Nothing that is there is overwritten.
pub(super) fn keep(path: &Path, still: &[u8]) -> io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}.new", std::process::id()));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)?;
    let kept = file.write_all(still).and_then(|()| file.sync_all());
    let kept = kept.and_then(|()| publish_new(&draft, path));
    kept.inspect_err(|_| drop(fs::remove_file(&draft)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_there_as_a_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("picture.jpg");
        let names = || fs::read_dir(directory.path()).unwrap().count();
        keep(&path, b"one").unwrap();
        let taken = keep(&path, b"two").expect_err("it is there");
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(names(), 1, "no draft is left");
        assert!(keep(&directory.path().join("nowhere/x.jpg"), b"x").is_err());
    }
}
