use peercam_hal::BoxFuture;
use peercam_proto::{
    credential::Channels, error::Error, feedback::Feedback, media::ChannelId, network::Peer,
    viewer::ViewerId,
};

/// Way by which the device says something to its viewers. The wires implement it.
pub trait ViewerNotifier: Send + Sync {
    /// The sessions that are there, oldest first.
    fn sessions(&self) -> Vec<SessionInfo>;

    /// Says something to a viewer with a session and gives its reply.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](peercam_proto::error::ErrorKind::NotFound) with the reason if there is no
    /// such session or no way to it, [`ErrorKind::Forbidden`](peercam_proto::error::ErrorKind::Forbidden)
    /// if it does not want to be told, [`ErrorKind::NoAnswer`](peercam_proto::error::ErrorKind::NoAnswer)
    /// after 7.5 s.
    fn send(&self, viewer: &ViewerId, message: Feedback) -> BoxFuture<'_, Result<String, Error>>;
}

/// A viewer that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// The viewer that has the session.
    pub viewer: ViewerId,
    /// The name in its credential.
    pub name: String,
    /// Its endpoint, in hex; over TCP it has none.
    pub endpoint: Option<String>,
    /// Its address over P2P as it is now; `None` over TCP.
    pub peer: Option<Peer>,
    /// Seconds since it came.
    pub seconds: u64,
    /// Set if it can be told something.
    pub takes_feedback: bool,
    /// Set if it may talk and take calls.
    pub may_talk: bool,
    /// The channels that there are for it.
    pub channels: Channels,
}

impl SessionInfo {
    /// Returns whether the device may call it about a channel.
    pub fn can_be_called(&self, channel: ChannelId) -> bool {
        self.takes_feedback && self.may_talk && self.channels.contains(channel)
    }
}
