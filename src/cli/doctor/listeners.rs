//! Listeners and ports: who may use them, and who has them.

use std::net::SocketAddr;

#[cfg(feature = "p2p")]
use peercam_net::ReservedUdpPort;
use peercam_net::tcp::Listener;

use super::{Report, daemon::Running};
use crate::config::{Config, Listen, ListenAccess};

/// Looks at every listener that the configuration names.
pub(super) async fn look(config: &Config, running: Option<&Running>, report: &mut Report) {
    for listen in &config.listen {
        let address = listen.address;
        match running {
            Some(running) if !has(running, address) => report.warn(format_args!(
                "listener: the daemon does not listen on {address}: the configuration has changed since it started; restart it"
            )),
            Some(_) => {}
            None => {
                if let Err(error) = Listener::bind(address).await {
                    report.fail(format_args!(
                        "listener: {address} cannot be listened on: {error}; {} ([[listen]] addr)",
                        error.remedy()
                    ));
                }
            }
        }
        access(listen, report);
    }
    #[cfg(feature = "p2p")]
    p2p(config, running, report);
}

/// Returns whether a daemon listens on an address, or on some port of it if that says no more, as far
/// as is known.
fn has(running: &Running, address: SocketAddr) -> bool {
    let Some(listeners) = running.listeners() else {
        return true;
    };
    listeners.iter().any(|listener| {
        let is_port = address.port() == 0 || listener.address.port() == address.port();
        is_port && listener.address.ip() == address.ip()
    })
}

fn access(listen: &Listen, report: &mut Report) {
    let address = listen.address;
    let is_loopback = address.ip().to_canonical().is_loopback();
    match (&listen.access, is_loopback) {
        (ListenAccess::Open { .. }, true) => report.good(format_args!(
            "listener: {address} is open to every program of this machine; forward no port to it"
        )),
        (ListenAccess::Open { .. }, false) => report.warn(format_args!(
            "listener: {address} is open to everybody who reaches it, as allow_insecure_lan says"
        )),
        (ListenAccess::Token { allow_clear_media }, _) => {
            report.good(format_args!(
                "listener: {address} is for viewers that were paired"
            ));
            if *allow_clear_media {
                report.warn(format_args!(
                    "listener: {address} sends media unencrypted to viewers that ask for it (allow_clear_media)"
                ));
            }
        }
    }
}

#[cfg(feature = "p2p")]
fn p2p(config: &Config, running: Option<&Running>, report: &mut Report) {
    let Some(p2p) = &config.p2p else { return };
    let Some(running) = running else {
        if let Err(error) = ReservedUdpPort::take(p2p.port) {
            report.fail(format_args!(
                "p2p: UDP port {} cannot be had: {error}; {} ([p2p] port)",
                p2p.port,
                error.remedy()
            ));
        }
        return;
    };
    for address in running.udp() {
        report.good(format_args!(
            "p2p: {address} over UDP is for viewers that were paired"
        ));
    }
}
