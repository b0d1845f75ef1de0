//! Credentials, tokens and sealed bodies.

pub mod cookie;
pub mod credential;
pub mod encoding;
pub mod sealed;
