use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::proto::{
    credential::{CredentialId, Issuer},
    encoding::base64,
};

/// How many revoked credentials are remembered.
pub const MAX_REVOKED: usize = 1024;
/// Epochs from here on are those after a list was lost; they are counted to from 0 otherwise.
const AFTER_LOSS: u32 = 1 << 31;
/// How many issuers there may be.
const MAX_ISSUERS: usize = 16;

/// Which credentials are good no more: the current epoch of each issuer, and single ids. This and
/// the secrets is all that the device keeps for access; viewers are not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocations {
    epochs: BTreeMap<Issuer, u32>,
    ids: BTreeMap<CredentialId, Revoked>,
}

/// Why a list of revocations cannot be read or changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevocationsError {
    /// It is not what was written.
    #[error(
        "damaged, so nobody is let in: {0}; restore it from a copy and revoke again whom you have revoked since, or run `peercam revoke --all`"
    )]
    Damaged(String),
    /// There is no room for another id.
    #[error(
        "{MAX_REVOKED} viewers were revoked, and no more can be remembered; run `peercam revoke --all`, which ends everybody's access and empties the list, then pair again"
    )]
    Full,
    /// There is no room for another issuer.
    #[error("a device has at most {MAX_ISSUERS} issuers")]
    TooManyIssuers,
    /// The issuer never got a mint key.
    #[error("there is no issuer of that name; this device has {0}")]
    UnknownIssuer(String),
    /// The epoch cannot be raised any more.
    #[error("the epoch of this issuer is at its end")]
    EpochsExhausted,
}

/// What is known of a revoked credential.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Revoked {
    /// When it would have ended anyway; it need not be remembered after that.
    expires: Option<u64>,
    /// Who minted it, if that is known; a new epoch of that issuer ends it too.
    issuer: Option<Issuer>,
}

impl Revocations {
    /// Nobody is revoked, and the device itself is the only issuer.
    pub fn new() -> Self {
        Self {
            epochs: BTreeMap::from([(Issuer::local(), 0)]),
            ids: BTreeMap::new(),
        }
    }

    /// A list in place of one that was lost: everybody is revoked. `random` makes sure that no epoch
    /// comes again that was there before.
    pub fn after_loss(random: u32) -> Self {
        let epoch = AFTER_LOSS | random >> 2;
        Self {
            epochs: BTreeMap::from([(Issuer::local(), epoch)]),
            ids: BTreeMap::new(),
        }
    }

    /// Reads what [`Revocations::encode`] wrote.
    ///
    /// # Errors
    /// [`RevocationsError::Damaged`].
    pub fn parse(bytes: &[u8]) -> Result<Self, RevocationsError> {
        let damaged = |what: String| RevocationsError::Damaged(what);
        let raw: Raw = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        if raw.v != 1 {
            return Err(damaged("it is of another version".to_owned()));
        }
        let mut list = Self {
            epochs: BTreeMap::new(),
            ids: BTreeMap::new(),
        };
        for (name, epoch) in &raw.epochs {
            let issuer = name
                .parse()
                .map_err(|error: &str| damaged(error.to_owned()))?;
            list.epochs.insert(issuer, *epoch);
        }
        for raw in &raw.revoked {
            let id = raw
                .id
                .parse()
                .map_err(|error: &str| damaged(error.to_owned()))?;
            let issuer = raw.issuer.as_ref().map(|name| name.parse()).transpose();
            let revoked = Revoked {
                expires: Some(raw.exp).filter(|exp| *exp != 0),
                issuer: issuer.map_err(|error: &str| damaged(error.to_owned()))?,
            };
            list.ids.insert(id, revoked);
        }
        if !list.epochs.contains_key(&Issuer::local()) {
            return Err(damaged("the device itself is no issuer".to_owned()));
        }
        if raw.check != list.check() {
            return Err(damaged("its check value is wrong".to_owned()));
        }
        Ok(list)
    }

    /// The text of the file.
    pub fn encode(&self) -> String {
        let text = serde_json::to_string(&self.raw(self.check()));
        text.expect("strings and numbers serialize") + "\n"
    }

    /// Tells a list that was changed by accident from another list.
    fn check(&self) -> String {
        let text = serde_json::to_string(&self.raw(String::new()));
        let hash = Sha256::digest(text.expect("strings and numbers serialize"));
        base64(&hash[..9])
    }

    fn raw(&self, check: String) -> Raw {
        Raw {
            check,
            v: 1,
            epochs: self
                .epochs
                .iter()
                .map(|(issuer, epoch)| (issuer.to_string(), *epoch))
                .collect(),
            revoked: self
                .ids
                .iter()
                .map(|(id, revoked)| RawRevoked {
                    id: id.to_string(),
                    exp: revoked.expires.unwrap_or(0),
                    issuer: revoked.issuer.as_ref().map(Issuer::to_string),
                })
                .collect(),
        }
    }

    /// The issuers and their current epochs.
    pub fn epochs(&self) -> impl Iterator<Item = (&Issuer, u32)> {
        self.epochs.iter().map(|(issuer, epoch)| (issuer, *epoch))
    }

    /// The current epoch of an issuer; `None` if it never got a mint key.
    pub fn epoch(&self, issuer: &Issuer) -> Option<u32> {
        self.epochs.get(issuer).copied()
    }

    /// The current epoch of an issuer, which is made known if it is not.
    ///
    /// # Errors
    /// [`RevocationsError::TooManyIssuers`].
    pub fn admit_issuer(&mut self, issuer: &Issuer) -> Result<u32, RevocationsError> {
        if let Some(epoch) = self.epoch(issuer) {
            return Ok(epoch);
        }
        if self.epochs.len() >= MAX_ISSUERS {
            return Err(RevocationsError::TooManyIssuers);
        }
        // What the issuer's epoch was before a loss is not known; it was lower.
        let local = self.epoch(&Issuer::local()).unwrap_or_default();
        let epoch = if local >= AFTER_LOSS { local } else { 0 };
        self.epochs.insert(issuer.clone(), epoch);
        Ok(epoch)
    }

    /// Whether this credential was revoked by its id.
    pub fn contains(&self, id: CredentialId) -> bool {
        self.ids.contains_key(&id)
    }

    /// Revokes one credential. When the list is full, those that have ended by themselves make room.
    ///
    /// # Errors
    /// [`RevocationsError::Full`].
    pub fn revoke(
        &mut self,
        id: CredentialId,
        expires: Option<u64>,
        issuer: Option<Issuer>,
        now: Option<u64>,
    ) -> Result<(), RevocationsError> {
        // Only when it must be: a clock that is wrong for a moment would bring them back.
        if let Some(now) = now.filter(|_| self.ids.len() >= MAX_REVOKED) {
            self.ids
                .retain(|_, revoked| revoked.expires.is_none_or(|expires| expires > now));
        }
        if self.ids.len() >= MAX_REVOKED && !self.contains(id) {
            return Err(RevocationsError::Full);
        }
        self.ids.insert(id, Revoked { expires, issuer });
        Ok(())
    }

    /// Ends every credential of an issuer, or of all of them, and its mint key with it.
    ///
    /// # Errors
    /// [`RevocationsError::UnknownIssuer`], [`RevocationsError::EpochsExhausted`].
    pub fn revoke_all(&mut self, issuer: Option<&Issuer>) -> Result<(), RevocationsError> {
        if issuer.is_some_and(|issuer| !self.epochs.contains_key(issuer)) {
            let known: Vec<_> = self.epochs.keys().map(Issuer::as_str).collect();
            return Err(RevocationsError::UnknownIssuer(known.join(", ")));
        }
        let is_meant = |known: &Issuer| issuer.is_none_or(|issuer| issuer == known);
        for (known, epoch) in &mut self.epochs {
            if is_meant(known) {
                *epoch = epoch
                    .checked_add(1)
                    .ok_or(RevocationsError::EpochsExhausted)?;
            }
        }
        self.ids
            .retain(|_, revoked| match (&revoked.issuer, issuer) {
                // With every epoch raised, no id needs to be remembered.
                (_, None) => false,
                (Some(by), Some(issuer)) => by != issuer,
                (None, Some(_)) => true,
            });
        Ok(())
    }
}

impl Default for Revocations {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    check: String,
    v: u32,
    epochs: BTreeMap<String, u32>,
    revoked: Vec<RawRevoked>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRevoked {
    id: String,
    exp: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> CredentialId {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        CredentialId::new(bytes)
    }

    #[test]
    fn the_list_comes_back_as_it_was_written() {
        let mut list = Revocations::new();
        let shop: Issuer = "shop".parse().expect("a name");
        list.admit_issuer(&shop).expect("room");
        list.revoke(id(1), Some(7), Some(Issuer::local()), None)
            .expect("room");
        list.revoke(id(2), None, None, None).expect("room");
        assert_eq!(Revocations::parse(list.encode().as_bytes()), Ok(list));
    }

    #[test]
    fn a_damaged_list_is_an_error_and_never_an_empty_one() {
        let good = Revocations::new().encode();
        let bad = [
            "",
            "{}",
            "null",
            "[]",
            &good[..good.len() / 2],
            &good.replace("\"v\":1", "\"v\":2"),
            &good.replace("\"revoked\":[]", "\"revoked\":[{\"id\":\"x\",\"exp\":0}]"),
            &good.replace("\"local\":0", ""),
            &good.replace("\"local\"", "\"Local\""),
        ];
        for text in bad {
            assert!(Revocations::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn every_changed_character_of_a_list_is_noticed() {
        let mut list = Revocations::new();
        list.revoke(id(1), Some(7), Some(Issuer::local()), None)
            .expect("room");
        list.revoke_all(Some(&"local".parse().expect("a name")))
            .expect("raised");
        list.revoke(id(2), None, None, None).expect("room");
        let good = list.encode();
        for at in 0..good.len() - 1 {
            let mut bad = good.clone().into_bytes();
            bad[at] ^= 1;
            assert!(Revocations::parse(&bad).is_err(), "byte {at} of {good}");
        }
    }

    #[test]
    fn a_full_list_says_what_to_do_and_ended_credentials_make_room() {
        let mut list = Revocations::new();
        for number in 0..MAX_REVOKED {
            let expires = (number == 5).then_some(100);
            list.revoke(id(number), expires, None, Some(50))
                .expect("room");
        }
        assert_eq!(
            list.revoke(id(9999), None, None, Some(99)),
            Err(RevocationsError::Full)
        );
        assert!(RevocationsError::Full.to_string().contains("revoke --all"));
        assert_eq!(
            list.revoke(id(9999), None, None, None),
            Err(RevocationsError::Full)
        );
        list.revoke(id(7), None, None, Some(99))
            .expect("it is there already");
        list.revoke(id(9999), None, None, Some(100))
            .expect("number 5 has ended");
        assert!(!list.contains(id(5)) && list.contains(id(9999)));
        list.revoke_all(None).expect("raised");
        assert!(!list.contains(id(7)));
        assert_eq!(list.epoch(&Issuer::local()), Some(1));
    }

    #[test]
    fn after_a_loss_nothing_old_is_good() {
        for random in [0, 7, u32::MAX] {
            let mut list = Revocations::after_loss(random);
            let local = list.epoch(&Issuer::local()).expect("is there");
            assert!(local >= AFTER_LOSS);
            let shop: Issuer = "shop".parse().expect("a name");
            assert!(list.admit_issuer(&shop).expect("room") >= AFTER_LOSS);
            list.revoke_all(None).expect("there is room above");
            assert_eq!(Revocations::parse(list.encode().as_bytes()), Ok(list));
        }
    }

    #[test]
    fn epochs_go_up_for_one_issuer_or_all() {
        let mut list = Revocations::new();
        let shop: Issuer = "shop".parse().expect("a name");
        assert_eq!(list.epoch(&shop), None);
        assert!(matches!(
            list.revoke_all(Some(&shop)),
            Err(RevocationsError::UnknownIssuer(_))
        ));
        list.admit_issuer(&shop).expect("room");
        list.revoke(id(1), None, Some(Issuer::local()), None)
            .expect("room");
        list.revoke(id(2), None, Some(shop.clone()), None)
            .expect("room");
        list.revoke(id(3), None, None, None).expect("room");
        list.revoke_all(Some(&shop)).expect("raised");
        assert_eq!(
            (list.epoch(&shop), list.epoch(&Issuer::local())),
            (Some(1), Some(0))
        );
        assert!(list.contains(id(1)) && !list.contains(id(2)) && list.contains(id(3)));
        for number in 0.. {
            let issuer = format!("i{number}").parse().expect("a name");
            if list.admit_issuer(&issuer).is_err() {
                assert_eq!(number, MAX_ISSUERS - 2);
                break;
            }
        }
    }
}
