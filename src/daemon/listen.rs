//! TCP listeners, and where they can be reached.

use std::net::SocketAddr;

use peercam_net::{self as transport, UnauthenticatedLimiter, tcp::Listener};

use super::{
    StartError,
    assembly::Assembly,
    part::{Part, Phase},
    shares::ByKind,
};
use crate::{
    access,
    config::{Listen, ListenAccess},
    http,
    reach::{ListenerAccess, ListenerInfo},
};

/// Binds the listeners and adds what serves them.
pub(super) async fn add(assembly: &mut Assembly) -> Result<(), StartError> {
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
    for listen in std::mem::take(&mut assembly.config.listen) {
        let listener = bind(&listen).await?;
        listeners.push(info(&listener, &listen));
        let authority = &assembly.authority;
        let (listening, connections) = by_kind.of(&listener, listen.access, authority, &entrance);
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

async fn bind(listen: &Listen) -> Result<Listener, StartError> {
    let failed = |error| StartError::Listen {
        address: listen.address,
        error,
    };
    let listener = Listener::bind(listen.address).await.map_err(failed)?;
    let address = listener.address();
    if let ListenAccess::Open {
        allow_insecure_lan, ..
    } = listen.access
        && !address.ip().to_canonical().is_loopback()
    {
        if !allow_insecure_lan {
            let error = std::io::Error::other(
                "the address turned out not to be loopback, and the listener is open",
            );
            return Err(failed(error));
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
