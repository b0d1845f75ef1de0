//! Claims: the JSON object in a credential that says whose it is and what for.
//!
//! The MAC of a credential is over the very bytes, so these are never written anew: only a back end
//! or the device encodes claims, and only claims whose MAC holds are parsed.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{SeqAccess, Visitor},
};

use super::{EndpointId, Rights, Scope, Scopes};
use crate::{
    encoding::{base64, exactly},
    media::ChannelId,
};

/// The longest claims, in bytes.
pub const MAX_CLAIMS: usize = 512;
/// The longest name in claims, in bytes.
pub const MAX_NAME: usize = 64;

/// Statements of a credential about its holder. They are believed only once a MAC over their very
/// bytes holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Id of the credential; revoking goes by it.
    pub id: CredentialId,
    /// Name for people: 1 to [`MAX_NAME`] bytes without control characters.
    pub name: String,
    /// Scopes of the holder; at least one.
    pub scopes: Scopes,
    /// The cameras it is for.
    pub channels: Channels,
    /// Expiry, in seconds since 1970-01-01 UTC; `None`: never.
    pub expires: Option<u64>,
    /// The only viewer that may use it. Such a credential is good for P2P only.
    pub peer: Option<EndpointId>,
}

/// Claims that are none, or not of this version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the claims of the credential are not in order: {0}")]
pub struct ClaimsError(String);

/// Names a credential: 16 random bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CredentialId([u8; 16]);

/// The channels that a credential is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Channels {
    /// All, also those to come.
    All,
    /// Listed channels; at least one.
    Only(BTreeSet<ChannelId>),
}

impl Claims {
    /// Reads claims: a JSON object with every field once, and no other.
    ///
    /// # Errors
    /// [`ClaimsError`] naming what is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, ClaimsError> {
        let wrong = |what: &str| ClaimsError(what.to_owned());
        if bytes.len() > MAX_CLAIMS {
            return Err(wrong("more than 512 bytes"));
        }
        // The library would also take an array of the values.
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err(wrong("not a JSON object"));
        }
        let raw: Raw =
            serde_json::from_slice(bytes).map_err(|error| ClaimsError(error.to_string()))?;
        if raw.v != 1 {
            return Err(wrong("v is not 1"));
        }
        let id = raw.id.parse().map_err(wrong)?;
        if !(1..=MAX_NAME).contains(&raw.name.len()) || raw.name.contains(char::is_control) {
            return Err(wrong("name is not 1 to 64 printable bytes"));
        }
        let scopes: Vec<Scope> = raw
            .scopes
            .iter()
            .map(|word| {
                word.parse()
                    .map_err(|error| ClaimsError(format!("{error}")))
            })
            .collect::<Result<_, _>>()?;
        let set = Scopes::from_iter(scopes.iter().copied());
        if set.is_empty() || set.iter().count() != scopes.len() {
            return Err(wrong("scopes are none, or one is there twice"));
        }
        let channels = match raw.ch {
            RawChannels::Word(word) if word == "*" => Channels::All,
            RawChannels::Word(_) => return Err(wrong("ch is neither a list nor \"*\"")),
            RawChannels::List(list) => {
                let set: BTreeSet<_> = list.iter().copied().map(ChannelId).collect();
                if set.is_empty() || set.len() != list.len() {
                    return Err(wrong("ch is empty, or has a channel twice"));
                }
                Channels::Only(set)
            }
        };
        let peer = raw.peer.map(|text| text.parse()).transpose();
        Ok(Self {
            id,
            name: raw.name,
            scopes: set,
            channels,
            expires: Some(raw.exp).filter(|exp| *exp != 0),
            peer: peer.map_err(|error| ClaimsError(format!("peer: {error}")))?,
        })
    }

    /// Returns the rights as claimed, before any ceiling.
    pub fn rights(&self) -> Rights {
        Rights {
            scopes: self.scopes,
            channels: self.channels.clone(),
        }
    }

    /// The bytes that are signed.
    pub fn encode(&self) -> Vec<u8> {
        let raw = Raw {
            v: 1,
            id: self.id.to_string(),
            name: self.name.clone(),
            scopes: self
                .scopes
                .iter()
                .map(|scope| scope.as_str().to_owned())
                .collect(),
            ch: match &self.channels {
                Channels::All => RawChannels::Word("*".to_owned()),
                Channels::Only(set) => RawChannels::List(set.iter().map(|id| id.0).collect()),
            },
            exp: self.expires.unwrap_or(0),
            peer: self.peer.map(|peer| peer.to_string()),
        };
        serde_json::to_vec(&raw).expect("strings and numbers always serialize")
    }
}

// Serde refuses a field that is there twice, and here one that is not known: a back end that writes a
// restriction of a later version must not have it passed over.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    v: u32,
    id: String,
    name: String,
    scopes: Vec<String>,
    ch: RawChannels,
    exp: u64,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "not_null"
    )]
    peer: Option<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum RawChannels {
    Word(String),
    List(Vec<u16>),
}

impl<'de> Deserialize<'de> for RawChannels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrList;

        impl<'de> Visitor<'de> for WordOrList {
            type Value = RawChannels;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of channel numbers, or \"*\"")
            }

            fn visit_str<E>(self, word: &str) -> Result<RawChannels, E> {
                Ok(RawChannels::Word(word.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<RawChannels, A::Error> {
                let mut numbers = Vec::new();
                while let Some(number) = list.next_element()? {
                    numbers.push(number);
                }
                Ok(RawChannels::List(numbers))
            }
        }

        deserializer.deserialize_any(WordOrList)
    }
}

/// A field that may be missing, but not be there as `null`.
fn not_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    String::deserialize(deserializer).map(Some)
}

impl CredentialId {
    /// The id of these (random) bytes.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub(crate) const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl FromStr for CredentialId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        exactly(text)
            .map(Self)
            .ok_or("the id of a credential is 22 characters of base64url")
    }
}

impl fmt::Display for CredentialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64(&self.0))
    }
}

impl fmt::Debug for CredentialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Channels {
    /// Returns whether `channel` is one of them.
    pub fn contains(&self, channel: ChannelId) -> bool {
        match self {
            Self::All => true,
            Self::Only(set) => set.contains(&channel),
        }
    }

    /// Returns the channels that are in both; `None` if there are none.
    pub(super) fn intersection(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::All, some) | (some, Self::All) => Some(some.clone()),
            (Self::Only(some), Self::Only(others)) => {
                let both: BTreeSet<_> = some.intersection(others).copied().collect();
                (!both.is_empty()).then_some(Self::Only(both))
            }
        }
    }
}

impl fmt::Display for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Only(set) => {
                let numbers: Vec<_> = set.iter().map(ChannelId::to_string).collect();
                f.write_str(&numbers.join(","))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PHONE: &str = r#"{"v":1,"id":"AAECAwQFBgcICQoLDA0ODw","name":"phone","scopes":["live","command"],"ch":[0],"exp":0}"#;

    #[test]
    fn claims_are_written_as_the_vectors_have_them() {
        let claims = Claims::parse(PHONE.as_bytes()).expect("in order");
        assert_eq!(String::from_utf8(claims.encode()).expect("JSON"), PHONE);
        assert_eq!(
            (claims.name.as_str(), claims.expires, claims.peer),
            ("phone", None, None)
        );
        assert!(claims.channels.contains(ChannelId(0)) && !claims.channels.contains(ChannelId(1)));
    }

    #[test]
    fn every_field_is_there_once_and_as_it_must_be() {
        let peer = "ab".repeat(32);
        let long = format!("\"name\":\"{}\"", "x".repeat(65));
        for (from, to) in [
            ("\"v\":1,", ""),
            ("\"v\":1", "\"v\":2"),
            ("\"v\":1", "\"v\":\"1\""),
            ("\"v\":1", "\"v\":1,\"v\":1"),
            ("\"v\":1", "\"v\":1,\"w\":1"),
            ("\"v\":1", "\"v\":1,\"peer\":null"),
            ("\"v\":1", "\"v\":1,\"peer\":\"ab\""),
            (
                "\"v\":1",
                &format!("\"v\":1,\"peer\":\"{}\"", peer.to_uppercase()),
            ),
            ("ODw\"", "ODx\""),
            ("ODw\"", "ODw=\""),
            ("ODw\"", "OD\""),
            ("\"name\":\"phone\"", "\"name\":\"\""),
            ("\"name\":\"phone\"", "\"name\":\"a\\nb\""),
            ("\"name\":\"phone\"", &long),
            ("[\"live\",\"command\"]", "[]"),
            ("[\"live\",\"command\"]", "[\"live\",\"live\"]"),
            ("[\"live\",\"command\"]", "[\"LIVE\"]"),
            ("[\"live\",\"command\"]", "\"live\""),
            (",\"ch\":[0]", ""),
            ("\"ch\":[0]", "\"ch\":[]"),
            ("\"ch\":[0]", "\"ch\":[0,0]"),
            ("\"ch\":[0]", "\"ch\":[-1]"),
            ("\"ch\":[0]", "\"ch\":[65536]"),
            ("\"ch\":[0]", "\"ch\":\"all\""),
            ("\"ch\":[0]", "\"ch\":0"),
            ("\"exp\":0", "\"exp\":1e3"),
            ("\"exp\":0", "\"exp\":-1"),
            ("\"exp\":0", "\"exp\":\"0\""),
            ("\"exp\":0}", "\"exp\":0}x"),
            ("\"exp\":0}", "\"exp\":0"),
        ] {
            let changed = PHONE.replacen(from, to, 1);
            assert_ne!(changed, PHONE, "{from}");
            assert!(Claims::parse(changed.as_bytes()).is_err(), "{changed}");
        }
        let array = r#"[1,"AAECAwQFBgcICQoLDA0ODw","phone",["live"],[0],0]"#;
        assert!(Claims::parse(array.as_bytes()).is_err());
        let padded = format!("{}{PHONE}", " ".repeat(MAX_CLAIMS + 1 - PHONE.len()));
        assert_eq!(padded.len(), 513);
        assert!(Claims::parse(padded.as_bytes()).is_err());
        assert!(Claims::parse(&padded.as_bytes()[1..]).is_ok());
    }

    proptest! {
        #[test]
        fn what_is_encoded_comes_back(
            id: [u8; 16], name in "[a-zA-Z0-9 \"\\\\äß]{1,16}", scopes in 1_u8.., channels in proptest::collection::btree_set(any::<u16>(), 0..9),
            expires in proptest::option::of(1_u64..), peer: Option<[u8; 32]>,
        ) {
            let claims = Claims {
                id: CredentialId::new(id),
                name,
                scopes: Scope::ALL.into_iter().filter(|scope| scopes & 1 << *scope as u8 != 0).collect(),
                channels: if channels.is_empty() { Channels::All } else { Channels::Only(channels.into_iter().map(ChannelId).collect()) },
                expires,
                peer: peer.map(EndpointId::new),
            };
            prop_assert_eq!(Claims::parse(&claims.encode()), Ok(claims));
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = Claims::parse(&bytes);
        }
    }
}
