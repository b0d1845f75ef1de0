//! Messages of the daemon, encoded.
//!
//! Kinds and layouts are those of `docs/hal-socket.md`; a test pins each byte for byte.

use super::{Head, VERSION};
use crate::{
    credential::{CredentialId, Scopes},
    media::{ChannelId, StreamId},
};

/// Message of the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToFirmware<'a> {
    /// Acceptance of a hello, with the daemon's version.
    Welcome,
    /// End of the connection, with the reason.
    Goodbye(&'a str),
    /// Demand for a stream: whether anybody watches it. Without viewers, pictures may stop.
    Watch(StreamId, bool),
    /// Request for a key frame, as soon as possible.
    KeyFrame(StreamId),
    /// Target bit rate of a stream, in bits per second.
    Bitrate(StreamId, u32),
    /// Pan/tilt motion: pan (-1 left, 1 right), tilt (-1 down, 1 up), speed (1 to 10). All 0: stop.
    Turn(ChannelId, i8, i8, u8),
    /// Rotation of the picture by 180°: on or off.
    Flip(ChannelId, bool),
    /// Start of talkback: the speaker opens for this format.
    TalkStart {
        /// Channel of the speaker.
        channel: ChannelId,
        /// Coding of its blocks.
        coding: TalkCoding,
        /// Number of channels, 1 or 2.
        channels: u8,
        /// Samples per second and channel.
        sample_rate: u32,
        /// AAC: the `AudioSpecificConfig`.
        config: &'a [u8],
    },
    /// A block of talkback: PCM samples, or an AAC access unit.
    Talk(ChannelId, &'a [u8]),
    /// End of talkback: the speaker plays what it has, and closes.
    TalkStop(ChannelId),
    /// Request for a JPEG of now. The number is the id of the answer, as in all requests below.
    Snapshot(ChannelId, u32),
    /// Command that makers define. The answer is passed on to the viewer.
    Command(ChannelId, u32, &'a str),
    /// Request for a reboot, answered before it happens.
    Reboot(ChannelId, u32),
    /// Request for formatting the SD card, answered when that has begun.
    Format(ChannelId, u32),
    /// Number of access units of a stream that the daemon has dropped since the firmware connected,
    /// because their reader was too slow.
    Dropped(StreamId, u32),
    /// Caller of the command that comes next.
    Caller {
        /// Channel of the command.
        channel: ChannelId,
        /// Id of the command.
        id: u32,
        /// Scopes of the caller.
        scopes: Scopes,
        /// Issuer and id of the credential that it proved, if any.
        credential: Option<(&'a str, CredentialId)>,
    },
}

/// Coding of talkback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TalkCoding {
    /// Signed 16-bit little-endian PCM.
    Pcm,
    /// AAC-LC, bare access units.
    Aac,
}

impl ToFirmware<'_> {
    /// Encodes the message, head and body.
    pub fn encode(&self) -> Vec<u8> {
        let (kind, (channel, quality)) = match self {
            Self::Welcome => (64, NOTHING),
            Self::Goodbye(_) => (65, NOTHING),
            Self::Watch(stream, _) => (66, of_stream(*stream)),
            Self::KeyFrame(stream) => (67, of_stream(*stream)),
            Self::Bitrate(stream, _) => (68, of_stream(*stream)),
            Self::Turn(channel, ..) => (69, (channel.0, 0)),
            Self::Flip(channel, _) => (70, (channel.0, 0)),
            Self::TalkStart { channel, .. } => (71, (channel.0, 0)),
            Self::Talk(channel, _) => (72, (channel.0, 0)),
            Self::TalkStop(channel) => (73, (channel.0, 0)),
            Self::Snapshot(channel, _) => (74, (channel.0, 0)),
            Self::Command(channel, ..) => (75, (channel.0, 0)),
            Self::Reboot(channel, _) => (76, (channel.0, 0)),
            Self::Format(channel, _) => (77, (channel.0, 0)),
            Self::Dropped(stream, _) => (78, of_stream(*stream)),
            Self::Caller { channel, .. } => (79, (channel.0, 0)),
        };
        let mut body = Vec::new();
        match self {
            Self::Welcome => body.extend_from_slice(&VERSION.to_le_bytes()),
            Self::Goodbye(reason) => body.extend_from_slice(reason.as_bytes()),
            Self::Watch(_, is_on) | Self::Flip(_, is_on) => body.push(u8::from(*is_on)),
            Self::KeyFrame(_) | Self::TalkStop(_) => {}
            Self::Bitrate(_, number)
            | Self::Snapshot(_, number)
            | Self::Reboot(_, number)
            | Self::Format(_, number)
            | Self::Dropped(_, number) => body.extend_from_slice(&number.to_le_bytes()),
            Self::Turn(_, pan, tilt, speed) => {
                body.extend_from_slice(&[pan.cast_unsigned(), tilt.cast_unsigned(), *speed]);
            }
            Self::TalkStart {
                coding,
                channels,
                sample_rate,
                config,
                ..
            } => {
                let coding = match coding {
                    TalkCoding::Pcm => 1,
                    TalkCoding::Aac => 2,
                };
                body.extend_from_slice(&[coding, *channels, 0, 0]);
                body.extend_from_slice(&sample_rate.to_le_bytes());
                body.extend_from_slice(config);
            }
            Self::Talk(_, block) => body.extend_from_slice(block),
            Self::Command(_, id, text) => {
                body.extend_from_slice(&id.to_le_bytes());
                body.extend_from_slice(text.as_bytes());
            }
            Self::Caller {
                id,
                scopes,
                credential,
                ..
            } => {
                body.extend_from_slice(&id.to_le_bytes());
                body.extend_from_slice(&scopes.bits().to_le_bytes());
                let (issuer, credential) = credential.unwrap_or(("", NO_CREDENTIAL));
                body.extend_from_slice(credential.as_bytes());
                body.extend_from_slice(issuer.as_bytes());
            }
        }
        let head = Head {
            length: body.len(),
            kind,
            quality,
            channel,
        };
        let mut out = Vec::with_capacity(super::HEAD + body.len());
        head.write(&mut out);
        out.extend_from_slice(&body);
        out
    }
}

/// Channel and quality of messages that concern neither.
const NOTHING: (u16, u8) = (0, 0);
/// Id of the credential of a caller without proof.
const NO_CREDENTIAL: CredentialId = CredentialId::new([0; 16]);

// A quality is its index in `Quality::ALL`.
fn of_stream(stream: StreamId) -> (u16, u8) {
    (stream.channel.0, stream.quality as u8)
}
