use std::fmt;

use zeroize::Zeroizing;

/// The longest token of a relay, in bytes.
const MAX: usize = 256;

/// Access token of a relay; a secret of the relay's users.
#[derive(Clone, PartialEq, Eq)]
pub struct RelayToken(Zeroizing<String>);

/// The text is no token of a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a relay's token is 1 to 256 visible ASCII characters")]
pub struct ParseRelayTokenError;

impl RelayToken {
    /// Keeps a token that can stand in an HTTP header.
    ///
    /// # Errors
    /// [`ParseRelayTokenError`].
    pub fn new(text: String) -> Result<Self, ParseRelayTokenError> {
        let text = Zeroizing::new(text);
        let is_fine = (1..=MAX).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_graphic());
        is_fine.then_some(Self(text)).ok_or(ParseRelayTokenError)
    }

    /// The token, for the relay and for those who are paired.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RelayToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}
