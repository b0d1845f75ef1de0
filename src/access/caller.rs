//! Sender of a request, over whatever transport: the one principal that routes, commands and media
//! know.
//!
//! Keeps: it is cheap to make and to clone, since each request has one. How somebody proved itself
//! does not belong here, nor does anything about what is asked for.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use peercam_proto::{
    credential::{Channels, Rank, Scope, Scopes, Transport},
    error::Error,
    network::Peer,
    route::Labels,
    text,
    viewer::ViewerId,
};
use tokio_util::sync::CancellationToken;

use super::{
    authority::Authority,
    holder::Holder,
    policy::Need,
    sessions::{SequelEntry, Session},
};

/// Sender of a request.
#[derive(Clone)]
pub struct Caller {
    /// Identity by which others tell it apart.
    pub viewer: ViewerId,
    /// Address at which it is seen, for logs.
    pub peer: Peer,
    /// The wire it came by.
    pub transport: Transport,
    /// Its name for this request, to find it in the log.
    pub req_id: Option<String>,
    principal: Principal,
}

#[derive(Clone)]
enum Principal {
    /// A peer on a listener without access control: the name it gave itself, or its address. That
    /// tells viewers apart and proves nothing.
    Unauthenticated(Arc<str>),
    /// A holder that proved itself.
    Authenticated(Proof),
}

/// A credential that was proved, and the session in which it was.
#[derive(Clone)]
struct Proof {
    holder: Arc<Holder>,
    /// Cancelled when the device ends the session.
    ends: CancellationToken,
    /// The authority, which is told of faults that are charged to the holder.
    authority: Arc<Authority>,
}

/// Ties of work to whoever asked for it, such as playing what it said last: the work may outlast its
/// request and its connections. Takes no place; the work's owner bounds it. Dropping it says that
/// the work is over.
pub struct Sequel {
    /// Cancelled when the device ends the session of whoever asked, and when it would if whoever
    /// asked had not left. Never, without a session.
    pub ends: CancellationToken,
    charged: Option<(SequelEntry, Proof)>,
}

impl Caller {
    /// A peer on a listener without access control, named by its address.
    pub fn unauthenticated(address: SocketAddr) -> Self {
        let name = address.ip().to_string().into();
        Self {
            viewer: ViewerId::unauthenticated(&name),
            peer: Peer::At(address),
            transport: Transport::Tcp,
            req_id: None,
            principal: Principal::Unauthenticated(name),
        }
    }

    /// A holder with the rights that it has now, in its session.
    pub fn authenticated(
        holder: Arc<Holder>,
        session: &Session,
        authority: &Arc<Authority>,
        peer: Peer,
        transport: Transport,
    ) -> Self {
        Self {
            viewer: session.id().clone(),
            peer,
            transport,
            req_id: None,
            principal: Principal::Authenticated(Proof {
                holder,
                ends: session.ends().clone(),
                authority: Arc::clone(authority),
            }),
        }
    }

    /// Takes over what a request says of its sender: a name for the request, and without a
    /// credential one for the sender.
    pub fn introduce(&mut self, labels: &Labels) {
        self.req_id.clone_from(&labels.req_id);
        if let (Principal::Unauthenticated(name), Some(given)) =
            (&mut self.principal, &labels.peer_name)
        {
            *name = given.as_str().into();
            self.viewer = ViewerId::unauthenticated(name);
        }
    }

    /// Holder of the credential that it proved; `None` on a listener without access control.
    pub fn holder(&self) -> Option<&Holder> {
        match &self.principal {
            Principal::Unauthenticated(_) => None,
            Principal::Authenticated(proof) => Some(&proof.holder),
        }
    }

    /// Name for people: that in its credential; without one, the name it gave itself, or its
    /// address.
    pub fn name(&self) -> &str {
        match &self.principal {
            Principal::Unauthenticated(name) => name,
            Principal::Authenticated(proof) => &proof.holder.claims.name,
        }
    }

    /// Scopes that it has.
    pub fn scopes(&self) -> Scopes {
        let holder = self.holder();
        holder.map_or(Scopes::ALL, |holder| holder.rights.scopes)
    }

    /// Channels for which it has them; for it there are no others.
    pub fn channels(&self) -> &Channels {
        let holder = self.holder();
        holder.map_or(&Channels::All, |holder| &holder.rights.channels)
    }

    /// Rank of its claim to a permit: the owner's if it proved to hold an `admin` credential that was
    /// paired on the device itself. An `admin` of a back end has not got it, nor has anybody on a listener
    /// without access control.
    pub fn rank(&self) -> Rank {
        self.holder().map_or(Rank::Guest, Holder::rank)
    }

    /// Key of the party that shares places: the credential, from wherever it comes; without one,
    /// the name.
    pub fn party(&self) -> Arc<str> {
        match self.holder() {
            Some(holder) => holder.party(),
            // No issuer's name has a colon: whatever somebody calls itself, it is no credential.
            None => format!("open:{}", self.viewer).into(),
        }
    }

    /// Key of the party that answers for it: itself, or the back end that made its credential,
    /// which can make as many as it likes. Callers without a credential cannot be told apart.
    pub fn answers(&self) -> Arc<str> {
        self.holder()
            .map_or_else(|| "open:".into(), Holder::answers)
    }

    /// Makes sure that it may do something.
    ///
    /// # Errors
    /// [`Forbidden`](peercam_proto::error::ErrorKind::Forbidden), naming what is missing.
    pub fn check(&self, need: Need) -> Result<(), Error> {
        need.check(self.scopes(), self.channels())
    }

    /// Returns whether it is a program on the device itself, which came by a listener without access
    /// control.
    pub fn is_at_device(&self) -> bool {
        let is_loopback = |ip: IpAddr| ip.to_canonical().is_loopback();
        let peer = &self.peer;
        self.holder().is_none() && matches!(peer, Peer::At(address) if is_loopback(address.ip()))
    }

    /// Returns whether it proved that it may do everything on the device.
    pub fn is_device_admin(&self) -> bool {
        self.holder().is_some() && self.check(Need::Device(Scope::Admin)).is_ok()
    }

    /// Ties of work that may outlast this request.
    pub fn sequel(&self) -> Sequel {
        match &self.principal {
            Principal::Unauthenticated(_) => Sequel {
                ends: CancellationToken::new(),
                charged: None,
            },
            Principal::Authenticated(proof) => {
                let ends = proof.ends.child_token();
                let sessions = &proof.authority.sessions;
                let entry = sessions.sequel(Arc::clone(&proof.holder), ends.clone());
                Sequel {
                    ends,
                    charged: Some((entry, proof.clone())),
                }
            }
        }
    }
}

impl Sequel {
    /// Notes that the work has panicked, and is over so.
    pub fn panicked(self) {
        let Some((entry, proof)) = self.charged else {
            return;
        };
        drop(entry);
        proof.authority.note_panic(&proof.holder);
    }
}

impl fmt::Display for Caller {
    /// The name, with anything that could forge a log line escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::line(self.name(), 64))
    }
}
