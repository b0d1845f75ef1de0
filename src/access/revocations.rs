//! The list of revocations, `revoked.json`.
//!
//! Invariants: no epoch of an issuer comes again, so what a new one has ended stays ended, also
//! after the list was lost; and a list that is not as it was written is refused, never guessed at.

use std::collections::BTreeMap;

use peercam_proto::{
    credential::{Ceiling, Channels, CredentialId, Issuer, Scope},
    encoding::base64,
    media::ChannelId,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Revoked credentials that are remembered at most.
pub const MAX_REVOKED: usize = 1024;
/// Epochs from here on are those after a list was lost; they are counted to from 0 otherwise.
const AFTER_LOSS: u32 = 1 << 31;
/// Issuers that a device can have, itself among them.
const MAX_ISSUERS: usize = 16;

/// Credentials that are good no more, by the current epoch of each issuer and by single ids; and
/// the most that back ends can give. This and the secrets is all that the device keeps for access;
/// viewers are not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocations {
    epochs: BTreeMap<Issuer, u32>,
    /// Ceilings of issuers that have an epoch; the device itself has none.
    ceilings: BTreeMap<Issuer, Ceiling>,
    ids: BTreeMap<CredentialId, Revoked>,
}

/// Errors of reading or changing the list of revocations.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevocationsError {
    /// A text that is not what was written.
    #[error(
        "damaged, so nobody is let in: {0}; restore it from a copy and revoke again whom you have revoked since, or run `peercam revoke --all`"
    )]
    Damaged(String),
    /// No room for another id.
    #[error(
        "{MAX_REVOKED} viewers were revoked, and no more can be remembered; run `peercam revoke --all`, which ends everybody's access and empties the list, then pair again"
    )]
    Full,
    /// No room for another issuer.
    #[error("a device has at most {MAX_ISSUERS} issuers")]
    TooManyIssuers,
    /// The issuer never got a mint key.
    #[error("there is no issuer of that name; this device has {0}")]
    UnknownIssuer(String),
    /// The epoch cannot be raised any more.
    #[error("the epoch of this issuer is at its end")]
    EpochsExhausted,
}

/// Record of a revoked credential.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Revoked {
    /// Time at which it expires anyway; it need not be remembered after that.
    expires: Option<u64>,
    /// Issuer that minted it, if that is known; a new epoch of that issuer ends it too.
    issuer: Option<Issuer>,
}

impl Revocations {
    /// A list on which nobody is revoked, with the device itself as the only issuer.
    pub fn new() -> Self {
        Self {
            epochs: BTreeMap::from([(Issuer::local(), 0)]),
            ceilings: BTreeMap::new(),
            ids: BTreeMap::new(),
        }
    }

    /// A list in place of one that was lost: everybody is revoked. `random` makes sure that no epoch
    /// comes again that was there before.
    pub fn after_loss(random: u32) -> Self {
        // Above all epochs that are counted to from 0, and at random among 2^30, so that a second
        // loss hardly ever leads to where the first one has; at least as many are left to raise it.
        let epoch = AFTER_LOSS | random >> 2;
        Self {
            epochs: BTreeMap::from([(Issuer::local(), epoch)]),
            ceilings: BTreeMap::new(),
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
            ceilings: BTreeMap::new(),
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
        for (name, ceiling) in &raw.ceilings {
            let mut issuers = list.epochs.keys();
            let issuer = issuers.find(|issuer| issuer.as_str() == name).cloned();
            let issuer = issuer.filter(|issuer| *issuer != Issuer::local());
            let issuer = issuer.ok_or_else(|| damaged("a ceiling is nobody's".to_owned()))?;
            list.ceilings.insert(issuer, ceiling.parse()?);
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
        // Maps are sorted, so that one list has one text.
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
            ceilings: self
                .ceilings
                .iter()
                .map(|(issuer, ceiling)| (issuer.to_string(), RawCeiling::of(ceiling)))
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

    /// The most that an issuer can give. `None`: whatever it likes, as the device itself, and back
    /// ends whose key is older than ceilings.
    pub fn ceiling(&self, issuer: &str) -> Option<&Ceiling> {
        let mut ceilings = self.ceilings.iter();
        let found = ceilings.find(|(known, _)| known.as_str() == issuer);
        found.map(|(_, ceiling)| ceiling)
    }

    /// Sets the most that a back end can give, also by credentials that it has made already. A new
    /// epoch does not change it. The device itself, and who is no issuer, have none.
    pub fn set_ceiling(&mut self, issuer: &Issuer, ceiling: Ceiling) {
        if self.epochs.contains_key(issuer) && *issuer != Issuer::local() {
            self.ceilings.insert(issuer.clone(), ceiling);
        }
    }

    /// Returns whether this credential was revoked by its id.
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
    /// Left out if there are none: so a list without them is read by versions that know of none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    ceilings: BTreeMap<String, RawCeiling>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCeiling {
    scopes: Vec<String>,
    /// Left out for all channels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ch: Option<Vec<u16>>,
    /// 0 for as long as they say.
    longest: u64,
}

impl RawCeiling {
    fn of(ceiling: &Ceiling) -> Self {
        Self {
            scopes: ceiling
                .scopes
                .iter()
                .map(|scope| scope.as_str().to_owned())
                .collect(),
            ch: match &ceiling.channels {
                Channels::All => None,
                Channels::Only(set) => Some(set.iter().map(|id| id.0).collect()),
            },
            longest: ceiling.longest.unwrap_or(0),
        }
    }

    fn parse(&self) -> Result<Ceiling, RevocationsError> {
        let scopes = self.scopes.iter().map(|word| word.parse::<Scope>());
        let scopes = scopes.collect::<Result<_, _>>();
        Ok(Ceiling {
            scopes: scopes.map_err(|error| RevocationsError::Damaged(error.to_string()))?,
            channels: match &self.ch {
                None => Channels::All,
                Some(list) => Channels::Only(list.iter().copied().map(ChannelId).collect()),
            },
            longest: Some(self.longest).filter(|longest| *longest != 0),
        })
    }
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
mod tests;
