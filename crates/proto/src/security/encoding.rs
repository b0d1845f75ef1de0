//! Bytes as text: base64url without padding, and lower-case hex, each in its one canonical spelling.
//!
//! Secrets are written this way too, so what does it takes the same time whatever the bytes are.

use base64ct::{Base64UrlUnpadded, Encoding};

/// Bytes in base64url.
pub fn base64(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

/// The bytes of canonical base64url.
pub(super) fn from_base64(text: &str) -> Option<Vec<u8>> {
    Base64UrlUnpadded::decode_vec(text).ok()
}

/// Exactly `N` bytes in canonical base64url.
pub fn exactly<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let decoded = Base64UrlUnpadded::decode(text, &mut bytes).ok()?;
    (decoded.len() == N).then_some(bytes)
}

/// Bytes in lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(bytes)
}

/// Exactly `N` bytes in lower-case hex.
pub(super) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let decoded = base16ct::lower::decode(text, &mut bytes).ok()?;
    (decoded.len() == N).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_canonical_spelling_is_read() {
        assert_eq!(exactly::<2>("AAE"), Some([0, 1]));
        for text in [
            "AAF", "AAE=", "AA", "AAEA", "AA+", "A A", "AA\n", "", "AAE\0",
        ] {
            assert_eq!(exactly::<2>(text), None, "{text:?}");
        }
        assert_eq!(exactly::<1>("-w"), Some([0xfb]));
        assert_eq!(exactly::<1>("+w"), None);
        assert_eq!(from_hex::<2>("00ff"), Some([0, 255]));
        for text in ["00FF", "00f", "00ff00", "0x00", "", "gg00"] {
            assert_eq!(from_hex::<2>(text), None, "{text:?}");
        }
        assert_eq!(from_base64("A"), None);
    }

    proptest! {
        #[test]
        fn it_is_what_others_read(bytes: Vec<u8>, text in "[A-Za-z0-9_+/=-]{0,12}") {
            use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
            prop_assert_eq!(base64(&bytes), BASE64URL_NOPAD.encode(&bytes));
            prop_assert_eq!(hex(&bytes), HEXLOWER.encode(&bytes));
            prop_assert_eq!(from_base64(&base64(&bytes)), Some(bytes));
            prop_assert_eq!(from_base64(&text), BASE64URL_NOPAD.decode(text.as_bytes()).ok());
        }
    }
}
