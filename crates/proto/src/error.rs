//! Why a request is refused: one error type, mapped to HTTP in `proto::refusal` and nowhere else.

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

/// What sort of refusal it is; decides the HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request is malformed or a parameter has an impossible value.
    BadRequest,
    /// The request is understood and this caller may not make it.
    Forbidden,
    /// There is no such route, channel or file.
    NotFound,
    /// The route exists, but not for this method.
    MethodNotAllowed,
    /// What is asked for of a file lies outside it.
    BadRange,
    /// The body or a parameter is longer than the documented limit.
    TooLarge,
    /// The body is in a format that is not taken.
    UnsupportedMedia,
    /// The peer was too slow to send what it announced.
    Timeout,
    /// A limit of the device is reached; trying later helps.
    Full,
    /// Somebody else has what is asked for, of which there is one.
    Busy,
    /// That cannot be done as things stand.
    Conflict,
    /// The device has no such part, or cannot do that.
    Unsupported,
    /// What is behind the device's door does not deliver at the moment: the camera, the card.
    Unavailable,
    /// The one that was to be asked did not answer in time.
    NoAnswer,
    /// The one that was asked gave an answer that is none.
    BadAnswer,
}

impl Error {
    /// A refusal of `kind` because of `reason`.
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

    /// What sort of refusal it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The sentence for the person at the other end.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}
