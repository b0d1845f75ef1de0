//! The list of paired viewers, `paired.json`: names for people, and no part of any decision.
//!
//! Invariant: no name is given to two listed viewers, so revoking by name ends one credential.
//! Which credentials are good is [`Revocations`]' to say.

use peercam_proto::credential::{Channels, Claims, CredentialId, Issuer, Scopes};
use serde::{Deserialize, Serialize};

use super::{
    revocations::{Revocations, RevocationsError},
    store::StoreError,
};

/// Viewers that are listed at most.
const MAX_PAIRED: usize = 1024;

/// Viewers that the device itself has paired: for `peercam pair --list` and for revoking by name.
/// Access does not depend on this list, and there is no key in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairings(Vec<Pairing>);

/// One viewer that was paired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pairing {
    /// Claims of the credential.
    pub claims: Claims,
    /// The epoch in which it was minted.
    pub epoch: u32,
    /// Time of the pairing, in seconds since 1970-01-01 UTC, if the device knew it.
    pub made: Option<u64>,
}

/// Errors of pairing and revoking.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// The name is taken.
    #[error("there is a viewer {0:?} already; choose another name, or revoke that one first")]
    NameTaken(String),
    /// No room for another viewer.
    #[error("{MAX_PAIRED} viewers are paired; revoke some that are not needed")]
    Full,
    /// No viewer of that name was paired.
    #[error("there is no viewer {0:?}; peercam pair --list shows who there is")]
    UnknownName(String),
    /// More claims than a credential takes.
    #[error("that is too much for one credential; use fewer channels or a shorter name")]
    TooLong,
    /// An end in the past.
    #[error("that has ended already")]
    Ended,
    /// An end by a clock that was not set.
    #[error(
        "the clock of this machine is not set, so it is not known when that ends; set it, or pair without --expires"
    )]
    NoClock,
    /// The list of revocations takes no more.
    #[error(transparent)]
    Revocations(#[from] RevocationsError),
    /// The lists cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Target of a `revoke`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// The viewer that was paired under this name.
    Name(String),
    /// The credential with this id, and who minted it, if that is known.
    Id(CredentialId, Option<Issuer>),
    /// Everybody, or everybody whose credential comes from this issuer.
    All(Option<Issuer>),
}

impl Pairings {
    /// Reads what [`Pairings::encode`] wrote.
    ///
    /// # Errors
    /// What the JSON parser says.
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let raw: Raw = serde_json::from_slice(bytes)?;
        let pairings = raw.paired.into_iter().map(|raw| {
            let claims = Claims::parse(raw.claims.as_bytes());
            Ok(Pairing {
                claims: claims.map_err(serde::de::Error::custom)?,
                epoch: raw.epoch,
                made: raw.made,
            })
        });
        pairings.collect::<Result<_, _>>().map(Self)
    }

    /// The text of the file.
    pub fn encode(&self) -> String {
        let paired = self.0.iter().map(|pairing| RawPairing {
            claims: String::from_utf8(pairing.claims.encode()).expect("claims are JSON"),
            epoch: pairing.epoch,
            made: pairing.made,
        });
        let raw = Raw {
            v: 1,
            paired: paired.collect(),
        };
        serde_json::to_string(&raw).expect("strings and numbers serialize") + "\n"
    }

    /// Viewers that were paired and not revoked, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Pairing> {
        self.0.iter()
    }

    /// Adds a viewer. When the list is full, those that have ended by themselves make room.
    ///
    /// # Errors
    /// [`PairError::NameTaken`], [`PairError::Full`].
    pub fn add(&mut self, claims: Claims, epoch: u32, now: Option<u64>) -> Result<(), PairError> {
        // Only when it must be: a clock that is wrong for a moment would make them unknown.
        if let Some(now) = now.filter(|_| self.0.len() >= MAX_PAIRED) {
            self.0.retain(|pairing| !pairing.has_ended(now));
        }
        if self.0.iter().any(|known| known.claims.name == claims.name) {
            return Err(PairError::NameTaken(claims.name));
        }
        if self.0.len() >= MAX_PAIRED {
            return Err(PairError::Full);
        }
        self.0.push(Pairing {
            claims,
            epoch,
            made: now,
        });
        Ok(())
    }

    /// Revokes; returns the number of listed viewers that this ends.
    ///
    /// # Errors
    /// [`PairError::UnknownName`], [`PairError::Revocations`].
    pub fn revoke(
        &mut self,
        whom: &Revoked,
        revocations: &mut Revocations,
        now: Option<u64>,
    ) -> Result<usize, PairError> {
        let before = self.0.len();
        match whom {
            Revoked::Name(name) => {
                let listed = self.0.iter().find(|known| known.claims.name == *name);
                let claims = listed.map(|listed| (listed.claims.id, listed.claims.expires));
                let (id, expires) = claims.ok_or_else(|| PairError::UnknownName(name.clone()))?;
                revocations.revoke(id, expires, Some(Issuer::local()), now)?;
                self.0.retain(|known| known.claims.id != id);
            }
            Revoked::Id(id, issuer) => {
                let listed = self.0.iter().find(|known| known.claims.id == *id);
                let expires = listed.and_then(|listed| listed.claims.expires);
                let issuer = listed.map(|_| Issuer::local()).or_else(|| issuer.clone());
                revocations.revoke(*id, expires, issuer, now)?;
                self.0.retain(|known| known.claims.id != *id);
            }
            Revoked::All(issuer) => {
                revocations.revoke_all(issuer.as_ref())?;
                if issuer
                    .as_ref()
                    .is_none_or(|issuer| *issuer == Issuer::local())
                {
                    self.0.clear();
                }
            }
        }
        Ok(before - self.0.len())
    }
}

impl Pairing {
    /// Returns whether its credential has expired.
    pub fn has_ended(&self, now: u64) -> bool {
        self.claims.expires.is_some_and(|expires| expires <= now)
    }

    /// Scopes of the viewer.
    pub fn scopes(&self) -> Scopes {
        self.claims.scopes
    }

    /// Channels for which the viewer has them.
    pub fn channels(&self) -> &Channels {
        &self.claims.channels
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    v: u32,
    paired: Vec<RawPairing>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPairing {
    claims: String,
    epoch: u32,
    made: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(name: &str, id: u8, expires: Option<u64>) -> Claims {
        Claims {
            id: CredentialId::new([id; 16]),
            name: name.to_owned(),
            scopes: Scopes::ALL,
            channels: Channels::All,
            expires,
            peer: None,
        }
    }

    #[test]
    fn a_name_is_free_again_when_its_viewer_was_revoked_or_has_ended() {
        let (mut list, mut revocations) = (Pairings::default(), Revocations::new());
        list.add(claims("phone", 1, None), 0, Some(10))
            .expect("free");
        list.add(claims("guest", 2, Some(50)), 0, Some(10))
            .expect("free");
        assert!(matches!(
            list.add(claims("phone", 3, None), 0, Some(10)),
            Err(PairError::NameTaken(_))
        ));
        let phone = Revoked::Name("phone".to_owned());
        assert_eq!(
            list.revoke(&phone, &mut revocations, None)
                .expect("is there"),
            1
        );
        assert!(revocations.contains(CredentialId::new([1; 16])));
        assert!(matches!(
            list.revoke(&phone, &mut revocations, None),
            Err(PairError::UnknownName(_))
        ));
        list.add(claims("phone", 4, None), 0, Some(20))
            .expect("free again");
        assert!(
            !revocations.contains(CredentialId::new([4; 16])),
            "the new one is another"
        );
        assert!(matches!(
            list.add(claims("guest", 5, None), 0, Some(50)),
            Err(PairError::NameTaken(_))
        ));
        assert_eq!(
            Pairings::parse(list.encode().as_bytes()).expect("in order"),
            list
        );
        assert_eq!(
            list.revoke(&Revoked::All(None), &mut revocations, None)
                .expect("all"),
            2
        );
        assert_eq!(list.iter().count(), 0);
    }
}
