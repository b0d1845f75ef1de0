use std::fmt;

use super::{Channels, Claims, Scopes};

/// Effective rights of a credential: its claims, within the ceiling of its issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    /// Scopes of the holder.
    pub scopes: Scopes,
    /// Channels that the scopes hold for.
    pub channels: Channels,
}

/// The most that a back end can give with its mint key. Its credentials may say more; no more holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ceiling {
    /// Most scopes of a holder.
    pub scopes: Scopes,
    /// Most channels of a holder.
    pub channels: Channels,
    /// A credential ends, and in no more than so many seconds; `None`: as it says.
    pub longest: Option<u64>,
}

/// Reason why a credential has no rights under a ceiling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeyondCeiling {
    /// No scope or no channel is left.
    Rights,
    /// The credential does not end, or too late.
    End,
}

impl Ceiling {
    /// Returns the rights of a credential with these claims at this time.
    ///
    /// # Errors
    /// [`BeyondCeiling`] if it is good for nothing.
    pub fn limit(&self, claims: &Claims, now: u64) -> Result<Rights, BeyondCeiling> {
        if let Some(longest) = self.longest {
            let left = claims.expires.map(|expires| expires.saturating_sub(now));
            if left.is_none_or(|left| left > longest) {
                return Err(BeyondCeiling::End);
            }
        }
        let scopes = claims.scopes.intersection(self.scopes);
        let channels = claims.channels.intersection(&self.channels);
        match channels {
            Some(channels) if !scopes.is_empty() => Ok(Rights { scopes, channels }),
            _ => Err(BeyondCeiling::Rights),
        }
    }
}

impl fmt::Display for Ceiling {
    /// Writes the ceiling as lists show it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "scopes {}  channels {}  ends ",
            self.scopes, self.channels
        )?;
        match self.longest {
            None => f.write_str("as they say"),
            Some(seconds) if seconds % 86_400 == 0 => write!(f, "within {}d", seconds / 86_400),
            Some(seconds) if seconds % 3_600 == 0 => write!(f, "within {}h", seconds / 3_600),
            Some(seconds) => write!(f, "within {seconds}s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        credential::{CredentialId, Scope},
        media::ChannelId,
    };

    fn only(channels: &[u16]) -> Channels {
        Channels::Only(channels.iter().copied().map(ChannelId).collect())
    }

    fn claims(scopes: &[Scope], channels: Channels, expires: Option<u64>) -> Claims {
        Claims {
            id: CredentialId::new([1; 16]),
            name: "x".to_owned(),
            scopes: scopes.iter().copied().collect(),
            channels,
            expires,
            peer: None,
        }
    }

    #[test]
    fn no_more_holds_than_the_ceiling_and_the_claims_say() {
        let ceiling = Ceiling {
            scopes: [Scope::Live, Scope::Command].into_iter().collect(),
            channels: only(&[0, 1]),
            longest: None,
        };
        let all = Scope::ALL;
        for (scopes, channels, expected) in [
            (&all[..], Channels::All, Some(("live,command", "0,1"))),
            (&[Scope::Live], only(&[1, 2]), Some(("live", "1"))),
            (&[Scope::Admin], Channels::All, None),
            (&all[..], only(&[2]), None),
        ] {
            let limited = ceiling.limit(&claims(scopes, channels, None), 0);
            let told =
                limited.map(|rights| (rights.scopes.to_string(), rights.channels.to_string()));
            let expected =
                expected.map(|(scopes, channels)| (scopes.to_owned(), channels.to_owned()));
            assert_eq!(told.ok(), expected);
        }
    }

    #[test]
    fn what_ends_too_late_is_nothing_until_then() {
        let ceiling = Ceiling {
            scopes: Scopes::ALL,
            channels: Channels::All,
            longest: Some(100),
        };
        let good = |expires, now| {
            let claims = claims(&[Scope::Live], Channels::All, expires);
            ceiling.limit(&claims, now).is_ok()
        };
        assert!(!good(None, 1_000));
        assert!(!good(Some(1_101), 1_000));
        assert!(good(Some(1_100), 1_000) && good(Some(1_101), 1_001));
        assert!(!good(Some(u64::MAX), 1_000));
        assert_eq!(
            ceiling.to_string().split("  ").last(),
            Some("ends within 100s")
        );
    }
}
