//! The command line. Names here are a contract: scripts rely on them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use tracing_subscriber::filter::Targets;

/// Turns this machine into a camera that apps watch and command over HTTP.
#[derive(Debug, Parser)]
#[command(name = "peercam", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; without one: run.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Options of `run`, for calls that leave the word out.
    #[command(flatten)]
    pub run: Run,
    /// What to log: a level (error, warn, info, debug, trace), or levels by part such as
    /// `info,peercam::live=debug`.
    #[arg(
        long,
        global = true,
        value_name = "LEVELS",
        default_value = "info",
        env = "PEERCAM_LOG"
    )]
    pub log: Targets,
}

/// A subcommand.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs the daemon until it gets SIGTERM or SIGINT (Ctrl-C). A second signal stops it at once.
    Run(Run),
    /// Checks a configuration file, and the files that it names, without running anything.
    Check(Check),
}

/// Options of `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// The configuration file. Without one: a simulated camera on 127.0.0.1:34567.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Options of `check`.
#[derive(Debug, Args)]
pub struct Check {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
}
