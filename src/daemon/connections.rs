//! Open connections of all kinds: swept for time-outs while the daemon runs, and waited for in its
//! end.

use std::time::Duration;

use peercam_net::{Connections, sweep};
use tokio_util::task::TaskTracker;

use super::{
    assembly::Assembly,
    part::{Part, Phase},
};

/// Interval, at shutdown, between looks for connections that have been answered.
const DRAIN_INTERVAL: Duration = Duration::from_millis(10);

/// Adds what watches over the connections of all parts before it.
pub(super) fn add(assembly: &mut Assembly) {
    let connections = std::mem::take(&mut assembly.connections);
    let swept = connections.clone();
    let parts = &mut assembly.parts;
    parts.add(Part::service("sweep", move |_| sweep(swept.clone())));
    parts.add(Part::ending("connections", Phase::Drain, |context| {
        let time = context.time_left(Phase::Drain);
        drain(connections, context.tasks, time)
    }));
}

/// Waits until those who serve connections have ended, and ends whichever waits for a request. Cuts
/// off what has not ended in this time.
async fn drain(watched: Vec<Connections>, tasks: TaskTracker, time: Duration) {
    tasks.close();
    let drained = async {
        loop {
            for connections in &watched {
                connections.end_waiting();
            }
            tokio::select! {
                () = tasks.wait() => break,
                () = tokio::time::sleep(DRAIN_INTERVAL) => {}
            }
        }
    };
    if tokio::time::timeout(time, drained).await.is_err() {
        tracing::warn!(
            connections = tasks.len(),
            "cutting off connections that did not end in time"
        );
        for connections in &watched {
            connections.end_all("shutdown");
        }
    }
}
