//! The command line. Names here are a contract: scripts rely on them.
//!
//! Belongs here: arguments, what the short commands do, and what people read. Does not belong
//! here: anything that the daemon or the library needs.

#[cfg(feature = "completions")]
mod completions;
mod control;
mod device;
mod doctor;
mod error;
mod help;
mod interrupt;
mod mint_key;
mod new_file;
mod pairing;
mod png;
mod probe;
mod progress;
mod qr;
#[cfg(feature = "record")]
mod record;
#[cfg(feature = "client")]
mod viewer;

#[cfg(feature = "completions")]
pub use completions::CompletionsOptions;
pub use control::{EventsOptions, LogOptions, ReloadOptions, StatusOptions};
use device::Device;
pub use doctor::DoctorOptions;
pub use error::CliError;
pub use interrupt::{Hangups, Signals};
pub use mint_key::MintKeyOptions;
pub use pairing::{PairOptions, RevokeOptions};
pub use probe::ProbeOptions;
#[cfg(feature = "record")]
pub use record::{RecordCommand, RecordOptions};
#[cfg(feature = "client")]
pub use viewer::{ViewerCommand, ViewerError};

use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::{config::Config, log::levels::Levels};

/// ffplay with options that show the first picture at once: without them it reads two seconds ahead to
/// learn what is in the stream.
pub const FFPLAY: &str = "ffplay -fpsprobesize 0 -analyzeduration 500000";

/// Turns this machine into a camera that apps watch and command over HTTP
#[derive(Debug, Args)]
#[command(version, max_term_width = 100)]
#[command(after_help = "peercam COMMAND --help explains a command, with examples.")]
pub struct Cli {
    /// Subcommand; without one: run.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Options of every command.
    #[command(flatten)]
    pub options: Options,
    /// Options of a `peercam` without a command.
    #[command(flatten)]
    run: RunOptions,
}

impl CommandFactory for Cli {
    fn command() -> clap::Command {
        help::arrange(Self::augment_args(clap::Command::new("peercam")))
    }

    fn command_for_update() -> clap::Command {
        help::arrange(Self::augment_args_for_update(clap::Command::new("peercam")))
    }
}

impl Parser for Cli {}

/// A subcommand.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Runs the camera until Ctrl-C or SIGTERM; this is the default
    ///
    /// SIGINT and SIGTERM end it in order: files are finished, viewers are told. A second signal ends
    /// it at once.
    #[command(after_help = "\
Examples:
  A simulated camera, to try it:
    peercam run
  Your own cameras, with more in the log:
    peercam run -c camera.toml --log debug")]
    Run(RunOptions),
    /// Checks a configuration file and the files it names; runs nothing
    ///
    /// It prints every mistake with its line, and how much memory each part may use.
    Check(CheckOptions),
    /// Shows viewers, cameras, SD card and memory of the running daemon
    Status(StatusOptions),
    /// Prints events of the running daemon until Ctrl-C
    ///
    /// Events are viewers that come and go, cameras, what they detect, the SD card, calls and reloads.
    Events(EventsOptions),
    /// Has the running daemon read its configuration again
    ///
    /// It prints what was applied, and what needs a restart. A file with a mistake changes nothing.
    Reload(ReloadOptions),
    /// Shows or changes the log level of the running daemon
    ///
    /// The new level holds until the daemon ends.
    Log(LogOptions),
    /// Pairs a viewer: prints a secret URI that gives it access
    ///
    /// Give the URI to one viewer: whoever has it can do what its scopes allow, until it is revoked.
    /// On a terminal it is drawn as a QR code too; --qr writes that to a file.
    Pair(PairOptions),
    /// Ends a viewer's access, at once and for good
    ///
    /// A running daemon has closed the viewer's streams when this command ends.
    Revoke(RevokeOptions),
    /// Prints the secret key with which a back end pairs viewers itself
    ///
    /// Again with the same name, it prints the same key; the options change what its viewers may do.
    MintKey(MintKeyOptions),
    /// What a viewer does.
    #[cfg(feature = "client")]
    #[command(flatten)]
    Viewer(ViewerCommand),
    /// Shows what a camera or a file delivers, and what to change in it
    ///
    /// It reads the source for some seconds and reports the formats, what viewers will get, and which
    /// settings of the camera delay the first picture.
    Probe(ProbeOptions),
    /// Reports what works and what does not, on the device or a viewer
    ///
    /// On the device: clock, disk, ports, cameras, SD card, programs for commands, relays. With a
    /// pairing URI it looks from the viewer's side. The exit status is 0 if nothing has to be done,
    /// warnings included, and 1 otherwise.
    Doctor(DoctorOptions),
    /// Lists or checks the recordings on an SD card
    #[cfg(feature = "record")]
    #[command(subcommand)]
    Record(RecordCommand),
    /// Prints completions for a shell
    ///
    /// The shell then completes commands, options and files at the Tab key.
    #[cfg(feature = "completions")]
    Completions(CompletionsOptions),
}

/// Options of `peercam run`.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// Records nothing, whatever the configuration says
    #[arg(long)]
    no_record: bool,
}

/// Options of `peercam check`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
#[command(override_usage = "peercam check [OPTIONS] <FILE>")]
#[command(after_help = "\
Examples:
  Before a restart of the daemon:
    peercam check camera.toml
  The mistakes only, for scripts:
    peercam check /etc/peercam/camera.toml > /dev/null")]
pub struct CheckOptions {
    /// Configuration file
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
            config = config.without_recordings();
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
            Self::Reload(options) => options.perform(path),
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
            #[cfg(feature = "completions")]
            Self::Completions(options) => options.perform(),
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
    /// Configuration file; without one, the device is a simulated camera
    ///
    /// The simulated camera listens on 127.0.0.1:34567 and keeps its keys and recordings in
    /// ./peercam-data.
    #[arg(long, short, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Log level: off, error, warn, info, debug or trace
    ///
    /// Levels by part are possible too: info,peercam::live=debug. Libraries log nothing unless they
    /// are named: info,iroh=warn.
    #[arg(
        long,
        global = true,
        value_name = "LEVELS",
        default_value = "info",
        env = "PEERCAM_LOG",
        hide_env_values = true
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
