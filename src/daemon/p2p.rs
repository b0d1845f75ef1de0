//! P2P, joined to the rest.

use std::{sync::Arc, time::Duration};

use peercam_net::{
    self as transport, Connections, ReservedUdpPort, UnauthenticatedLimits,
    p2p::{Endpoint, RelayState, Relays, Role},
};
use peercam_proto::peer_info::PeerInfo;
use peercam_task::boundary::{self, contain};
use tokio::sync::watch;

use super::{
    StartError,
    assembly::Assembly,
    part::{Context, Part, Phase},
    reachability::ADDRESS_INTERVAL,
};
use crate::{
    access::REQUESTS_OF_SESSION,
    budget::P2P_STRANGERS,
    config::{self, Config},
    http::p2p::{PeerNotifier, Peers, Service},
    reach::{self, Reachability},
};

/// Unauthenticated connections of one source at most; as many are kept free for such.
const OF_SOURCE: usize = 8;
/// Interval between looks at the states of the relays.
const RELAY_INTERVAL: Duration = Duration::from_secs(5);
/// Timeout for telling every peer that the endpoint closes.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// Keeps the port of the endpoint from others, if P2P is on.
pub(super) fn reserve(config: &Config) -> Result<Option<ReservedUdpPort>, StartError> {
    let port = config.p2p.as_ref().map(|p2p| p2p.port);
    let take = |port| {
        let reserved = ReservedUdpPort::take(port);
        reserved.map_err(|error| StartError::UdpPort { port, error })
    };
    port.map(take).transpose()
}

/// Binds the endpoint to its port, which was reserved, and adds what serves it, if P2P is on.
pub(super) async fn add(
    assembly: &mut Assembly,
    reserved: Option<ReservedUdpPort>,
) -> Result<(), StartError> {
    let (config, budget) = (&assembly.config, &assembly.budget);
    let Some(p2p) = &config.p2p else {
        return Ok(());
    };
    let relays = relays(p2p)?;
    let role = Role::Device {
        send_window: budget.p2p_window,
    };
    drop(reserved);
    let endpoint = Endpoint::bind(&assembly.authority.identity(), role, p2p.port, &relays)
        .await
        .map_err(|error| StartError::P2p(error.to_string()))?;
    let peers = Peers::default();
    peers.register(&mut assembly.registry);
    let mut counted = |what, help, max| {
        let metrics = transport::Metrics::default();
        metrics.register(&mut assembly.registry, what, help);
        Connections::new(max, config.http.timeouts, metrics)
    };
    let connections = counted(
        "p2p_connections",
        "P2P connections",
        budget.p2p_connections + P2P_STRANGERS,
    )
    .with_unauthenticated(UnauthenticatedLimits {
        max: P2P_STRANGERS,
        of_source: OF_SOURCE,
        reserved: OF_SOURCE,
    });
    let streams = counted(
        "p2p_requests",
        "Requests over P2P",
        REQUESTS_OF_SESSION * config.access.max_sessions + P2P_STRANGERS,
    );
    let watched = [connections.clone(), streams.clone()];
    assembly.connections.extend(watched);
    let notifier = PeerNotifier::new(
        Arc::clone(&assembly.authority),
        peers.clone(),
        &config.device.product_id,
        &config.device.device_name,
    );
    assembly.notifier = Some(Arc::new(notifier));
    let has_relays = !relays.urls.is_empty();
    assembly.reach.send_modify(|reach| {
        reach.udp = endpoint.hints();
        reach.relays = relays.urls;
        reach.peer_info = Some(PeerInfo::new(endpoint.id()));
    });
    let parts = &mut assembly.parts;
    let (named, reach) = (endpoint.clone(), assembly.reach.clone());
    parts.add(Part::service("P2P addresses", move |_| {
        watch_addresses(named.clone(), reach.clone())
    }));
    if has_relays {
        let endpoint = endpoint.clone();
        let reach = assembly.reach.clone();
        parts.add(Part::service("relays", move |_| {
            watch_relays(endpoint.clone(), reach.clone())
        }));
    }
    let (authority, known) = (Arc::clone(&assembly.authority), assembly.known.clone());
    parts.add(Part::new("P2P", Phase::Farewell, |context| {
        let service = Service {
            endpoint,
            authority,
            app: Arc::clone(&context.app),
            connections,
            streams,
            known,
            peers,
        };
        serve(service, context)
    }));
    Ok(())
}

/// Serves until the daemon ends, and tells whoever is still connected then.
async fn serve(service: Service, context: Context) {
    let (endpoint, peers) = (service.endpoint.clone(), service.peers.clone());
    let stop = context.phase(Phase::Streams);
    let served = async {
        // Whoever is connected is told of the end even after a fault.
        let serving = service.serve(stop, context.tasks.clone());
        let _ = contain(boundary::Part::Service, "p2p requests", serving).await;
        std::future::pending::<()>().await;
    };
    let closed = async {
        context.phase(Phase::Farewell).cancelled().await;
        peers.close();
        // Who does not hear of it finds out.
        let time = context.time_left(Phase::Farewell).min(CLOSE_TIME);
        let _ = tokio::time::timeout(time, endpoint.close()).await;
    };
    tokio::select! {
        () = served => {}
        () = closed => {}
    }
}

/// Makes sure that what the configuration says of P2P can be used.
pub(super) fn check(config: &Config) -> Result<(), StartError> {
    config
        .p2p
        .as_ref()
        .map_or(Ok(()), |p2p| relays(p2p).map(|_| ()))
}

fn relays(p2p: &config::P2p) -> Result<Relays, StartError> {
    p2p.own_relays().map_err(StartError::RelayCa)
}

/// Keeps the UDP addresses of the device. Never returns.
async fn watch_addresses(endpoint: Endpoint, reach: watch::Sender<Reachability>) {
    let mut ticks = tokio::time::interval(ADDRESS_INTERVAL);
    loop {
        ticks.tick().await;
        let udp = endpoint.hints();
        reach.send_if_modified(|known| reach::replace(&mut known.udp, udp));
    }
}

/// Says when a relay is reached, and when it is not and why: in the log, and to whoever asks for the
/// ways to reach the device.
async fn watch_relays(endpoint: Endpoint, reach: watch::Sender<Reachability>) {
    let mut ticks = tokio::time::interval(RELAY_INTERVAL);
    let mut known: Vec<RelayState> = Vec::new();
    loop {
        ticks.tick().await;
        let states = endpoint.relay_states();
        for state in states.iter().filter(|state| !known.contains(state)) {
            match (&state.error, state.is_connected) {
                (_, true) => tracing::info!(relay = state.url, "reachable through a relay"),
                (Some(error), false) => {
                    tracing::warn!(relay = state.url, error, "the relay cannot be used");
                }
                (None, false) => {}
            }
        }
        let failure = relay_failure(&states);
        reach.send_if_modified(|known| reach::replace(&mut known.relay_failure, failure));
        known = states;
    }
}

/// Reason why the device is found through none of its relays, if it is not.
fn relay_failure(states: &[RelayState]) -> Option<String> {
    if states.iter().any(|state| state.is_connected) {
        return None;
    }
    let told = states.iter().find_map(|state| {
        let error = state.error.as_ref()?;
        Some(format!("{}: {error}", state.url))
    });
    Some(told.unwrap_or_else(|| "none of them answers".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_that_is_connected_is_enough() {
        let state = |is_connected, error: Option<&str>| RelayState {
            url: "https://relay.example/".to_owned(),
            is_connected,
            error: error.map(str::to_owned),
        };
        let denied = state(false, Some("it wants a token"));
        assert_eq!(relay_failure(&[denied.clone(), state(true, None)]), None);
        let told = relay_failure(&[state(false, None), denied]);
        let expected = "https://relay.example/: it wants a token";
        assert_eq!(told.as_deref(), Some(expected));
        assert!(relay_failure(&[]).is_some());
    }
}
