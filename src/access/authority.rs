//! The authority of a running daemon: which credentials are good now, and for what.
//!
//! Invariants: a credential is checked against the lists as they are at that moment, when it is let
//! in and for as long as its session runs; and while the list of revocations cannot be read, nobody
//! is let in. Files are [`SecretStore`]'s, MACs [`TokenVerifier`](super::TokenVerifier)'s.

use std::{sync::Arc, time::Instant};

use peercam_hal::clock::Clock;
use peercam_proto::{
    credential::{BeyondCeiling, EndpointId, MintKey, Rights, Secret},
    error::{Error, ErrorKind},
    network::Source,
    text::Printable,
};
use peercam_task::boundary::{Guarded, Vital};

use super::{
    endpoints::Endpoints,
    failures::Failures,
    files::FileError,
    holder::Holder,
    metrics::Metrics,
    offenders::{Closed, Offenders},
    revocations::Revocations,
    sessions::Sessions,
    store::{SecretStore, Secrets, StoreError, random},
};
use crate::events::Events;

/// A running daemon's knowledge of access: its secrets, who was revoked, who is there.
pub struct Authority {
    secrets: Secrets,
    access: Vital<Arc<Access>>,
    /// Held while the lists are read and learnt, so that none takes the place of a newer one.
    learning: Vital<()>,
    /// Stands in for the key of an issuer or epoch that does not exist, so that finding out takes
    /// as long as checking a MAC.
    pub(super) nobody: MintKey,
    /// Sessions of the viewers that are there.
    pub sessions: Sessions,
    failures: Failures,
    endpoints: Endpoints,
    offenders: Guarded<Offenders>,
    pub(super) metrics: Metrics,
    clock: Clock,
}

/// The lists of who is let in, as the files have them.
pub enum Access {
    /// The lists are in order.
    Known {
        /// Credentials that were revoked, and ceilings of issuers.
        revocations: Revocations,
        /// One key for each issuer, of its current epoch.
        mint_keys: Vec<MintKey>,
    },
    /// The list cannot be read, so nobody is let in: it is not known who was revoked.
    Unknown {
        /// The keys that were last known: whoever holds a credential is told why.
        mint_keys: Vec<MintKey>,
    },
}

impl Authority {
    /// Reads the store.
    ///
    /// # Errors
    /// [`StoreError`] if anything in it is not in order.
    pub fn new(
        store: &SecretStore,
        clock: Clock,
        max_sessions: usize,
        metrics: Metrics,
        events: Events,
    ) -> Result<Self, StoreError> {
        let authority = Self::with_secrets(store.secrets()?, clock, max_sessions, metrics, events)?;
        authority.learn(store.revocations())?;
        Ok(authority)
    }

    /// An authority over known secrets, which knows of no revocations yet and lets nobody in.
    pub(super) fn with_secrets(
        secrets: Secrets,
        clock: Clock,
        max_sessions: usize,
        metrics: Metrics,
        events: Events,
    ) -> Result<Self, StoreError> {
        let nobody = Secrets::new(&random()?, Secret::new(random()?));
        Ok(Self {
            nobody: nobody.mint_key(peercam_proto::credential::Issuer::local(), 0),
            secrets,
            access: Vital::new(Arc::new(Access::Unknown {
                mint_keys: Vec::new(),
            })),
            learning: Vital::new(()),
            sessions: Sessions::new(max_sessions, metrics.clone(), events),
            failures: Failures::default(),
            endpoints: Endpoints::default(),
            offenders: Guarded::default(),
            metrics,
            clock,
        })
    }

    /// The device's id.
    pub fn device(&self) -> EndpointId {
        self.secrets.device()
    }

    /// The identity behind the id, for the endpoint that is dialled by it.
    pub fn identity(&self) -> Secret {
        self.secrets.identity()
    }

    #[cfg(test)]
    pub(super) fn secrets_for_tests(&self) -> &Secrets {
        &self.secrets
    }

    /// An authority over secrets of its own.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Arc<Self> {
        let secrets = Secrets::new(&[1; 32], Secret::new([2; 32]));
        let (clock, metrics) = (Clock::start(), Metrics::default());
        let events = Events::new(clock);
        let authority = Self::with_secrets(secrets, clock, 4, metrics, events);
        Arc::new(authority.expect("random numbers"))
    }

    /// A caller that was paired with these scopes.
    #[cfg(test)]
    pub(crate) fn caller_for_tests(
        self: &Arc<Self>,
        scopes: impl IntoIterator<Item = peercam_proto::credential::Scope>,
    ) -> super::Caller {
        use peercam_proto::credential::{Channels, Claims, CredentialId, Issuer, Transport};
        let claims = Claims {
            id: CredentialId::new([1; 16]),
            name: "phone".to_owned(),
            scopes: scopes.into_iter().collect(),
            channels: Channels::All,
            expires: None,
            peer: None,
        };
        let holder = Arc::new(Holder {
            issuer: Issuer::LOCAL.to_owned(),
            epoch: 0,
            rights: claims.rights(),
            claims,
        });
        let path = crate::events::ViewerPath::Direct;
        let session = self.sessions.enter(Arc::clone(&holder), None, path, |_| ());
        let session = session.expect("room");
        let peer = peercam_proto::network::Peer::Relayed;
        super::Caller::authenticated(holder, &session, self, peer, Transport::P2p)
    }

    /// Reads the lists and takes over what they say, as [`Authority::learn`] does. Waits for the flash.
    ///
    /// # Errors
    /// As [`Authority::learn`].
    pub fn refresh(&self, store: &SecretStore) -> Result<usize, StoreError> {
        let _learning = self.learning.lock();
        self.learn(store.revocations())
    }

    /// The same for lists that were just changed. Of those that the system does not let read for the
    /// moment nothing is learnt: the watch over them reads again what has changed.
    ///
    /// # Errors
    /// As [`Authority::learn`].
    pub fn refresh_changed(&self, store: &SecretStore) -> Result<usize, StoreError> {
        let _learning = self.learning.lock();
        match store.revocations() {
            Err(error @ StoreError::File(FileError::Io { .. })) => Err(error),
            read => self.learn(read),
        }
    }

    /// Takes over what the files say now, and ends the sessions of those that are let in no more;
    /// returns how many these were.
    ///
    /// # Errors
    /// What was wrong, back again: from now on nobody is let in.
    pub fn learn(&self, revocations: Result<Revocations, StoreError>) -> Result<usize, StoreError> {
        let (access, result) = match revocations {
            Ok(revocations) => {
                let keys = revocations.epochs();
                let mint_keys = keys
                    .map(|(issuer, epoch)| self.secrets.mint_key(issuer.clone(), epoch))
                    .collect();
                let access = Access::Known {
                    revocations,
                    mint_keys,
                };
                (access, Ok(()))
            }
            Err(error) => {
                let mint_keys = self.access().mint_keys().to_vec();
                (Access::Unknown { mint_keys }, Err(error))
            }
        };
        // A request that was checked by the old lists may enter behind this: the watch over the
        // files, which ends sessions twice a second, finds it.
        *self.access.lock() = Arc::new(access);
        let ended = self.end_sessions();
        result.map(|()| ended)
    }

    /// Snapshot of the lists; a later change makes a new one.
    pub fn access(&self) -> Arc<Access> {
        Arc::clone(&self.access.lock())
    }

    /// Ends the sessions whose time is over, that are let in no more, or that are good for something
    /// else now: what runs was begun by other rights. Returns how many these were.
    pub fn end_sessions(&self) -> usize {
        let (access, now) = (self.access(), self.clock.date());
        self.sessions
            .end_where(|holder| match access.check(holder, now) {
                Ok(rights) if rights == holder.rights => self.closed(holder).map(|_| "faults"),
                Ok(_) => Some("rights changed"),
                Err(refusal) => Some(refusal.word()),
            })
    }

    /// Lets in a credential that is good now, with what it is good for. Its MAC held already.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`] with the precise reason: its holder may know it.
    pub fn admit(&self, holder: Holder) -> Result<Holder, Error> {
        if let Some(closed) = self.closed(&holder) {
            let reason = match closed {
                Closed::Credential => {
                    "requests with this credential have made the device fail three times; it is let in again in a minute"
                }
                Closed::BackEnd => {
                    "requests with credentials of this issuer have made the device fail nine times; they are let in again in a minute"
                }
            };
            return Err(Error::new(ErrorKind::Forbidden, reason));
        }
        match self.access().check(&holder, self.clock.date()) {
            Ok(rights) => Ok(Holder { rights, ..holder }),
            Err(refusal) => Err(Error::new(ErrorKind::Forbidden, refusal.reason())),
        }
    }

    fn closed(&self, holder: &Holder) -> Option<Closed> {
        self.offenders.lock().closed(holder, Instant::now())
    }

    /// Notes that something of this credential has panicked. After three within a minute it is not
    /// let in for a minute; after nine of one back end's, none of them.
    pub fn note_panic(&self, holder: &Holder) {
        let closed = self.offenders.lock().note(holder, Instant::now());
        let claims = &holder.claims;
        match closed {
            None => return,
            Some(Closed::Credential) => tracing::warn!(
                viewer = %claims.name.escape_debug(), credential = %claims.id,
                "three faults within a minute: this credential is not let in for a minute"
            ),
            Some(Closed::BackEnd) => tracing::warn!(
                issuer = holder.issuer,
                "nine faults within a minute: no credential of this issuer is let in for a minute"
            ),
        }
        self.end_sessions();
    }

    /// Says in the log, once, that a credential is used at this endpoint.
    pub fn note_endpoint(&self, holder: &Holder, endpoint: EndpointId) {
        let claims = &holder.claims;
        if self.endpoints.note(claims.id, endpoint) {
            tracing::info!(
                viewer = %Printable(&claims.name), credential = %claims.id, %endpoint,
                "new endpoint for this credential"
            );
        }
    }

    /// Counts a request that did not prove itself.
    pub fn note_failure(&self, source: Source) {
        self.metrics.unproven.inc();
        self.failures.count(source, Instant::now());
    }

    /// Says in the log who keeps failing to prove itself.
    pub fn report_failures(&self) {
        for (peer, count) in self.failures.due(Instant::now()) {
            tracing::warn!(%peer, count, "requests without a valid token");
        }
    }
}

/// Reasons for which a credential is not good now.
enum Refusal {
    Revoked,
    Ended,
    NoClock,
    ListUnreadable,
    Beyond(BeyondCeiling),
}

impl Refusal {
    const fn word(&self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Ended => "expired",
            Self::NoClock => "clock",
            Self::ListUnreadable => "revocations unreadable",
            Self::Beyond(_) => "beyond the ceiling",
        }
    }

    const fn reason(&self) -> &'static str {
        match self {
            Self::Revoked => "this credential was revoked; ask the device's owner to pair again",
            Self::Ended => "this credential has ended; ask the device's owner to pair again",
            Self::NoClock => {
                "clock: the device does not know the date, so a credential that ends some day is not let in; set the device's clock"
            }
            Self::ListUnreadable => {
                "the device cannot read its list of revoked credentials and lets nobody in; its log says which file"
            }
            Self::Beyond(BeyondCeiling::Rights) => {
                "whoever made this credential may give nothing of what it says; ask the device's owner, who sets that with peercam mint-key"
            }
            Self::Beyond(BeyondCeiling::End) => {
                "whoever made this credential may make such as end sooner only; ask there for another one"
            }
        }
    }
}

impl Access {
    /// The mint key of an issuer, if that is its current epoch.
    pub(super) fn mint_key(&self, issuer: &str, epoch: u32) -> Option<&MintKey> {
        let mut keys = self.mint_keys().iter();
        keys.find(|key| key.is_of(issuer, epoch))
    }

    fn mint_keys(&self) -> &[MintKey] {
        match self {
            Self::Known { mint_keys, .. } | Self::Unknown { mint_keys } => mint_keys,
        }
    }

    /// Returns the rights that a credential has now.
    fn check(&self, holder: &Holder, now: Option<u64>) -> Result<Rights, Refusal> {
        let Self::Known { revocations, .. } = self else {
            return Err(Refusal::ListUnreadable);
        };
        let is_current = self.mint_key(&holder.issuer, holder.epoch).is_some();
        if !is_current || revocations.contains(holder.claims.id) {
            return Err(Refusal::Revoked);
        }
        match (holder.claims.expires, now) {
            (Some(_), None) => return Err(Refusal::NoClock),
            (Some(expires), Some(now)) if expires <= now => return Err(Refusal::Ended),
            _ => {}
        }
        match revocations.ceiling(&holder.issuer) {
            None => Ok(holder.claims.rights()),
            Some(ceiling) => ceiling
                .limit(&holder.claims, now.unwrap_or_default())
                .map_err(Refusal::Beyond),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peercam_proto::credential::{
        Ceiling, Channels, Claims, CredentialId, Issuer, Scope, Scopes, Secret,
    };

    fn holder(issuer: &str, expires: Option<u64>) -> Holder {
        let claims = Claims {
            id: CredentialId::new([1; 16]),
            name: "guest".to_owned(),
            scopes: Scopes::ALL,
            channels: Channels::All,
            expires,
            peer: None,
        };
        Holder {
            issuer: issuer.to_owned(),
            epoch: 0,
            rights: claims.rights(),
            claims,
        }
    }

    #[test]
    fn a_back_end_gives_no_more_than_its_ceiling() {
        let shop: Issuer = "shop".parse().expect("a name");
        let mut revocations = Revocations::new();
        revocations.admit_issuer(&shop).expect("room");
        let secrets = Secrets::new(&[1; 32], Secret::new([2; 32]));
        let access = |revocations: &Revocations| Access::Known {
            revocations: revocations.clone(),
            mint_keys: vec![
                secrets.mint_key(Issuer::local(), 0),
                secrets.mint_key(shop.clone(), 0),
            ],
        };
        let scopes = |revocations: &Revocations, issuer, expires| {
            let checked = access(revocations).check(&holder(issuer, expires), Some(1_000));
            let rights = checked.map(|rights| rights.scopes.to_string());
            rights.map_err(|refusal| refusal.word())
        };
        let all = || Ok(Scopes::ALL.to_string());
        assert_eq!(
            scopes(&revocations, "shop", None),
            all(),
            "without a ceiling"
        );
        let mut ceiling = Ceiling {
            scopes: Scopes::from_iter([Scope::Live]),
            channels: Channels::All,
            longest: None,
        };
        revocations.set_ceiling(&shop, ceiling.clone());
        assert_eq!(scopes(&revocations, "shop", None), Ok("live".to_owned()));
        assert_eq!(scopes(&revocations, "local", None), all());
        ceiling.longest = Some(60);
        revocations.set_ceiling(&shop, ceiling);
        assert_eq!(
            scopes(&revocations, "shop", None),
            Err("beyond the ceiling")
        );
        assert_eq!(
            scopes(&revocations, "shop", Some(1_061)),
            Err("beyond the ceiling")
        );
        assert_eq!(
            scopes(&revocations, "shop", Some(1_060)),
            Ok("live".to_owned())
        );
        let without_clock = access(&revocations).check(&holder("shop", Some(1_060)), None);
        assert_eq!(
            without_clock.map_err(|refusal| refusal.word()).err(),
            Some("clock")
        );
    }

    #[test]
    fn only_credentials_that_end_need_a_clock() {
        let secrets = Secrets::new(&[1; 32], Secret::new([2; 32]));
        let access = Access::Known {
            revocations: Revocations::new(),
            mint_keys: vec![secrets.mint_key(Issuer::local(), 0)],
        };
        let verdict = |expires, now| {
            let holder = holder("local", expires);
            let checked = access.check(&holder, now).map(|_| ());
            checked.map_err(|refusal| refusal.word())
        };
        let ten_years_on = Some(2_100_000_000);
        // Unset, then far ahead, then back.
        for now in [None, ten_years_on, Some(1_800_000_000), None] {
            assert_eq!(verdict(None, now), Ok(()));
        }
        let expires = Some(1_900_000_000);
        assert_eq!(verdict(expires, None), Err("clock"));
        assert_eq!(verdict(expires, Some(1_800_000_000)), Ok(()));
        assert_eq!(verdict(expires, Some(1_899_999_999)), Ok(()));
        assert_eq!(verdict(expires, Some(1_900_000_000)), Err("expired"));
        assert_eq!(verdict(expires, ten_years_on), Err("expired"));
        assert_eq!(
            verdict(expires, Some(1_800_000_000)),
            Ok(()),
            "the clock was put right"
        );
    }
}
