//! Services of the daemon's own, which run from its start to its end: sweeps of connections, and the
//! description of itself. Those of other parts stand with these parts.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use peercam_net::Connections;
use peercam_proto::peer_info::PeerInfo;
use peercam_task::boundary::{self, Part, restarting};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{UdpHints, listen::lan_hints};
use crate::{access::DataDir, reach::Endpoint};

/// Interval between looks for another address of the device.
const ADDRESS_INTERVAL: Duration = Duration::from_secs(10);
/// Interval between sweeps of connections for time-outs.
const SWEEP_INTERVAL: Duration = Duration::from_millis(500);

/// Runs what never ends, anew whenever a fault has ended it. Whoever owns it aborts it.
pub(super) async fn service<F: Future<Output = ()>>(name: &'static str, begin: impl FnMut() -> F) {
    restarting((Part::Service, name), &CancellationToken::new(), begin).await;
}

/// Rewrites what the daemon says of itself when its addresses change.
pub(super) async fn publish_changes(
    data_dir: DataDir,
    mut published: Endpoint,
    udp_hints: UdpHints,
    peer_info: watch::Sender<Option<PeerInfo>>,
) {
    let mut ticks = tokio::time::interval(ADDRESS_INTERVAL);
    loop {
        ticks.tick().await;
        let now = Endpoint {
            lan: lan_hints(&published.listen),
            udp: udp_hints(),
            ..published.clone()
        };
        if now == published {
            continue;
        }
        tracing::info!(lan = ?now.lan, udp = ?now.udp, "the device's addresses have changed");
        peer_info.send_modify(|_| ());
        let (data_dir, renewed) = (data_dir.clone(), now.clone());
        let publish = move || data_dir.publish(&renewed);
        match boundary::blocking(Part::Service, "endpoint.json", publish).await {
            Ok(Ok(())) => published = now,
            Ok(Err(error)) => tracing::warn!(%error, "endpoint.json cannot be written"),
            // It is tried again.
            Err(_) => {}
        }
    }
}

/// Cuts off the connections whose time is over.
pub(super) async fn sweep(watched: Vec<Connections>) {
    let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        ticks.tick().await;
        for connections in &watched {
            connections.sweep(Instant::now());
        }
    }
}
