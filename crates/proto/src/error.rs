//! Refusal of a request: one error type, mapped to HTTP in [`crate::refusal`] and nowhere else.

use std::borrow::Cow;

/// A refusal with a reason that a person can act on.
///
/// The reason says what is wrong, on which side, and what to do. It never carries a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Error {
    kind: ErrorKind,
    reason: Cow<'static, str>,
}

/// Kind of a refusal; decides the HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Malformed request, or a parameter with an impossible value.
    BadRequest,
    /// Well-formed request that this caller may not make.
    Forbidden,
    /// No such route, channel or file.
    NotFound,
    /// Known route, but not for this method.
    MethodNotAllowed,
    /// Requested range outside the file.
    BadRange,
    /// Body or parameter above the documented limit.
    TooLarge,
    /// Body in a format that is not taken.
    UnsupportedMedia,
    /// Peer too slow to send what it announced.
    Timeout,
    /// Limit of the device reached; a later try may succeed.
    Full,
    /// Resource that exists once and that another caller holds, such as the speaker.
    Busy,
    /// Request that conflicts with the current state.
    Conflict,
    /// Capability that the device does not have.
    Unsupported,
    /// Camera or card that does not deliver at the moment.
    Unavailable,
    /// No answer in time from the one that had to be asked, such as firmware.
    NoAnswer,
    /// Unusable answer from the one that had to be asked.
    BadAnswer,
}

impl Error {
    /// Creates a refusal of `kind` because of `reason`.
    pub fn new(kind: ErrorKind, reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            reason: reason.into(),
        }
    }

    /// Shorthand for [`ErrorKind::BadRequest`].
    pub fn bad_request(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::BadRequest, reason)
    }

    /// Returns the kind of refusal.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns the sentence for the person at the other end.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}
