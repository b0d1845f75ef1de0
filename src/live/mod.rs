//! The live path: one pump a stream, one ring of frames, any number of subscriptions.
//!
//! ```text
//! MediaSource ─► pump ─► ring (published cursor) ─► Subscription ─► (FLV, socket: the floors above)
//! ```
//!
//! The pump never waits for a viewer, and a viewer holds nothing but a cursor. Belongs here:
//! starting and stopping streams, joining, skipping, stills, and what is known of cameras that nobody
//! reads. Does not belong here: containers, HTTP.

mod availability;
mod checks;
mod config;
mod hub;
mod metrics;
mod pump;
mod refusal;
mod ring;
mod stills;
mod stream;
mod subscription;

pub use availability::CameraOutage;
pub use hub::{Config, Hub};
pub use metrics::{Metrics, StreamMetrics};
pub use ring::MAX_FRAME;
pub use stills::{Permit, Stills};
pub use subscription::Subscription;
