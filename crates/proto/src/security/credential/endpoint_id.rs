use std::{fmt, str::FromStr};

use crate::encoding::{from_hex, hex};

/// Names a device or a viewer: the public half of its Ed25519 key. It is a name, not a credential.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointId([u8; 32]);

/// The text is no endpoint id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an endpoint id is 64 lower-case hex digits")]
pub struct ParseEndpointIdError;

impl EndpointId {
    /// The id of this public key.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The public key.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for EndpointId {
    type Err = ParseEndpointIdError;

    fn from_str(text: &str) -> Result<Self, ParseEndpointIdError> {
        from_hex(text).map(Self).ok_or(ParseEndpointIdError)
    }
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
