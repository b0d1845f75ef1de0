//! The command line. Names here are a contract: scripts rely on them.
//!
//! Belongs here: arguments, what the short commands do, and what people read. Does not belong
//! here: anything that the daemon or the library needs.

mod control;
mod device;
mod doctor;
mod error;
mod interrupt;
mod mint_key;
mod pairing;
mod probe;
mod progress;
#[cfg(feature = "record")]
mod record;
#[cfg(feature = "client")]
mod viewer;

pub use control::{EventsOptions, LogOptions, StatusOptions};
use device::Device;
pub use doctor::DoctorOptions;
pub use error::CliError;
pub use interrupt::Signals;
pub use mint_key::MintKeyOptions;
pub use pairing::{PairOptions, RevokeOptions};
pub use probe::ProbeOptions;
#[cfg(feature = "record")]
pub use record::{RecordCommand, RecordOptions};
#[cfg(feature = "client")]
pub use viewer::{ViewerCommand, ViewerError};

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::{config::Config, log::levels::Levels};

/// ffplay with options that show the first picture at once: without them it reads two seconds ahead to
/// learn what is in the stream.
pub const FFPLAY: &str = "ffplay -fpsprobesize 0 -analyzeduration 500000";

/// Turns this machine into a camera that apps watch and command over HTTP.
#[derive(Debug, Parser)]
#[command(name = "peercam", version)]
pub struct Cli {
    /// What to do; without one: run.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Options of every command.
    #[command(flatten)]
    pub options: Options,
    /// Options of a `peercam` without a command.
    #[command(flatten)]
    run: RunOptions,
}

/// A subcommand.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Runs the daemon until it gets SIGTERM or SIGINT (Ctrl-C). A second signal stops it at once.
    Run(RunOptions),
    /// Checks a configuration file, and the files that it names, without running anything.
    Check(CheckOptions),
    /// Says what the running daemon does: who watches, how it can be reached, cameras, SD card, memory.
    Status(StatusOptions),
    /// Prints what happens at the running daemon, until Ctrl-C: viewers that come and go, cameras, the SD
    /// card, calls.
    Events(EventsOptions),
    /// Says what the running daemon logs, or has it log more or less from now on.
    Log(LogOptions),
    /// Pairs a viewer: prints a URI with which it can watch and command this device. The URI is a
    /// secret: whoever has it can do what it says.
    Pair(PairOptions),
    /// Ends a viewer's access, at once and for good.
    Revoke(RevokeOptions),
    /// Prints the key with which a back end pairs viewers of this device by itself. It is a secret.
    MintKey(MintKeyOptions),
    /// What a viewer does.
    #[cfg(feature = "client")]
    #[command(flatten)]
    Viewer(ViewerCommand),
    /// Looks at a camera or a file for some seconds: what it delivers, what viewers get of it, and
    /// what to change in the camera so that the first picture is there at once.
    Probe(ProbeOptions),
    /// Says in plain words what works and what does not: clock, disk, ports, cameras, SD card, programs
    /// for commands, relays; with a pairing URI, from the viewer's side. Its exit status is 0 if
    /// nothing has to be done, warnings included, and 1 otherwise.
    Doctor(DoctorOptions),
    /// Says what is on a card with recordings, and whether it is whole.
    #[cfg(feature = "record")]
    #[command(subcommand)]
    Record(RecordCommand),
}

/// Options of `peercam run`.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// Records nothing, whatever the configuration says.
    #[arg(long)]
    no_record: bool,
}

/// Options of `peercam check`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckOptions {
    /// The configuration file; --config names it as well.
    file: Option<PathBuf>,
}

impl Cli {
    /// Returns how the daemon runs; `None` if another command is asked for.
    ///
    /// # Errors
    /// [`CliError::Usage`] if that has an option of `run`.
    pub fn run_options(&self) -> Result<Option<RunOptions>, CliError> {
        match self.command {
            None => Ok(Some(self.run)),
            Some(Command::Run(options)) => Ok(Some(RunOptions {
                no_record: options.no_record || self.run.no_record,
            })),
            Some(_) if self.run.no_record => {
                let reason = "--no-record is an option of run: only that records";
                Err(CliError::Usage(reason.to_owned()))
            }
            Some(_) => Ok(None),
        }
    }
}

impl RunOptions {
    /// The configuration with which it runs.
    #[cfg_attr(not(feature = "record"), expect(unused_mut))]
    pub fn apply(self, mut config: Config) -> Config {
        #[cfg(feature = "record")]
        if self.no_record {
            config.record = None;
        }
        config
    }
}

impl CheckOptions {
    /// The file to check, which is named once.
    ///
    /// # Errors
    /// [`CliError::Usage`] if none is named, or two.
    pub fn path<'a>(&'a self, named: Option<&'a Path>) -> Result<&'a Path, CliError> {
        match (self.file.as_deref(), named) {
            (Some(path), None) | (None, Some(path)) => Ok(path),
            (Some(_), Some(_)) => Err(CliError::Usage(
                "two files are named; one is checked at a time: peercam check FILE".to_owned(),
            )),
            (None, None) => Err(CliError::Usage(
                "name the file to check: peercam check FILE".to_owned(),
            )),
        }
    }
}

impl Command {
    /// Does what a short command says. `Run` and `Check` are not among those. `path` is the
    /// configuration that was named.
    ///
    /// # Errors
    /// [`CliError`], one clear line.
    pub fn perform(self, path: Option<&Path>) -> Result<(), CliError> {
        match self {
            Self::Run(_) | Self::Check(_) => Ok(()),
            Self::Status(options) => options.perform(path),
            Self::Events(options) => options.perform(path),
            Self::Log(options) => options.perform(path),
            Self::Pair(options) => options.perform(&Device::load(path)?),
            Self::Revoke(options) => options.perform(&Device::load(path)?),
            Self::MintKey(options) => options.perform(&Device::load(path)?),
            #[cfg(feature = "client")]
            Self::Viewer(command) => command.perform(),
            Self::Probe(options) => options.perform(),
            Self::Doctor(options) => options.perform(path),
            #[cfg(feature = "record")]
            Self::Record(command) => command.perform(path),
        }
    }
}

/// The configuration that was named, or the one of a `peercam` without any.
///
/// # Errors
/// [`CliError::Config`]; [`CliError::Usage`] if there is none and this build has no simulated camera.
pub fn load(path: Option<&Path>) -> Result<Config, CliError> {
    match path {
        Some(path) => Ok(Config::load(path)?),
        None => default_config(),
    }
}

#[cfg(feature = "sim")]
fn default_config() -> Result<Config, CliError> {
    Ok(Config::simulated_camera())
}

#[cfg(not(feature = "sim"))]
fn default_config() -> Result<Config, CliError> {
    Err(CliError::Usage(
        "this build has no simulated camera; name a configuration with --config FILE".to_owned(),
    ))
}

/// Runs one short command to its end.
fn run<T>(work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CliError::io("the runtime does not start"))?;
    runtime.block_on(work)
}

/// Options of every command.
#[derive(Debug, Args)]
pub struct Options {
    /// The configuration file. `run` without one is a simulated camera on 127.0.0.1:34567.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to log: a level (off, error, warn, info, debug, trace), or levels by part such as
    /// `info,peercam::live=debug`. Libraries log nothing unless they are named: `info,iroh=warn`.
    #[arg(
        long,
        global = true,
        value_name = "LEVELS",
        default_value = "info",
        env = "PEERCAM_LOG"
    )]
    pub log: Levels,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_stand_before_or_behind_the_command() {
        for line in ["peercam --config a check", "peercam check --config a"] {
            let cli = Cli::try_parse_from(line.split(' ')).expect(line);
            assert_eq!(
                (cli.command, cli.options.config),
                (
                    Some(Command::Check(CheckOptions::default())),
                    Some("a".into())
                )
            );
        }
        let bare = Cli::try_parse_from(["peercam"]).expect("no arguments");
        assert_eq!((bare.command, bare.options.config), (None, None));
    }

    #[test]
    fn recording_is_left_out_of_a_run_only() {
        for (line, expected) in [
            ("peercam", Some(false)),
            ("peercam --no-record", Some(true)),
            ("peercam run --no-record", Some(true)),
            ("peercam --no-record run --config a", Some(true)),
            ("peercam check a", None),
        ] {
            let cli = Cli::try_parse_from(line.split(' ')).expect(line);
            let run = cli.run_options().expect(line);
            assert_eq!(run.map(|run| run.no_record), expected, "{line}");
        }
        let cli = Cli::try_parse_from(["peercam", "--no-record", "check", "a"]);
        assert!(cli.expect("it parses").run_options().is_err());
    }
}
