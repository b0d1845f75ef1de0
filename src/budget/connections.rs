//! TCP connections beside those of sessions.

use crate::access::CONNECTIONS_OF_SESSION;

/// Connections that have proved nothing: the least with which an owner gets in, and as many as there
/// is memory for up to this: 200 sources have a turn in a second each, and keep their place for
/// 0.4 s.
pub const STRANGERS: (usize, usize) = (24, 96);
/// Connections that viewers leave to those that have proved nothing.
pub const RESERVED: usize = 4;
/// Connections that viewers on open listeners leave to programs on the device.
pub const LOCAL: usize = 16;

/// Connections that so many sessions need at least.
pub(super) fn least(sessions: usize) -> usize {
    of_sessions(sessions) + STRANGERS.0 + RESERVED + LOCAL
}

/// Connections of so many proved sessions, and of as many strangers as there may be.
pub fn sealed(sessions: usize) -> usize {
    of_sessions(sessions) + STRANGERS.1 + RESERVED
}

fn of_sessions(sessions: usize) -> usize {
    sessions.saturating_mul(CONNECTIONS_OF_SESSION)
}
