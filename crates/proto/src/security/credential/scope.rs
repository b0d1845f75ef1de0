//! Scopes of credentials. Which of them a request needs is decided in the daemon's `access`; the
//! ceiling of an issuer stands in `ceiling`.

use std::{fmt, str::FromStr};

/// Right that a credential gives its holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Watch the picture of now.
    Live,
    /// Watch recordings, list them, and steer how they play.
    Playback,
    /// Fetch recordings as files, and list those.
    Download,
    /// Talk through the speaker, and answer calls.
    Voice,
    /// Move the camera, and commands that the maker defined.
    Command,
    /// Be told things by the device.
    Feedback,
    /// Read the device's counters.
    Metrics,
    /// Change the device: format the card, switch its state. It also gets a place when all are
    /// taken.
    Admin,
}

/// The text is no scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a scope is one of live, playback, download, voice, command, feedback, metrics, admin")]
pub struct ParseScopeError;

impl Scope {
    /// Every scope, in the order in which claims list them.
    pub const ALL: [Self; 8] = [
        Self::Live,
        Self::Playback,
        Self::Download,
        Self::Voice,
        Self::Command,
        Self::Feedback,
        Self::Metrics,
        Self::Admin,
    ];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Playback => "playback",
            Self::Download => "download",
            Self::Voice => "voice",
            Self::Command => "command",
            Self::Feedback => "feedback",
            Self::Metrics => "metrics",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Scope {
    type Err = ParseScopeError;

    fn from_str(text: &str) -> Result<Self, ParseScopeError> {
        let mut all = Self::ALL.into_iter();
        all.find(|scope| scope.as_str() == text)
            .ok_or(ParseScopeError)
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// Every scope: there are eight, one for each bit.
    pub const ALL: Self = Self(u8::MAX);

    /// Returns whether `scope` is in the set.
    pub const fn contains(self, scope: Scope) -> bool {
        self.0 & 1 << scope as u8 != 0
    }

    /// Returns the scopes that are in both.
    pub(super) const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Returns whether the set is empty.
    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// A bit for each that is there: 1 for the first of [`Scope::ALL`], 2 for the next.
    pub(crate) fn bits(self) -> u32 {
        self.iter().fold(0, |bits, scope| bits | 1 << scope as u32)
    }

    /// Iterates over the scopes in the set, in the order of [`Scope::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL
            .into_iter()
            .filter(move |scope| self.contains(*scope))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(
            scopes
                .into_iter()
                .fold(0, |set, scope| set | 1 << scope as u8),
        )
    }
}

impl fmt::Display for Scopes {
    /// The words, with commas.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.iter().map(Scope::as_str).collect();
        f.write_str(&words.join(","))
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_names_its_scope() {
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(scope));
        }
        assert!("Live".parse::<Scope>().is_err());
        assert_eq!(
            Scopes::ALL.to_string(),
            "live,playback,download,voice,command,feedback,metrics,admin"
        );
        assert_eq!(Scopes::ALL.bits(), 0xff);
        let some = Scopes::from_iter([Scope::Command, Scope::Live]);
        assert_eq!(some.bits(), 0b1_0001);
        assert_eq!(some.to_string(), "live,command");
        assert!(some.contains(Scope::Live) && !some.contains(Scope::Admin));
    }
}
