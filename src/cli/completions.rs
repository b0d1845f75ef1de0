//! `peercam completions`: the script with which a shell completes the arguments of this program.

use std::io::{self, Write};

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, CliError};

/// Options of `peercam completions`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[command(after_help = "\
Examples:
  bash, for all users of the machine:
    peercam completions bash > /etc/bash_completion.d/peercam
  fish:
    peercam completions fish > ~/.config/fish/completions/peercam.fish")]
pub struct CompletionsOptions {
    /// Shell that reads the script
    shell: Shell,
}

impl CompletionsOptions {
    pub(super) fn perform(&self) -> Result<(), CliError> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "peercam", &mut script);
        let written = io::stdout().write_all(&script);
        written.map_err(CliError::io("the script cannot be written"))
    }
}
