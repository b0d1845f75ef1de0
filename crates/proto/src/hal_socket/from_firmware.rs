use bytes::{Buf, Bytes};

use super::{ANSWER, HELLO, Head, MAGIC, MessageError, PICTURE, SOUND};
use crate::{
    media::{AudioCodec, ChannelId, MediaTime, StreamId, VideoCodec},
    nal::Framing,
    text,
};

/// What firmware says.
#[derive(Clone, Debug, PartialEq)]
pub enum FromFirmware {
    /// It is there, and speaks this version.
    Hello {
        /// The version; 0 if it does not begin as a hello does.
        version: u16,
        /// What it calls itself.
        name: String,
    },
    /// What a stream will deliver, from its next key frame on.
    Stream(StreamId, StreamInfo),
    /// An access unit.
    Picture {
        /// Of this stream.
        stream: StreamId,
        /// When it was captured, in decoding order, on the firmware's monotonic clock.
        time: MediaTime,
        /// How much later than that it is shown.
        composition_micros: i32,
        /// How its NAL units are told apart.
        framing: Framing,
        /// It, with its parameter sets before a key frame.
        data: Bytes,
    },
    /// A block of sound.
    Sound {
        /// Of this stream.
        stream: StreamId,
        /// When its first sample was captured, on the same clock.
        time: MediaTime,
        /// AAC: one access unit, with or without ADTS head. G.711: samples.
        data: Bytes,
    },
    /// A stream delivers nothing for now, for this reason.
    Offline(StreamId, String),
    /// What a channel can beside delivering pictures.
    Abilities(ChannelId, Abilities),
    /// Where a channel's motor points.
    Position(ChannelId, [i32; 6]),
    /// The answer to a request of the daemon.
    Answer {
        /// The request.
        id: u32,
        /// Whether it was done.
        done: bool,
        /// A JPEG, the answer to a command, or why it was not done.
        data: Bytes,
    },
    /// How many access units of a stream the firmware has dropped since it connected, because the
    /// socket was full.
    Dropped(StreamId, u32),
}

/// What a stream delivers.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamInfo {
    /// The picture; `None` if there is none.
    pub video: Option<VideoCodec>,
    /// Pictures each second; 0 if unknown.
    pub frame_rate: f64,
    /// The sound; `None` if there is none.
    pub audio: Option<Sound>,
    /// Whether the encoder makes key frames on request.
    pub forces_keys: bool,
    /// Whether the encoder changes its bit rate on request.
    pub sets_bitrate: bool,
}

/// The sound of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Sound {
    /// How it is coded.
    pub codec: AudioCodec,
    /// Samples per second and channel.
    pub sample_rate: u32,
    /// 1 or 2.
    pub channels: u8,
    /// AAC: the `AudioSpecificConfig`; empty if every unit has an ADTS head.
    pub config: Bytes,
}

/// What a channel can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// It has a pan/tilt motor.
    pub ptz: bool,
    /// It can turn its picture by 180°.
    pub flip: bool,
    /// It has a speaker.
    pub speaker: bool,
    /// The speaker takes AAC beside PCM.
    pub speaker_aac: bool,
    /// It takes stills.
    pub snapshot: bool,
    /// It understands commands that makers define.
    pub commands: bool,
    /// It can start itself again.
    pub reboot: bool,
    /// It can format its card.
    pub format: bool,
}

impl FromFirmware {
    /// Reads the body of a message.
    ///
    /// # Errors
    /// [`MessageError`]
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

/// What it says for people: one line, without anything that could forge another in a log.
pub fn text(bytes: &[u8]) -> String {
    text::line(&String::from_utf8_lossy(bytes), 200)
}
