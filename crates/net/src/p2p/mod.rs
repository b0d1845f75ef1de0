//! P2P: endpoints that dial each other by their keys, through NATs, over QUIC.
//!
//! Belongs here: everything that knows iroh. Does not belong here: what is said over a stream.
//!
//! Nobody's servers but the relays of the configuration are contacted; there is no lookup of any
//! kind, because a viewer has what it needs from its pairing URI.

mod connection;
mod endpoint;
mod handshake;
mod settings;
mod stream;

pub use connection::{CloseReason, Connection, Path, Traffic};
pub use endpoint::{
    BindError, Endpoint, Hints, Incoming, ParseRelayError, RelayState, Relays, endpoint_id,
};
pub use handshake::{HandshakeDecision, HandshakeLimiter};
pub use settings::{Role, SEND_WINDOW, UNAUTHENTICATED_WINDOW, VIEWER_WINDOW};
pub use stream::{IsLong, Stream};
