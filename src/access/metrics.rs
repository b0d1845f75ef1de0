use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Counters of access.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    pub(super) proven: Counter,
    pub(super) unproven: Counter,
    /// MACs that were computed, whatever came of them.
    pub(super) macs: Counter,
    pub(super) sessions: Gauge,
    ended: Family<Reason, Counter>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

impl Metrics {
    /// Names the counters.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Requests that proved themselves";
        registry.register("access_proven", help, self.proven.clone());
        let help = "Requests that did not prove themselves, answered with 401";
        registry.register("access_unproven", help, self.unproven.clone());
        let help = "MACs of tokens that were computed";
        registry.register("access_macs", help, self.macs.clone());
        let help = "Sessions of viewers that proved themselves, open now";
        registry.register("access_sessions", help, self.sessions.clone());
        let help = "Sessions that the device ended, by reason";
        registry.register("access_sessions_ended", help, self.ended.clone());
    }

    pub(super) fn ended(&self, reason: &'static str) {
        self.ended.get_or_create(&Reason { reason }).inc();
    }
}
