//! The cookie of a listener's 401: whoever brings it back was there a moment ago, at this address.
//!
//! It buys a place in a queue and opens nothing: no token is bound to it, and it is no part of what
//! is signed.

use crate::{
    credential::Secret,
    encoding::{base64, exactly},
    network::Source,
};

/// The header that carries it, both ways.
pub const HEADER: &str = "peercam-cookie";

/// Bytes of a cookie: the second in which it was made (4), and the MAC (32).
const LENGTH: usize = 4 + 32;

/// The cookie that this source gets in this second.
pub fn make(key: &Secret, source: Source, second: u32) -> String {
    let mut bytes = [0; LENGTH];
    bytes[..4].copy_from_slice(&second.to_be_bytes());
    bytes[4..].copy_from_slice(&key.mac(&message(source, second)));
    base64(&bytes)
}

/// Returns the second in which a cookie was made, if it is this source's.
pub fn read(key: &Secret, source: Source, cookie: &str) -> Option<u32> {
    let bytes: [u8; LENGTH] = exactly(cookie)?;
    let (second, mac) = bytes.split_first_chunk()?;
    let second = u32::from_be_bytes(*second);
    let mac = mac.try_into().ok()?;
    key.verifies(&message(source, second), mac)
        .then_some(second)
}

/// The first line keeps a MAC for cookies from being one for anything else.
fn message(source: Source, second: u32) -> Vec<u8> {
    format!("peercam-cookie/1\n{source}\n{second}").into_bytes()
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_cookie_is_of_one_device_one_source_and_one_second() {
        let (key, other) = (Secret::new([1; 32]), Secret::new([2; 32]));
        let [home, away] = [1, 2].map(|last| Source::of(Ipv4Addr::new(192, 0, 2, last).into()));
        let cookie = make(&key, home, 7);
        assert_eq!(cookie.len(), 48);
        assert_eq!(read(&key, home, &cookie), Some(7));
        assert_eq!(read(&key, away, &cookie), None);
        assert_eq!(read(&key, Source::Relay, &cookie), None);
        assert_eq!(read(&other, home, &cookie), None);
        for at in 0..cookie.len() {
            let mut forged = cookie.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).expect("ASCII");
            assert_eq!(read(&key, home, &forged), None, "{forged}");
        }
        for text in ["", "A", &cookie[1..], &format!("{cookie}A")] {
            assert_eq!(read(&key, home, text), None, "{text}");
        }
    }
}
