use core::net::SocketAddr;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::{Credential, EndpointId, RelayToken, Secret};
use crate::encoding::{base64, exactly};

/// Characters of a value that another reader could take for something else. No more, since three
/// characters in place of one are what makes a QR code too wide for a terminal.
const ENCODED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'&')
    .add(b'\'')
    .add(b'+')
    .add(b';')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');
/// Most hints of each kind in a URI.
const MAX_HINTS: usize = 16;

/// Pairing URI: all that a viewer needs to find a device and to prove itself.
///
/// `peercam:1?c=<credential>&k=<key>&id=<device>[&relay=<url>]…[&rt=<token>][&udp=<address>]…[&lan=<address>]…`.
///
/// It is a secret. It can be written with [`PairingUri::expose`] only.
#[derive(Clone)]
pub struct PairingUri {
    /// The credential.
    pub credential: Credential,
    /// The device.
    pub device: EndpointId,
    /// URLs of relays through which the device may be reached; hints.
    pub relays: Vec<String>,
    /// Access token of those relays.
    pub relay_token: Option<RelayToken>,
    /// UDP addresses at which it may be dialled by its key; hints.
    pub udp: Vec<SocketAddr>,
    /// TCP addresses of its listeners; hints.
    pub lan: Vec<SocketAddr>,
}

/// The text is no pairing URI. The message never repeats any of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no pairing URI of peercam: {0}")]
pub struct ParseUriError(&'static str);

impl PairingUri {
    /// Reads a URI. Parameters that later versions may add are ignored.
    ///
    /// # Errors
    /// [`ParseUriError`].
    pub fn parse(text: &str) -> Result<Self, ParseUriError> {
        let query = text
            .trim()
            .strip_prefix("peercam:1?")
            .ok_or(ParseUriError("it begins with peercam:1?"))?;
        let (mut credential, mut key, mut device) = (None, None, None);
        let (mut relays, mut relay_token) = (Vec::new(), None);
        let (mut udp, mut lan) = (Vec::new(), Vec::new());
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_encoding::percent_decode_str(value)
                .decode_utf8()
                .map_err(|_| ParseUriError("a value is not UTF-8"))?;
            let is_again = match name {
                "c" => credential.replace(value.into_owned()).is_some(),
                "k" => key.replace(exactly(&value)).is_some(),
                "id" => device.replace(value.parse().ok()).is_some(),
                "relay" => {
                    relays.push(value.into_owned());
                    relays.len() > MAX_HINTS
                }
                "rt" => {
                    let token = RelayToken::new(value.into_owned());
                    let token = token.map_err(|_| ParseUriError("rt is no token of a relay"))?;
                    relay_token.replace(token).is_some()
                }
                "udp" | "lan" => {
                    let address = value.parse();
                    let hints = if name == "udp" { &mut udp } else { &mut lan };
                    hints.push(address.map_err(|_| {
                        ParseUriError("udp and lan are addresses such as 192.168.1.5:34567")
                    })?);
                    hints.len() > MAX_HINTS
                }
                _ => false,
            };
            if is_again {
                return Err(ParseUriError("a parameter is there too often"));
            }
        }
        let credential = credential.ok_or(ParseUriError("the credential, c, is missing"))?;
        let key = key
            .flatten()
            .ok_or(ParseUriError("the key, k, is missing or damaged"))?;
        let device = device
            .flatten()
            .ok_or(ParseUriError("the device, id, is missing or damaged"))?;
        // Issuer, epoch, claims. The device alone can tell what they are good for.
        if credential.split('.').count() != 3 || credential.contains(char::is_whitespace) {
            return Err(ParseUriError("the credential, c, is damaged"));
        }
        Ok(Self {
            credential: Credential::new(credential, Secret::new(key)),
            device,
            relays,
            relay_token,
            udp,
            lan,
        })
    }

    /// The URI, key included.
    pub fn expose(&self) -> String {
        let mut text = format!(
            "peercam:1?c={}&k={}&id={}",
            self.credential.text(),
            base64(self.credential.key().expose()),
            self.device
        );
        let encode = |text| utf8_percent_encode(text, ENCODED);
        for relay in &self.relays {
            text.push_str(&format!("&relay={}", encode(relay)));
        }
        if let Some(token) = &self.relay_token {
            text.push_str(&format!("&rt={}", encode(token.expose())));
        }
        for address in &self.udp {
            text.push_str(&format!("&udp={address}"));
        }
        for address in &self.lan {
            text.push_str(&format!("&lan={address}"));
        }
        text
    }
}
