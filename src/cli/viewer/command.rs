//! `peercam command`: one command to a paired device.

use std::io::{self, Write};

use clap::Args;
use peercam_client::{ClientError, Viewer};
use peercam_proto::text::Json;

use super::connect::{ConnectOptions, SecretArg, uri_and_word};
use crate::cli::CliError;

/// Options of `peercam command`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct CommandOptions {
    /// The device's pairing URI (@FILE reads it from a file, - from the input; without it,
    /// PEERCAM_URI is read), and the command: 'action=inner_define&cmd=get_nvr_list'.
    #[arg(num_args = 1..=2, required = true, value_names = ["URI", "COMMAND"])]
    arguments: Vec<SecretArg>,
    #[command(flatten)]
    way: ConnectOptions,
}

impl CommandOptions {
    pub(super) fn perform(self) -> Result<(), CliError> {
        let (uri, command) = uri_and_word(&self.arguments);
        let command = command.filter(|word| *word != "-").ok_or_else(|| {
            let reason = "the command is missing: peercam command URI 'action=inner_define&cmd=get_nvr_list'";
            CliError::Usage(reason.to_owned())
        })?;
        let answer = self
            .way
            .with_viewer(uri, async |viewer| ask(viewer, command).await)?;
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
