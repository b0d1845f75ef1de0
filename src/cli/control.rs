//! `peercam status` and what else asks a running daemon, over its control socket.

use std::{
    io::{self, Write},
    ops::ControlFlow,
    path::Path,
};

use clap::Args;
use http::Method;
use peercam_proto::{
    credential::{Claims, Issuer, PairingUri},
    text::{Json, Lines},
};
use serde_json::{Value, json};

use super::{CliError, interrupt::until_interrupted, run};
use crate::{
    access::{Revocation, Revoked},
    config::Config,
    control::{Client, ControlError},
};

/// Options of `peercam status`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[command(after_help = "\
Examples:
  Of the daemon with this configuration:
    peercam status -c camera.toml
  For programs:
    peercam status -c camera.toml --json | jq .")]
pub struct StatusOptions {
    /// Prints JSON, for programs
    #[arg(long)]
    json: bool,
}

/// Options of `peercam events`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[command(after_help = "\
Examples:
  On the terminal:
    peercam events -c camera.toml
  To a file, for programs:
    peercam events -c camera.toml --json > events.jsonl")]
pub struct EventsOptions {
    /// Prints each event as a line of JSON, for programs
    #[arg(long)]
    json: bool,
}

/// Options of `peercam reload`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[command(after_help = "\
Examples:
  After the file was changed:
    peercam reload -c camera.toml
  For programs:
    peercam reload -c camera.toml --json")]
pub struct ReloadOptions {
    /// Prints the report as JSON, for programs
    #[arg(long)]
    json: bool,
}

/// Options of `peercam log`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[command(after_help = "\
Examples:
  The level as it is:
    peercam log -c camera.toml
  More of one part, from now on:
    peercam log -c camera.toml info,peercam::live=debug")]
pub struct LogOptions {
    /// New level, as for --log: debug, or info,peercam::live=debug
    levels: Option<String>,
}

impl StatusOptions {
    pub(super) fn perform(self, path: Option<&Path>) -> Result<(), CliError> {
        print_answer(Method::GET, "/status", path, self.json)
    }
}

impl ReloadOptions {
    pub(super) fn perform(self, path: Option<&Path>) -> Result<(), CliError> {
        print_answer(Method::POST, "/reload", path, self.json)
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

impl LogOptions {
    pub(super) fn perform(self, path: Option<&Path>) -> Result<(), CliError> {
        let client = client(path, false)?;
        let (method, body) = match self.levels {
            None => (Method::GET, String::new()),
            Some(levels) => (Method::PUT, levels),
        };
        let asked = run(async { Ok(client.ask(method, "/log-level", body).await?) });
        let text = asked.map_err(|error| advised(error, path))?;
        print(&shown(&text, false)).map(|_| ())
    }
}

/// Has the daemon that runs with this data directory pair a viewer; `None` if none runs.
pub(super) fn pair(data_dir: &Path, claims: &Claims) -> Result<Option<PairingUri>, CliError> {
    let mut fields: Value = serde_json::from_slice(&claims.encode()).unwrap_or_default();
    if let Value::Object(fields) = &mut fields {
        // The device gives these.
        fields.retain(|key, _| key != "v" && key != "id");
    }
    let Some(answer) = post(data_dir, "/pair", &fields)? else {
        return Ok(None);
    };
    let uri = PairingUri::parse(answer["uri"].as_str().unwrap_or_default());
    let uri = uri.map_err(|error| ControlError::Refused(error.to_string()))?;
    Ok(Some(uri))
}

/// Has the daemon that runs with this data directory revoke; gives what came of it and the number of
/// sessions that have ended, or `None` if none runs.
pub(super) fn revoke(
    data_dir: &Path,
    whom: &Revoked,
) -> Result<Option<(Revocation, u64)>, CliError> {
    let issuer = |issuer: &Option<Issuer>| issuer.as_ref().map(Issuer::to_string);
    let target = match whom {
        Revoked::Name(name) => json!({ "name": name }),
        Revoked::Id(id, of) => json!({ "id": id.to_string(), "issuer": issuer(of) }),
        Revoked::All(of) => json!({ "all": true, "issuer": issuer(of) }),
    };
    let answer = post(data_dir, "/revoke", &target)?;
    Ok(answer.map(|answer| {
        let number = |key: &str| answer[key].as_u64().unwrap_or_default();
        let revocation = Revocation {
            paired: usize::try_from(number("paired")).unwrap_or(usize::MAX),
            after_loss: answer["after_loss"] == true,
        };
        (revocation, number("sessions"))
    }))
}

/// Refusal of an answer of a daemon that is another version, or none of ours.
const NO_JSON: &str = "the daemon has answered with something that is no JSON; it may have done it: see peercam pair --list";

/// Has a daemon do something; `None` if none runs.
fn post(data_dir: &Path, path: &str, body: &Value) -> Result<Option<Value>, CliError> {
    let client = Client::new(data_dir);
    let answered = run(async { Ok(client.ask(Method::POST, path, body.to_string()).await?) });
    match answered {
        Ok(text) => {
            let answer = serde_json::from_str(&text);
            let answer = answer.map_err(|_| CliError::Usage(NO_JSON.to_owned()))?;
            Ok(Some(answer))
        }
        Err(CliError::Control(ControlError::NoDaemon(_))) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Asks the daemon for something without a body, and prints what it answers.
fn print_answer(
    method: Method,
    route: &str,
    config: Option<&Path>,
    json: bool,
) -> Result<(), CliError> {
    let client = client(config, json)?;
    let asked = run(async { Ok(client.ask(method, route, "").await?) });
    let text = asked.map_err(|error| advised(error, config))?;
    print(&shown(&text, json)).map(|_| ())
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
