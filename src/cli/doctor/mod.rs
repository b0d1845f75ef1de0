//! `peercam doctor`: what works and what does not, in plain words, and what to do.
//!
//! Keeps: it changes nothing, a camera that a running daemon looks after is not connected to beside
//! it, and the exit status is 0 if nothing has to be done: warnings are no failures.

mod cameras;
#[cfg(feature = "record")]
mod card;
mod daemon;
mod handlers;
mod listeners;
mod machine;
#[cfg(feature = "p2p")]
mod relays;
mod report;
#[cfg(feature = "client")]
mod viewer;

use std::path::Path;

use clap::Args;

use self::{
    daemon::Running,
    report::{Finding, Report},
};
#[cfg(feature = "client")]
use super::viewer::{ConnectOptions, SecretArg, pairing_uri};
use super::{CliError, load, run};
use crate::config::Config;

/// Examples, for what this build can do.
#[cfg(feature = "client")]
const EXAMPLES: &str = "\
Examples:
  On the device:
    peercam doctor -c camera.toml
  From a viewer's machine:
    peercam doctor @phone.uri";
#[cfg(not(feature = "client"))]
const EXAMPLES: &str = "\
Examples:
  On the device:
    peercam doctor -c camera.toml
  For a script that acts on the exit status:
    peercam doctor -c camera.toml --log off > /dev/null";

/// Options of `peercam doctor`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[command(after_help = EXAMPLES)]
pub struct DoctorOptions {
    /// Pairing URI of a device (@FILE, or - for the input), to look from a viewer
    ///
    /// Without one, it looks at the device of --config.
    #[cfg(feature = "client")]
    uri: Option<SecretArg>,
    #[cfg(feature = "client")]
    #[command(flatten)]
    way: ConnectOptions,
}

impl DoctorOptions {
    pub(super) fn perform(self, path: Option<&Path>) -> Result<(), CliError> {
        let mut report = Report::default();
        #[cfg(feature = "client")]
        if self.uri.is_some() {
            let uri = pairing_uri(self.uri.as_ref())?;
            run(viewer::look(&self.way, uri, &mut report))?;
            return report.verdict();
        }
        let config = load(path)?;
        report.good("the configuration is right");
        run(look_at_device(&config, &mut report))?;
        report.verdict()
    }
}

async fn look_at_device(config: &Config, report: &mut Report) -> Result<(), CliError> {
    machine::clock(report);
    machine::data_dir(config, report);
    let running = Running::find(config, report).await;
    listeners::look(config, running.as_ref(), report).await;
    cameras::look(config, running.as_ref(), report).await;
    #[cfg(feature = "record")]
    card::look(config, running.as_ref(), report);
    handlers::look(config, running.as_ref(), report).await;
    #[cfg(feature = "p2p")]
    relays::look(config, report).await?;
    Ok(())
}
