use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};

use super::{
    body::Body,
    reply,
    router::{App, Request},
};
use crate::{
    device::Media,
    error::Error,
    live::Place,
    proto::{query::Query, route::Labels},
};

/// `Cross-Origin-Resource-Policy`: no page of another origin may show it, but by CORS.
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// A still that somebody is sent. The place is taken for as long as the connection has any of it.
struct Sent {
    still: Bytes,
    _place: Place,
}

impl AsRef<[u8]> for Sent {
    fn as_ref(&self) -> &[u8] {
        &self.still
    }
}

impl App {
    /// One picture of now, as a JPEG.
    pub(super) async fn snapshot(&self, request: &Request<'_>) -> Result<Response<Body>, Error> {
        let query = Query::parse(request.query)?;
        let caller = request.who.caller(&Labels::of(&query)?);
        let channel = query.channel()?;
        self.hub.check_channel(channel, &caller.channels)?;
        let place: Place = Arc::new(self.viewers.enter(&caller, Media::Still)?);
        let still = self.stills.take(channel, &place).await?;
        tracing::debug!(%channel, %caller, req_id = caller.req_id, bytes = still.len(), "still");
        let length = HeaderValue::from(still.len());
        let body = Body::whole(Bytes::from_owner(Sent {
            still,
            _place: place,
        }));
        let mut response = reply::with_type(StatusCode::OK, "image/jpeg", body);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_LENGTH, length);
        headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
        Ok(response)
    }
}
