//! The HTTP surface: authentication of connections, routes, answers.
//!
//! Belongs here: requests, replies and bodies. Errors become HTTP in `reply` and nowhere else.
//! Does not belong here: what a command does (`device`), how a stream runs (`live`).

mod body;
mod door;
mod download;
mod handler;
mod list;
mod live;
mod metrics;
mod open;
#[cfg(feature = "p2p")]
pub mod p2p;
mod playback;
mod reply;
mod request_body;
mod router;
mod sealed;
mod seat;
mod server;
mod snapshot;
mod tags;
mod voice;
mod wire;

pub use handler::{HandlerAddress, LocalHandler};
pub use metrics::Metrics;
pub use open::LocalPlaces;
pub use router::{App, BODY_TIMEOUT};
pub use server::{Listening, serve};
