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

use clap::Subcommand;
pub use error::ViewerError;

pub(super) use self::connect::{ConnectOptions, SecretArg, pairing_uri};
use self::{
    command::CommandOptions, connect::IdentityOptions, download::DownloadOptions,
    proxy::ProxyOptions, pull::PullOptions, snapshot::SnapshotOptions, talk::TalkOptions,
};
use super::CliError;

/// A subcommand of a viewer.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum ViewerCommand {
    /// Sends a command to a paired device and prints the answer
    Command(CommandOptions),
    /// Writes a paired device's live stream (FLV) to a file or a player
    ///
    /// Over P2P the stream goes on after a lost connection and after a restart of the device.
    Pull(PullOptions),
    /// Fetches the current picture of a paired device as a JPEG
    ///
    /// Not every camera delivers JPEGs; the device says so then.
    Snapshot(SnapshotOptions),
    /// Fetches a recording of a paired device; resumes where it stopped
    ///
    /// The commands get_file_list and get_record_index list the recordings.
    Download(DownloadOptions),
    /// Plays a sound file, or a microphone, on a paired device's speaker
    Talk(TalkOptions),
    /// Serves a paired device to players and scripts of this machine
    ///
    /// It connects to the device and keeps the connection. Players open plain HTTP URLs at --listen
    /// and need no key.
    Proxy(ProxyOptions),
    /// Prints the id of this viewer's endpoint, for pair --peer
    ///
    /// It makes the key of the endpoint if the file does not exist.
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
