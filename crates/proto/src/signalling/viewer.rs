//! Identity of viewers, whoever and however many they are.

use std::{fmt, sync::Arc};

use crate::encoding::base64;

/// Identity by which players, talks, calls and sessions tell viewers apart. No secret.
///
/// A viewer with a session has its session's id: 12 characters of base64url. Any other has the name
/// that it gave itself, or its address, in a form that no session's id has; so nobody can be called
/// by the id of another's.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ViewerId(Arc<str>);

impl ViewerId {
    /// The viewer of a session, out of bytes that are random and so nobody else's.
    pub fn for_session(random: [u8; 9]) -> Self {
        Self(base64(&random).into())
    }

    /// A viewer without a session, by its name.
    pub fn unauthenticated(name: &Arc<str>) -> Self {
        if has_form_of_session_id(name) {
            Self(format!("open:{name}").into())
        } else {
            Self(Arc::clone(name))
        }
    }

    /// The viewer that a program on the device names. There may be none.
    pub fn from_firmware(text: &str) -> Self {
        Self(text.into())
    }

    /// The id as it is told to programs on the device.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as the name of a party.
    pub fn to_party(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl fmt::Display for ViewerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ViewerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
impl From<&str> for ViewerId {
    fn from(text: &str) -> Self {
        Self::from_firmware(text)
    }
}

fn has_form_of_session_id(text: &str) -> bool {
    let is_one = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    text.len() == 12 && text.bytes().all(is_one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_can_be_called_by_the_id_of_a_session() {
        for byte in 0..=u8::MAX {
            let session = ViewerId::for_session([byte; 9]);
            let named = ViewerId::unauthenticated(&session.as_str().into());
            assert_ne!(named, session);
            assert_eq!(named.as_str(), format!("open:{session}"));
        }
        for name in [
            "",
            "127.0.0.1",
            "open:abcdefg",
            "abcdefghijk",
            "abcdefghijklm",
            "abcdefghijk=",
        ] {
            assert_eq!(ViewerId::unauthenticated(&name.into()).as_str(), name);
        }
    }
}
