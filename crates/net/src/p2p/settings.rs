//! The numbers of QUIC, for a device with 32 MB and for viewers that are to see a picture again
//! soon.

use std::time::Duration;

use iroh::endpoint::{QuicTransportConfig, VarInt};

/// A path on which nothing came for this long is given up: the picture goes on by another one.
const PATH_IDLE: Duration = Duration::from_secs(3);
/// Interval of keep-alives on a path that carries nothing.
const PATH_KEEP_ALIVE: Duration = Duration::from_secs(1);
/// A peer of which nothing came for this long, by any path, is gone. A relay that restarts takes
/// about five seconds, so that it is not less.
const PEER_IDLE: Duration = Duration::from_secs(8);
/// Bytes that may wait for one viewer where memory allows it: a second of
/// 4 Mbit/s, and 20 Mbit/s for a download over 200 ms.
pub const SEND_WINDOW: usize = 512 << 10;
/// Receive window of one request's stream, in bytes. Talkback is the most of it.
const DEVICE_STREAM_WINDOW: u32 = 64 << 10;
/// Receive window of a connection whose peer has proved nothing, in bytes.
pub const UNAUTHENTICATED_WINDOW: usize = 8 << 10;
/// The same for one that has.
pub const VIEWER_WINDOW: usize = 128 << 10;
/// Requests at a time of a peer that has proved nothing.
const UNAUTHENTICATED_STREAMS: u32 = 1;
/// The same for one that has.
const VIEWER_STREAMS: u32 = 16;
/// Receive windows of a viewer, in bytes: of one answer, 40 Mbit/s over
/// 100 ms, and of all together. QUIC's other end here gives a connection up when a reader is some
/// 2000 packets behind on one stream, however large its window; this is less than that.
const CLIENT_STREAM_WINDOW: u32 = 512 << 10;
const CLIENT_WINDOW: u32 = 4 << 20;
/// Messages that a device may have under way to a viewer.
const CLIENT_STREAMS: u32 = 4;

/// Side of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Device: it is dialled, serves requests, and sends little but media.
    Device {
        /// Bytes that may wait for one viewer, sent and not acknowledged or not sent yet: at
        /// most [`SEND_WINDOW`], less where there is little memory.
        send_window: usize,
    },
    /// Viewer: it dials, and takes media.
    Viewer,
}

impl Role {
    pub(super) fn transport(self) -> QuicTransportConfig {
        let common = QuicTransportConfig::builder()
            .default_path_max_idle_timeout(PATH_IDLE)
            .default_path_keep_alive_interval(PATH_KEEP_ALIVE)
            .keep_alive_interval(PATH_KEEP_ALIVE)
            .max_idle_timeout(Some(milliseconds(PEER_IDLE).into()))
            // Every exchange is a bidirectional stream; what nobody reads is not let in: no other
            // streams, no datagrams (RFC 9221).
            .max_concurrent_uni_streams(VarInt::from_u32(0))
            .datagram_receive_buffer_size(None);
        match self {
            Self::Device { send_window } => common
                .send_window(send_window.min(SEND_WINDOW) as u64)
                .stream_receive_window(VarInt::from_u32(DEVICE_STREAM_WINDOW))
                .receive_window(varint(UNAUTHENTICATED_WINDOW))
                .max_concurrent_bidi_streams(VarInt::from_u32(UNAUTHENTICATED_STREAMS)),
            Self::Viewer => common
                .send_window(VIEWER_WINDOW as u64)
                .stream_receive_window(VarInt::from_u32(CLIENT_STREAM_WINDOW))
                .receive_window(VarInt::from_u32(CLIENT_WINDOW))
                .max_concurrent_bidi_streams(VarInt::from_u32(CLIENT_STREAMS)),
        }
        .build()
    }
}

/// Gives a peer that has proved itself its room.
pub(super) fn give_room(connection: &iroh::endpoint::Connection) {
    connection.set_receive_window(varint(VIEWER_WINDOW));
    connection.set_max_concurrent_bi_streams(VarInt::from_u32(VIEWER_STREAMS));
}

fn varint(bytes: usize) -> VarInt {
    VarInt::from_u32(u32::try_from(bytes).unwrap_or(u32::MAX))
}

fn milliseconds(time: Duration) -> VarInt {
    VarInt::from_u32(u32::try_from(time.as_millis()).unwrap_or(u32::MAX))
}
