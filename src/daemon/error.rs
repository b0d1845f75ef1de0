use std::net::SocketAddr;

use peercam_hal::file::FileError;
use peercam_net::PortError;
use peercam_proto::media::ChannelId;

use crate::access::{DataDirError, StoreError};

/// Reason that the daemon does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener's address cannot be had.
    #[error(
        "cannot listen on {address} (TCP): {error}; choose another by [[listen]] addr in the configuration (port 0: a free one)"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The reason.
        error: PortError,
    },
    /// An address without access control turned out to be one that others reach.
    #[error("cannot listen on {0}: it turned out not to be loopback, and the listener is open")]
    NotLoopback(SocketAddr),
    /// The configuration needs more memory than the device has.
    #[error(transparent)]
    Memory(#[from] crate::budget::TooLittleMemory),
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The device's secrets, or the list of who was revoked, cannot be used.
    #[error(transparent)]
    SecretStore(#[from] StoreError),
    /// The UDP port cannot be had.
    #[error(
        "cannot listen on UDP port {port} (P2P): {error}; choose another by [p2p] port in the configuration (0: a free one), or do without P2P ([p2p] enabled = false)"
    )]
    UdpPort {
        /// The port.
        port: u16,
        /// The reason.
        error: PortError,
    },
    /// The endpoint of P2P cannot be had, although its port is free.
    #[error("P2P does not start: {0}")]
    P2p(String),
    /// The authorities of the relays cannot be read.
    #[cfg(feature = "p2p")]
    #[error("p2p: {0}")]
    RelayCa(crate::config::RelayCaError),
    /// The system gives no thread for recording.
    #[cfg(feature = "record")]
    #[error("recording does not start: {0}")]
    Recorder(std::io::Error),
    /// The command of a speaker is of no use.
    #[error(transparent)]
    Speaker(#[from] peercam_hal::ExecError),
    /// A socket for firmware cannot be listened on.
    #[error(transparent)]
    Socket(#[from] peercam_hal::socket::SocketError),
    /// A channel's file cannot be played.
    #[error("channel {channel}: {error}")]
    File {
        /// The channel.
        channel: ChannelId,
        /// The file's error.
        error: FileError,
    },
    /// A channel's camera is one of the program, and the program has none.
    #[error("channel {0}: kind = \"own\" is for programs that bring cameras of their own")]
    NoOwnCamera(ChannelId),
}
