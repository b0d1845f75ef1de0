//! The daemon that runs, and what it says of itself.

#[cfg(feature = "p2p")]
use std::net::SocketAddr;

use http::Method;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{Finding, Report};
use crate::{
    access::DataDir,
    config::Config,
    control::{Client, ControlError},
    reach::{Endpoint, ListenerInfo},
};

/// A daemon that runs, or may: the directory of another user does not always tell.
pub(super) struct Running {
    /// Its description of itself; `None` if it could not be read.
    endpoint: Option<Endpoint>,
    /// Its status, as its control socket tells it; `None` if it could not be asked.
    pub(super) status: Option<Value>,
}

/// A problem of which a device tells.
pub(super) struct Problem {
    pub(super) part: String,
    pub(super) channel: Option<u64>,
    pub(super) name: Option<String>,
    what: String,
    seconds: u64,
    remedy: String,
}

impl Running {
    /// The daemon with this configuration's data directory, unless it is sure that none runs.
    pub(super) async fn find(config: &Config, report: &mut Report) -> Option<Self> {
        let path = &config.data_dir;
        let asked = Client::new(path).ask(Method::GET, "/status", "").await;
        let is_there = !matches!(path.try_exists(), Ok(false));
        // Opening it would make it.
        let opened = is_there.then(|| DataDir::open(path)).transpose();
        let status: Option<Value> = match asked {
            Ok(text) => serde_json::from_str(&text).ok(),
            // One that has no socket yet, or cannot have one, has the lock.
            Err(ControlError::NoDaemon(_) | ControlError::Io { .. }) => {
                match (DataDir::refuse_locked(path), &opened) {
                    (Err(locked), _) => report.warn(format_args!(
                        "{locked}, which has no control socket to be asked at; its log may say why"
                    )),
                    (Ok(()), Err(error)) => report.warn(format_args!(
                        "it is not known whether a daemon runs, so no port is tried: {error}"
                    )),
                    (Ok(()), Ok(_)) => {
                        report.warn("no daemon runs with this data_dir");
                        return None;
                    }
                }
                None
            }
            Err(error) => {
                report.warn(format_args!(
                    "the daemon cannot be asked how it is: {error}"
                ));
                None
            }
        };
        let endpoint = opened.ok().flatten().and_then(|found| found.running());
        let pid = status.as_ref().and_then(|status| status["pid"].as_u64());
        let pid = pid.or(endpoint.as_ref().map(|endpoint| endpoint.pid.into()));
        if let Some(pid) = pid {
            report.good(format_args!("the daemon runs (process {pid})"));
        }
        Some(Self { endpoint, status })
    }

    /// Its TCP listeners, if they are known.
    pub(super) fn listeners(&self) -> Option<Vec<ListenerInfo>> {
        let own = self.endpoint.as_ref();
        self.list("listeners")
            .or_else(|| own.map(|endpoint| endpoint.listen.clone()))
    }

    /// UDP addresses at which it can be dialled, as far as they are known.
    #[cfg(feature = "p2p")]
    pub(super) fn udp(&self) -> Vec<SocketAddr> {
        let own = self.endpoint.as_ref();
        self.list("udp")
            .or_else(|| own.map(|endpoint| endpoint.udp.clone()))
            .unwrap_or_default()
    }

    /// A list of its status.
    fn list<T: DeserializeOwned>(&self, key: &str) -> Option<Vec<T>> {
        Vec::deserialize(&self.status.as_ref()?[key]).ok()
    }

    /// Problems of which it tells.
    pub(super) fn problems(&self) -> Vec<Problem> {
        self.status.as_ref().map(Problem::all).unwrap_or_default()
    }
}

impl Problem {
    /// Problems that a status, or an answer about health, tells of.
    pub(super) fn all(status: &Value) -> Vec<Self> {
        let problems = status["problems"].as_array().into_iter().flatten();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let problems = problems.map(|problem| Self {
            part: text(&problem["part"]).unwrap_or_default(),
            channel: problem["channel"].as_u64(),
            name: text(&problem["name"]),
            what: text(&problem["what"]).unwrap_or_default(),
            seconds: problem["seconds"].as_u64().unwrap_or_default(),
            remedy: text(&problem["do"]).unwrap_or_default(),
        });
        problems.collect()
    }
}

impl From<Problem> for Finding {
    fn from(problem: Problem) -> Self {
        let Problem {
            part,
            channel,
            name,
            what,
            seconds,
            remedy,
        } = problem;
        let channel = channel.map(|channel| format!(" {channel}"));
        let name = name.map(|name| format!(" ({name})"));
        let thing = [Some(part), channel, name].into_iter().flatten();
        let since = format!("{what}, for {seconds} s");
        Self::failure(thing.collect::<String>(), since, &remedy)
    }
}
