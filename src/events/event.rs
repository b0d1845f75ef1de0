//! Kinds of events, and what each of them tells.

use std::{fmt, time::Duration};

use peercam_proto::{
    media::{ChannelId, StreamId},
    text,
};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Firmware, or a program for it, has seen or heard something.
    Detected {
        /// Channel of the camera.
        channel: ChannelId,
        /// Kind of what it was, by the maker's numbers; 1 is motion.
        kind: u32,
        /// Length for which it is to be recorded; `None`: as the configuration says.
        length: Option<Duration>,
    },
    /// The device's call has another state.
    Call {
        /// The state.
        stage: CallStage,
        /// Channel that the call is about; `None` without a call.
        channel: Option<ChannelId>,
        /// Viewer that rings the device or talks with it.
        viewer: Option<Text>,
    },
    /// A viewer that proved itself has a session.
    ViewerJoined {
        /// Id of the session.
        session: Text,
        /// Name in the viewer's credential.
        name: Text,
        /// Path by which it came.
        path: ViewerPath,
    },
    /// A viewer's session has ended.
    ViewerLeft {
        /// Id of the session.
        session: Text,
        /// Name in the viewer's credential.
        name: Text,
        /// Reason of the end.
        reason: &'static str,
    },
    /// The card has another state.
    Storage(StorageState),
    /// A channel was told to stand by, or to work.
    Standby {
        /// The channel.
        channel: ChannelId,
        /// Set if it stands by.
        is_on: bool,
    },
    /// A channel's picture was turned by 180°, or back.
    Mirror {
        /// The channel.
        channel: ChannelId,
        /// Set if it is turned.
        is_on: bool,
    },
    /// A camera delivers one of its streams no more.
    CameraOffline {
        /// The stream.
        stream: StreamId,
        /// Reason, as the camera gives it.
        reason: Text,
    },
    /// A camera that was off delivers that stream again.
    CameraOnline {
        /// The stream.
        stream: StreamId,
    },
    /// A recording is whole: it grows no more.
    SegmentClosed {
        /// Channel of the camera.
        channel: ChannelId,
        /// Start, in milliseconds since 1970, by which the file is named.
        start_millis: i64,
        /// Length, in milliseconds.
        duration_millis: u32,
        /// Kind of the recording: that of its event, or 0.
        kind: u32,
        /// Size of the file, in bytes.
        size: u64,
    },
    /// The device can be reached at other addresses.
    ReachabilityChanged,
    /// The configuration was read again and has changed: channels, and whatever is known of them, may
    /// be others.
    Reloaded,
    /// A part of the daemon has panicked, and was ended.
    Panicked {
        /// Sort of the part, as log and metrics call it.
        part: &'static str,
    },
}

impl Event {
    /// Bytes of its texts.
    pub(super) fn text_bytes(&self) -> usize {
        let texts = match self {
            Self::Call { viewer, .. } => [viewer.as_ref(), None],
            Self::ViewerJoined { session, name, .. } | Self::ViewerLeft { session, name, .. } => {
                [Some(session), Some(name)]
            }
            Self::Storage(StorageState::Stuck(reason) | StorageState::Gone(reason))
            | Self::CameraOffline { reason, .. } => [Some(reason), None],
            Self::Detected { .. }
            | Self::Storage(StorageState::Starting | StorageState::Ready)
            | Self::Standby { .. }
            | Self::Mirror { .. }
            | Self::CameraOnline { .. }
            | Self::SegmentClosed { .. }
            | Self::ReachabilityChanged
            | Self::Reloaded
            | Self::Panicked { .. } => [None, None],
        };
        texts.into_iter().flatten().map(|text| text.0.len()).sum()
    }
}

/// State of the device's call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallStage {
    /// No call.
    Idle,
    /// The device rings viewers.
    Calling,
    /// A viewer rings the device.
    Called,
    /// Device and viewer talk.
    Talking,
}

/// Path by which a viewer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewerPath {
    /// TCP.
    Tcp,
    /// P2P, straight to the device.
    Direct,
    /// P2P through a relay.
    Relay,
}

impl ViewerPath {
    /// Returns its word for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Direct => "direct",
            Self::Relay => "relay",
        }
    }
}

/// State of the card that recordings go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageState {
    /// Being looked at.
    Starting,
    /// Writable.
    Ready,
    /// Readable, and takes nothing, for this reason.
    Stuck(Text),
    /// Not readable either, for this reason.
    Gone(Text),
}

/// Untrusted text in an event: one printable line of at most 128 characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(Box<str>);

impl Text {
    /// Keeps what can be shown of a text.
    pub fn new(text: &str) -> Self {
        const MAX_CHARS: usize = 128;
        Self(text::line(text, MAX_CHARS).into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_short_and_do_nothing_to_whoever_prints_them() {
        let text = Text::new("Mum\u{1b}[2J\nsession ended");
        assert_eq!(text.as_str(), "Mum\\u{1b}[2J\\nsession ended");
        assert_eq!(Text::new(&"x".repeat(1_000)).as_str().len(), 128);
        assert_eq!(Text::new("客厅").to_string(), "客厅");
    }
}
