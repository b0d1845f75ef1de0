use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Counters of the HTTP surface.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Connections open now.
    pub(super) connections: Gauge,
    /// Connections that were ended, by reason.
    ended: Family<Reason, Counter>,
    requests: Family<Request, Counter>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Request {
    route: &'static str,
    status: u16,
}

impl Metrics {
    /// Names the counters.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "http_connections",
            "Connections open now",
            self.connections.clone(),
        );
        registry.register(
            "http_connections_ended",
            "Connections that the device ended, by reason",
            self.ended.clone(),
        );
        registry.register(
            "http_requests",
            "Requests answered, by route and status",
            self.requests.clone(),
        );
    }

    pub(super) fn request(&self, route: &'static str, status: u16) {
        self.requests
            .get_or_create(&Request { route, status })
            .inc();
    }

    pub(super) fn ended(&self, reason: &'static str) {
        self.ended.get_or_create(&Reason { reason }).inc();
    }
}
