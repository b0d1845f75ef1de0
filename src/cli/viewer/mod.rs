//! Commands of a viewer: what somebody does who has a device's pairing URI.

mod command;
mod connect;
mod doctor;
mod download;
mod proxy;
mod pull;
mod snapshot;
mod talk;

use std::{io, path::Path};

pub use command::CommandOptions;
pub use connect::{ConnectOptions, IdentityOptions};
pub use doctor::DoctorOptions;
pub use download::DownloadOptions;
pub use proxy::ProxyOptions;
pub use pull::PullOptions;
pub use snapshot::SnapshotOptions;
pub use talk::TalkOptions;

use super::CliError;

/// Refuses a file that is there, before anything is asked for it.
fn must_be_new(output: Option<&Path>) -> Result<(), CliError> {
    match output.filter(|path| path.exists()) {
        None => Ok(()),
        Some(path) => {
            let exists = io::ErrorKind::AlreadyExists.into();
            Err(CliError::io(path.display().to_string())(exists))
        }
    }
}
