//! Wires: what accepts connections and yields byte streams with a known peer.
//!
//! Belongs here: sockets, their options and time-outs, how many there may be. Does not belong
//! here: what is said over them.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod connections;
mod dial;
mod entrance;
mod exchange;
mod metrics;
#[cfg(feature = "p2p")]
pub mod p2p;
pub mod places;
mod sources;
pub mod tcp;

pub use connections::{Activity, Connections, Nobodies, Serving, Standing, Timeouts};
pub use dial::{Address, ClientStream, DialError, dial};
#[cfg(feature = "tls")]
pub use dial::{ParseRootsError, Tls};
pub use entrance::{Entrance, Known, Ticket};
pub use exchange::{ExchangeError, Limits, request_once};
pub use metrics::Metrics;
