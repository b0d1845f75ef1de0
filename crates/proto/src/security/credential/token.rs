//! Tokens: the proof that a holder of a credential makes one request on one connection.
//!
//! Parsing and the bytes that are signed (`docs/protocol.md`, "Tokens"). Counters, revocation and the
//! limits on failed proofs belong to whoever keeps state.

use sha2::{Digest, Sha256};

use super::{Credential, EndpointId, MAX_CLAIMS, Secret};
use crate::encoding::{base64, exactly, from_base64};

/// The longest token, in bytes: version, credential with the longest claims, counter, key, MAC.
const MAX_TOKEN: usize = 2 + 17 + 11 + MAX_CLAIMS.div_ceil(3) * 4 + 12 + 44 + 43;

/// The label of the TLS exporter (RFC 8446 §7.5) that tokens over P2P are bound to; its context is
/// empty.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-peercam-http/1";

/// Transport of the requests that a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// QUIC between two endpoints that know each other's keys.
    P2p,
    /// Plain TCP.
    Tcp,
}

/// Encoding of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// No body.
    None,
    /// Sealed records: the only kind over TCP.
    Records,
    /// The bytes themselves: the only kind over P2P.
    Plain,
}

/// A request target that begins with a token, taken apart:
/// `PATH?_token=TOKEN` or `PATH?_token=TOKEN&REST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// The token's text.
    pub token: &'a str,
    /// The path, as received.
    pub path: &'a str,
    /// Rest of the query behind the token, as received.
    pub rest: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// Takes a target in origin form apart; `None` unless exactly one `_token` is there, first,
    /// in plain spelling.
    pub fn split(target: &'a str) -> Option<Self> {
        let (path, query) = target.split_once('?')?;
        let token = query.strip_prefix("_token=")?;
        let (token, rest) = match token.split_once('&') {
            None => (token, None),
            Some((token, rest)) => (token, Some(rest)),
        };
        let is_plain = path.starts_with('/') && rest != Some("") && !token.is_empty();
        let is_once = !Self::names_token(rest.unwrap_or_default());
        (is_plain && is_once).then_some(Self { token, path, rest })
    }

    /// Returns whether a query has a parameter `_token`, however it is percent-encoded.
    pub fn names_token(query: &str) -> bool {
        // A second `_token` in another spelling would be decoded and believed by some other reader.
        query.split('&').any(|pair| {
            let key = pair.split_once('=').map_or(pair, |(key, _)| key);
            percent_encoding::percent_decode_str(key).eq(b"_token".iter().copied())
        })
    }

    /// The target without its token: what is signed, and what is routed.
    pub fn signed(&self) -> String {
        match self.rest {
            None => self.path.to_owned(),
            Some(rest) => format!("{}?{rest}", self.path),
        }
    }
}

/// A token as presented; nothing of it is true before its MAC holds.
pub struct Token<'a> {
    /// The credential's text.
    pub credential: &'a str,
    /// Issuer of the credential, as it says.
    pub issuer: &'a str,
    /// The issuer's epoch, as it says.
    pub epoch: u32,
    /// The claims' bytes.
    pub claims: Vec<u8>,
    /// The counter within its connection, from 1.
    pub counter: u32,
    /// The viewer's X25519 key for this connection, `U`; over P2P there is none.
    pub viewer_key: Option<[u8; 32]>,
    /// The MAC.
    pub mac: [u8; 32],
}

impl<'a> Token<'a> {
    /// Reads a token; `None` for anything that is not exactly one in its canonical spelling.
    pub fn parse(text: &'a str) -> Option<Self> {
        if text.len() > MAX_TOKEN {
            return None;
        }
        let rest = text.strip_prefix("1.")?;
        let mut parts = rest.split('.');
        let (issuer, epoch, claims) = (parts.next()?, parts.next()?, parts.next()?);
        let (counter, viewer_key, mac) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let credential = &rest[..issuer.len() + epoch.len() + claims.len() + 2];
        issuer.parse::<super::Issuer>().ok()?;
        let claims = from_base64(claims).filter(|claims| claims.len() <= MAX_CLAIMS)?;
        let viewer_key = match viewer_key {
            "-" => None,
            text => Some(exactly(text)?),
        };
        Some(Self {
            credential,
            issuer,
            epoch: decimal(epoch)?,
            claims,
            counter: decimal(counter).filter(|counter| *counter > 0)?,
            viewer_key,
            mac: exactly(mac)?,
        })
    }
}

/// A number in its one canonical spelling: `01` and `+1` would be further texts of one credential.
fn decimal(text: &str) -> Option<u32> {
    let is_canonical =
        text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_canonical)
}

/// Transcript that a token signs, `C` in `docs/protocol.md`, "Tokens".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed<'a> {
    /// The transport.
    pub transport: Transport,
    /// The device.
    pub device: EndpointId,
    /// The viewer's endpoint; over TCP there is none.
    pub viewer: Option<EndpointId>,
    /// Channel binding, `B`: 32 bytes that no other connection has.
    pub binding: [u8; 32],
    /// The device's X25519 key for this connection, `D`; TCP only.
    pub device_key: Option<[u8; 32]>,
    /// The viewer's, `U`; TCP only.
    pub viewer_key: Option<[u8; 32]>,
    /// The counter.
    pub counter: u32,
    /// The method.
    pub method: &'a str,
    /// The target without its token.
    pub target: &'a str,
    /// The value of `Range`, empty if there is none.
    pub range: &'a [u8],
    /// Encoding of the body.
    pub body: BodyKind,
    /// The credential's text.
    pub credential: &'a str,
}

impl Signed<'_> {
    /// The bytes that are signed: thirteen lines.
    fn to_bytes(&self) -> Vec<u8> {
        // No line can hold a line feed and so become two: HTTP has none in methods, targets and field
        // values (RFC 9112 §3, RFC 9110 §5.5), the rest is hex, base64url, decimal or a word.
        let key = |key: Option<[u8; 32]>| key.map_or("-".to_owned(), |key| base64(&key));
        let transport = match self.transport {
            Transport::P2p => "p2p",
            Transport::Tcp => "tcp",
        };
        let body = match self.body {
            BodyKind::None => "none",
            BodyKind::Records => "records",
            BodyKind::Plain => "plain",
        };
        let viewer = self.viewer.map_or("-".to_owned(), |id| id.to_string());
        let mut bytes = [
            "peercam-token/1",
            transport,
            &self.device.to_string(),
            &viewer,
            &base64(&self.binding),
            &key(self.device_key),
            &key(self.viewer_key),
            &self.counter.to_string(),
            self.method,
            self.target,
            "",
        ]
        .join("\n")
        .into_bytes();
        bytes.extend_from_slice(self.range);
        bytes.extend_from_slice(format!("\n{body}\n{}", self.credential).as_bytes());
        bytes
    }

    /// The transcript hash, `th`, which every record key depends on.
    pub fn transcript(&self) -> [u8; 32] {
        Sha256::digest(self.to_bytes()).into()
    }

    /// Returns whether `mac` was made with the token key of the credential `key`.
    pub fn verifies(&self, key: &Secret, mac: &[u8; 32]) -> bool {
        Credential::token_key_of(key).verifies(&self.to_bytes(), mac)
    }

    /// The token that proves this request.
    pub fn token(&self, credential: &Credential) -> String {
        let mac = credential.token_key().mac(&self.to_bytes());
        let key = self.viewer_key.map_or("-".to_owned(), |key| base64(&key));
        format!(
            "1.{}.{}.{key}.{}",
            self.credential,
            self.counter,
            base64(&mac)
        )
    }
}
