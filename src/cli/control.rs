//! `peercam status` and what else asks a running daemon, over its control socket.

use std::{
    io::{self, Write},
    ops::ControlFlow,
    path::Path,
};

use clap::Args;
use http::Method;
use peercam_proto::text::{Json, Lines};

use super::{CliError, interrupt::until_interrupted, run};
use crate::{
    config::Config,
    control::{Client, ControlError},
};

/// Options of `peercam status`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct StatusOptions {
    /// Prints JSON, for programs.
    #[arg(long)]
    json: bool,
}

/// Options of `peercam events`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct EventsOptions {
    /// Prints a line of JSON for each, for programs.
    #[arg(long)]
    json: bool,
}

impl StatusOptions {
    pub(super) fn perform(self, path: Option<&Path>) -> Result<(), CliError> {
        let client = client(path, self.json)?;
        let asked = run(async { Ok(client.ask(Method::GET, "/status", "").await?) });
        let text = asked.map_err(|error| advised(error, path))?;
        print(&shown(&text, self.json)).map(|_| ())
    }
}

impl EventsOptions {
    /// Prints what happens until the daemon ends, or somebody has seen enough.
    pub(super) fn perform(self, path: Option<&Path>) -> Result<(), CliError> {
        let client = client(path, self.json)?;
        let mut printed = Ok(true);
        let followed = run(until_interrupted(async {
            let print = |line: &str| {
                printed = print(&shown(line, self.json));
                match printed {
                    Ok(true) => ControlFlow::Continue(()),
                    _ => ControlFlow::Break(()),
                }
            };
            Ok(client.follow("/events", print).await?)
        }));
        match followed {
            Ok(()) => {
                if printed? {
                    eprintln!("peercam: the daemon has ended");
                }
                Ok(())
            }
            Err(CliError::Interrupted) => Ok(()),
            Err(error) => Err(advised(error, path)),
        }
    }
}

/// Way to the daemon of the configuration that was named, or of the data directory here.
fn client(path: Option<&Path>, json: bool) -> Result<Client, CliError> {
    let client = Client::new(&Config::data_dir_of(path)?);
    Ok(if json { client } else { client.for_people() })
}

/// An error with what to do about it.
fn advised(error: CliError, path: Option<&Path>) -> CliError {
    match error {
        CliError::Control(error @ ControlError::NoDaemon(_)) => CliError::Usage(match path {
            Some(path) => format!(
                "{error}; start it with: peercam run --config {}",
                path.display()
            ),
            None => format!(
                "{error}; start it with: peercam run, or name the configuration of another one with --config FILE"
            ),
        }),
        error => error,
    }
}

/// An answer in which no terminal finds anything to act on.
fn shown(text: &str, json: bool) -> String {
    if json {
        Json(text.trim_end()).to_string() + "\n"
    } else {
        format!("{}\n", Lines(text.trim_end()))
    }
}

/// Prints a text; returns whether somebody reads it, who may have seen enough.
fn print(text: &str) -> Result<bool, CliError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(CliError::io("the answer cannot be written")(error)),
    }
}
