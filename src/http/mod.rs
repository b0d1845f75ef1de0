//! The HTTP surface: authentication of connections, routes, answers.
//!
//! Belongs here: requests, replies and bodies. Which status an error has is decided by `peercam_proto::refusal`.
//! Does not belong here: what a command does (`device`), how a stream runs (`live`).

mod authenticated;
mod body;
mod connection_handle;
mod download;
mod health;
mod list;
mod live;
mod metrics;
#[cfg(feature = "p2p")]
pub mod p2p;
mod playback;
mod presence;
mod reply;
mod request_body;
mod router;
mod sealed;
mod server;
mod snapshot;
mod tags;
mod trusted;
mod voice;
mod webhook;

pub use metrics::Metrics;
pub use router::{App, BODY_TIMEOUT};
pub use server::{Listening, serve};
pub use trusted::LocalPermits;
pub use webhook::{CommandWebhook, WebhookAddress};
