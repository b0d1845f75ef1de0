//! TCP listeners, and where they can be reached.

use std::net::SocketAddr;

use peercam_net::{self as transport, UnauthenticatedLimiter, tcp::Listener};
use tokio::sync::watch;

use super::{
    StartError,
    assembly::Assembly,
    part::{Part, Phase},
    shares::{ByKind, allowed},
};
use crate::{
    access,
    config::{Listen, ListenAccess},
    http,
    reach::{ListenerAccess, ListenerInfo},
};

/// Binds the listeners, in the order of the configuration.
pub(super) async fn bind(listen: &[Listen]) -> Result<Vec<Listener>, StartError> {
    let mut listeners = Vec::new();
    for listen in listen {
        listeners.push(bind_one(listen).await?);
    }
    Ok(listeners)
}

/// Adds what serves the listeners, which are bound as the configuration says.
pub(super) fn add(assembly: &mut Assembly, bound: Vec<Listener>) -> Result<(), StartError> {
    let metrics = transport::Metrics::default();
    metrics.register(&mut assembly.registry, "connections", "TCP connections");
    let shares = &assembly.shares;
    let by_kind = ByKind::new(shares, assembly.config.http.timeouts, &metrics);
    let entrance = UnauthenticatedLimiter::new(
        assembly.known.clone(),
        shares.unauthenticated.max,
        access::random()?,
        assembly.started,
    );
    let mut listeners = Vec::new();
    for (listen, listener) in assembly.config.listen.iter().zip(bound) {
        listeners.push(info(&listener, listen));
        let allowed = watch::Sender::new(allowed(&listen.access));
        let authority = &assembly.authority;
        let followed = allowed.subscribe();
        let (listening, connections) =
            by_kind.of(&listener, &listen.access, followed, authority, &entrance);
        assembly.origins.push(allowed);
        let parts = &mut assembly.parts;
        parts.add(Part::new("listener", Phase::Streams, |context| {
            let stop = context.phase(Phase::Streams);
            let (app, tasks) = (context.app, context.tasks);
            http::serve(listener, listening, app, connections, stop, tasks)
        }));
    }
    assembly.connections.extend([by_kind.sealed, by_kind.open]);
    assembly.reach.send_modify(|reach| {
        reach.lan = lan_hints(&listeners);
        reach.listeners = listeners;
    });
    Ok(())
}

async fn bind_one(listen: &Listen) -> Result<Listener, StartError> {
    let address = listen.address;
    let listener = Listener::bind(address).await;
    let listener = listener.map_err(|error| StartError::Listen { address, error })?;
    let address = listener.address();
    if let ListenAccess::Open {
        allow_insecure_lan, ..
    } = listen.access
        && !address.ip().to_canonical().is_loopback()
    {
        if !allow_insecure_lan {
            return Err(StartError::NotLoopback(address));
        }
        tracing::warn!(%address, "this listener is open: anybody who reaches it can watch, unencrypted");
    }
    Ok(listener)
}

fn info(listener: &Listener, listen: &Listen) -> ListenerInfo {
    ListenerInfo {
        address: listener.address(),
        access: match listen.access {
            ListenAccess::Open { .. } => ListenerAccess::Open,
            ListenAccess::Token { .. } => ListenerAccess::Token,
        },
    }
}

/// Addresses in the LAN at which holders of credentials reach these listeners.
pub(super) fn lan_hints(listen: &[ListenerInfo]) -> Vec<SocketAddr> {
    let is_token = |listener: &&ListenerInfo| listener.access == ListenerAccess::Token;
    let listeners = listen.iter().filter(is_token);
    listeners
        .flat_map(|listener| transport::tcp::reachable(listener.address))
        .collect()
}
