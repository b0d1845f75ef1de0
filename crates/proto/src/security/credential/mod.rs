//! Credentials and tokens: what a holder may do, and how a request proves it. Pure, shared by
//! device, client and back end.
//!
//! Shapes and derivations are those of `docs/protocol.md`, "Credentials" and "Tokens". What is
//! text on the wire is base64url without padding, in its one canonical form, or lower-case hex.

mod ceiling;
mod claims;
mod endpoint_id;
mod mint;
mod rank;
mod relay_token;
mod scope;
mod secret;
mod token;
mod uri;

pub use ceiling::{BeyondCeiling, Ceiling, Rights};
pub use claims::{Channels, Claims, ClaimsError, CredentialId, MAX_CLAIMS, MAX_NAME};
pub use endpoint_id::{EndpointId, ParseEndpointIdError};
pub use mint::{Credential, Issuer, MintKey, ParseMintKeyError};
pub use rank::Rank;
pub use relay_token::{ParseRelayTokenError, RelayToken};
pub use scope::{Need, ParseScopeError, Scope, Scopes};
pub use secret::Secret;
pub use token::{BodyKind, EXPORTER_LABEL, MAX_TOKEN, Signed, Target, Token, Transport};
pub use uri::{PairingUri, ParseUriError};
