use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

/// Counters of recording.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Fragments written for good.
    pub fragments: Counter,
    /// Bytes written.
    pub written_bytes: Counter,
    /// Fragments lost because the card took none.
    pub lost_card: Counter,
    /// Fragments lost because the card was too slow.
    pub lost_slow: Counter,
    /// Files deleted to make room.
    pub deleted: Counter,
    /// Bytes that wait to be written.
    pub waiting_bytes: Gauge,
    /// 1 if the card takes what is written.
    pub is_ready: Gauge,
}

impl Metrics {
    /// Names the counters.
    pub fn register(&self, registry: &mut Registry) {
        let counters = [
            (
                "record_fragments",
                "Fragments of recordings that were written",
                &self.fragments,
            ),
            (
                "record_written_bytes",
                "Bytes of recordings that were written",
                &self.written_bytes,
            ),
            (
                "record_lost_card",
                "Fragments that were lost because the card took none",
                &self.lost_card,
            ),
            (
                "record_lost_slow",
                "Fragments that were lost because the card was too slow",
                &self.lost_slow,
            ),
            (
                "record_deleted_files",
                "Files that were deleted to make room",
                &self.deleted,
            ),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        registry.register(
            "record_waiting_bytes",
            "Bytes that wait to be written",
            self.waiting_bytes.clone(),
        );
        registry.register(
            "record_ready",
            "1 if the card takes recordings",
            self.is_ready.clone(),
        );
    }
}
