//! Memory of QUIC connections.

#[cfg(feature = "p2p")]
use peercam_net::p2p::{SEND_WINDOW, UNAUTHENTICATED_WINDOW, VIEWER_WINDOW};

/// Peers that may be connected and have proved nothing: where all come at once each has the time
/// to come from far away.
pub const STRANGERS: usize = 16;
/// Connections of one session, beside ghosts of it and second ones that look for a path.
#[cfg(feature = "p2p")]
const CONNECTIONS_OF_SESSION: usize = 8;
/// A connection without its windows.
#[cfg(feature = "p2p")]
const CONNECTION: usize = 32 << 10;
/// Less than this for one viewer, and its picture stutters over half the world.
#[cfg(feature = "p2p")]
const LEAST_SEND_WINDOW: usize = 96 << 10;

/// Bytes that `sessions` need at least, each with one connection, and that they take at most.
#[cfg(feature = "p2p")]
pub(super) fn demand(sessions: usize) -> (usize, usize) {
    let all = sessions.saturating_mul(CONNECTIONS_OF_SESSION);
    (sum(sessions, LEAST_SEND_WINDOW), sum(all, SEND_WINDOW))
}

#[cfg(feature = "p2p")]
fn sum(connections: usize, window: usize) -> usize {
    let strangers = STRANGERS * (CONNECTION + UNAUTHENTICATED_WINDOW);
    let each = CONNECTION + window + VIEWER_WINDOW;
    connections.saturating_mul(each).saturating_add(strangers)
}

/// Connections of proved viewers that fit into this many bytes with such a window: two for each
/// session in any case, because a ghost may not have gone yet.
#[cfg(feature = "p2p")]
pub(super) fn connections(bytes: usize, sessions: usize, window: usize) -> usize {
    let each = CONNECTION + window + VIEWER_WINDOW;
    let most = sessions.saturating_mul(CONNECTIONS_OF_SESSION);
    let fitting = bytes.saturating_sub(sum(0, 0)) / each;
    fitting.clamp(sessions.saturating_mul(2), most)
}

/// This build has no P2P.
#[cfg(not(feature = "p2p"))]
pub(super) const fn connections(_: usize, _: usize, _: usize) -> usize {
    0
}

/// The window of each viewer's connection, if they have this much together: a session has one that
/// carries media.
#[cfg(feature = "p2p")]
pub(super) fn window(bytes: usize, sessions: usize) -> usize {
    let left = bytes.saturating_sub(sum(sessions, 0));
    (left / sessions.max(1)).min(SEND_WINDOW)
}

/// This build has no P2P.
#[cfg(not(feature = "p2p"))]
pub(super) const fn demand(_: usize) -> (usize, usize) {
    (0, 0)
}

/// This build has no P2P.
#[cfg(not(feature = "p2p"))]
pub(super) const fn window(_: usize, _: usize) -> usize {
    0
}
