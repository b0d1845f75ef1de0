//! Presence of a program on the device, found out without a connection to it: small programs take an
//! empty one for a command, and fail at it.
//!
//! A command that is done, or finds nobody, tells most. Beside that the kernel says who listens on a
//! port, and the file of a Unix socket is looked at: one that was refused stays so until it is
//! another file.

use std::{
    io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use peercam_net::socket_table::is_listened;
use peercam_task::boundary::{self, Guarded, Part};

use super::webhook::WebhookAddress;

/// Presence of one program.
#[derive(Debug, Default)]
pub(super) struct Presence(Guarded<Known>);

#[derive(Clone, Debug, Default)]
struct Known {
    /// Reason why nobody can be there; `None`: nothing speaks against it.
    absence: Option<String>,
    /// File of a socket at which nobody listened.
    refused: Option<FileId>,
}

/// Inode of a file, and when it was last made or changed: inodes are used again.
type FileId = (u64, i64, i64);

impl Presence {
    /// Reason why nobody can be there, as far as is known.
    pub(super) fn absence(&self) -> Option<String> {
        self.0.lock().absence.clone()
    }

    /// Notes that a command reached the program.
    pub(super) fn reached(&self) {
        *self.0.lock() = Known::default();
    }

    /// Notes that a command found nobody; returns whether that is new.
    pub(super) async fn missed(&self, address: &WebhookAddress, reason: String) -> bool {
        let refused = match address {
            WebhookAddress::Unix(path) => find(path.clone()).await.and_then(Result::ok),
            WebhookAddress::Http(..) => None,
        };
        let mut known = self.0.lock();
        let is_new = known.absence.is_none();
        let absence = Some(reason);
        *known = Known { absence, refused };
        is_new
    }

    /// Looks whether somebody is there.
    pub(super) async fn look(&self, address: &WebhookAddress) {
        match address {
            WebhookAddress::Http(address, _) => {
                let address = *address;
                let listened = move || is_listened(address);
                let looked = boundary::blocking(Part::Service, "a handler's port", listened);
                // Where the kernel does not tell, commands do.
                if let Ok(Some(is_listened)) = looked.await {
                    let absence = (!is_listened).then(|| "nobody listens there".to_owned());
                    self.0.lock().absence = absence;
                }
            }
            WebhookAddress::Unix(path) => match find(path.clone()).await {
                Some(Ok(found)) => {
                    let mut known = self.0.lock();
                    if known.refused != Some(found) {
                        *known = Known::default();
                    }
                }
                Some(Err(error)) => self.0.lock().absence = Some(error.to_string()),
                None => {}
            },
        }
    }
}

/// Returns whether a connection failed since nobody listens there. Whoever is late or has a full queue
/// is there, and so may be one for whom our own descriptors did not suffice.
pub(super) fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, NotADirectory, NotFound};
    matches!(error.kind(), ConnectionRefused | NotFound | NotADirectory)
}

/// The file of a socket; `None` if it could not be looked at.
async fn find(path: PathBuf) -> Option<io::Result<FileId>> {
    let look = move || identify(&path);
    let looked = boundary::blocking(Part::Service, "a handler's socket", look);
    looked.await.ok()
}

fn identify(path: &Path) -> io::Result<FileId> {
    let metadata = std::fs::metadata(path)?;
    let is_socket = metadata.file_type().is_socket();
    let id = (metadata.ino(), metadata.ctime(), metadata.ctime_nsec());
    is_socket
        .then_some(id)
        .ok_or_else(|| io::Error::other("it is no socket"))
}

#[cfg(test)]
mod tests {
    use std::{
        net::TcpListener,
        os::unix::net::{UnixListener, UnixStream},
    };

    use rustix::io::Errno;

    use super::*;

    #[tokio::test]
    async fn a_socket_that_was_refused_is_so_until_it_is_another_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("light.sock");
        let address = WebhookAddress::Unix(path.clone());
        let presence = Presence::default();
        let absence = async || {
            presence.look(&address).await;
            presence.absence().unwrap_or_default()
        };
        assert!(absence().await.contains("No such file"));
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(absence().await, "", "it is there now");
        // As a killed program leaves it.
        drop(listener);
        assert_eq!(absence().await, "", "nobody has used it since");
        assert!(presence.missed(&address, "refused".to_owned()).await);
        assert!(!presence.missed(&address, "refused".to_owned()).await);
        assert_eq!(absence().await, "refused");
        // Both are there for a moment, so that the second has an inode of its own.
        let fresh = directory.path().join("fresh.sock");
        let listener = UnixListener::bind(&fresh).unwrap();
        std::fs::rename(&fresh, &path).unwrap();
        assert_eq!(absence().await, "", "it was started again");
        listener.set_nonblocking(true).unwrap();
        let accepted = listener.accept().map(drop);
        let kind = accepted.expect_err("nobody came").kind();
        assert_eq!(kind, io::ErrorKind::WouldBlock);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "").unwrap();
        assert!(absence().await.contains("no socket"));
    }

    #[test]
    fn who_is_busy_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("light.sock");
        let connect = |path: &Path| UnixStream::connect(path).unwrap_err();
        assert!(is_absence(&connect(&path)), "no file");
        std::fs::write(&path, "").unwrap();
        assert!(is_absence(&connect(&path)), "no socket");
        assert!(is_absence(&connect(&path.join("in.sock"))), "no directory");
        std::fs::remove_file(&path).unwrap();
        drop(UnixListener::bind(&path).unwrap());
        assert!(is_absence(&connect(&path)), "nobody listens");
        // A full queue, and no descriptor left here.
        for code in [Errno::AGAIN, Errno::MFILE] {
            assert!(!is_absence(&code.into()), "{code}");
        }
        assert!(!is_absence(&io::ErrorKind::TimedOut.into()));
    }

    #[tokio::test]
    async fn the_kernel_says_who_listens_on_a_port() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = WebhookAddress::Http(listener.local_addr().unwrap(), "/".to_owned());
        let presence = Presence::default();
        presence.missed(&address, "refused".to_owned()).await;
        presence.look(&address).await;
        assert_eq!(presence.absence(), None);
        drop(listener);
        presence.look(&address).await;
        assert!(presence.absence().is_some());
        presence.reached();
        assert_eq!(presence.absence(), None);
    }
}
