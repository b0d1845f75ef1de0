use crate::{access::Session, device::Transport, proto::network::Peer, transport::Activity};

/// What a door needs of the connection that it stands on.
pub(super) trait Wire: Send + Sync {
    /// What sort of wire it is.
    fn transport(&self) -> Transport;

    /// Where the viewer is now.
    fn peer(&self) -> Peer;

    /// Ends the connection from elsewhere; the word is for its log.
    fn ending(&self) -> Box<dyn Fn(&'static str) + Send + Sync>;

    /// The viewer has proved itself and has this session.
    fn entered(&self, session: &Session);
}

/// A TCP connection.
pub(super) struct TcpWire {
    pub(super) peer: Peer,
    pub(super) activity: Activity,
}

impl Wire for TcpWire {
    fn transport(&self) -> Transport {
        Transport::Tcp
    }

    fn peer(&self) -> Peer {
        self.peer
    }

    fn ending(&self) -> Box<dyn Fn(&'static str) + Send + Sync> {
        let activity = self.activity.clone();
        Box::new(move |reason| activity.end(reason))
    }

    fn entered(&self, _session: &Session) {
        self.activity.proved();
    }
}
