//! Wires: what accepts connections and yields byte streams with a known peer.
//!
//! Belongs here: sockets, their options and time-outs, how many there may be. Does not belong
//! here: what is said over them.

mod connections;
pub mod tcp;

pub use connections::{Activity, Connections, Metrics, Serving, Standing, Timeouts};
