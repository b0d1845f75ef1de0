//! Targets, tokens, claims and URIs: whatever a stranger writes, nothing panics, and what is taken
//! is written again in the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use peercam::access::{Pairings, Revocations};
use peercam_proto::credential::{Claims, MintKey, PairingUri, Target, Token};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(claims) = Claims::parse(bytes) {
        assert_eq!(Claims::parse(&claims.encode()), Ok(claims));
    }
    if let Ok(list) = Revocations::parse(bytes) {
        assert_eq!(Revocations::parse(list.encode().as_bytes()), Ok(list));
    }
    let _ = Pairings::parse(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Some(target) = Target::split(text) {
        let rest = target.rest.map(|rest| format!("&{rest}")).unwrap_or_default();
        assert_eq!(format!("{}?_token={}{rest}", target.path, target.token), text);
    }
    if let Some(token) = Token::parse(text) {
        let start = format!("1.{}.{}.", token.credential, token.counter);
        assert!(text.starts_with(&start), "{start}");
    }
    if let Ok(uri) = PairingUri::parse(text) {
        let again = uri.expose();
        let reread = PairingUri::parse(&again).ok().map(|uri| uri.expose());
        assert_eq!(reread, Some(again));
    }
    if let Ok(key) = MintKey::parse(text) {
        assert!(MintKey::parse(&key.expose()).is_ok());
    }
});
