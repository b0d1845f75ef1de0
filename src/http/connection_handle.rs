use std::time::Instant;

use peercam_net::{ConnectionEntry, UnauthenticatedLimiter};
use peercam_proto::{
    credential::Transport,
    error::{Error, ErrorKind},
    network::Peer,
};

use crate::{access::Session, events::ViewerPath};

/// Handle of the connection under an authenticated exchange: TCP or P2P.
pub(super) trait ConnectionHandle: Send + Sync {
    /// Transport of the connection.
    fn transport(&self) -> Transport;

    /// Address of the viewer now.
    fn peer(&self) -> Peer;

    /// Path by which the viewer comes now.
    fn path(&self) -> ViewerPath;

    /// Ends the connection from elsewhere; the word is for its log.
    fn ending(&self) -> Box<dyn Fn(&'static str) + Send + Sync>;

    /// Gives the connection the standing of an authenticated viewer, who has this session.
    ///
    /// # Errors
    /// [`ErrorKind::Full`] if there is no place for its connection.
    fn entered(&self, session: &Session) -> Result<(), Error>;

    /// The cookie that goes with a refusal, where a connection may be displaced.
    fn cookie(&self) -> Option<String> {
        None
    }

    /// The peer has shown a cookie.
    fn shown(&self, _cookie: &str) {}
}

/// A TCP connection.
pub(super) struct TcpHandle {
    pub(super) peer: Peer,
    pub(super) activity: ConnectionEntry,
    pub(super) entrance: UnauthenticatedLimiter,
}

/// Refusal of a viewer for whose connection there is no place.
pub(super) fn no_place() -> Error {
    let reason = "the device serves as many connections as it takes; try again when one of them has been closed";
    Error::new(ErrorKind::Full, reason)
}

impl ConnectionHandle for TcpHandle {
    fn transport(&self) -> Transport {
        Transport::Tcp
    }

    fn peer(&self) -> Peer {
        self.peer
    }

    fn path(&self) -> ViewerPath {
        ViewerPath::Tcp
    }

    fn ending(&self) -> Box<dyn Fn(&'static str) + Send + Sync> {
        let activity = self.activity.clone();
        Box::new(move |reason| activity.end(reason))
    }

    fn entered(&self, session: &Session) -> Result<(), Error> {
        let (holder, now) = (session.holder(), Instant::now());
        let answers = holder.answers();
        if !self.activity.proved(holder.rank(), &answers, now) {
            return Err(no_place());
        }
        self.entrance.note_proved(self.peer.source(), &answers, now);
        Ok(())
    }

    fn cookie(&self) -> Option<String> {
        Some(self.entrance.cookie(self.peer.source(), Instant::now()))
    }

    fn shown(&self, cookie: &str) {
        let now = Instant::now();
        let ticket = self.entrance.ticket_for(cookie, self.peer.source(), now);
        self.activity.show(ticket, now);
    }
}
