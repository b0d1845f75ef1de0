//! Relays, and whether UDP goes out beside them.

use std::{
    net::{SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use peercam_net::p2p::{Endpoint, Relays, Role};
use peercam_proto::credential::Secret;

use super::Report;
use crate::{access::random, cli::CliError, config::Config};

/// Timeout for a relay's answer.
const RELAY_TIME: Duration = Duration::from_secs(5);
/// Timeout for a relay that has answered, to say where it sees this machine.
const SEEN_TIME: Duration = Duration::from_secs(3);
/// Interval between looks at the endpoint's state.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Looks at the relays that a device has.
pub(super) async fn look(config: &Config, report: &mut Report) -> Result<(), CliError> {
    let Some(p2p) = &config.p2p else {
        report.warn("P2P is off ([p2p] enabled): viewers need to reach a listener");
        return Ok(());
    };
    if p2p.relays.is_empty() {
        report.warn(
            "no relay is configured ([p2p] relays): viewers in other networks will hardly find this device",
        );
        return Ok(());
    }
    match p2p.own_relays() {
        Ok(relays) => relays_from_here(&relays, report).await,
        Err(error) => {
            report.fail(error);
            Ok(())
        }
    }
}

/// Checks that a relay can be used from this machine, and UDP beside it.
pub(super) async fn relays_from_here(relays: &Relays, report: &mut Report) -> Result<(), CliError> {
    let key = Secret::new(random()?);
    let endpoint = match Endpoint::bind(&key, Role::Viewer, 0, relays).await {
        Ok(endpoint) => endpoint,
        Err(error) => {
            report.fail(format_args!("this machine gives no UDP port: {error}"));
            return Ok(());
        }
    };
    let began = Instant::now();
    let connected = wait_for(RELAY_TIME, || {
        let states = endpoint.relay_states();
        states.into_iter().find(|state| state.is_connected)
    });
    match connected.await {
        Some(state) => report.good(format_args!(
            "the relay {} is reached ({} ms)",
            state.url,
            began.elapsed().as_millis()
        )),
        None => {
            let error = endpoint
                .relay_states()
                .into_iter()
                .find_map(|state| state.error);
            report.fail(format_args!(
                "no relay is reached: {}; look whether this machine has internet, and the relay runs",
                error.as_deref().unwrap_or("none answers")
            ));
            endpoint.close().await;
            return Ok(());
        }
    }
    let outside = |address: &SocketAddr| UdpSocket::bind((address.ip(), 0)).is_err();
    let seen = wait_for(SEEN_TIME, || endpoint.addresses().into_iter().find(outside));
    match seen.await {
        Some(address) => report.good(format_args!(
            "UDP goes out: the relay sees this machine at {address}, behind a NAT"
        )),
        None => report.warn(
            "no relay says where it sees this machine over UDP: this machine is behind no NAT, or UDP is blocked, or the relay has no address discovery (UDP 7842); without it there is no direct path between two NATs",
        ),
    }
    endpoint.close().await;
    Ok(())
}

/// Looks until there is something, or the time is over.
pub(super) async fn wait_for<T>(time: Duration, look: impl Fn() -> Option<T>) -> Option<T> {
    let end = Instant::now() + time;
    loop {
        let found = look();
        if found.is_some() || Instant::now() >= end {
            return found;
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
