use std::sync::LazyLock;

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use peercam_proto::{
    self as proto,
    command::{Reply, Status},
    error::Error,
    origin_policy,
};

use super::body::Body;

/// A JSON answer.
pub(super) fn json(status: StatusCode, text: String) -> Response<Body> {
    static HEADERS: LazyLock<HeaderMap> =
        LazyLock::new(|| origin_policy::headers("application/json"));
    let mut response = Response::new(Body::whole(text.into()));
    *response.status_mut() = status;
    *response.headers_mut() = HEADERS.clone();
    response
}

/// An answer with a body of this type.
pub(super) fn with_type(
    status: StatusCode,
    content_type: &'static str,
    body: Body,
) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = origin_policy::headers(content_type);
    response
}

/// A refusal: `{"status":"<code>","reason":"…"}` with a fitting HTTP status.
pub(super) fn refusal(error: &Error) -> Response<Body> {
    let (status, text) = proto::refusal::refusal(error);
    json(status, text)
}

/// The answer to a request that did not prove itself, the same whatever was asked.
pub(super) fn challenge(challenge: &str, cookie: Option<&str>) -> Response<Body> {
    let text = Reply::Status {
        status: Status::Refused,
        reason: "this needs a valid token; peercam pair, on the device, makes what it takes"
            .to_owned(),
    };
    let mut response = json(StatusCode::UNAUTHORIZED, text.encode());
    if let Ok(value) = HeaderValue::from_str(challenge) {
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, value);
    }
    if let Some(Ok(value)) = cookie.map(HeaderValue::from_str) {
        let headers = response.headers_mut();
        headers.insert(proto::cookie::HEADER, value);
    }
    response
}

/// The whole answer to a connection for which there is no place.
pub(super) const NO_PLACE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: application/json\r\ncontent-length: 122\r\n\
    x-content-type-options: nosniff\r\nconnection: close\r\n\r\n\
    {\"status\":\"405\",\"reason\":\"the device serves as many connections as it takes; try again when one of them has been closed\"}\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canned_answer_has_the_length_it_says() {
        let text = std::str::from_utf8(NO_PLACE).expect("ASCII");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        assert!(
            head.contains(&format!("content-length: {}\r\n", body.len())),
            "{}",
            body.len()
        );
        assert!(body.starts_with("{\"status\":\"405\""));
    }
}
