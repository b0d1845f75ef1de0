use peercam_proto::credential::{Claims, Credential, Issuer, MAX_CLAIMS};

use super::{
    pairings::{PairError, Revoked},
    store::{SecretStore, StoreError},
};

/// Effect of a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Viewers that were paired here and are let in no more.
    pub paired: usize,
    /// Set if the list of who was revoked was lost, and is a new one.
    pub after_loss: bool,
}

impl SecretStore {
    /// Pairs a viewer: lists it, and mints its credential.
    ///
    /// # Errors
    /// [`PairError`]; nobody is paired then.
    pub fn pair(&self, claims: &Claims, now: Option<u64>) -> Result<Credential, PairError> {
        match (claims.expires, now) {
            (Some(_), None) => return Err(PairError::NoClock),
            (Some(expires), Some(now)) if expires <= now => return Err(PairError::Ended),
            _ => {}
        }
        if claims.encode().len() > MAX_CLAIMS {
            return Err(PairError::TooLong);
        }
        let secrets = self.secrets()?;
        // Nobody is paired who could not be listed.
        self.pairings()?;
        let epoch = self.update(|revocations, pairings| {
            let epoch = revocations.admit_issuer(&Issuer::local())?;
            pairings.add(claims.clone(), epoch, now)?;
            Ok::<_, PairError>(epoch)
        })?;
        Ok(secrets.mint_key(Issuer::local(), epoch).mint(claims))
    }

    /// Revokes. Everybody can be revoked also where the list of who was is lost.
    ///
    /// # Errors
    /// [`PairError`].
    pub fn revoke(&self, whom: &Revoked, now: Option<u64>) -> Result<Revocation, PairError> {
        let is_lost = matches!(
            self.revocations(),
            Err(StoreError::Revocations { .. } | StoreError::File(_))
        );
        if is_lost && *whom == Revoked::All(None) {
            self.revoke_all_after_loss()?;
            return Ok(Revocation {
                paired: 0,
                after_loss: true,
            });
        }
        if matches!(whom, Revoked::Name(_)) {
            // Without the list, a name is unknown for another reason.
            self.pairings()?;
        }
        let paired =
            self.update(|revocations, pairings| pairings.revoke(whom, revocations, now))?;
        Ok(Revocation {
            paired,
            after_loss: false,
        })
    }
}
