//! A kept session with a device, over P2P.

mod device_connection;
mod feedback;
mod identity;
mod resume;
mod session;
mod supervisor;

pub use device_connection::ClientRequest;
pub use feedback::OnFeedback;
pub use identity::{Identity, IdentityError};
pub(super) use resume::Kind;
pub use session::{Link, Options, Session};
