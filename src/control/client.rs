//! The end that asks: `peercam status` and its like, on the device itself.
//!
//! Keeps: a program of another user is no daemon of ours, whatever it listens on, and nobody waits
//! for one that hangs.

use std::{
    fs, io,
    ops::ControlFlow,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use peercam_net::{ClientStream, ExchangeError, Limits, request_once, request_stream, unix};
use tokio::time::{Instant, timeout_at};

use super::SOCKET;

/// Timeout of an answer.
const ANSWER_TIME: Duration = Duration::from_secs(5);
/// The longest answer, in bytes.
const MAX_ANSWER: usize = 1 << 20;

/// Way to the daemon that runs with a data directory.
#[derive(Clone, Debug)]
pub struct Client {
    data_dir: PathBuf,
    /// The type of answers: for people, or for programs.
    accept: &'static str,
}

/// Reason why a daemon did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No daemon that listens.
    #[error("no daemon runs for the device in {}", .0.display())]
    NoDaemon(PathBuf),
    /// The daemon is another user's.
    #[error("the daemon in {} belongs to {}; run this as that user, or as root", data_dir.display(), uid.map_or("another user".to_owned(), |uid| format!("user {uid}")))]
    Foreign {
        /// Data directory of the daemon.
        data_dir: PathBuf,
        /// User of the daemon, if that is known.
        uid: Option<u32>,
    },
    /// The daemon is there and says nothing.
    #[error("the daemon in {} does not answer within {} s; its log may say why", .0.display(), ANSWER_TIME.as_secs())]
    Silent(PathBuf),
    /// The daemon broke off.
    #[error("the daemon in {} broke off before it had answered: {error}", data_dir.display())]
    Broken {
        /// Data directory of the daemon.
        data_dir: PathBuf,
        /// Failure of the exchange.
        error: ExchangeError,
    },
    /// The socket cannot be used.
    #[error("{}: {error}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// The daemon refuses, for this reason.
    #[error("{0}")]
    Refused(String),
}

impl Client {
    /// The daemon of this data directory, whose answers are for programs, as JSON.
    pub fn new(data_dir: &Path) -> Self {
        Self {
            data_dir: data_dir.to_owned(),
            accept: "application/json",
        }
    }

    /// The same, with answers for people.
    #[must_use]
    pub fn for_people(self) -> Self {
        let accept = "text/plain";
        Self { accept, ..self }
    }

    /// Asks for something, and gives the answer.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Result<String, ControlError> {
        let deadline = Instant::now() + ANSWER_TIME;
        let stream = self.connect(deadline).await?;
        let request = self.request(method, path, body.into());
        let limits = Limits {
            body: Some(MAX_ANSWER),
            deadline,
        };
        let answer = request_once(stream, request, limits).await;
        let answer = answer.map_err(|error| self.failed(error))?;
        let text = String::from_utf8_lossy(answer.body()).into_owned();
        match answer.status() {
            StatusCode::OK => Ok(text),
            status => Err(refused(status, &text)),
        }
    }

    /// Asks for lines that have no end, and hands each over as it comes, until the daemon ends or
    /// `take` breaks off.
    ///
    /// # Errors
    /// [`ControlError`].
    pub async fn follow(
        &self,
        path: &str,
        mut take: impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<(), ControlError> {
        let deadline = Instant::now() + ANSWER_TIME;
        let stream = self.connect(deadline).await?;
        let request = self.request(Method::GET, path, Bytes::new());
        // What has come of a line, or of a refusal.
        let mut kept = Vec::new();
        let followed = request_stream(stream, request, deadline, |status, piece| {
            kept.extend_from_slice(piece);
            while status == StatusCode::OK
                && let Some(end) = kept.iter().position(|byte| *byte == b'\n')
            {
                let line: Vec<u8> = kept.drain(..=end).collect();
                take(&String::from_utf8_lossy(&line[..end]))?;
            }
            match kept.len() {
                0..=MAX_ANSWER => ControlFlow::Continue(()),
                _ => ControlFlow::Break(()),
            }
        });
        match followed.await {
            // One that is killed says nothing in the end.
            Ok(StatusCode::OK) | Err(ExchangeError::BrokenBody(_)) => Ok(()),
            Ok(status) => Err(refused(status, &String::from_utf8_lossy(&kept))),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> Request<Bytes> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "peercam")
            .header(header::ACCEPT, self.accept)
            .header(header::CONNECTION, "close");
        request.body(body).expect("our own paths are in order")
    }

    async fn connect(&self, deadline: Instant) -> Result<ClientStream, ControlError> {
        let path = self.data_dir.join(SOCKET);
        let dialled = timeout_at(deadline, unix::connect(&path)).await;
        let stream = match dialled.unwrap_or(Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => stream,
            Err(error) => return Err(self.not_connected(path, error)),
        };
        let own = rustix::process::geteuid();
        match stream.peer_cred() {
            Ok(peer) if own.is_root() || peer.uid() == own.as_raw() => Ok(stream.into()),
            Ok(peer) => Err(self.foreign(Some(peer.uid()))),
            Err(error) => Err(ControlError::Io { path, error }),
        }
    }

    fn not_connected(&self, path: PathBuf, error: io::Error) -> ControlError {
        match error.kind() {
            // A file that is there and that nobody listens on was left behind.
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                ControlError::NoDaemon(self.data_dir.clone())
            }
            io::ErrorKind::PermissionDenied => {
                let metadata = fs::metadata(&path).or_else(|_| fs::metadata(&self.data_dir));
                self.foreign(metadata.ok().map(|metadata| metadata.uid()))
            }
            // The system has a queue for those who connect, and it is full.
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
                ControlError::Silent(self.data_dir.clone())
            }
            _ => ControlError::Io { path, error },
        }
    }

    fn foreign(&self, uid: Option<u32>) -> ControlError {
        let data_dir = self.data_dir.clone();
        ControlError::Foreign { data_dir, uid }
    }

    fn failed(&self, error: ExchangeError) -> ControlError {
        let data_dir = self.data_dir.clone();
        match error {
            ExchangeError::Timeout => ControlError::Silent(data_dir),
            error => ControlError::Broken { data_dir, error },
        }
    }
}

/// Reason of a refusal, as it stands in its body.
fn refused(status: StatusCode, body: &str) -> ControlError {
    let body: Option<serde_json::Value> = serde_json::from_str(body).ok();
    let reason = body.as_ref().and_then(|body| body["reason"].as_str());
    ControlError::Refused(match reason {
        Some(reason) => reason.to_owned(),
        None => format!("the daemon refuses ({status})"),
    })
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_daemon_that_hangs_is_not_waited_for_longer_than_5_s() {
        let directory = tempfile::tempdir().expect("a directory");
        let client = Client::new(directory.path());
        let asked = || client.ask(Method::GET, "/status", "");
        let none = asked().await.expect_err("nobody listens");
        assert!(matches!(none, ControlError::NoDaemon(_)), "{none}");
        // It is connected to, and accepts nobody.
        let _hangs = UnixListener::bind(directory.path().join(SOCKET)).expect("binds");
        let began = Instant::now();
        let silent = asked().await.expect_err("no answer");
        assert!(matches!(silent, ControlError::Silent(_)), "{silent}");
        assert_eq!(began.elapsed(), ANSWER_TIME);
    }
}
