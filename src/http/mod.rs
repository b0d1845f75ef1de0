//! The HTTP surface: who may knock, which route, which answer.
//!
//! Belongs here: requests, replies and bodies. Errors become HTTP in `reply` and nowhere else.
//! Does not belong here: what a command does (`device`), how a stream runs (`live`).

mod body;
mod door;
mod guard;
mod live;
mod metrics;
mod open;
mod reply;
mod request_body;
mod router;
mod sealed;
mod server;

pub use guard::{Origin, ParseOriginError};
pub use metrics::Metrics;
pub use router::{App, BODY_TIMEOUT};
pub use server::{Listening, serve};
