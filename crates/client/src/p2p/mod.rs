//! A kept session with a device, over P2P.

mod feedback;
mod identity;
mod link;
mod resume;
mod session;
mod supervisor;

pub use feedback::OnFeedback;
pub use identity::{Identity, IdentityError};
pub use link::Ask;
pub(super) use resume::Kind;
pub use session::{Options, Session};
