//! `peercam doctor`: what works and what does not, in plain words.

use std::{
    fmt::Display,
    io::{self, Write},
    net::{SocketAddr, UdpSocket},
    path::Path,
    time::{Duration, Instant},
};

use clap::Args;
use peercam_client::p2p::{ClientRequest, Identity, Session};
use peercam_hal::clock::Clock;
use peercam_net::p2p::{Endpoint, Relays, Role};
use peercam_proto::{credential::PairingUri, text::Printable};

use super::{
    CliError, load, run,
    viewer::{ConnectOptions, SecretArg, pairing_uri},
};
use crate::{
    access::{DataDir, SecretStore},
    config::{Config, ListenAccess},
};

/// Timeout for a relay's answer.
const RELAY_TIME: Duration = Duration::from_secs(5);
/// Timeout for a relay that has answered, to say where it sees this machine.
const SEEN_TIME: Duration = Duration::from_secs(3);
/// Timeout for finding a direct path.
const DIRECT_TIME: Duration = Duration::from_secs(5);
/// Interval between looks at the endpoint's state.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Space that a device should have for its data, in bytes.
const ENOUGH_SPACE: u64 = 16 << 20;
/// Seconds by which two clocks may differ.
const CLOCK_TOLERANCE: u64 = 60;

/// Options of `peercam doctor`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct DoctorOptions {
    /// A device's pairing URI (@FILE, or - for the input): looks from the viewer's side.
    /// Without one, it looks at the device of --config.
    uri: Option<SecretArg>,
    #[command(flatten)]
    way: ConnectOptions,
}

/// Findings, printed line by line as they come.
#[derive(Default)]
struct Report {
    failures: usize,
}

impl Report {
    fn say(mark: &str, text: &dyn Display) {
        // Nobody reading it is no reason not to look on.
        let _ = writeln!(io::stdout(), "{mark:4}  {}", Printable(text));
    }

    fn good(text: impl Display) {
        Self::say("ok", &text);
    }

    fn note(text: impl Display) {
        Self::say("note", &text);
    }

    fn bad(&mut self, text: impl Display) {
        self.failures += 1;
        Self::say("BAD", &text);
    }

    fn verdict(self) -> Result<(), CliError> {
        match self.failures {
            0 => Ok(()),
            1 => Err(CliError::Usage("one thing does not work".to_owned())),
            count => Err(CliError::Usage(format!("{count} things do not work"))),
        }
    }
}

impl DoctorOptions {
    pub(super) fn perform(self, path: Option<&Path>) -> Result<(), CliError> {
        let mut report = Report::default();
        match &self.uri {
            Some(_) => {
                let uri = pairing_uri(self.uri.as_ref())?;
                run(self.look_as_viewer(uri, &mut report))?;
            }
            None => {
                let config = load(path)?;
                look_at_device(&config, &mut report)?;
                run(look_at_relays(&config, &mut report))?;
            }
        }
        report.verdict()
    }

    async fn look_as_viewer(&self, uri: PairingUri, report: &mut Report) -> Result<(), CliError> {
        let options = self.way.options(&uri, None)?;
        clock(report);
        if uri.relays.is_empty() {
            Report::note(
                "the URI names no relay: the device can be dialled from its own network only",
            );
        } else {
            let authorities = options.relay_authorities.as_deref();
            let relays = Relays::new(uri.relays.clone(), uri.relay_token.clone(), authorities)
                .map_err(|error| CliError::Usage(error.to_string()))?;
            relays_from_here(&relays, report).await?;
        }
        let began = Instant::now();
        let session = Session::open(uri, options).await?;
        if let Err(error) = session.connected().await {
            report.bad(error);
            session.close().await;
            return Ok(());
        }
        let took = began.elapsed().as_millis();
        Report::good(format_args!("the device was dialled in {took} ms"));
        match session.send(ClientRequest::get("/healthz")).await {
            Err(error) => report.bad(error),
            Ok(answer) => match answer.checked().await {
                Err(error) => report.bad(error),
                Ok(mut answer) => {
                    let text = answer.collect(64 << 10).await?;
                    health(&text, report);
                }
            },
        }
        let direct = wait_for(DIRECT_TIME, || {
            session.path().filter(|path| path.starts_with("direct"))
        });
        match direct.await {
            Some(path) => Report::good(format_args!("the path is {path}")),
            None => Report::note(format_args!(
                "no direct path within {} s: everything goes {}. One of the two ends is behind a NAT that gives each destination another port, or blocks UDP",
                DIRECT_TIME.as_secs(),
                session.path().as_deref().unwrap_or("nowhere")
            )),
        }
        session.close().await;
        Ok(())
    }
}

/// Reports the device's own health, as it answers.
fn health(text: &[u8], report: &mut Report) {
    let health: serde_json::Value = serde_json::from_slice(text).unwrap_or_default();
    let channels = health["channels"].as_array().map_or(0, Vec::len);
    let version = health["version"].as_str().unwrap_or("unknown");
    match health["status"].as_str() {
        Some("ok") => Report::good(format_args!(
            "the device lets this viewer in: version {version}, {channels} channels"
        )),
        _ => report.bad("the device lets this viewer in, and a camera of it does not deliver"),
    }
    match (health["clock"].as_u64(), Clock::start().date()) {
        (None, _) => Report::note("the device does not know the date: set its clock"),
        (Some(_), None) => {}
        (Some(there), Some(here)) if there.abs_diff(here) <= CLOCK_TOLERANCE => {
            Report::good("the two clocks agree");
        }
        (Some(there), Some(here)) => report.bad(format_args!(
            "the device's clock and this one differ by {} s",
            there.abs_diff(here)
        )),
    }
}

fn clock(report: &mut Report) {
    match Clock::start().date() {
        Some(_) => Report::good("the clock is set"),
        None => report.bad(
            "the clock is not set: credentials that end some day are not let in, and recordings have no date",
        ),
    }
}

/// Checks all of a device that can be seen without the network.
fn look_at_device(config: &Config, report: &mut Report) -> Result<(), CliError> {
    Report::good("the configuration is right");
    clock(report);
    let path = config.data_dir.display();
    match DataDir::check(&config.data_dir) {
        Ok(()) => Report::good(format_args!("data_dir: {path} can be used")),
        Err(error) => report.bad(error),
    }
    if let Err(error) = SecretStore::check(&config.data_dir) {
        report.bad(error);
    }
    let existing = config.data_dir.ancestors().find(|path| path.exists());
    if let Ok(system) = rustix::fs::statvfs(existing.unwrap_or(Path::new("."))) {
        let free = system.f_bavail * system.f_frsize;
        if free >= ENOUGH_SPACE {
            Report::good(format_args!("disk: {} MiB are free", free >> 20));
        } else {
            report.bad(format_args!("disk: only {} KiB are free", free >> 10));
        }
    }
    let running = if config.data_dir.exists() {
        DataDir::open(&config.data_dir)?.running()
    } else {
        None
    };
    match &running {
        Some(endpoint) => Report::good(format_args!("the daemon runs (process {})", endpoint.pid)),
        None => Report::note("no daemon runs with this data_dir"),
    }
    for listen in &config.listen {
        let (address, is_loopback) = (
            listen.address,
            listen.address.ip().to_canonical().is_loopback(),
        );
        match (&listen.access, is_loopback) {
            (ListenAccess::Open { .. }, true) => Report::good(format_args!(
                "door: {address} is open to every program of this machine; forward no port to it"
            )),
            (ListenAccess::Open { .. }, false) => report.bad(format_args!(
                "door: {address} is open to everybody who reaches it (allow_insecure_lan)"
            )),
            (ListenAccess::Token { allow_clear_media }, _) => {
                Report::good(format_args!(
                    "door: {address} is for viewers that were paired"
                ));
                if *allow_clear_media {
                    Report::note(format_args!(
                        "door: {address} sends media unencrypted to viewers that ask for it (allow_clear_media)"
                    ));
                }
            }
        }
    }
    for address in running.iter().flat_map(|endpoint| &endpoint.udp) {
        Report::good(format_args!(
            "door: {address} over UDP is for viewers that were paired"
        ));
    }
    Ok(())
}

async fn look_at_relays(config: &Config, report: &mut Report) -> Result<(), CliError> {
    let Some(p2p) = &config.p2p else {
        Report::note("P2P is off ([p2p] enabled): viewers need to reach a listener");
        return Ok(());
    };
    if p2p.relays.is_empty() {
        Report::note(
            "no relay is configured ([p2p] relays): viewers in other networks will hardly find this device",
        );
        return Ok(());
    }
    match p2p.own_relays() {
        Ok(relays) => relays_from_here(&relays, report).await,
        Err(error) => {
            report.bad(error);
            Ok(())
        }
    }
}

/// Checks that a relay can be used from this machine, and UDP beside it.
async fn relays_from_here(relays: &Relays, report: &mut Report) -> Result<(), CliError> {
    let identity = Identity::random()?;
    let endpoint = match Endpoint::bind(identity.key(), Role::Viewer, 0, relays).await {
        Ok(endpoint) => endpoint,
        Err(error) => {
            report.bad(format_args!("this machine gives no UDP port: {error}"));
            return Ok(());
        }
    };
    let began = Instant::now();
    let connected = wait_for(RELAY_TIME, || {
        let states = endpoint.relay_states();
        states.into_iter().find(|state| state.is_connected)
    });
    match connected.await {
        Some(state) => Report::good(format_args!(
            "the relay {} is reached ({} ms)",
            state.url,
            began.elapsed().as_millis()
        )),
        None => {
            let error = endpoint
                .relay_states()
                .into_iter()
                .find_map(|state| state.error);
            report.bad(format_args!(
                "no relay is reached: {}",
                error.as_deref().unwrap_or("none answers")
            ));
            endpoint.close().await;
            return Ok(());
        }
    }
    let outside = |address: &SocketAddr| UdpSocket::bind((address.ip(), 0)).is_err();
    let seen = wait_for(SEEN_TIME, || endpoint.addresses().into_iter().find(outside));
    match seen.await {
        Some(address) => Report::good(format_args!(
            "UDP goes out: the relay sees this machine at {address}, behind a NAT"
        )),
        None => Report::note(
            "no relay says where it sees this machine over UDP: this machine is behind no NAT, or UDP is blocked, or the relay has no address discovery (UDP 7842); without it there is no direct path between two NATs",
        ),
    }
    endpoint.close().await;
    Ok(())
}

async fn wait_for<T>(time: Duration, look: impl Fn() -> Option<T>) -> Option<T> {
    let end = Instant::now() + time;
    loop {
        let found = look();
        if found.is_some() || Instant::now() >= end {
            return found;
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
