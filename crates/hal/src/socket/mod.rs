//! Cameras whose firmware hands its frames to the daemon over a Unix socket (`docs/hal-socket.md`),
//! in C for instance with `include/peercam.h`.
//!
//! The daemon listens; firmware connects, announces what it has, and pushes. Nothing that comes in
//! is ever waited for, so firmware is never blocked by viewers: what they are too slow for is lost
//! up to the next key frame, and counted on both sides. Either side may start again at any time.

mod channel;
mod connection;
mod firmware_handle;
mod metrics;
mod parts;
mod stream;

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, MutexGuard},
};

use peercam_proto::{
    hal_socket::{LARGEST_BODY, LARGEST_PICTURE, ToFirmware},
    media::{ChannelId, Quality},
};
use peercam_task::boundary::{self, Guarded, Part, contain, restarting};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

pub use metrics::Metrics;

use self::{channel::Channel, parts::SocketParts};
use super::{
    BoxFuture, Camera, Capabilities, ControlOutcome, HalError, MediaInput, MediaSource,
    SourceControl, SourceEvent, StreamMemory, fanout::FanoutSource,
};
use crate::clock::Clock;

/// Connections of one socket at a time.
const MAX_CONNECTIONS_PER_SOCKET: usize = 16;
/// Bytes of a message that are read whatever others do.
const SMALL: usize = 64 << 10;

/// A socket that firmware connects to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Path of the socket.
    pub path: PathBuf,
    /// Its file mode.
    pub mode: u32,
    /// User ids that may connect, beside the daemon's own and root.
    pub users: Vec<u32>,
}

/// A socket that cannot be listened on, and the reason.
#[derive(Debug, thiserror::Error)]
#[error("socket {}: {problem}", path.display())]
pub struct SocketError {
    path: PathBuf,
    problem: String,
}

/// A socket that is listened on. Dropping it ends every connection and removes the socket.
pub struct SocketHal {
    shared: Arc<Shared>,
    _task: boundary::Task,
}

/// State that a socket's connections share.
struct Shared {
    clock: Clock,
    path: PathBuf,
    users: Vec<u32>,
    metrics: Metrics,
    channels: Guarded<BTreeMap<ChannelId, Arc<Channel>>>,
    memory: StreamMemory,
    /// The largest body.
    largest: usize,
    /// Bytes that unfinished messages of all connections may hold, beside [`SMALL`] of each:
    /// two of the largest. Others wait, as long as a message may take.
    large: Semaphore,
}

impl Shared {
    fn channels(&self) -> MutexGuard<'_, BTreeMap<ChannelId, Arc<Channel>>> {
        self.channels.lock()
    }
}

impl Drop for SocketHal {
    fn drop(&mut self) {
        // Not with what its connections hold: until they have ended somebody may have made it again.
        let _ = fs::remove_file(&self.shared.path);
    }
}

impl SocketHal {
    /// Listens, as a task of the runtime that calls it; each of its streams has this room. A socket that was left behind is replaced.
    ///
    /// # Errors
    /// [`SocketError`] if the socket cannot be made, or somebody listens on it.
    pub fn listen(
        clock: Clock,
        config: Config,
        metrics: Metrics,
        memory: StreamMemory,
    ) -> Result<Self, SocketError> {
        let failed = |problem: String| SocketError {
            path: config.path.clone(),
            problem,
        };
        let listener = bind(&config).map_err(|error| failed(error.to_string()))?;
        let largest = (memory.picture + LARGEST_BODY - LARGEST_PICTURE).min(LARGEST_BODY);
        let shared = Arc::new(Shared {
            clock,
            path: config.path.clone(),
            users: config.users,
            metrics,
            // Entries are only ever added, each by itself.
            channels: Guarded::whole(BTreeMap::new()),
            memory,
            largest,
            large: Semaphore::new(2 * largest),
        });
        let path = config.path.display().to_string();
        let accepting = {
            let (shared, listener) = (Arc::clone(&shared), Arc::new(listener));
            let accept = move || accept(Arc::clone(&shared), Arc::clone(&listener));
            let name = path.clone();
            async move { restarting(Part::Camera, name, &CancellationToken::new(), accept).await }
        };
        Ok(Self {
            shared,
            _task: boundary::spawn(Part::Camera, path, accepting),
        })
    }

    /// The camera of a channel, which firmware may deliver over this socket from now on.
    pub fn camera(self: &Arc<Self>, id: ChannelId) -> SocketCamera {
        let mut channels = self.shared.channels();
        let new = || Channel::new(id, self.shared.memory.gop);
        // One that was there before is known to its firmware, which need not come again.
        let channel = Arc::clone(channels.entry(id).or_insert_with(new));
        channel.join();
        drop(channels);
        SocketCamera {
            channel,
            socket: Arc::clone(self),
        }
    }
}

/// Makes the socket with its mode before anybody can find it.
fn bind(config: &Config) -> io::Result<UnixListener> {
    let path = &config.path;
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => {
            let problem = "something that is no socket is in its place";
            return Err(io::Error::other(problem));
        }
        Ok(_) => match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => return Err(io::Error::other("another program listens on it")),
            // It was left behind.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(error) => return Err(error),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let directory = path.parent().filter(|path| !path.as_os_str().is_empty());
            directory.map_or(Ok(()), fs::create_dir_all)?;
        }
        Err(error) => return Err(error),
    }
    let hidden = hidden(path);
    let _ = fs::remove_file(&hidden);
    let listener = UnixListener::bind(&hidden)?;
    fs::set_permissions(&hidden, fs::Permissions::from_mode(config.mode))
        .and_then(|()| fs::rename(&hidden, path))
        .inspect_err(|_| drop(fs::remove_file(&hidden)))?;
    Ok(listener)
}

fn hidden(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    name.into()
}

async fn accept(shared: Arc<Shared>, listener: Arc<UnixListener>) {
    let mut served = JoinSet::new();
    let mut number = 0;
    loop {
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                tracing::warn!(%error, "a firmware's connection cannot be accepted");
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                continue;
            }
        };
        while served.try_join_next().is_some() {}
        if let Err(reason) = admit(&shared, &socket, served.len()) {
            tracing::warn!(path = %shared.path.display(), reason, "a connection is refused");
            let goodbye = ToFirmware::Goodbye(&reason).encode();
            // A new socket has room for a line; if not, it is just closed.
            let _ = socket.try_write(&goodbye);
            continue;
        }
        number += 1;
        let shared = Arc::clone(&shared);
        let name = shared.path.display().to_string();
        let serve = async move { connection::serve(&shared, socket, number).await };
        served.spawn(contain(Part::Camera, name, serve));
    }
}

/// Lets in whom the configuration names.
fn admit(shared: &Shared, socket: &UnixStream, open: usize) -> Result<(), String> {
    let peer = socket.peer_cred().map_err(|error| error.to_string())?;
    let own = rustix::process::geteuid().as_raw();
    let is_known = peer.uid() == 0 || peer.uid() == own || shared.users.contains(&peer.uid());
    if !is_known {
        return Err(format!(
            "user {} may not connect; `users` in the configuration says who may",
            peer.uid()
        ));
    }
    if open >= MAX_CONNECTIONS_PER_SOCKET {
        return Err(format!(
            "{MAX_CONNECTIONS_PER_SOCKET} firmwares are connected already"
        ));
    }
    Ok(())
}

fn not_connected() -> HalError {
    HalError::Failed("the firmware is not connected".to_owned())
}

/// A camera whose firmware connects to a socket. After the last one of a channel nothing that firmware
/// delivers of it is taken; what else it delivers goes on.
pub struct SocketCamera {
    channel: Arc<Channel>,
    socket: Arc<SocketHal>,
}

impl Drop for SocketCamera {
    fn drop(&mut self) {
        if self.channel.leave() {
            self.socket.shared.metrics.forget(self.channel.id);
        }
    }
}

impl Camera for SocketCamera {
    fn open(&self, quality: Quality) -> Result<MediaInput, HalError> {
        let source = Source {
            source: Some(self.channel.fanout(quality).open()),
            channel: Arc::clone(&self.channel),
        };
        self.channel.tell_watched();
        let control = Control {
            channel: Arc::clone(&self.channel),
            wanted: quality,
        };
        Ok(MediaInput {
            source: Box::new(source),
            control: Some(Arc::new(control)),
        })
    }

    fn capabilities(&self) -> Capabilities {
        let parts = Arc::new(SocketParts(Arc::clone(&self.channel)));
        Capabilities {
            ptz: Some(Arc::clone(&parts) as _),
            picture: Some(Arc::clone(&parts) as _),
            talkback: Some(Arc::clone(&parts) as _),
            snapshot: Some(Arc::clone(&parts) as _),
            commands: Some(Arc::clone(&parts) as _),
            maintenance: Some(parts),
            storage: None,
            recordings: None,
            health_check: None,
            stills_only: false,
        }
    }

    fn offline(&self) -> Option<String> {
        self.channel.problem()
    }

    fn remedy(&self) -> &'static str {
        "start the camera's firmware, which connects to the socket of this channel; if it runs, its own log says why it does not deliver"
    }
}

struct Source {
    /// `None` once it is being dropped.
    source: Option<FanoutSource>,
    channel: Arc<Channel>,
}

impl MediaSource for Source {
    fn next(&mut self) -> BoxFuture<'_, SourceEvent> {
        match &mut self.source {
            Some(source) => source.next(),
            None => Box::pin(std::future::pending()),
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.source = None;
        self.channel.tell_watched();
    }
}

/// Controls of whatever stream a viewer of this quality gets.
struct Control {
    channel: Arc<Channel>,
    wanted: Quality,
}

impl Control {
    fn ask(
        &self,
        offers: impl Fn(&peercam_proto::hal_socket::StreamInfo) -> bool,
        message: impl Fn(peercam_proto::media::StreamId) -> ToFirmware<'static>,
    ) -> ControlOutcome {
        let source = self.channel.source_of(self.wanted);
        let announced = source.and_then(|source| Some((source, self.channel.announced(source)?)));
        match announced {
            Some((source, (info, firmware))) if offers(&info) => {
                firmware.send(&message(self.channel.stream(source)));
                ControlOutcome::Accepted
            }
            _ => ControlOutcome::Unsupported,
        }
    }
}

impl SourceControl for Control {
    fn request_key_frame(&self) -> ControlOutcome {
        self.ask(|info| info.forces_keys, ToFirmware::KeyFrame)
    }

    fn set_bitrate(&self, bits_per_second: u32) -> ControlOutcome {
        self.ask(
            |info| info.sets_bitrate,
            |stream| ToFirmware::Bitrate(stream, bits_per_second),
        )
    }
}
