//! Listeners, and where they can be reached.

use std::net::SocketAddr;

use peercam_net::{self as transport, tcp::Listener};

use super::StartError;
use crate::{
    config::{Listen, ListenAccess},
    reach::{ListenerAccess, ListenerInfo},
};

pub(super) async fn bind(listen: &Listen) -> Result<Listener, StartError> {
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

/// Description of a bound listener.
pub(super) fn info(listener: &Listener, listen: &Listen) -> ListenerInfo {
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
