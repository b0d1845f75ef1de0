//! Services of the daemon's own, which run from its start to its end. Those of other parts stand
//! with these parts.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use peercam_net::Connections;
use peercam_task::boundary::{Part, restarting};
use tokio_util::sync::CancellationToken;

/// Interval between sweeps of connections for time-outs.
const SWEEP_INTERVAL: Duration = Duration::from_millis(500);

/// Runs what never ends, anew whenever a fault has ended it. Whoever owns it aborts it.
pub(super) async fn service<F: Future<Output = ()>>(name: &'static str, begin: impl FnMut() -> F) {
    restarting((Part::Service, name), &CancellationToken::new(), begin).await;
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
