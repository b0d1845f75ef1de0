//! Peer information, `_sys_xp2p_info`: the text by which apps find a device in an app back end.

use std::{fmt, str::FromStr};

use crate::{
    credential::EndpointId,
    encoding::{base64, exactly},
};

/// The longest text, in bytes: what the property may hold. It is used up: 4 + 43 + 1 + 16.
const MAX_TEXT: usize = 64;
/// The longest version, in bytes.
const MAX_VERSION: usize = 16;

/// The value of the property `_sys_xp2p_info`: `XP2P` + the device's id in base64url + `%` + the
/// version of its software (`docs/protocol.md`, "Peer information"). It is a name, not a
/// credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerInfo {
    /// The device.
    device: EndpointId,
    version: String,
}

/// The text is no peer information.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("peer information is XP2P, 43 characters, % and a version")]
pub struct ParsePeerInfoError;

impl PeerInfo {
    /// Returns the peer information of a device that runs this software.
    pub fn new(device: EndpointId) -> Self {
        Self {
            device,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

impl fmt::Display for PeerInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "XP2P{}%{}", base64(self.device.as_bytes()), self.version)
    }
}

impl FromStr for PeerInfo {
    type Err = ParsePeerInfoError;

    fn from_str(text: &str) -> Result<Self, ParsePeerInfoError> {
        let parsed = || {
            let (id, version) = text.strip_prefix("XP2P")?.split_once('%')?;
            let is_version = (1..=MAX_VERSION).contains(&version.len())
                && version
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b".-+".contains(&byte));
            (is_version && text.len() <= MAX_TEXT).then_some(Self {
                device: EndpointId::new(exactly(id)?),
                version: version.to_owned(),
            })
        };
        parsed().ok_or(ParsePeerInfoError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fits_into_the_property_and_comes_back() {
        let info = PeerInfo::new(EndpointId::new([0xfb; 32]));
        let text = info.to_string();
        assert!(text.len() <= MAX_TEXT, "{text}");
        assert_eq!(
            text,
            format!(
                "XP2P{}%{}",
                "-_v7".repeat(10) + "-_s",
                env!("CARGO_PKG_VERSION")
            )
        );
        assert_eq!(text.parse(), Ok(info));
    }

    #[test]
    fn other_peoples_information_is_refused() {
        let id = "A".repeat(43);
        for text in [
            String::new(),
            "XP2P".to_owned(),
            format!("XP2P{id}"),
            format!("XP2P{id}%"),
            format!("xp2p{id}%1.0"),
            format!("XP2P{}%2.4.46", "A".repeat(22)),
            format!("XP2P{id}=%1.0"),
            format!("XP2P{id}%1.0 "),
            format!("XP2P{id}%{}", "1".repeat(17)),
        ] {
            assert_eq!(text.parse::<PeerInfo>(), Err(ParsePeerInfoError), "{text}");
        }
    }
}
