//! The table of P2P connections by session, and their metrics.
//!
//! Invariant: an entry lives as long as its authenticated connection, so the bound on connections of
//! sessions bounds the table. Rights stay with the session.

use peercam_net::{
    ReasonCounter,
    p2p::{CloseReason, Connection, Traffic},
};
use peercam_proto::viewer::ViewerId;
use peercam_task::registry::{self, Entry};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{counter::Counter, family::Family, gauge::ConstGauge},
    registry::Registry,
};

/// The connections of viewers that have a session, by which they can be told something and by which
/// metrics see their paths.
///
/// Bound: as many as sessions have connections.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    table: registry::Registry<Peer>,
    path_changes: Counter,
    closed: ReasonCounter,
}

/// A connection and the viewer that it belongs to.
pub(super) type Peer = (ViewerId, Connection);

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Whose {
    session: String,
    path: &'static str,
    family: &'static str,
}

impl Peers {
    /// Names the counters.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Times that a peer's path became another one";
        registry.register("p2p_path_changes", help, self.path_changes.clone());
        let help = "Connections that came to their end, by reason";
        self.closed.register(registry, "p2p_closed", help);
        registry.register_collector(Box::new(self.clone()));
    }

    pub(super) fn enter(&self, viewer: ViewerId, connection: Connection) -> Entry<Peer> {
        self.table.insert((viewer, connection))
    }

    /// The newest connection of a viewer that is still there.
    pub(super) fn newest(&self, viewer: &ViewerId) -> Option<Connection> {
        let is_its = |(id, connection): &&Peer| id == viewer && connection.close_reason().is_none();
        self.table.read(|peers| {
            let newest = peers.iter().rev().find(is_its);
            newest.map(|(_, connection)| connection.clone())
        })
    }

    /// Tells whoever is still connected that the device shuts down.
    pub fn close(&self) {
        self.table.read(|peers| {
            for (_, connection) in peers {
                connection.close_for_shutdown();
            }
        });
    }

    pub(super) fn path_changed(&self) {
        self.path_changes.inc();
    }

    pub(super) fn closed(&self, lost: &CloseReason) {
        self.closed.count(match lost {
            CloseReason::Closed(_) | CloseReason::ShuttingDown => "viewer left",
            CloseReason::ClosedHere => "ended by the device",
            CloseReason::Silent => "silent",
            CloseReason::Incompatible => "incompatible",
            CloseReason::AnotherDevice | CloseReason::Other(_) => "broken",
        });
    }
}

impl Collector for Peers {
    /// Encodes for each session the path of its newest connection, round trip time and bytes.
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        // Copied, so that nothing is asked of the endpoint while the table is locked.
        let peers = self.table.read(<[_]>::to_vec);
        let is_newest = |at: usize, viewer: &ViewerId| {
            let mut newer = peers[at + 1..].iter();
            newer.all(|(other, _)| other != viewer)
        };
        let seen: Vec<_> = peers
            .iter()
            .enumerate()
            .filter(|(at, (session, _))| is_newest(*at, session))
            .filter_map(|(_, (session, connection))| {
                let path = connection.path()?;
                let whose = Whose {
                    session: session.as_str().to_owned(),
                    path: if path.is_direct() { "direct" } else { "relay" },
                    family: path.family(),
                };
                Some((whose, connection.rtt()?, connection.traffic()))
            })
            .collect();
        let mut gauge = |name, help, value: &dyn Fn(f64, Traffic) -> f64| {
            let family = Family::<Whose, ConstGauge<f64>>::default();
            let metric_type = family.metric_type();
            let mut descriptor = encoder.encode_descriptor(name, help, None, metric_type)?;
            for (whose, rtt, traffic) in &seen {
                let gauge = ConstGauge::new(value(rtt.as_secs_f64(), *traffic));
                gauge.encode(descriptor.encode_family(whose)?)?;
            }
            Ok::<_, std::fmt::Error>(())
        };
        gauge(
            "p2p_session_rtt_seconds",
            "Round trip time to the viewer",
            &|rtt, _| rtt,
        )?;
        gauge(
            "p2p_session_sent_bytes",
            "Bytes sent on the connection, with the overhead of QUIC",
            &|_, traffic| traffic.sent as f64,
        )?;
        gauge(
            "p2p_session_received_bytes",
            "Bytes received on the connection, likewise",
            &|_, traffic| traffic.received as f64,
        )
    }
}
