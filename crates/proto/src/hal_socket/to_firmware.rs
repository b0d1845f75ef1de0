use super::{Head, VERSION};
use crate::{
    credential::{CredentialId, Scopes},
    media::{ChannelId, StreamId},
};

/// What the daemon says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToFirmware<'a> {
    /// Come in.
    Welcome,
    /// The connection ends here, for this reason.
    Goodbye(&'a str),
    /// Somebody watches a stream, or nobody any more. Pictures may stop meanwhile.
    Watch(StreamId, bool),
    /// A key frame is needed, as soon as possible.
    KeyFrame(StreamId),
    /// Bits per second that a stream should have.
    Bitrate(StreamId, u32),
    /// Turn: pan (-1 left, 1 right), tilt (-1 down, 1 up), speed (1 to 10). All 0: stop.
    Turn(ChannelId, i8, i8, u8),
    /// Turn the picture by 180°, or back.
    Flip(ChannelId, bool),
    /// Somebody begins to talk: open the speaker for this.
    TalkStart {
        /// The speaker of this channel.
        channel: ChannelId,
        /// How it is coded.
        coding: TalkCoding,
        /// 1 or 2.
        channels: u8,
        /// Samples per second and channel.
        sample_rate: u32,
        /// AAC: the `AudioSpecificConfig`.
        config: &'a [u8],
    },
    /// A block of what is talked: samples, or an access unit.
    Talk(ChannelId, &'a [u8]),
    /// The talk is over: play what there is, and close the speaker.
    TalkStop(ChannelId),
    /// Take a still; answer with a JPEG.
    Snapshot(ChannelId, u32),
    /// A command that makers define; answer with what is to be said to the viewer.
    Command(ChannelId, u32, &'a str),
    /// Start again; answer first.
    Reboot(ChannelId, u32),
    /// Format the card; answer when that is done.
    Format(ChannelId, u32),
    /// How many access units of a stream the daemon has dropped since the firmware connected,
    /// because whoever reads them was too slow.
    Dropped(StreamId, u32),
    /// Who sends the command of this id, which comes next.
    Caller {
        /// The channel of the command.
        channel: ChannelId,
        /// Of the command.
        id: u32,
        /// What the sender may do.
        scopes: Scopes,
        /// Who minted the credential that it proved, and which one that is.
        credential: Option<(&'a str, CredentialId)>,
    },
}

/// How what is talked is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TalkCoding {
    /// Signed 16-bit little-endian PCM.
    Pcm,
    /// AAC-LC, bare access units.
    Aac,
}

impl ToFirmware<'_> {
    /// The message, head and body.
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

const NOTHING: (u16, u8) = (0, 0);
const NO_CREDENTIAL: CredentialId = CredentialId::new([0; 16]);

fn of_stream(stream: StreamId) -> (u16, u8) {
    (stream.channel.0, stream.quality as u8)
}
