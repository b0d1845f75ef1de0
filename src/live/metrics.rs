//! Counters of the live path, a set for each stream, and which cameras deliver.

use std::fmt;

use peercam_proto::media::{ChannelId, Quality, StreamId};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{MetricType, counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use super::Hub;

/// Counters of the live path, a set for each stream.
#[derive(Clone, Debug)]
pub struct Metrics {
    viewers: Family<Labels, Gauge>,
    source_frames: Family<Labels, Counter>,
    source_lost: Family<Labels, Counter>,
    sent_bytes: Family<Labels, Counter>,
    sent_frames: Family<Labels, Counter>,
    skipped_frames: Family<Labels, Counter>,
    key_requests: Family<Labels, Counter>,
    first_frame: Family<Labels, Histogram, fn() -> Histogram>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    channel: u32,
    quality: &'static str,
}

impl Labels {
    const fn of(id: StreamId) -> Self {
        Self {
            channel: id.channel.0 as u32,
            quality: id.quality.as_str(),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        const SECONDS: [f64; 10] = [0.005, 0.01, 0.02, 0.04, 0.08, 0.2, 0.5, 1.0, 2.0, 5.0];
        Self {
            viewers: Family::default(),
            source_frames: Family::default(),
            source_lost: Family::default(),
            sent_bytes: Family::default(),
            sent_frames: Family::default(),
            skipped_frames: Family::default(),
            key_requests: Family::default(),
            first_frame: Family::new_with_constructor(|| Histogram::new(SECONDS)),
        }
    }
}

impl Metrics {
    /// Names the counters.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "live_viewers",
            "Viewers of the stream now",
            self.viewers.clone(),
        );
        registry.register(
            "live_source_frames",
            "Frames that the camera delivered",
            self.source_frames.clone(),
        );
        registry.register(
            "live_source_lost_frames",
            "Frames of the camera that no viewer could use: oversized, or behind a lost one",
            self.source_lost.clone(),
        );
        registry.register(
            "live_sent_bytes",
            "Bytes handed to viewers' connections",
            self.sent_bytes.clone(),
        );
        registry.register(
            "live_sent_frames",
            "Frames handed to viewers' connections",
            self.sent_frames.clone(),
        );
        registry.register(
            "live_skipped_frames",
            "Frames that viewers were too slow to take",
            self.skipped_frames.clone(),
        );
        registry.register(
            "live_key_requests",
            "Key frames asked for, so that a viewer can join",
            self.key_requests.clone(),
        );
        registry.register(
            "live_first_frame_seconds",
            "From a viewer's request to its first picture",
            self.first_frame.clone(),
        );
    }

    /// Forgets the counters of a channel that is no more.
    pub(super) fn forget(&self, channel: ChannelId) {
        for quality in Quality::ALL {
            let labels = Labels::of(StreamId { channel, quality });
            self.viewers.remove(&labels);
            self.source_frames.remove(&labels);
            self.source_lost.remove(&labels);
            self.sent_bytes.remove(&labels);
            self.sent_frames.remove(&labels);
            self.skipped_frames.remove(&labels);
            self.key_requests.remove(&labels);
            self.first_frame.remove(&labels);
        }
    }

    /// The counters of one stream.
    pub(super) fn of(&self, id: StreamId) -> StreamMetrics {
        let labels = Labels::of(id);
        StreamMetrics {
            viewers: self.viewers.get_or_create_owned(&labels),
            source_frames: self.source_frames.get_or_create_owned(&labels),
            source_lost: self.source_lost.get_or_create_owned(&labels),
            sent_bytes: self.sent_bytes.get_or_create_owned(&labels),
            sent_frames: self.sent_frames.get_or_create_owned(&labels),
            skipped_frames: self.skipped_frames.get_or_create_owned(&labels),
            key_requests: self.key_requests.get_or_create_owned(&labels),
            first_frame: self.first_frame.get_or_create_owned(&labels),
        }
    }
}

/// Counters of one stream.
#[derive(Clone, Debug)]
pub struct StreamMetrics {
    /// Viewers now.
    pub viewers: Gauge,
    /// Frames from the camera.
    pub source_frames: Counter,
    /// Frames from the camera that were lost before any viewer.
    pub source_lost: Counter,
    /// Bytes handed to connections.
    pub sent_bytes: Counter,
    /// Frames handed to connections.
    pub sent_frames: Counter,
    /// Frames that slow viewers missed.
    pub skipped_frames: Counter,
    /// Key frames asked for.
    pub key_requests: Counter,
    /// Seconds from request to first picture.
    pub first_frame: Histogram,
}

/// Gauges of whether cameras deliver, as [`Hub::offline`] says it whenever they are read.
struct CameraUp(Hub);

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Camera {
    channel: u32,
}

impl Hub {
    /// Has `registry` tell which cameras deliver.
    pub fn register_cameras(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(CameraUp(self.clone())));
    }
}

impl fmt::Debug for CameraUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CameraUp")
    }
}

impl Collector for CameraUp {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help =
            "Set to 1 if the camera delivers as far as is known, which may be from its last check";
        let cameras = Family::<Camera, Gauge>::default();
        for channel in self.0.inner.channels.all().keys() {
            let camera = Camera {
                channel: u32::from(channel.0),
            };
            let is_up = self.0.offline(*channel).is_none();
            cameras.get_or_create(&camera).set(is_up.into());
        }
        let descriptor = encoder.encode_descriptor("camera_up", help, None, MetricType::Gauge)?;
        cameras.encode(descriptor)
    }
}
