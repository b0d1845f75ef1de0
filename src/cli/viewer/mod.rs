//! Commands of a viewer: what somebody does who has a device's pairing URI.

mod command;
mod connect;
mod download;
mod error;
mod link_report;
mod proxy;
mod pull;
mod snapshot;
mod talk;

use std::{io, path::Path};

use clap::Subcommand;
pub use error::ViewerError;
use rustix::fs::{CWD, RenameFlags, renameat_with};

pub(super) use self::connect::{ConnectOptions, SecretArg, pairing_uri};
use self::{
    command::CommandOptions, connect::IdentityOptions, download::DownloadOptions,
    proxy::ProxyOptions, pull::PullOptions, snapshot::SnapshotOptions, talk::TalkOptions,
};
use super::CliError;

/// A subcommand of a viewer.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum ViewerCommand {
    /// Sends a command to a paired device and prints the answer.
    Command(CommandOptions),
    /// Fetches a paired device's live picture as FLV.
    Pull(PullOptions),
    /// Fetches one picture of now of a paired device as a JPEG, if its camera gives such.
    Snapshot(SnapshotOptions),
    /// Fetches a recording of a paired device as a file; goes on where it stopped.
    Download(DownloadOptions),
    /// Speaks a sound file, or what comes on the input, through a paired device's speaker.
    Talk(TalkOptions),
    /// The app's side: dials a paired device, and serves players and scripts of this machine.
    Proxy(ProxyOptions),
    /// Prints the id of a viewer's endpoint, for pair --peer. Makes its key if there is none.
    // Behind those of the device.
    #[command(display_order = 900)]
    Identity(IdentityOptions),
}

impl ViewerCommand {
    /// Does it.
    pub(super) fn perform(self) -> Result<(), CliError> {
        match self {
            Self::Command(options) => options.perform(),
            Self::Pull(options) => options.perform(),
            Self::Snapshot(options) => options.perform(),
            Self::Download(options) => options.perform(),
            Self::Talk(options) => options.perform(),
            Self::Proxy(options) => options.perform(),
            Self::Identity(options) => options.perform(),
        }
    }
}

/// Gives a draft its name, if nothing has that by now.
fn publish_new(draft: impl rustix::path::Arg, path: &Path) -> io::Result<()> {
    Ok(renameat_with(
        CWD,
        draft,
        CWD,
        path,
        RenameFlags::NOREPLACE,
    )?)
}

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
