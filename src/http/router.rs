//! The router: requests that their listener let in, authorized and handed to what answers them.
//!
//! Invariants: rights are checked before anything is done; a channel that is not its caller's looks
//! as if it were not there; and whatever goes wrong is an answer. How a caller was authenticated is
//! no concern of routes.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use peercam_hal::clock::Clock;
use peercam_proto::{
    command::{self, Reply, Status},
    error::{Error, ErrorKind},
    flv::HevcForm,
    network::Peer,
    query::Query,
    refusal::check_method,
    route::{Labels, MediaRequest, Route},
};
use prometheus_client::registry::Registry;

use super::{
    Metrics,
    body::Body,
    download,
    list::ListBody,
    live::LiveBody,
    playback::PlaybackBody,
    reply,
    request_body::{RequestBody, within},
};
use crate::{
    access::{Caller, Medium, Need},
    device::{Answer, Device},
};

/// Timeout of a request body, if nothing else is configured.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Timeout of a command. Apps of phones wait 2 s for it, others 7.5 s; what asks a program or firmware
/// has `ANSWER_TIME` for that.
pub(super) const COMMAND_TIME: Duration = Duration::from_secs(7);

/// The services that all listeners serve.
pub struct App {
    /// Commands and media, and the state behind them.
    pub device: Device,
    /// Form of H.265 in FLV.
    pub hevc: HevcForm,
    /// Timeout of a request body.
    pub body_timeout: Duration,
    /// Counters of this floor.
    pub metrics: Metrics,
    /// Every counter of the daemon.
    pub registry: Registry,
    /// Time at which the daemon started.
    pub started: Instant,
    /// The wall clock, which may be unset.
    pub clock: Clock,
    /// Send buffer of each TCP connection, in bytes: what the kernel may keep of data that was sent
    /// and not acknowledged. `None`: as much as it likes.
    pub send_buffer: Option<usize>,
}

/// A request that its listener let in.
pub(super) struct Request<'a> {
    pub(super) method: &'a Method,
    /// The path, as received.
    pub(super) path: &'a str,
    /// The parameters, as received.
    pub(super) query: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: RequestBody,
    pub(super) caller: Caller,
    pub(super) asked_at: Instant,
}

impl App {
    /// Answers a request: whatever goes wrong is an answer too.
    pub(super) async fn respond(&self, request: &mut Request<'_>) -> Response<Body> {
        let (method, path, query) = (request.method, request.path, request.query);
        let route = Route::from_path(path);
        let result = match &route {
            Ok(route) => self.dispatch(*route, request).await,
            Err(error) => Err(error.clone()),
        };
        let response = match result {
            Ok(response) => response,
            Err(error) => {
                log_refusal(method, path, query, request.caller.peer, &error);
                let asked = route.as_ref().map_or("", |route| route.as_str());
                let error = self.device.beside(&request.caller, asked, error);
                let mut response = reply::refusal(&error);
                if let (ErrorKind::MethodNotAllowed, Ok(route)) = (error.kind(), &route) {
                    let allowed = HeaderValue::from_static(route.allowed_methods());
                    response.headers_mut().insert(header::ALLOW, allowed);
                }
                response
            }
        };
        let label = route.as_ref().map_or("other", |route| route.as_str());
        self.metrics.request(label, response.status().as_u16());
        response
    }

    /// Counts an answer.
    pub(super) fn count(&self, path: &str, status: StatusCode) {
        let route = Route::from_path(path).map_or("other", Route::as_str);
        self.metrics.request(route, status.as_u16());
    }

    async fn dispatch(
        &self,
        route: Route,
        request: &mut Request<'_>,
    ) -> Result<Response<Body>, Error> {
        check_method(route.allowed_methods(), request.method)?;
        if let Err(error) = request.caller.check(Need::for_route(route)) {
            // Whoever still sends sees the reason.
            Box::pin(request.body.discard()).await;
            return Err(error);
        }
        match route {
            Route::Command => self.command(request).await,
            // Apart, so that a command need not carry room for them.
            Route::Voice => Box::pin(self.voice(request)).await,
            Route::Snapshot => Box::pin(self.snapshot(request)).await,
            Route::Health => self.health(&request.caller, request.query),
            Route::Metrics => self.metrics_text(),
            Route::Media => Box::pin(self.media(request)).await,
        }
    }

    async fn media(&self, request: &mut Request<'_>) -> Result<Response<Body>, Error> {
        let query = Query::parse(request.query)?;
        let labels = Labels::from_query(&query)?;
        request.caller.introduce(&labels);
        let caller = &request.caller;
        let media = MediaRequest::decode(&query)?;
        // HEAD asks whether there would be an answer: a permit is taken, and no camera opened.
        let is_head = request.method == Method::HEAD;
        let asked = |channel, medium| {
            let admitted = self.device.admit(caller, channel, medium);
            admitted.map(|_| flv(Body::whole(Bytes::new())))
        };
        let (hevc, asked_at) = (self.hevc, request.asked_at);
        match media {
            MediaRequest::Live(stream) if is_head => asked(stream.channel, Medium::Live),
            MediaRequest::Live(stream) => {
                let live = self.device.watch(caller, stream).await?;
                let body = LiveBody::new(live, hevc, asked_at, caller.clone(), labels);
                Ok(flv(Body::live(body)))
            }
            MediaRequest::Playback { channel, .. } if is_head => asked(channel, Medium::Playback),
            MediaRequest::Playback { channel, window } => {
                let playback = self.device.play(caller, channel, window).await?;
                let body = PlaybackBody::new(playback, hevc, asked_at, caller.clone(), channel);
                Ok(flv(Body::playback(body)))
            }
            MediaRequest::Download { file_name, offset } => {
                let fetched = self.device.fetch(caller, &file_name).await?;
                let mut response = download::respond(fetched, offset, request.headers, is_head)?;
                let disposition = format!("attachment; filename=\"{file_name}\"");
                if let Ok(value) = HeaderValue::try_from(disposition) {
                    let headers = response.headers_mut();
                    headers.insert(header::CONTENT_DISPOSITION, value);
                }
                Ok(response)
            }
        }
    }

    async fn command(&self, request: &mut Request<'_>) -> Result<Response<Body>, Error> {
        let body = request.body.read(self.body_timeout).await?;
        let body =
            std::str::from_utf8(&body).map_err(|_| Error::bad_request("the body is not UTF-8"))?;
        let (command, labels) = command::decode_request(request.query, body)?;
        request.caller.introduce(&labels);
        let doing = pin!(self.device.apply(&request.caller, command));
        let reply = match within(COMMAND_TIME, doing).await {
            Ok(Answer::Whole(reply)) => reply,
            Ok(Answer::List(text, rest)) => {
                let body = Body::list(ListBody::new(text, *rest));
                return Ok(reply::with_type(StatusCode::OK, "application/json", body));
            }
            Err(_) => Reply::Status {
                status: Status::Failed,
                reason: "this took longer than 7 s; whether it was or will be done is not known"
                    .to_owned(),
            },
        };
        Ok(reply::json(StatusCode::OK, reply.encode()))
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

fn log_refusal(method: &Method, path: &str, query: &str, peer: Peer, error: &Error) {
    let query = Query::parse(query).unwrap_or_default();
    let labels = Labels::from_query(&query).unwrap_or_default();
    tracing::debug!(
        %peer, %method, path, requester = labels.requester, req_id = labels.req_id,
        reason = error.reason(), "refused"
    );
}

fn flv(body: Body) -> Response<Body> {
    reply::with_type(StatusCode::OK, "video/x-flv", body)
}
