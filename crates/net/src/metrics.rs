use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// A counter for each `reason` that something has come to its end for.
#[derive(Clone, Debug, Default)]
pub struct ReasonCounter(Family<Reason, Counter>);

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

impl ReasonCounter {
    /// Names the counters.
    pub fn register(
        &self,
        registry: &mut Registry,
        name: impl Into<String>,
        help: impl Into<String>,
    ) {
        registry.register(name, help, self.0.clone());
    }

    /// Counts one more.
    pub fn count(&self, reason: &'static str) {
        self.0.get_or_create(&Reason { reason }).inc();
    }
}

/// Counters of connections.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    pub(super) open: Gauge,
    pub(super) ended: ReasonCounter,
}

impl Metrics {
    /// Names the counters; `what` they count is described by `help`.
    pub fn register(&self, registry: &mut Registry, what: &str, help: &str) {
        registry.register(what, format!("{help}, open now"), self.open.clone());
        let help = format!("{help}, that the device ended or refused, by reason");
        self.ended.register(registry, format!("{what}_ended"), help);
    }
}
