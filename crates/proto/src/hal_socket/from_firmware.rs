//! Messages of the firmware, parsed.
//!
//! A value that is not defined is an error, and ends the connection: taken for something else, it
//! would show a wrong picture, and nobody would know why.

use bytes::{Buf, Bytes};

use super::{ANSWER, HELLO, Head, MAGIC, MessageError, PICTURE, SOUND};
use crate::{
    media::{AudioCodec, ChannelId, MediaTime, StreamId, VideoCodec},
    nal::Framing,
    text,
};

/// Message of the firmware.
#[derive(Clone, Debug, PartialEq)]
pub enum FromFirmware {
    /// First message of a connection.
    Hello {
        /// Protocol version; 0 if the message does not begin with `PCAM`.
        version: u16,
        /// Name of the firmware, for the log.
        name: String,
    },
    /// Announcement of a stream's codecs, valid from its next key frame on.
    Stream(StreamId, StreamInfo),
    /// An access unit of video.
    Picture {
        /// Its stream.
        stream: StreamId,
        /// Capture time, in decoding order, on the firmware's monotonic clock.
        time: MediaTime,
        /// Presentation time minus `time`, in microseconds.
        composition_micros: i32,
        /// Delimitation of its NAL units.
        framing: Framing,
        /// Its NAL units, with parameter sets before a key frame.
        data: Bytes,
    },
    /// A block of sound.
    Sound {
        /// Its stream.
        stream: StreamId,
        /// Capture time of its first sample, on the same clock.
        time: MediaTime,
        /// AAC: one access unit, with or without ADTS head. G.711: samples.
        data: Bytes,
    },
    /// Interruption of a stream, with the reason for viewers.
    Offline(StreamId, String),
    /// Capabilities of a channel beside its streams.
    Abilities(ChannelId, Abilities),
    /// Pan/tilt position of a channel: x, y, then smallest and largest x, smallest and largest y.
    Position(ChannelId, [i32; 6]),
    /// Answer to a request of the daemon.
    Answer {
        /// Id of the request.
        id: u32,
        /// Set if it was done.
        done: bool,
        /// A JPEG, the answer to a command, or the reason for which it was not done.
        data: Bytes,
    },
    /// Number of access units of a stream that the firmware has dropped since it connected, because
    /// the socket was full.
    Dropped(StreamId, u32),
}

/// Codecs of a stream, and the abilities of its encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamInfo {
    /// The picture; `None` if there is none.
    pub video: Option<VideoCodec>,
    /// Pictures per second; 0 if unknown.
    pub frame_rate: f64,
    /// The sound; `None` if there is none.
    pub audio: Option<Sound>,
    /// Set if the encoder makes key frames on request.
    pub forces_keys: bool,
    /// Set if the encoder changes its bit rate on request.
    pub sets_bitrate: bool,
}

/// Sound of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Sound {
    /// Its codec.
    pub codec: AudioCodec,
    /// Samples per second and channel.
    pub sample_rate: u32,
    /// Number of channels, 1 or 2.
    pub channels: u8,
    /// AAC: the `AudioSpecificConfig`; empty if every unit has an ADTS head.
    pub config: Bytes,
}

/// Capabilities of a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// Pan/tilt motor.
    pub ptz: bool,
    /// Rotation of the picture by 180°.
    pub flip: bool,
    /// Speaker that takes PCM.
    pub speaker: bool,
    /// Speaker that takes AAC too.
    pub speaker_aac: bool,
    /// JPEG snapshots.
    pub snapshot: bool,
    /// Commands that makers define.
    pub commands: bool,
    /// Reboot on request.
    pub reboot: bool,
    /// Formatting of its SD card.
    pub format: bool,
}

impl FromFirmware {
    /// Parses the body of a message.
    ///
    /// # Errors
    /// [`MessageError::TooShort`], [`MessageError::Meaningless`] and [`MessageError::Unknown`].
    pub fn parse(head: Head, mut body: Bytes) -> Result<Self, MessageError> {
        let needs = |body: &Bytes, bytes: usize| {
            if body.len() >= bytes {
                Ok(())
            } else {
                Err(MessageError::TooShort(head.kind))
            }
        };
        let meaningless = |what, value: u8| MessageError::Meaningless {
            kind: head.kind,
            what,
            value: value.into(),
        };
        Ok(match head.kind {
            HELLO => {
                needs(&body, 6)?;
                let is_hello = body.copy_to_bytes(4) == MAGIC[..];
                let version = body.get_u16_le();
                Self::Hello {
                    version: if is_hello { version } else { 0 },
                    name: text(&body),
                }
            }
            2 => {
                needs(&body, 12)?;
                let video = match body.get_u8() {
                    0 => None,
                    1 => Some(VideoCodec::H264),
                    2 => Some(VideoCodec::H265),
                    other => return Err(meaningless("picture codec", other)),
                };
                let codec = match body.get_u8() {
                    0 => None,
                    1 => Some(AudioCodec::Aac),
                    2 => Some(AudioCodec::PcmA),
                    3 => Some(AudioCodec::PcmU),
                    other => return Err(meaningless("sound codec", other)),
                };
                let channels = body.get_u8();
                let flags = body.get_u8();
                let sample_rate = body.get_u32_le();
                let frame_rate = f64::from(body.get_u32_le()) / 1000.0;
                if codec.is_some() && !(1..=2).contains(&channels) {
                    return Err(meaningless("number of sound channels", channels));
                }
                // Silence that stands in for missing sound is made by this rate: it has to have bounds.
                if codec.is_some() && !(8_000..=96_000).contains(&sample_rate) {
                    return Err(MessageError::Meaningless {
                        kind: head.kind,
                        what: "sample rate",
                        value: sample_rate,
                    });
                }
                let audio = codec.map(|codec| Sound {
                    codec,
                    sample_rate,
                    channels,
                    config: body,
                });
                let info = StreamInfo {
                    video,
                    frame_rate,
                    audio,
                    forces_keys: flags & 1 != 0,
                    sets_bitrate: flags & 2 != 0,
                };
                Self::Stream(head.stream()?, info)
            }
            PICTURE => {
                needs(&body, 16)?;
                let time = MediaTime::from_micros(body.get_i64_le());
                let composition_micros = body.get_i32_le();
                let framing = match body.get_u32_le() {
                    0 => Framing::AnnexB,
                    1 => Framing::Lengths,
                    other => {
                        return Err(MessageError::Meaningless {
                            kind: head.kind,
                            what: "framing",
                            value: other,
                        });
                    }
                };
                Self::Picture {
                    stream: head.stream()?,
                    time,
                    composition_micros,
                    framing,
                    data: body,
                }
            }
            SOUND => {
                // A time, and some sound.
                needs(&body, 9)?;
                Self::Sound {
                    stream: head.stream()?,
                    time: MediaTime::from_micros(body.get_i64_le()),
                    data: body,
                }
            }
            5 => Self::Offline(head.stream()?, text(&body)),
            6 => {
                needs(&body, 4)?;
                let bits = body.get_u32_le();
                let has = |bit: u32| bits & 1 << bit != 0;
                let abilities = Abilities {
                    ptz: has(0),
                    flip: has(1),
                    speaker: has(2),
                    speaker_aac: has(3),
                    snapshot: has(4),
                    commands: has(5),
                    reboot: has(6),
                    format: has(7),
                };
                Self::Abilities(ChannelId(head.channel), abilities)
            }
            7 => {
                needs(&body, 24)?;
                let place = std::array::from_fn(|_| body.get_i32_le());
                Self::Position(ChannelId(head.channel), place)
            }
            ANSWER => {
                needs(&body, 8)?;
                let id = body.get_u32_le();
                let done = body.get_u32_le() == 0;
                Self::Answer {
                    id,
                    done,
                    data: body,
                }
            }
            9 => {
                needs(&body, 4)?;
                Self::Dropped(head.stream()?, body.get_u32_le())
            }
            other => return Err(MessageError::Unknown(other)),
        })
    }
}

/// Returns a text of the firmware as one line of at most 200 characters, which cannot forge another in
/// a log.
pub fn text(bytes: &[u8]) -> String {
    text::line(&String::from_utf8_lossy(bytes), 200)
}
