use peercam_net::ReasonCounter;
use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
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
    pub(super) ended: ReasonCounter,
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
        self.ended.register(registry, "access_sessions_ended", help);
    }
}
