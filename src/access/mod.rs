//! Authentication and authorization: the device's secrets, proofs, sessions, and their end.
//!
//! Belongs here: what is kept in `data_dir` for access, the check that stands in front of the
//! router, and the table of sessions. Does not belong here: the shapes of credentials and tokens
//! (`proto::credential`), HTTP.
//!
//! [`SecretStore`] is the files, [`Authority`] what a running daemon knows of them, [`TokenVerifier`] one connection
//! on which requests authenticate, [`Sessions`] the viewers that did, [`Caller`] whoever asks for something, and
//! [`Need`] what that takes.

mod authority;
mod caller;
mod data_dir;
mod endpoints;
mod failures;
mod files;
mod holder;
mod metrics;
mod offenders;
mod pair;
mod pairings;
mod policy;
mod recent;
mod revocations;
mod sessions;
mod store;
mod verifier;
mod watch;

pub use authority::{Access, Authority};
pub use caller::{Caller, Sequel};
pub use data_dir::{DataDir, DataDirError, Lock};
pub use files::FileError;
pub use holder::Holder;
pub use metrics::Metrics;
pub use pair::Revocation;
pub use pairings::{PairError, Pairing, Pairings, Revoked};
pub use policy::{Medium, Need};
pub use revocations::{MAX_REVOKED, Revocations, RevocationsError};
pub use sessions::{CONNECTIONS_OF_SESSION, REQUESTS_OF_SESSION, Session, SessionView, Sessions};
pub use store::{SecretStore, Secrets, StoreError, random};
pub use verifier::{
    ExportError, SecureChannel, SignedRequest, TokenVerifier, Unauthenticated, Verified,
};
pub use watch::watch;
