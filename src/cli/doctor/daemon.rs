//! The daemon that runs, and what it says of itself.

use http::Method;
use serde_json::Value;

use super::{Finding, Report};
use crate::{access::DataDir, config::Config, control::Client, reach::Endpoint};

/// A daemon that runs.
pub(super) struct Running {
    /// Its description of itself.
    pub(super) endpoint: Endpoint,
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
    /// The daemon with this configuration's data directory, if one runs.
    pub(super) async fn find(config: &Config, report: &mut Report) -> Option<Self> {
        let is_there = config.data_dir.exists();
        let data_dir = is_there.then(|| DataDir::open(&config.data_dir).ok());
        let Some(endpoint) = data_dir.flatten().and_then(|data_dir| data_dir.running()) else {
            report.warn("no daemon runs with this data_dir");
            return None;
        };
        report.good(format_args!("the daemon runs (process {})", endpoint.pid));
        let client = Client::new(&config.data_dir);
        let status = match client.ask(Method::GET, "/status", "").await {
            Ok(text) => serde_json::from_str(&text).ok(),
            Err(error) => {
                report.warn(format_args!(
                    "the daemon cannot be asked how it is: {error}"
                ));
                None
            }
        };
        Some(Self { endpoint, status })
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
