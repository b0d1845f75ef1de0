//! Refusals: the one place where kinds of errors become statuses of HTTP and of the protocol
//! (`docs/protocol.md`, "Refusals").

use http::{Method, StatusCode};

use crate::{
    command::{Reply, Status},
    error::{Error, ErrorKind},
};

/// The HTTP status and the JSON of a refusal: `{"status":"<code>","reason":"…"}`.
pub fn refusal(error: &Error) -> (StatusCode, String) {
    let (http_status, status) = statuses(error.kind());
    let reply = Reply::Status {
        status,
        reason: error.reason().to_owned(),
    };
    (http_status, reply.encode())
}

/// Checks that a method is among those that a path takes, which stand there as in an `Allow`
/// header.
///
/// # Errors
/// [`ErrorKind::MethodNotAllowed`], naming the right ones.
pub fn check_method(allowed: &str, method: &Method) -> Result<(), Error> {
    let method = method.as_str();
    let mut methods = allowed.split(',').map(str::trim_ascii_start);
    if allowed == method || methods.any(|allowed| allowed == method) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::MethodNotAllowed,
        format!("this path does not take this method; use {allowed}"),
    ))
}

/// The protocol's status of a kind of errors.
pub fn status(kind: ErrorKind) -> Status {
    statuses(kind).1
}

fn statuses(kind: ErrorKind) -> (StatusCode, Status) {
    match kind {
        ErrorKind::BadRequest => (StatusCode::BAD_REQUEST, Status::BadRequest),
        ErrorKind::Forbidden => (StatusCode::FORBIDDEN, Status::Refused),
        ErrorKind::NotFound => (StatusCode::NOT_FOUND, Status::BadRequest),
        ErrorKind::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, Status::BadRequest),
        ErrorKind::BadRange => (StatusCode::RANGE_NOT_SATISFIABLE, Status::BadRequest),
        ErrorKind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, Status::BadRequest),
        ErrorKind::UnsupportedMedia => (StatusCode::UNSUPPORTED_MEDIA_TYPE, Status::BadRequest),
        ErrorKind::Timeout => (StatusCode::REQUEST_TIMEOUT, Status::Failed),
        ErrorKind::Full => (StatusCode::SERVICE_UNAVAILABLE, Status::TooManyViewers),
        ErrorKind::Busy | ErrorKind::Conflict => (StatusCode::CONFLICT, Status::Refused),
        ErrorKind::Unsupported => (StatusCode::NOT_IMPLEMENTED, Status::Unsupported),
        // Apps take 503 for "too many viewers".
        ErrorKind::Unavailable => (StatusCode::BAD_GATEWAY, Status::Refused),
        ErrorKind::NoAnswer => (StatusCode::GATEWAY_TIMEOUT, Status::Failed),
        ErrorKind::BadAnswer => (StatusCode::BAD_GATEWAY, Status::Failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apps_can_tell_a_full_device_from_a_camera_that_is_off() {
        let told = |kind| refusal(&Error::new(kind, "x"));
        let (status, text) = told(ErrorKind::Full);
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(text.contains(r#""status":"405""#), "{text}");
        let (status, text) = told(ErrorKind::Unavailable);
        assert_eq!(status, StatusCode::BAD_GATEWAY);
        assert!(text.contains(r#""status":"1""#), "{text}");
    }

    #[test]
    fn methods_are_checked() {
        assert!(check_method("POST", &Method::POST).is_ok());
        assert!(check_method("GET, HEAD", &Method::HEAD).is_ok());
        assert!(check_method("GET, HEAD", &Method::POST).is_err());
        let refused = check_method("POST", &Method::GET).expect_err("GET");
        assert!(refused.reason().contains("POST"));
        let (status, text) = refusal(&refused);
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
        assert!(text.contains(r#""status":"404""#), "{text}");
    }
}
