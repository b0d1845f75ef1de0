//! Keys from which credentials are made, and credentials as their holders have them.
//!
//! Each key is derived from the one above it (`docs/protocol.md`, "Credentials"): access secret, mint
//! key of an issuer and epoch, credential key, token and session key. No step can be undone.

use std::{fmt, str::FromStr};

use super::{Claims, EndpointId, Secret};
use crate::encoding::{base64, exactly};

/// Issuer of credentials for a device: the device itself (`local`), or a back end that holds a mint
/// key. 1 to 16 lower-case letters, digits and `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Issuer(String);

impl Issuer {
    /// The name of the device itself.
    pub const LOCAL: &str = "local";

    /// The device itself.
    pub fn local() -> Self {
        Self(Self::LOCAL.to_owned())
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Issuer {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let is_allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=16).contains(&text.len()) && text.bytes().all(is_allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err("an issuer is 1 to 16 lower-case letters, digits and -")
        }
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Makes credentials of one issuer and epoch for one device.
///
/// A back end is given one of these and never the device's secret: it dies when the device raises
/// the issuer's epoch. `docs/protocol.md`, "Credentials", has the derivation and vectors for doing
/// the same in another language.
#[derive(Clone)]
pub struct MintKey {
    issuer: Issuer,
    epoch: u32,
    device: EndpointId,
    key: Secret,
}

/// The text is no mint key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a mint key looks like peercam-mint:1?iss=…&ep=…&id=…&k=…")]
pub struct ParseMintKeyError;

impl MintKey {
    /// Derives the mint key of an issuer and epoch from the device's `access_secret`.
    pub fn derive(access_secret: &Secret, device: EndpointId, issuer: Issuer, epoch: u32) -> Self {
        let info = format!("peercam/1 mint\n{issuer}\n{epoch}");
        let key = access_secret.derive(device.as_bytes(), info.as_bytes());
        Self {
            issuer,
            epoch,
            device,
            key,
        }
    }

    /// Reads the text that the device gave out.
    ///
    /// # Errors
    /// [`ParseMintKeyError`].
    pub fn parse(text: &str) -> Result<Self, ParseMintKeyError> {
        let rest = text.trim().strip_prefix("peercam-mint:1?iss=");
        let parts = rest.and_then(|rest| {
            let (issuer, rest) = rest.split_once("&ep=")?;
            let (epoch, rest) = rest.split_once("&id=")?;
            let (device, key) = rest.split_once("&k=")?;
            Some(Self {
                issuer: issuer.parse().ok()?,
                epoch: epoch.parse().ok()?,
                device: device.parse().ok()?,
                key: Secret::new(exactly(key)?),
            })
        });
        parts.ok_or(ParseMintKeyError)
    }

    /// The text to give to a back end. It is a secret.
    pub fn expose(&self) -> String {
        let key = base64(self.key.expose());
        format!(
            "peercam-mint:1?iss={}&ep={}&id={}&k={key}",
            self.issuer, self.epoch, self.device
        )
    }

    /// Makes a credential.
    pub fn mint(&self, claims: &Claims) -> Credential {
        let claims = claims.encode();
        let text = format!("{}.{}.{}", self.issuer, self.epoch, base64(&claims));
        Credential::new(text, self.key_of(&claims))
    }

    /// The key of the credential with exactly these claims.
    pub fn key_of(&self, claims: &[u8]) -> Secret {
        Secret::new(self.key.mac(claims))
    }

    /// Returns whether this is the key of that issuer and epoch.
    pub fn is_of(&self, issuer: &str, epoch: u32) -> bool {
        self.issuer.as_str() == issuer && self.epoch == epoch
    }
}

/// Credential as a viewer holds it: the text that is shown, and the key that never is.
#[derive(Clone)]
pub struct Credential {
    text: String,
    key: Secret,
}

impl Credential {
    /// The credential with this text, `<issuer>.<epoch>.<claims>`, and this key.
    pub fn new(text: String, key: Secret) -> Self {
        Self { text, key }
    }

    /// `<issuer>.<epoch>.<claims>`: shown with every token.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The key that stands in the pairing URI.
    pub fn key(&self) -> &Secret {
        &self.key
    }

    /// The key that signs tokens.
    pub fn token_key(&self) -> Secret {
        Self::token_key_of(&self.key)
    }

    /// The key that goes into every request's record keys.
    pub fn session_key(&self) -> Secret {
        Self::session_key_of(&self.key)
    }

    /// The key of the endpoint of a viewer that is to have the same one whenever it runs at
    /// this place.
    pub fn viewer_key(&self, place: &str) -> Secret {
        self.key
            .expand(format!("peercam/1 viewer\n{place}").as_bytes())
    }

    /// [`Credential::token_key`] for a verifier, which has derived the key only.
    pub(super) fn token_key_of(key: &Secret) -> Secret {
        key.expand(b"peercam/1 token")
    }

    /// [`Credential::session_key`] for a verifier, which has derived the key only.
    pub fn session_key_of(key: &Secret) -> Secret {
        key.expand(b"peercam/1 session")
    }
}
