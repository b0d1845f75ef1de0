use std::{fmt, sync::Arc};

use peercam_proto::{
    credential::{Channels, Claims, CredentialId, Issuer, Rank, Rights, Scopes, Transport},
    error::Error,
    route::Labels,
    text,
    viewer::ViewerId,
};

use super::policy::Need;

/// Sender of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The name in its credential. Without one, the name it gave itself, or its address: that tells
    /// viewers apart and proves nothing.
    pub name: Arc<str>,
    /// Identity by which others tell it apart.
    pub viewer: ViewerId,
    /// The wire it came by.
    pub transport: Transport,
    /// Its name for this request, to find it in the log.
    pub req_id: Option<String>,
    /// Scopes that it has.
    pub scopes: Scopes,
    /// The channels for which it may do it; for it there are no others.
    pub channels: Channels,
    /// The credential that it proved to hold; `None` on a listener without access control.
    pub proof: Option<Proof>,
}

/// A credential that was proved, as what was decided by it is told and ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Issuer that minted it.
    pub issuer: Arc<str>,
    /// Its id. Whoever holds a mint key chooses ids as it likes: it names one credential only
    /// together with the issuer.
    pub id: CredentialId,
}

impl Caller {
    /// A caller on a listener without access control: named by its labels, or by its address.
    pub fn unauthenticated(labels: &Labels, address: &Arc<str>) -> Self {
        let name = labels.peer_name.as_deref().map(Arc::from);
        let name = name.unwrap_or_else(|| Arc::clone(address));
        Self {
            viewer: ViewerId::unauthenticated(&name),
            name,
            transport: Transport::Tcp,
            req_id: labels.req_id.clone(),
            scopes: Scopes::ALL,
            channels: Channels::All,
            proof: None,
        }
    }

    /// A caller that proved to hold a credential of this issuer with these claims, which is good for
    /// this, and has this session.
    pub fn authenticated(
        (issuer, claims, rights): (&str, &Claims, &Rights),
        session: &ViewerId,
        labels: &Labels,
        transport: Transport,
    ) -> Self {
        Self {
            name: claims.name.as_str().into(),
            viewer: session.clone(),
            transport,
            req_id: labels.req_id.clone(),
            scopes: rights.scopes,
            channels: rights.channels.clone(),
            proof: Some(Proof {
                issuer: issuer.into(),
                id: claims.id,
            }),
        }
    }

    /// Returns whether it is the device's owner: it proved to hold an `admin` credential that was
    /// paired on the device itself. Who cannot be told from others, on a listener without access
    /// control, is not; nor is an `admin` of a back end.
    pub fn is_owner(&self) -> bool {
        self.rank() == Rank::Owner
    }

    /// Rank of its claim to a place.
    pub fn rank(&self) -> Rank {
        let proof = self.proof.as_ref();
        proof.map_or(Rank::Guest, |proof| Rank::of(&proof.issuer, self.scopes))
    }

    /// Key of the party that shares places: the credential, from wherever it comes; without one,
    /// the name.
    pub fn party(&self) -> Arc<str> {
        match &self.proof {
            Some(proof) => format!("{} {}", proof.issuer, proof.id).into(),
            // No issuer's name has a colon: whatever somebody calls itself, it is no credential.
            None => format!("open:{}", self.viewer).into(),
        }
    }

    /// Key of the party that answers for it: itself, or the back end that made its credential,
    /// which can make as many as it likes. Callers without a credential cannot be told apart.
    pub fn answers(&self) -> Arc<str> {
        match &self.proof {
            Some(proof) if *proof.issuer == *Issuer::LOCAL => self.party(),
            Some(proof) => Arc::clone(&proof.issuer),
            None => "open:".into(),
        }
    }

    /// Makes sure that it may do something.
    ///
    /// # Errors
    /// [`Forbidden`](peercam_proto::error::ErrorKind::Forbidden), naming what is missing.
    pub fn check(&self, need: Need) -> Result<(), Error> {
        need.check(self.scopes, &self.channels)
    }
}

impl fmt::Display for Caller {
    /// The name, with anything that could forge a log line escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::line(&self.name, 64))
    }
}
