use peercam_client::{ClientError, Code, Viewer, p2p::IdentityError};
use peercam_proto::credential::ParseUriError;

use crate::cli::CliError;

/// Reason that a viewer's command did not work.
#[derive(Debug, thiserror::Error)]
pub enum ViewerError {
    /// The pairing URI is missing or is none.
    #[error(transparent)]
    Uri(ParseUriError),
    /// The device did not do it.
    #[error("{error}{}", suffix(error, *refused))]
    Client {
        /// The reason.
        error: ClientError,
        /// The error code, if the device refuses.
        refused: Option<Code>,
    },
    /// The key of this viewer's endpoint cannot be used.
    #[error(transparent)]
    Identity(IdentityError),
}

impl ViewerError {
    /// The same, with the device's own word for what broke off.
    pub(super) async fn explained_by(self, viewer: &mut Viewer) -> Self {
        match self {
            Self::Client { error, refused } => Self::Client {
                error: viewer.explain(error).await,
                refused,
            },
            other => other,
        }
    }
}

/// The documented code of a failure, behind its sentence.
fn suffix(error: &ClientError, refused: Option<Code>) -> String {
    let code = match error {
        ClientError::Refused { .. } => refused,
        _ => error.code(),
    };
    code.map_or_else(String::new, |code| format!(" (code {})", code.number()))
}

impl CliError {
    /// A failure while something was asked for; a refusal is called `refused`.
    pub(super) fn asking(refused: Code) -> impl FnOnce(ClientError) -> Self {
        move |error| {
            let refused = Some(refused);
            Self::Viewer(ViewerError::Client { error, refused })
        }
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        let refused = None;
        Self::Viewer(ViewerError::Client { error, refused })
    }
}

impl From<ParseUriError> for CliError {
    fn from(error: ParseUriError) -> Self {
        Self::Viewer(ViewerError::Uri(error))
    }
}

impl From<IdentityError> for CliError {
    fn from(error: IdentityError) -> Self {
        Self::Viewer(ViewerError::Identity(error))
    }
}
