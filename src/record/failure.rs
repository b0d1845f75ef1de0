use std::io;

use peercam_hal::HalError;
use peercam_proto::fmp4;

/// Reason why something was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the card says: {0}")]
    Card(HalError),
    #[error(transparent)]
    Unwritable(#[from] fmp4::Damaged),
    #[error("the files that are being written take all the room there is")]
    NoRoom,
}

impl From<HalError> for Failure {
    fn from(error: HalError) -> Self {
        Self::Card(error)
    }
}

impl Failure {
    pub(super) fn is_full(&self) -> bool {
        match self {
            Self::Io(error) => matches!(
                error.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            ),
            Self::Card(error) => *error == HalError::Full,
            Self::NoRoom => true,
            Self::Unwritable(_) => false,
        }
    }

    /// Returns whether what there is can still be read.
    pub(super) fn is_readable(&self) -> bool {
        match self {
            // Something foreign is where a file or a directory is to be: the others can be read.
            Self::Io(error) => {
                let kinds = [
                    io::ErrorKind::ReadOnlyFilesystem,
                    io::ErrorKind::InvalidData,
                ];
                kinds.contains(&error.kind()) || self.is_full()
            }
            Self::Card(error) => *error != HalError::Missing,
            Self::Unwritable(_) | Self::NoRoom => true,
        }
    }
}
