use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

/// Counters of talks.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Talkers now.
    pub talkers: Gauge,
    /// Blocks that were played.
    pub blocks: Counter,
    /// Blocks that came too late to be played.
    pub lost_late: Counter,
    /// Blocks that could not be decoded.
    pub lost_damaged: Counter,
    /// Pictures that came with the sound.
    pub skipped_pictures: Counter,
}

impl Metrics {
    /// Names the counters.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "talkers",
            "Viewers that talk through a speaker now",
            self.talkers.clone(),
        );
        let counters = [
            (
                "talk_blocks",
                "Blocks of talkback that were played",
                &self.blocks,
            ),
            (
                "talk_lost_late",
                "Blocks of talkback that came too late to be played",
                &self.lost_late,
            ),
            (
                "talk_lost_damaged",
                "Blocks of talkback that could not be decoded",
                &self.lost_damaged,
            ),
            (
                "talk_skipped_pictures",
                "Pictures that came with talkback and that nobody takes",
                &self.skipped_pictures,
            ),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
    }
}
