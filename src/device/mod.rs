//! The device as apps see it: one door for commands, whatever wire they came by.

mod outbox;
mod places;
mod viewers;

use std::{fmt, net::IpAddr, sync::Arc};

pub use outbox::{Outbox, SessionInfo};
pub use places::{Place, Places};
pub use viewers::Viewers;

use crate::{
    error::{Error, ErrorKind},
    live::Hub,
    media::ChannelId,
    proto::{
        command::{ChannelState, Command, Reply, Status, StatusQuery},
        credential::{Channels, Claims, Need, Scope, Scopes},
        feedback::Feedback,
        route::Labels,
    },
};

/// Who sends a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The name in its credential. Without one, the name it gave itself, or its address: that tells
    /// viewers apart and proves nothing.
    pub name: String,
    /// The wire it came by.
    pub transport: Transport,
    /// Its name for this request, to find it in the log.
    pub req_id: Option<String>,
    /// What it may do.
    pub scopes: Scopes,
    /// The channels for which it may do it; for it there are no others.
    pub channels: Channels,
}

/// A wire that commands come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// HTTP over TCP.
    Tcp,
    /// HTTP over QUIC between two endpoints.
    P2p,
}

impl Caller {
    /// A caller on a listener without access control: named by its labels, or by its address.
    pub fn on_tcp(labels: &Labels, address: IpAddr) -> Self {
        let name = labels
            .peer_name
            .clone()
            .unwrap_or_else(|| address.to_string());
        Self {
            name,
            transport: Transport::Tcp,
            req_id: labels.req_id.clone(),
            scopes: Scopes::ALL,
            channels: Channels::All,
        }
    }

    /// A caller that proved to hold a credential with these claims.
    pub fn holder(claims: &Claims, labels: &Labels, transport: Transport) -> Self {
        Self {
            name: claims.name.clone(),
            transport,
            req_id: labels.req_id.clone(),
            scopes: claims.scopes,
            channels: claims.channels.clone(),
        }
    }

    /// Makes sure that it may do something.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`], naming the scope that is missing.
    pub fn check(&self, need: Need) -> Result<(), Error> {
        match need {
            Need::Proof => Ok(()),
            Need::Scope(scope) if self.scopes.contains(scope) => Ok(()),
            Need::Scope(scope) => Err(missing(scope)),
        }
    }
}

fn missing(scope: Scope) -> Error {
    let reason = format!(
        "this credential does not have the scope {}; pair again with it",
        scope.as_str()
    );
    Error::new(ErrorKind::Forbidden, reason)
}

impl fmt::Display for Caller {
    /// The name, with anything that could forge a log line escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name
            .escape_debug()
            .take(64)
            .try_for_each(|character| fmt::Write::write_char(f, character))
    }
}

/// What commands act on.
pub struct Device {
    hub: Hub,
    viewers: Viewers,
    outbox: Option<Arc<dyn Outbox>>,
}

impl Device {
    /// A device with these channels and viewers. What it has to say goes into `outbox`.
    pub fn new(hub: Hub, viewers: Viewers, outbox: Option<Arc<dyn Outbox>>) -> Self {
        Self {
            hub,
            viewers,
            outbox,
        }
    }

    /// The viewers that are there and proved themselves.
    pub fn sessions(&self) -> Vec<SessionInfo> {
        let outbox = self.outbox.as_ref();
        outbox.map_or_else(Vec::new, |outbox| outbox.sessions())
    }

    /// Says something to the viewer of a session and gives its reply.
    ///
    /// # Errors
    /// As [`Outbox::send`].
    pub async fn tell(&self, session: &str, message: Feedback) -> Result<String, Error> {
        match &self.outbox {
            Some(outbox) => outbox.send(session, message).await,
            None => Err(Error::new(
                ErrorKind::NotFound,
                "this device has P2P off, and only viewers over P2P can be told something",
            )),
        }
    }

    /// Does what a command says and gives the answer. Every command has an answer.
    pub async fn apply(&self, caller: &Caller, command: Command) -> Reply {
        tracing::debug!(%caller, req_id = caller.req_id, ?command, "command");
        if let Err(refused) = caller.check(Need::of_command(&command)) {
            return Reply::Status {
                status: Status::Refused,
                reason: refused.reason().to_owned(),
            };
        }
        match command {
            Command::DeviceStatus { channel, query } => {
                self.status(&caller.channels, channel, query)
            }
            Command::ChannelList => Reply::ChannelList(
                self.hub
                    .channels()
                    .into_iter()
                    .filter(|(channel, ..)| caller.channels.contains(*channel))
                    .map(|(channel, name, online)| ChannelState {
                        name: name.to_owned(),
                        channel,
                        online,
                    })
                    .collect(),
            ),
            Command::Unknown => Reply::Status {
                status: Status::Unsupported,
                reason: "this device does not offer that command".to_owned(),
            },
        }
    }

    fn status(&self, visible: &Channels, channel: ChannelId, query: StatusQuery) -> Reply {
        let (status, reason) = match (query, self.hub.check_channel(channel, visible)) {
            (StatusQuery::Damaged, _) => {
                let reason = "type is one of live, voice, playback, quality one of standard, high, \
                     super, and channel a number";
                (Status::BadRequest, Some(reason.to_owned()))
            }
            (_, Err(error)) => (Status::BadRequest, Some(error.reason().to_owned())),
            (StatusQuery::Unoffered, Ok(())) => (
                Status::Unsupported,
                Some("this device offers live only".to_owned()),
            ),
            (StatusQuery::Live(_), Ok(())) => self.live_status(channel),
        };
        Reply::DeviceStatus {
            status,
            viewers: self.viewers.count(),
            max_viewers: self.viewers.max(),
            reason,
        }
    }

    fn live_status(&self, channel: ChannelId) -> (Status, Option<String>) {
        let online = self
            .hub
            .channels()
            .iter()
            .any(|(id, _, online)| *id == channel && *online);
        if self.viewers.count() >= self.viewers.max() {
            (
                Status::TooManyViewers,
                Some(viewers::full(self.viewers.max())),
            )
        } else if online {
            (Status::Ok, None)
        } else {
            (
                Status::Refused,
                Some(format!("the camera of channel {channel} is off")),
            )
        }
    }
}
