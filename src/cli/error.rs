use std::{io, path::PathBuf};

#[cfg(feature = "client")]
use super::viewer::ViewerError;
use crate::{
    access::{DataDirError, PairError, StoreError},
    config::ConfigError,
    control::ControlError,
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
    /// A device that was not made yet, or is kept elsewhere.
    #[error("there is no device in {}: {}", data_dir.display(), no_device(option))]
    NoDevice {
        /// The directory in which it would be.
        data_dir: PathBuf,
        /// Option that named its configuration; empty if nothing did.
        option: String,
    },
    /// A viewer is not paired or revoked.
    #[error(transparent)]
    Pair(#[from] PairError),
    /// A running daemon did not do what it was asked.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// A viewer's command did not work.
    #[cfg(feature = "client")]
    #[error(transparent)]
    Viewer(#[from] ViewerError),
    /// The system says no.
    #[error("{what}: {error}")]
    Io {
        /// The attempt.
        what: String,
        /// The system's error.
        error: io::Error,
    },
    /// Whoever read the output, such as a player, has closed it: nothing more is wanted.
    #[error("nobody reads the output any more")]
    OutputClosed,
    /// The user interrupted it.
    #[error("interrupted")]
    Interrupted,
    /// The command line does not make sense.
    #[error("{0}")]
    Usage(String),
}

impl CliError {
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |error| match error.kind() {
            // No file and no address fails with it.
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::Io {
                what: what.into(),
                error,
            },
        }
    }
}

/// Advice about a device that is not there.
fn no_device(option: &str) -> String {
    if option.is_empty() {
        return "did you mean --config FILE? (peercam pair NAME --new makes one here)".to_owned();
    }
    format!("it is made by its first run (peercam{option}), or by peercam pair NAME{option}")
}
