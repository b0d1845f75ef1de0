use std::fmt;

use bytes::Bytes;

/// The tracks of a stream, with the decoder configuration of each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tracks {
    /// The picture, if there is one.
    pub video: Option<VideoTrack>,
    /// The sound, if there is any.
    pub audio: Option<AudioTrack>,
}

impl From<VideoTrack> for Tracks {
    /// A picture without sound.
    fn from(video: VideoTrack) -> Self {
        Self {
            video: Some(video),
            audio: None,
        }
    }
}

/// Picture or sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TrackKind {
    /// The picture.
    Video,
    /// The sound.
    Audio,
}

impl fmt::Display for TrackKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Video => "video",
            Self::Audio => "audio",
        })
    }
}

/// A video track.
#[derive(Clone, Debug, PartialEq)]
pub struct VideoTrack {
    /// Codec of its pictures.
    pub codec: VideoCodec,
    /// Parameter sets as `AVCDecoderConfigurationRecord` (H.264) or
    /// `HEVCDecoderConfigurationRecord` (H.265), ISO/IEC 14496-15.
    pub config: Bytes,
    /// Pixels per line.
    pub width: u32,
    /// Lines per picture.
    pub height: u32,
    /// Pictures per second; 0 if unknown.
    pub frame_rate: f64,
}

/// Video codecs that the protocol carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VideoCodec {
    /// H.264 / AVC.
    H264,
    /// H.265 / HEVC.
    H265,
}

/// An audio track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioTrack {
    /// Codec of its samples.
    pub codec: AudioCodec,
    /// AAC: the `AudioSpecificConfig` (ISO/IEC 14496-3). Empty for G.711.
    pub config: Bytes,
    /// Samples per second and channel.
    pub sample_rate: u32,
    /// 1 = mono, 2 = stereo.
    pub channels: u8,
}

/// Audio codecs that the protocol carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AudioCodec {
    /// AAC-LC.
    Aac,
    /// G.711 A-law.
    PcmA,
    /// G.711 µ-law.
    PcmU,
}
