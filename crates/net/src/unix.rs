//! Unix sockets of one user's programs: listening, and dialling by paths of any length.
//!
//! Invariants: a socket is found under its path only once it has its mode, and nobody but its own
//! user and root gets further than being accepted. What is said over it does not belong here.

use std::{
    fs::{self, File, Permissions},
    io,
    os::{fd::AsRawFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use tokio::net::{UnixListener, UnixStream};

use super::tcp::ACCEPT_PAUSE;

/// Bytes of the longest path in an address: `sun_path` has 108, one of them for the NUL.
const MAX_PATH: usize = 107;

/// A socket that is listened on, for its own user and root. Dropping it removes it.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
    /// Set if the system refused to accept the last peer, which the log knows.
    is_refused: AtomicBool,
}

impl Listener {
    /// Binds `path`, with mode 0600, in place of a socket or file that is there: who else could listen
    /// is its caller's to know.
    ///
    /// # Errors
    /// Whatever the system says, such as that the file system has no sockets.
    pub fn bind(path: &Path) -> io::Result<Self> {
        // Found by nobody before it has its mode, and never missing while it is replaced.
        let fresh = path.with_extension("new");
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let (address, _directory) = address(&fresh)?;
        let socket = UnixListener::bind(address)?;
        fs::set_permissions(&fresh, Permissions::from_mode(0o600))
            .and_then(|()| fs::rename(&fresh, path))
            .inspect_err(|_| drop(fs::remove_file(&fresh)))?;
        Ok(Self {
            socket,
            path: path.to_owned(),
            is_refused: AtomicBool::new(false),
        })
    }

    /// Waits for a peer, and gives the user id that it had when it connected (`SO_PEERCRED`), for as
    /// long as the system accepts none. Cancel-safe.
    pub async fn accept(&self) -> (UnixStream, u32) {
        loop {
            let accepted = self.socket.accept().await;
            match accepted.and_then(|(stream, _)| Ok((stream.peer_cred()?.uid(), stream))) {
                Ok((uid, stream)) => {
                    self.is_refused.store(false, Ordering::Relaxed);
                    return (stream, uid);
                }
                Err(error) => {
                    if !self.is_refused.swap(true, Ordering::Relaxed) {
                        let path = self.path.display();
                        tracing::warn!(%path, %error, "cannot accept connections");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Connects to the socket at `path`.
///
/// # Errors
/// Whatever the system says, such as that nobody listens there.
pub async fn connect(path: &Path) -> io::Result<UnixStream> {
    let (address, _directory) = address(path)?;
    UnixStream::connect(address).await
}

/// Path of a socket that fits into an address, good for as long as the directory is held: the path
/// itself, or if that is too long, its name beneath the directory that is open.
fn address(path: &Path) -> io::Result<(PathBuf, Option<File>)> {
    match (path.parent(), path.file_name()) {
        (Some(directory), Some(name)) if path.as_os_str().len() > MAX_PATH => {
            let directory = File::open(directory)?;
            let open = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
            Ok((open.join(name), Some(directory)))
        }
        _ => Ok((path.to_owned(), None)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn says(listener: &Listener, path: &Path) -> u32 {
        let near = async {
            let mut stream = connect(path).await.unwrap();
            stream.write_all(b"hello").await.unwrap();
        };
        let far = async {
            let (mut stream, uid) = listener.accept().await;
            let mut heard = String::new();
            stream.read_to_string(&mut heard).await.unwrap();
            assert_eq!(heard, "hello");
            uid
        };
        tokio::join!(near, far).1
    }

    #[tokio::test]
    async fn a_socket_is_its_users_and_takes_the_place_of_one_that_was_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        // As a killed program leaves it.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let none = connect(&path).await.unwrap_err();
        assert_eq!(none.kind(), io::ErrorKind::ConnectionRefused);
        let listener = Listener::bind(&path).unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert!(metadata.file_type().is_socket());
        assert_eq!(metadata.mode() & 0o777, 0o600);
        let own = fs::metadata(directory.path()).unwrap().uid();
        assert_eq!(says(&listener, &path).await, own);
        drop(listener);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn paths_may_be_longer_than_an_address() {
        let directory = tempfile::tempdir().unwrap();
        let deep = directory.path().join("d".repeat(120)).join("e".repeat(120));
        fs::create_dir_all(&deep).unwrap();
        let path = deep.join("control.sock");
        let listener = Listener::bind(&path).unwrap();
        says(&listener, &path).await;
        drop(listener);
        assert!(!path.exists());
    }
}
