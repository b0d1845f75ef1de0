//! `peercam command`: one command to a paired device.

use std::io::{self, Write};

use clap::Args;
use peercam_client::{ClientError, Viewer};
use peercam_proto::text::Json;

use super::connect::{ConnectOptions, DeviceArg, SecretArg, word};
use crate::cli::CliError;

/// Options of `peercam command`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[command(allow_missing_positional = true)]
#[command(after_help = "\
Examples:
  The cameras of the device, and which of them are online:
    peercam command @phone.uri 'action=inner_define&cmd=get_nvr_list'
  Every command that the device offers:
    peercam command @phone.uri 'action=user_define&cmd=help'")]
pub struct CommandOptions {
    #[command(flatten)]
    device: DeviceArg,
    /// Command, as in a query: 'action=inner_define&cmd=get_nvr_list'
    command: SecretArg,
    #[command(flatten)]
    way: ConnectOptions,
}

impl CommandOptions {
    pub(super) fn perform(self) -> Result<(), CliError> {
        let command = word(&self.command).filter(|word| *word != "-");
        let command = command.ok_or_else(|| {
            let reason = "the command is missing: peercam command URI 'action=inner_define&cmd=get_nvr_list'";
            CliError::Usage(reason.to_owned())
        })?;
        let answer = self
            .way
            .with_viewer(self.device.uri.as_ref(), async |viewer| {
                ask(viewer, command).await
            })?;
        let text = String::from_utf8_lossy(&answer);
        writeln!(io::stdout(), "{}", Json(text.trim_end_matches('\0')))
            .map_err(CliError::io("the answer cannot be written"))
    }
}

async fn ask(viewer: &mut Viewer, command: &str) -> Result<bytes::Bytes, CliError> {
    let mut answer = viewer.post("/command", command.as_bytes()).await?;
    let answered = answer.collect(1 << 20).await;
    Ok(answered.map_err(|error| ClientError::OutcomeUnknown(Box::new(error)))?)
}
