use http::{HeaderValue, Response, header};
use peercam_proto::{
    origin_policy,
    sealed::{DirectionKeys, Head, Sealer},
};

use super::body::Body;

/// The content type outside of a sealed answer.
const RECORDS: &str = "application/vnd.peercam.records";

/// Seals an answer: its status, headers and body. What is left outside is the same for all of
/// them.
pub(super) fn seal(response: Response<Body>, keys: DirectionKeys) -> Response<Body> {
    let (parts, inner) = response.into_parts();
    let headers = parts.headers.iter().filter_map(|(name, value)| {
        let value = value.to_str().ok()?;
        Some((name.as_str().to_owned(), value.to_owned()))
    });
    let head = Head {
        status: parts.status.as_u16(),
        headers: headers.collect(),
    };
    let mut response = Response::new(inner.sealed(head, Sealer::new(keys)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(RECORDS));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, origin_policy::NO_SNIFF);
    response
}
