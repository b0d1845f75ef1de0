//! Credentials, tokens, sealed bodies and cookies (`docs/protocol.md`, "Credentials", "Tokens" and
//! "Records"). Keys are arguments: where they are kept, and what was used or revoked, is not here.

pub mod cookie;
pub mod credential;
pub mod encoding;
pub mod sealed;
