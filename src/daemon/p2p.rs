//! P2P, joined to the rest.

use std::{sync::Arc, time::Duration};

use peercam_net::{
    self as transport, Connections, ProvenSources, UnauthenticatedLimits,
    p2p::{Endpoint, RelayState, Relays, Role},
};
use peercam_proto::peer_info::PeerInfo;
use prometheus_client::registry::Registry;
use tokio::{sync::watch, task::JoinSet};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{StartError, reachability::ADDRESS_INTERVAL, service};
use crate::{
    access::Authority,
    budget::{Budget, P2P_STRANGERS},
    config::{self, Config},
    device::ViewerNotifier,
    http::{
        App,
        p2p::{PeerNotifier, Peers, REQUESTS_OF_SESSION, Service},
    },
    reach::{self, Reachability},
};

/// Unauthenticated connections of one source at most; as many are kept free for such.
const OF_SOURCE: usize = 8;
/// Interval between looks at the states of the relays.
const RELAY_INTERVAL: Duration = Duration::from_secs(5);
/// Timeout for telling every peer that the endpoint closes.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// The endpoint, bound, and what serving it takes.
pub(super) struct P2p {
    endpoint: Endpoint,
    relays: Vec<String>,
    connections: Connections,
    streams: Connections,
    peers: Peers,
}

impl P2p {
    /// Binds the endpoint, if P2P is on.
    pub(super) async fn start(
        config: &Config,
        budget: &Budget,
        authority: &Authority,
        registry: &mut Registry,
    ) -> Result<Option<Self>, StartError> {
        let Some(p2p) = &config.p2p else {
            return Ok(None);
        };
        let relays = relays(p2p)?;
        let role = Role::Device {
            send_window: budget.p2p_window,
        };
        let endpoint = Endpoint::bind(&authority.identity(), role, p2p.port, &relays)
            .await
            .map_err(|error| StartError::P2p {
                port: p2p.port,
                error: error.to_string(),
            })?;
        let peers = Peers::default();
        peers.register(registry);
        let sessions = config.access.max_sessions;
        let mut counted = |what, help, max| {
            let metrics = transport::Metrics::default();
            metrics.register(registry, what, help);
            Connections::new(max, config.http.timeouts, metrics)
        };
        Ok(Some(Self {
            endpoint,
            relays: relays.urls,
            connections: counted(
                "p2p_connections",
                "P2P connections",
                budget.p2p_connections + P2P_STRANGERS,
            )
            .with_unauthenticated(UnauthenticatedLimits {
                max: P2P_STRANGERS,
                of_source: OF_SOURCE,
                reserved: OF_SOURCE,
            }),
            streams: counted(
                "p2p_requests",
                "Requests over P2P",
                REQUESTS_OF_SESSION * sessions + P2P_STRANGERS,
            ),
            peers,
        }))
    }

    /// Sender of messages to viewers over P2P.
    pub(super) fn notifier(
        &self,
        authority: &Arc<Authority>,
        config: &Config,
    ) -> Arc<dyn ViewerNotifier> {
        let names = (
            config.device.product_id.as_str(),
            config.device.device_name.as_str(),
        );
        let peers = self.peers.clone();
        Arc::new(PeerNotifier::new(Arc::clone(authority), peers, names))
    }

    /// Writes how the device is reached over P2P into `reachability`.
    pub(super) fn describe(&self, reachability: &mut Reachability) {
        reachability.udp = self.endpoint.hints();
        reachability.relays.clone_from(&self.relays);
        reachability.peer_info = Some(PeerInfo::new(self.endpoint.id()));
    }

    /// Connections and streams to be swept for time-outs.
    pub(super) fn watched(&self) -> [Connections; 2] {
        [self.connections.clone(), self.streams.clone()]
    }

    /// Serves until `stop` is cancelled. Gives the endpoint, to be closed when `tasks` have ended.
    pub(super) fn serve(
        self,
        app: Arc<App>,
        authority: Arc<Authority>,
        known: ProvenSources,
        reach: watch::Sender<Reachability>,
        stop: CancellationToken,
        tasks: TaskTracker,
        owned: &mut JoinSet<()>,
    ) -> Closing {
        let closing = Closing {
            endpoint: self.endpoint.clone(),
            peers: self.peers.clone(),
        };
        let endpoint = self.endpoint.clone();
        owned.spawn(service("P2P addresses", move || {
            watch_addresses(endpoint.clone(), reach.clone())
        }));
        if !self.relays.is_empty() {
            let endpoint = self.endpoint.clone();
            owned.spawn(service("relays", move || watch_relays(endpoint.clone())));
        }
        let service = Service {
            endpoint: self.endpoint,
            authority,
            app,
            connections: self.connections,
            streams: self.streams,
            known,
            peers: self.peers,
        };
        owned.spawn(service.serve(stop, tasks));
        closing
    }
}

/// The endpoint of a daemon that shuts down.
pub(super) struct Closing {
    endpoint: Endpoint,
    peers: Peers,
}

impl Closing {
    /// Tells whoever is still connected.
    pub(super) async fn close(self) {
        self.peers.close();
        // Who does not hear of it finds out.
        let _ = tokio::time::timeout(CLOSE_TIME, self.endpoint.close()).await;
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

/// Says in the log when a relay is reached, and when it is not and why.
async fn watch_relays(endpoint: Endpoint) {
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
        known = states;
    }
}
