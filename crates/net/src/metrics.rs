use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Counters of connections.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    pub(super) open: Gauge,
    ended: Family<Reason, Counter>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

impl Metrics {
    /// Names the counters; `what` they count is described by `help`.
    pub fn register(&self, registry: &mut Registry, what: &str, help: &str) {
        registry.register(what, format!("{help}, open now"), self.open.clone());
        let help = format!("{help}, that the device ended or refused, by reason");
        registry.register(format!("{what}_ended"), help, self.ended.clone());
    }

    pub(super) fn ended(&self, reason: &'static str) {
        self.ended.get_or_create(&Reason { reason }).inc();
    }
}
