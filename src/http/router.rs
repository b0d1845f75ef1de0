use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use prometheus_client::registry::Registry;
use serde_json::json;

use super::{
    Metrics,
    body::Body,
    guard::{self, Origin},
    live::LiveBody,
    reply,
};
use crate::{
    device::{Caller, Device, Viewers},
    error::{Error, ErrorKind},
    live::Hub,
    proto::{
        command,
        flv::HevcForm,
        query::Query,
        route::{Labels, MediaRequest, Route},
    },
};

/// How long a peer may take to send a request body, if nothing else is configured.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest body of a `/command`, in bytes.
const MAX_COMMAND_BODY: usize = 16 << 10;

/// What all listeners serve.
pub struct App {
    /// Live streams.
    pub hub: Hub,
    /// The door for commands.
    pub device: Device,
    /// Places for viewers.
    pub viewers: Viewers,
    /// How H.265 is written into FLV.
    pub hevc: HevcForm,
    /// How long a peer may take to send a request body.
    pub body_timeout: Duration,
    /// Counters of this floor.
    pub metrics: Metrics,
    /// Every counter of the daemon.
    pub registry: Registry,
    /// When the daemon started.
    pub started: Instant,
}

/// What one listener's requests have in common.
pub struct Listening {
    /// Web pages that may call it.
    pub allow_origins: Vec<Origin>,
}

/// Where a request came from.
#[derive(Clone, Copy)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    /// The connection must end after this answer.
    pub(super) close: bool,
}

impl App {
    /// Answers one request.
    pub(super) async fn answer(
        self: Arc<Self>,
        listening: Arc<Listening>,
        peer: Peer,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let asked_at = Instant::now();
        let (parts, body) = request.into_parts();
        let route = Route::of_path(parts.uri.path());
        let origin = guard::check(&parts.headers, &listening.allow_origins);
        let result = match (&origin, &route) {
            (Err(error), _) | (Ok(_), Err(error)) => Err(error.clone()),
            (Ok(Some(_)), Ok(route)) if parts.method == Method::OPTIONS => {
                Ok(preflight(*route, &parts))
            }
            (Ok(_), Ok(route)) => self.dispatch(*route, &parts, body, peer, asked_at).await,
        };
        let mut response = result.unwrap_or_else(|error| {
            log_refusal(&parts, peer, &error);
            let mut response = reply::refusal(&error);
            if let (ErrorKind::MethodNotAllowed, Ok(route)) = (error.kind(), &route) {
                let allowed = HeaderValue::from_static(route.allowed_methods());
                response.headers_mut().insert(header::ALLOW, allowed);
            }
            response
        });
        let headers = response.headers_mut();
        if let Ok(Some(origin)) = origin {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(header::VARY, HeaderValue::from_static("Origin"));
        }
        if peer.close {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        self.metrics.request(
            route.map_or("other", Route::as_str),
            response.status().as_u16(),
        );
        response
    }

    async fn dispatch(
        &self,
        route: Route,
        parts: &Parts,
        body: Incoming,
        peer: Peer,
        asked_at: Instant,
    ) -> Result<Response<Body>, Error> {
        route.check_method(&parts.method)?;
        let query = parts.uri.query().unwrap_or_default();
        match route {
            Route::Command => self.command(query, body, peer).await,
            Route::Health => Ok(self.health()),
            Route::Metrics => self.metrics_text(),
            Route::Media => {
                let query = Query::parse(query)?;
                let labels = Labels::of(&query)?;
                let MediaRequest::Live(stream) = MediaRequest::decode(&query)?;
                self.hub.check_channel(stream.channel)?;
                let viewer = self.viewers.enter()?;
                if parts.method == Method::HEAD {
                    return Ok(flv(Body::whole(Bytes::new())));
                }
                let subscription = self.hub.subscribe(stream).await?;
                let who = (Caller::on_tcp(&labels, peer.address.ip()), labels);
                let body = LiveBody::new(subscription, viewer, self.hevc, asked_at, who);
                Ok(flv(Body::live(body)))
            }
        }
    }

    async fn command(
        &self,
        query: &str,
        body: Incoming,
        peer: Peer,
    ) -> Result<Response<Body>, Error> {
        let body = self.read_body(body).await?;
        let body =
            std::str::from_utf8(&body).map_err(|_| Error::bad_request("the body is not UTF-8"))?;
        let (command, labels) = command::decode_request(query, body)?;
        let caller = Caller::on_tcp(&labels, peer.address.ip());
        let reply = self.device.apply(&caller, command).await;
        Ok(reply::json(StatusCode::OK, reply.encode()))
    }

    async fn read_body(&self, mut body: Incoming) -> Result<Bytes, Error> {
        let read = async {
            let mut bytes = BytesMut::new();
            while let Some(frame) = body.frame().await {
                let frame =
                    frame.map_err(|_| Error::bad_request("the body broke off or is damaged"))?;
                let data = frame.into_data().unwrap_or_default();
                if bytes.len() + data.len() > MAX_COMMAND_BODY {
                    discard(&mut body).await;
                    let reason = format!("the body is longer than {MAX_COMMAND_BODY} bytes");
                    return Err(Error::new(ErrorKind::TooLarge, reason));
                }
                bytes.extend_from_slice(&data);
            }
            Ok(bytes.freeze())
        };
        let timed_out = |_| Error::new(ErrorKind::Timeout, "the body did not come in time");
        tokio::time::timeout(self.body_timeout, read)
            .await
            .map_err(timed_out)?
    }

    fn health(&self) -> Response<Body> {
        let channels = self.hub.channels();
        let all_online = channels.iter().all(|(_, _, online)| *online);
        let channels: Vec<_> = channels
            .into_iter()
            .map(|(id, name, online)| json!({"channel": id.0, "name": name, "online": online}))
            .collect();
        let text = json!({
            "status": if all_online { "ok" } else { "degraded" },
            "version": env!("CARGO_PKG_VERSION"),
            "uptime_seconds": self.started.elapsed().as_secs(),
            "viewers": self.viewers.count(),
            "max_viewers": self.viewers.max(),
            "streams": self.hub.running_streams(),
            "channels": channels,
        });
        reply::json(StatusCode::OK, text.to_string())
    }

    fn metrics_text(&self) -> Result<Response<Body>, Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).map_err(|error| {
            Error::new(
                ErrorKind::Unavailable,
                format!("the metrics cannot be written: {error}"),
            )
        })?;
        const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        Ok(reply::with_type(
            StatusCode::OK,
            OPEN_METRICS,
            Body::whole(text.into()),
        ))
    }
}

/// Reads a little more of a body that is refused: a peer that is still sending when the connection
/// closes would see a reset instead of the reason.
async fn discard(body: &mut Incoming) {
    const AT_MOST: usize = 256 << 10;
    let mut discarded = 0;
    while let Some(Ok(frame)) = body.frame().await
        && discarded < AT_MOST
    {
        discarded += frame.data_ref().map_or(0, Bytes::len);
    }
}

fn log_refusal(parts: &Parts, peer: Peer, error: &Error) {
    let query = Query::parse(parts.uri.query().unwrap_or_default()).unwrap_or_default();
    let labels = Labels::of(&query).unwrap_or_default();
    tracing::debug!(
        peer = %peer.address, method = %parts.method, path = parts.uri.path(),
        requester = labels.requester, req_id = labels.req_id, reason = error.reason(), "refused"
    );
}

fn flv(body: Body) -> Response<Body> {
    reply::with_type(StatusCode::OK, "video/x-flv", body)
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
