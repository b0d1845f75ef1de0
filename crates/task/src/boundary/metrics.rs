use std::{
    fmt,
    sync::atomic::{AtomicUsize, Ordering},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter},
    registry::Registry,
};

use super::Part;

/// Counts of the whole process, as panics are.
static COUNTS: [AtomicUsize; Part::ALL.len()] = [const { AtomicUsize::new(0) }; Part::ALL.len()];

pub(super) fn count(part: Part) {
    COUNTS[part as usize].fetch_add(1, Ordering::Relaxed);
}

pub(super) fn counted(part: Part) -> usize {
    COUNTS[part as usize].load(Ordering::Relaxed)
}

/// Names the counter.
pub fn register(registry: &mut Registry) {
    registry.register_collector(Box::new(Panics));
}

#[derive(Debug)]
struct Panics;

impl Collector for Panics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Parts that a fault in the program has ended, by sort";
        let mut descriptor =
            encoder.encode_descriptor("panics", help, None, MetricType::Counter)?;
        for part in Part::ALL {
            let labels = [("part", part.word())];
            let counter = ConstCounter::new(counted(part) as u64);
            counter.encode(descriptor.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
