use super::{Issuer, Scope, Scopes};

/// Priority of a claim to a place where places are few: a higher rank gets the place of a lower
/// one, and never of an equal one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Everybody else, those on listeners without access control too: they cannot be told apart.
    #[default]
    Guest,
    /// Holds an `admin` credential that a back end made.
    Admin,
    /// Holds an `admin` credential that was paired on the device itself.
    Owner,
}

impl Rank {
    /// Returns the rank of a holder, by the issuer and the scopes of the credential.
    pub fn of(issuer: &str, scopes: Scopes) -> Self {
        match (scopes.contains(Scope::Admin), issuer == Issuer::LOCAL) {
            (false, _) => Self::Guest,
            (true, false) => Self::Admin,
            (true, true) => Self::Owner,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admin_of_a_back_end_is_not_the_owner() {
        let (admin, guest) = (Scopes::ALL, Scopes::from_iter([Scope::Live]));
        assert_eq!(Rank::of("local", admin), Rank::Owner);
        assert_eq!(Rank::of("shop", admin), Rank::Admin);
        assert_eq!(Rank::of("local", guest), Rank::Guest);
        assert!(Rank::Owner > Rank::Admin && Rank::Admin > Rank::Guest);
    }
}
