//! The control socket: what the device's own user asks of a running daemon, and has it do.
//!
//! ```text
//! peercam status, curl --unix-socket ─► data_dir/control.sock ─► routes ─► device, access, log
//! ```
//!
//! HTTP/1.1 over a Unix socket that only the daemon's own user and root get into (`docs/control.md`).
//! Belongs here: its connections, its routes, what they tell, and the end that asks. Does not
//! belong here: anything that a viewer may do, nor any secret but a pairing that was asked for.

mod body;
mod client;
mod events;
mod observed;
mod pairing;
mod router;
mod server;
mod status;

pub use client::{Client, ControlError};
pub use events::Followers;
pub use router::{Control, Reload};
pub use server::serve;
pub use status::Status;

/// Name of the socket in the data directory.
pub const SOCKET: &str = "control.sock";
