use std::io;

#[cfg(feature = "client")]
use peercam_client::{ClientError, Code};
use peercam_proto::credential::ParseUriError;

use crate::{
    access::{DataDirError, PairError, StoreError},
    config::ConfigError,
};

/// Reason that a short command did not work.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The configuration is not in order.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The device's secrets cannot be used.
    #[error(transparent)]
    SecretStore(#[from] StoreError),
    /// A viewer is not paired or revoked.
    #[error(transparent)]
    Pair(#[from] PairError),
    /// The pairing URI is missing or is none.
    #[error(transparent)]
    Uri(#[from] ParseUriError),
    /// The device did not do it.
    #[cfg(feature = "client")]
    #[error("{error}{}", suffix(error, *refused))]
    Client {
        /// The reason.
        error: ClientError,
        /// The error code, if the device refuses.
        refused: Option<Code>,
    },
    /// The key of this viewer's endpoint cannot be used.
    #[cfg(feature = "client")]
    #[error(transparent)]
    Identity(#[from] peercam_client::p2p::IdentityError),
    /// The system says no.
    #[error("{what}: {error}")]
    Io {
        /// The attempt.
        what: String,
        /// The system's error.
        error: io::Error,
    },
    /// The user interrupted it.
    #[error("interrupted")]
    Interrupted,
    /// The command line does not make sense.
    #[error("{0}")]
    Usage(String),
}

/// The documented code of a failure, behind its sentence.
#[cfg(feature = "client")]
fn suffix(error: &ClientError, refused: Option<Code>) -> String {
    let code = match error {
        ClientError::Refused { .. } => refused,
        _ => error.code(),
    };
    code.map_or_else(String::new, |code| format!(" (code {})", code.number()))
}

#[cfg(feature = "client")]
impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        Self::Client {
            error,
            refused: None,
        }
    }
}

impl CliError {
    /// A failure while something was asked for; a refusal is called `refused`.
    #[cfg(feature = "client")]
    pub(super) fn asking(refused: Code) -> impl FnOnce(ClientError) -> Self {
        move |error| Self::Client {
            error,
            refused: Some(refused),
        }
    }

    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io {
            what: what.into(),
            error,
        }
    }
}
