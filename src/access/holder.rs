use crate::proto::credential::Claims;

/// A credential that was proved, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Who minted it.
    pub issuer: String,
    /// In which epoch.
    pub epoch: u32,
    /// What it says.
    pub claims: Claims,
}
