use std::sync::Arc;

use peercam_proto::credential::{Claims, Issuer, Rank, Rights};

/// The principal of a request: a credential that was proved, and its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Name of the issuer that minted it.
    pub issuer: String,
    /// Epoch of the mint key that it was made with.
    pub epoch: u32,
    /// Claims, as they were minted.
    pub claims: Claims,
    /// Rights that it has: those of the claims, and once the device has let it in, no more of them
    /// than its issuer may give now.
    pub rights: Rights,
}

impl Holder {
    /// The party that takes places: one credential is one party, from wherever it is used.
    pub fn party(&self) -> Arc<str> {
        format!("{} {}", self.issuer, self.claims.id).into()
    }

    /// The party that answers for it: the credential itself, or the back end that made it.
    pub fn answers(&self) -> Arc<str> {
        if self.issuer == Issuer::LOCAL {
            self.party()
        } else {
            self.issuer.as_str().into()
        }
    }

    /// Weight of its claim to a place.
    pub fn rank(&self) -> Rank {
        Rank::of(&self.issuer, self.rights.scopes)
    }
}
