//! The daemon that runs, and what it says of itself.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, header};
use peercam_net::{Address, Limits, dial, request_once};
use serde_json::Value;
use tokio::time::Instant;

use super::{Finding, Report};
use crate::{
    access::DataDir,
    config::Config,
    reach::{Endpoint, ListenerAccess},
};

/// Timeout of the daemon's answer.
const ANSWER_TIME: Duration = Duration::from_secs(3);
/// Bytes of the longest answer.
const MAX_ANSWER: usize = 1 << 20;

/// A daemon that runs.
pub(super) struct Running {
    /// Its description of itself.
    pub(super) endpoint: Endpoint,
    /// Its answer about its health; `None` if it could not be asked.
    pub(super) health: Option<Value>,
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
        let health = ask(&endpoint).await;
        if health.is_none() {
            report.warn(
                "the daemon has no open listener on this machine, or does not answer there, so it cannot be asked how it is",
            );
        }
        Some(Self { endpoint, health })
    }

    /// Problems of which it tells.
    pub(super) fn problems(&self) -> Vec<Problem> {
        self.health.as_ref().map(Problem::all).unwrap_or_default()
    }
}

impl Problem {
    /// Problems that an answer about health tells of.
    pub(super) fn all(health: &Value) -> Vec<Self> {
        let problems = health["problems"].as_array().into_iter().flatten();
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

/// Asks a daemon how it is, at a listener that asks nobody who he is.
async fn ask(endpoint: &Endpoint) -> Option<Value> {
    let mut listeners = endpoint.listen.iter();
    let open = listeners.find(|listener| listener.access == ListenerAccess::Open)?;
    let limits = Limits {
        body: Some(MAX_ANSWER),
        deadline: Instant::now() + ANSWER_TIME,
    };
    let address = from_here(open.address);
    let stream = dial(&Address::from(address), limits.deadline).await.ok()?;
    let request = Request::get("/healthz")
        .header(header::HOST, address.to_string())
        .header(header::CONNECTION, "close")
        .body(Bytes::new())
        .ok()?;
    let answer = request_once(stream, request, limits).await.ok()?;
    serde_json::from_slice(answer.body()).ok()
}

/// Address of a listener, as this machine itself dials it.
fn from_here(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
