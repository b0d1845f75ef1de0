//! The viewer's side of `peercam doctor`: whether a device can be reached with a pairing URI.

use std::time::{Duration, Instant};

use peercam_client::p2p::{ClientRequest, Session};
use peercam_hal::clock::Clock;
use peercam_net::p2p::Relays;
use peercam_proto::credential::PairingUri;

use super::{
    Report,
    daemon::Problem,
    machine,
    relays::{relays_from_here, wait_for},
};
use crate::cli::{CliError, viewer::ConnectOptions};

/// Timeout for finding a direct path.
const DIRECT_TIME: Duration = Duration::from_secs(5);
/// Seconds by which two clocks may differ.
const CLOCK_TOLERANCE: u64 = 60;

/// Looks at the way to a device, and at what it says of itself.
pub(super) async fn look(
    way: &ConnectOptions,
    uri: PairingUri,
    report: &mut Report,
) -> Result<(), CliError> {
    let options = way.options(&uri, None)?;
    machine::clock(report);
    if uri.relays.is_empty() {
        report.warn("the URI names no relay: the device can be dialled from its own network only");
    } else {
        let authorities = options.relay_authorities.as_deref();
        let relays = Relays::new(uri.relays.clone(), uri.relay_token.clone(), authorities)
            .map_err(|error| CliError::Usage(error.to_string()))?;
        relays_from_here(&relays, report).await?;
    }
    let began = Instant::now();
    let session = Session::open(uri, options).await?;
    if let Err(error) = session.connected().await {
        report.fail(error);
        session.close().await;
        return Ok(());
    }
    let took = began.elapsed().as_millis();
    report.good(format_args!("the device was dialled in {took} ms"));
    match session.send(ClientRequest::get("/healthz")).await {
        Err(error) => report.fail(error),
        Ok(answer) => match answer.checked().await {
            Err(error) => report.fail(error),
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
            Some(path) => report.good(format_args!("the path is {path}")),
            None => report.warn(format_args!(
                "no direct path within {} s: everything goes {}. One of the two ends is behind a NAT that gives each destination another port, or blocks UDP",
                DIRECT_TIME.as_secs(),
                session.path().as_deref().unwrap_or("nowhere")
            )),
        }
    session.close().await;
    Ok(())
}

/// Reports the device's own health, as it answers.
fn health(text: &[u8], report: &mut Report) {
    let health: serde_json::Value = serde_json::from_slice(text).unwrap_or_default();
    let channels = health["channels"].as_array().map_or(0, Vec::len);
    let version = health["version"].as_str().unwrap_or("unknown");
    match health["status"].as_str() {
        Some("ok") => report.good(format_args!(
            "the device lets this viewer in: version {version}, {channels} channels"
        )),
        _ => {
            report.good(format_args!(
                "the device lets this viewer in: version {version}, {channels} channels"
            ));
            for problem in Problem::all(&health) {
                report.add(problem.into());
            }
        }
    }
    match (health["clock"].as_u64(), Clock::start().date()) {
        (None, _) => report.warn("the device does not know the date: set its clock"),
        (Some(_), None) => {}
        (Some(there), Some(here)) if there.abs_diff(here) <= CLOCK_TOLERANCE => {
            report.good("the two clocks agree");
        }
        (Some(there), Some(here)) => report.fail(format_args!(
            "the device's clock and this one differ by {} s",
            there.abs_diff(here)
        )),
    }
}
