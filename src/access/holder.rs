use std::sync::Arc;

use peercam_proto::credential::{Claims, Issuer, Rank, Rights};

/// A credential that was proved, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Who minted it.
    pub issuer: String,
    /// In which epoch.
    pub epoch: u32,
    /// What it says.
    pub claims: Claims,
    /// What it is good for: the claims, and once the device has let it in, no more of them than its
    /// issuer may give now.
    pub rights: Rights,
}

impl Holder {
    /// What tells it from others where places are shared: the credential, from wherever it comes.
    pub fn party(&self) -> Arc<str> {
        format!("{} {}", self.issuer, self.claims.id).into()
    }

    /// Who answers for it: itself, or the back end that made it.
    pub fn answers(&self) -> Arc<str> {
        match self.issuer == Issuer::LOCAL {
            true => self.party(),
            false => self.issuer.as_str().into(),
        }
    }

    /// What its claim to a place weighs.
    pub fn rank(&self) -> Rank {
        Rank::of(&self.issuer, self.rights.scopes)
    }
}
