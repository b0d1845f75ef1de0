//! The vocabulary of media that every floor shares: frames, tracks, streams, time.
//!
//! Belongs here: plain values without behaviour of their own. Does not belong here: containers
//! (`proto::flv`), sources (`hal`), anything that knows a socket, a file or a clock.

mod audio;
mod delivery;
mod stream;
mod time;
mod track;

pub use audio::{AudioBlock, AudioCoding, AudioFormat};
pub use delivery::{Content, Delivery};
pub use stream::{ChannelId, ParseQualityError, Quality, StreamId};
pub use time::MediaTime;
pub use track::{AudioCodec, AudioTrack, TrackKind, Tracks, VideoCodec, VideoTrack};

use bytes::Bytes;

/// One access unit: a whole coded picture or a whole coded block of audio samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The track of the stream that it belongs to.
    pub track: TrackKind,
    /// Set if decoding can start here. Always set for audio.
    pub key: bool,
    /// Capture time, in decoding order. Never decreases within a track.
    pub time: MediaTime,
    /// Presentation time minus `time`, in microseconds. 0 unless the encoder reorders pictures.
    pub composition_micros: i32,
    /// Video: NAL units, each behind its length as 4 bytes big-endian, without parameter sets.
    /// AAC: one raw data block without ADTS. G.711: one byte per sample, channels interleaved.
    pub data: Bytes,
}

/// Memory of a frame that is kept, beside its payload, in bytes: its slot in a queue, which may have
/// grown to twice its length, and the overhead of the payload's allocation.
pub const FRAME_COST: usize = 256;

impl Frame {
    /// Memory that keeping it costs, in bytes. Every bound of kept frames counts this, and not the
    /// payload alone: frames of a few bytes would cost many times what was counted.
    pub fn weight(&self) -> usize {
        self.data.len() + FRAME_COST
    }

    /// Returns whether this is a video frame from which decoding can start.
    pub fn is_video_key(&self) -> bool {
        self.track == TrackKind::Video && self.key
    }
}
