use peercam_proto::media::{ChannelId, Quality, StreamId};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// Counters of what was lost between firmware and viewers.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    dropped: Family<Labels, Counter>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    channel: u32,
    quality: &'static str,
    by: &'static str,
}

impl Metrics {
    /// Names the counters.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "socket_dropped_frames",
            "Access units that were dropped on the way from firmware: by it, because the socket was full, or by the daemon, because the stream's readers were too slow",
            self.dropped.clone(),
        );
    }

    /// Forgets a channel that is no more.
    pub(super) fn forget(&self, channel: ChannelId) {
        for quality in Quality::ALL {
            for by in ["firmware", "daemon"] {
                self.dropped.remove(&Labels {
                    channel: channel.0.into(),
                    quality: quality.as_str(),
                    by,
                });
            }
        }
    }

    /// `by` is `firmware` or `daemon`.
    pub(super) fn lost(&self, stream: StreamId, by: &'static str, frames: u64) {
        let labels = Labels {
            channel: stream.channel.0.into(),
            quality: stream.quality.as_str(),
            by,
        };
        self.dropped.get_or_create(&labels).inc_by(frames);
    }
}
