use std::{net::SocketAddr, time::Instant};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use hyper::body::Incoming;

use super::{
    body::Body,
    guard::{self, Origin},
    reply,
    request_body::RequestBody,
    router::{self, App, Who},
};
use crate::proto::route::Route;

/// Answers a request on a listener without access control.
pub(super) async fn answer(
    app: &App,
    allow_origins: &[Origin],
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Response<Body> {
    let asked_at = Instant::now();
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let origin = match guard::check(&parts.headers, allow_origins) {
        Ok(origin) => origin,
        Err(error) => {
            tracing::debug!(%peer, path, reason = error.reason(), "refused");
            let response = reply::refusal(&error);
            app.count(path, response.status());
            return response;
        }
    };
    let mut response = match Route::of_path(path) {
        Ok(route) if origin.is_some() && parts.method == Method::OPTIONS => {
            let response = preflight(route, &parts);
            app.count(path, response.status());
            response
        }
        _ => {
            let request = router::Request {
                method: &parts.method,
                path,
                query: parts.uri.query().unwrap_or_default(),
                body: RequestBody::clear(body),
                who: Who::Anybody(peer),
                asked_at,
            };
            app.respond(request).await
        }
    };
    if let Some(origin) = origin {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    }
    response
}

/// Answers a browser's question whether an allowed page may make a request.
fn preflight(route: Route, parts: &Parts) -> Response<Body> {
    let mut response = Response::new(Body::whole(Bytes::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    let methods = HeaderValue::from_static(route.allowed_methods());
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("Content-Type, Range"),
    );
    headers.insert(
        header::ACCESS_CONTROL_MAX_AGE,
        HeaderValue::from_static("600"),
    );
    if parts
        .headers
        .contains_key("access-control-request-private-network")
    {
        headers.insert(
            "access-control-allow-private-network",
            HeaderValue::from_static("true"),
        );
    }
    response
}
