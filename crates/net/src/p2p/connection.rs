//! A connection to another endpoint: its streams, its paths, and how it ended.
//!
//! Errors of iroh become [`CloseReason`] here and are seen nowhere else.

use std::{fmt, net::SocketAddr, pin::Pin, time::Duration};

use futures_core::Stream as _;
use iroh::{
    TransportAddr,
    endpoint::{ConnectionError, PathList, TransportErrorCode, VarInt},
};
use peercam_proto::{credential::EndpointId, network::Peer, text};

use super::{Stream, settings};

/// A connection to another endpoint, whose key is known: its handshake is complete, so there is
/// no early data. Dropping the last handle of it and of its streams closes it.
#[derive(Clone, Debug)]
pub struct Connection {
    inner: iroh::endpoint::Connection,
}

/// The connection is no more, or never came to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// The other end closed it, and why.
    #[error("the other end closed the connection: {0}")]
    Closed(String),
    /// The other end is a device that is shutting down: it will hardly be away for long.
    #[error("it is shutting down")]
    ShuttingDown,
    /// This end closed it.
    #[error("the connection was closed here")]
    ClosedHere,
    /// Idle timeout: nothing came from the other end any more.
    #[error("nothing comes from the other end")]
    Silent,
    /// The other end speaks another protocol, or another version of it.
    #[error("the other end does not speak this version of the protocol")]
    Incompatible,
    /// Whoever answered has another key than the one that was dialled.
    #[error("another device answers there (it has another key)")]
    AnotherDevice,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// A way from one end to the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Path {
    /// Straight to this address.
    Direct(SocketAddr),
    /// Through this relay.
    Relay(String),
}

/// Traffic of a connection so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes sent, with all overhead of QUIC.
    pub sent: u64,
    /// Bytes received, likewise.
    pub received: u64,
    /// Datagrams received.
    pub datagrams: u64,
    /// Packets of ours that were lost.
    pub lost: u64,
}

/// Error code of an ordinary end.
const NO_ERROR: VarInt = VarInt::from_u32(0);
/// Error code of a device that shuts down: whoever watches waits for it to come back.
const SHUTTING_DOWN: VarInt = VarInt::from_u32(1);

impl Connection {
    pub(super) fn new(inner: iroh::endpoint::Connection) -> Self {
        Self { inner }
    }

    /// The other end's key.
    pub fn peer(&self) -> EndpointId {
        EndpointId::new(*self.inner.remote_id().as_bytes())
    }

    /// Keying material that the two ends of this very connection have and nobody else (RFC 8446
    /// §7.5).
    pub fn export(&self, label: &[u8], context: &[u8]) -> Option<[u8; 32]> {
        let mut bytes = [0; 32];
        let exported = self
            .inner
            .export_keying_material(&mut bytes, label, context);
        exported.is_ok().then_some(bytes)
    }

    /// Gives a peer that has proved itself room for more than one short request.
    pub fn give_room(&self) {
        settings::give_room(&self.inner);
    }

    /// Opens a stream; waits while the other end lets no more be open. The other end sees it when
    /// something has been written to it.
    ///
    /// # Errors
    /// [`CloseReason`].
    pub async fn open(&self) -> Result<Stream, CloseReason> {
        let opened = self.inner.open_bi().await;
        opened.map(Stream::new).map_err(|error| lost(&error))
    }

    /// Waits for a stream of the other end.
    ///
    /// # Errors
    /// [`CloseReason`].
    pub async fn accept(&self) -> Result<Stream, CloseReason> {
        let accepted = self.inner.accept_bi().await;
        accepted.map(Stream::new).map_err(|error| lost(&error))
    }

    /// Closes the connection with a reason that the other end gets to know.
    pub fn close(&self, reason: &str) {
        self.inner.close(NO_ERROR, reason.as_bytes());
    }

    /// Closes the connection of a device that shuts down.
    pub fn close_for_shutdown(&self) {
        self.inner
            .close(SHUTTING_DOWN, b"the device is shutting down");
    }

    /// Waits until the connection is no more.
    pub async fn closed(&self) -> CloseReason {
        lost(&self.inner.closed().await)
    }

    /// Returns why the connection is no more; `None` while it is open.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.inner.close_reason().map(|error| lost(&error))
    }

    /// Address of its peer now.
    pub fn peer_address(&self) -> Peer {
        match self.path() {
            Some(Path::Direct(address)) => Peer::At(address),
            Some(Path::Relay(_)) | None => Peer::Relayed,
        }
    }

    /// The path that is used now; `None` for the moment in which there is none.
    pub fn path(&self) -> Option<Path> {
        selected(&self.inner.paths())
    }

    /// The round trip time of that path.
    pub fn rtt(&self) -> Option<Duration> {
        let paths = self.inner.paths();
        paths
            .iter()
            .find(iroh::endpoint::Path::is_selected)
            .map(|path| path.rtt())
    }

    /// Traffic so far.
    pub fn traffic(&self) -> Traffic {
        let stats = self.inner.stats();
        Traffic {
            sent: stats.udp_tx.bytes,
            received: stats.udp_rx.bytes,
            datagrams: stats.udp_rx.datagrams,
            lost: stats.lost_packets,
        }
    }

    /// Calls `changed` with the path in use, now and whenever it is another one, until the
    /// connection is no more.
    pub async fn watch_path(&self, mut changed: impl FnMut(&Path)) {
        let mut paths = self.inner.paths_stream();
        let mut last = None;
        while let Some(list) =
            std::future::poll_fn(|context| Pin::new(&mut paths).poll_next(context)).await
        {
            let now = selected(&list);
            if let Some(path) = now.filter(|now| last.as_ref() != Some(now)) {
                changed(&path);
                last = Some(path);
            }
        }
    }
}

fn selected(paths: &PathList<'_>) -> Option<Path> {
    let path = paths.iter().find(iroh::endpoint::Path::is_selected)?;
    match path.remote_addr() {
        TransportAddr::Ip(address) => Some(Path::Direct(*address)),
        TransportAddr::Relay(url) => Some(Path::Relay(url.to_string())),
        _ => None,
    }
}

impl Path {
    /// Returns whether it is one without a relay.
    pub fn is_direct(&self) -> bool {
        matches!(self, Self::Direct(_))
    }

    /// `IPv4` or `IPv6`; of a relay only its URL is known.
    pub fn family(&self) -> &'static str {
        match self {
            Self::Direct(address) if address.is_ipv4() => "IPv4",
            Self::Direct(_) => "IPv6",
            Self::Relay(_) => "unknown",
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct(address) => write!(f, "direct, {} {address}", self.family()),
            Self::Relay(url) => write!(f, "through the relay {url}"),
        }
    }
}

/// The alert of TLS for a peer whose key is not the one that was dialled (RFC 8446): `unknown_ca`.
const UNKNOWN_KEY: u8 = 48;
/// The alert of TLS for a peer that speaks none of our protocols (RFC 7301).
const NO_APPLICATION_PROTOCOL: u8 = 120;

pub(super) fn lost(error: &ConnectionError) -> CloseReason {
    match error {
        ConnectionError::ApplicationClosed(close) if close.error_code == SHUTTING_DOWN => {
            CloseReason::ShuttingDown
        }
        // Nobody else refuses: who has no place does not answer.
        ConnectionError::ConnectionClosed(close)
            if close.error_code == TransportErrorCode::CONNECTION_REFUSED =>
        {
            CloseReason::ShuttingDown
        }
        ConnectionError::ApplicationClosed(close) => {
            CloseReason::Closed(text::line(&String::from_utf8_lossy(&close.reason), 256))
        }
        ConnectionError::LocallyClosed => CloseReason::ClosedHere,
        ConnectionError::TimedOut | ConnectionError::Reset => CloseReason::Silent,
        ConnectionError::VersionMismatch => CloseReason::Incompatible,
        // Ours: the other end's would be a `ConnectionClosed`.
        ConnectionError::TransportError(error) if u64::from(error.code) == alert(UNKNOWN_KEY) => {
            CloseReason::AnotherDevice
        }
        ConnectionError::ConnectionClosed(close)
            if u64::from(close.error_code) == alert(NO_APPLICATION_PROTOCOL) =>
        {
            CloseReason::Incompatible
        }
        // The peer may have given its reason here too.
        other => CloseReason::Other(text::line(&other.to_string(), 256)),
    }
}

/// Error code of QUIC for an alert of TLS (RFC 9001 §4.8).
fn alert(number: u8) -> u64 {
    0x100 + u64::from(number)
}
