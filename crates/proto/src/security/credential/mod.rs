//! Credentials and tokens: what a holder may do, and how a request proves it. Pure, shared by
//! device, client and back end.
//!
//! Shapes and derivations are those of `docs/protocol.md`, "Credentials" and "Tokens". What is
//! text on the wire is base64url without padding, in its one canonical form, or lower-case hex.
//!
//! From pairing to a request that is believed:
//!
//! ```
//! use peercam_proto::credential::{
//!     BodyKind, Channels, Claims, CredentialId, EndpointId, Issuer, MintKey, PairingUri, Scope,
//!     Scopes, Secret, Signed, Token, Transport,
//! };
//!
//! // The device mints a credential, and shows it as a pairing URI.
//! let device = EndpointId::new([1; 32]);
//! let mint_key = MintKey::derive(&Secret::new([2; 32]), device, Issuer::local(), 0);
//! let credential = mint_key.mint(&Claims {
//!     id: CredentialId::new([3; 16]),
//!     name: "phone".to_owned(),
//!     scopes: Scopes::from_iter([Scope::Live]),
//!     channels: Channels::All,
//!     expires: None,
//!     peer: None,
//! });
//! let shown = PairingUri {
//!     credential,
//!     device,
//!     relays: Vec::new(),
//!     relay_token: None,
//!     udp: Vec::new(),
//!     lan: vec!["192.168.1.5:34567".parse()?],
//! };
//!
//! // A viewer reads the URI, and proves one request with it.
//! let paired = PairingUri::parse(&shown.expose())?;
//! assert_eq!(paired.lan, shown.lan);
//! let signed = Signed {
//!     transport: Transport::P2p,
//!     device,
//!     viewer: Some(EndpointId::new([4; 32])),
//!     binding: [5; 32],
//!     device_key: None,
//!     viewer_key: None,
//!     counter: 1,
//!     method: "GET",
//!     target: "/ipc.flv?action=live",
//!     range: b"",
//!     body: BodyKind::None,
//!     credential: paired.credential.text(),
//! };
//! let text = signed.token(&paired.credential);
//!
//! // The device derives the key from the claims; another target is not what was signed.
//! let token = Token::parse(&text).ok_or("no token")?;
//! let key = mint_key.key_of(&token.claims);
//! assert!(signed.verifies(&key, &token.mac));
//! let other = Signed {
//!     target: "/voice",
//!     ..signed
//! };
//! assert!(!other.verifies(&key, &token.mac));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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
pub use scope::{ParseScopeError, Scope, Scopes};
pub use secret::Secret;
pub use token::{BodyKind, EXPORTER_LABEL, Signed, Target, Token, Transport};
pub use uri::{PairingUri, ParseUriError};
