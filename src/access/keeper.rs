use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use super::{
    endpoints::Endpoints,
    failures::Failures,
    holder::Holder,
    metrics::Metrics,
    revocations::Revocations,
    sessions::Sessions,
    store::{Secrets, Store, StoreError, random},
};
use crate::{
    clock::Clock,
    error::{Error, ErrorKind},
    proto::{
        credential::{EndpointId, MintKey, Secret},
        network::Source,
        text::Printable,
    },
};

/// What a running daemon knows about access: its secrets, who was revoked, who is there.
pub struct Keeper {
    secrets: Secrets,
    access: Mutex<Arc<Access>>,
    /// Stands in for the key of an issuer or epoch that does not exist, so that finding out takes
    /// as long as checking a MAC.
    pub(super) nobody: MintKey,
    /// Who is there.
    pub sessions: Sessions,
    failures: Failures,
    endpoints: Endpoints,
    pub(super) metrics: Metrics,
    clock: Clock,
}

/// What the files say about who is let in.
pub enum Access {
    /// The lists are in order.
    Known {
        /// Who was revoked.
        revocations: Revocations,
        /// One key for each issuer, of its current epoch.
        mint_keys: Vec<MintKey>,
    },
    /// Nobody is let in, because it is not known who was revoked.
    Unknown {
        /// The keys that were last known: whoever holds a credential is told why.
        mint_keys: Vec<MintKey>,
    },
}

impl Keeper {
    /// Reads the store.
    ///
    /// # Errors
    /// [`StoreError`] if anything in it is not in order.
    pub fn new(
        store: &Store,
        clock: Clock,
        max_sessions: usize,
        metrics: Metrics,
    ) -> Result<Self, StoreError> {
        let keeper = Self::with_secrets(store.secrets()?, clock, max_sessions, metrics)?;
        keeper.learn(store.revocations())?;
        Ok(keeper)
    }

    /// A keeper of known secrets, who knows of no revocations yet and lets nobody in.
    pub(super) fn with_secrets(
        secrets: Secrets,
        clock: Clock,
        max_sessions: usize,
        metrics: Metrics,
    ) -> Result<Self, StoreError> {
        let nobody = Secrets::new(&random()?, Secret::new(random()?));
        Ok(Self {
            nobody: nobody.mint_key(crate::proto::credential::Issuer::local(), 0),
            secrets,
            access: Mutex::new(Arc::new(Access::Unknown {
                mint_keys: Vec::new(),
            })),
            sessions: Sessions::new(max_sessions, metrics.clone()),
            failures: Failures::default(),
            endpoints: Endpoints::default(),
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

    /// Takes over what the files say now, and ends the sessions of those that are let in no more.
    ///
    /// # Errors
    /// What was wrong, back again: from now on nobody is let in.
    pub fn learn(&self, revocations: Result<Revocations, StoreError>) -> Result<(), StoreError> {
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
        *self.access.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(access);
        self.end_sessions();
        result
    }

    /// What is known now.
    pub fn access(&self) -> Arc<Access> {
        Arc::clone(&self.access.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends the sessions whose time is over, or that are let in no more.
    pub fn end_sessions(&self) {
        let (access, now) = (self.access(), self.clock.date());
        self.sessions
            .end_where(|holder| match access.check(holder, now) {
                Ok(()) => None,
                Err(refusal) => Some(refusal.word()),
            });
    }

    /// Whether a credential is good now. Its MAC held already.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`] with the precise reason: its holder may know it.
    pub fn check(&self, holder: &Holder) -> Result<(), Error> {
        self.access()
            .check(holder, self.clock.date())
            .map_err(|refusal| Error::new(ErrorKind::Forbidden, refusal.reason()))
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

/// Why a credential is not good now.
enum Refusal {
    Revoked,
    Ended,
    NoClock,
    ListUnreadable,
}

impl Refusal {
    const fn word(&self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Ended => "expired",
            Self::NoClock => "clock",
            Self::ListUnreadable => "revocations unreadable",
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

    fn check(&self, holder: &Holder, now: Option<u64>) -> Result<(), Refusal> {
        let Self::Known { revocations, .. } = self else {
            return Err(Refusal::ListUnreadable);
        };
        let is_current = self.mint_key(&holder.issuer, holder.epoch).is_some();
        if !is_current || revocations.contains(holder.claims.id) {
            return Err(Refusal::Revoked);
        }
        match (holder.claims.expires, now) {
            (None, _) => Ok(()),
            (Some(_), None) => Err(Refusal::NoClock),
            (Some(expires), Some(now)) if expires <= now => Err(Refusal::Ended),
            (Some(_), Some(_)) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::credential::{Channels, Claims, CredentialId, Issuer, Scopes, Secret};

    #[test]
    fn only_credentials_that_end_need_a_clock() {
        let secrets = Secrets::new(&[1; 32], Secret::new([2; 32]));
        let access = Access::Known {
            revocations: Revocations::new(),
            mint_keys: vec![secrets.mint_key(Issuer::local(), 0)],
        };
        let holder = |expires| Holder {
            issuer: "local".to_owned(),
            epoch: 0,
            claims: Claims {
                id: CredentialId::new([1; 16]),
                name: "guest".to_owned(),
                scopes: Scopes::ALL,
                channels: Channels::All,
                expires,
                peer: None,
            },
        };
        let verdict = |expires, now| {
            access
                .check(&holder(expires), now)
                .map_err(|refusal| refusal.word())
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
