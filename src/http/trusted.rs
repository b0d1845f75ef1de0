//! Requests on listeners without access control: those of viewers, and those of programs on the
//! device itself.
//!
//! Invariants: a web page reaches only what the owner has allowed to it, and never the local
//! routes; viewers cannot take the places of programs on the device, nor programs that wait those
//! of others.

use std::{slice::from_ref, sync::Arc, time::Instant};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, request::Parts};
use hyper::body::Incoming;
use peercam_hal::PlayedAudio;
use peercam_net::permits::{Claim, Permit, Permits};
use peercam_proto::{
    call::CallState,
    credential::Rank,
    error::Error,
    feedback::Feedback,
    firmware_api::{CallRequest, CallWait, EventRequest, FirmwareRoute, viewer_of},
    origin_policy::{self, Allowed},
    query::Query,
    refusal::check_method,
    request_line::Form,
    route::Route,
    text::Json,
    viewer::ViewerId,
};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::{
    body::Body,
    connection_handle::no_place,
    reply,
    request_body::RequestBody,
    router::{self, App},
};
use crate::access::Caller;

/// Places for requests on open listeners: those of viewers leave some to programs on the device, and
/// those of programs that wait for something leave some to the others.
#[derive(Clone, Debug)]
pub struct LocalPermits {
    viewers: Arc<Semaphore>,
    /// Requests that wait. When there are more, the one that waits for longest is answered.
    waiting: Permits,
    others: Arc<Semaphore>,
}

impl LocalPermits {
    /// Places for so many connections; `local` of them are for programs on the device. A few more
    /// are never asked anything, so that there is always one to be displaced by a newcomer.
    pub fn new(connections: usize, local: usize) -> Self {
        let permits = |count| Arc::new(Semaphore::new(count));
        Self {
            viewers: permits(connections - local - local / 4),
            waiting: Permits::new((local / 2).max(1)),
            others: permits(local.div_ceil(2).max(1)),
        }
    }

    /// A place for a request of a viewer, or of a program that waits for nothing.
    fn take(&self, is_local: bool) -> Result<OwnedSemaphorePermit, Error> {
        let permits = if is_local {
            &self.others
        } else {
            &self.viewers
        };
        let permit = Arc::clone(permits).try_acquire_owned();
        permit.map_err(|_| no_place())
    }

    /// A place for one that waits.
    fn wait(&self) -> Result<Permit, Error> {
        if self.waiting.count() >= self.waiting.max() {
            self.waiting.end_oldest("others wait too");
        }
        let claim = Claim {
            rank: Rank::Guest,
            whose: "".into(),
            answers: "".into(),
            share: usize::MAX,
            replaces_own: false,
        };
        self.waiting.take(claim).map_err(|_| no_place())
    }
}

/// A peer on a listener without access control.
pub(super) struct Peer {
    pub(super) app: Arc<App>,
    /// Origins and hosts that are let in beside programs of this machine, as they are now.
    pub(super) allowed: watch::Receiver<Arc<Allowed>>,
    /// Set if the listener is on loopback: it has the routes for programs on the device itself.
    pub(super) is_local: bool,
    pub(super) permits: LocalPermits,
    /// The peer, as it is before it has said anything.
    pub(super) caller: Caller,
}

impl Peer {
    /// Answers a request, whose line had this form.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        form: Form,
        asked_at: Instant,
    ) -> Response<Body> {
        let Self {
            app,
            allowed,
            is_local,
            permits,
            caller,
        } = self;
        let address = caller.peer;
        let allowed = Arc::clone(&allowed.borrow());
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        let origin = match origin_policy::check(&parts.headers, &form, &allowed) {
            Ok(origin) => origin,
            Err(error) => {
                tracing::debug!(peer = %address, path, reason = error.reason(), "refused");
                let response = reply::refusal(&error);
                app.count(path, response.status());
                return response;
            }
        };
        if *is_local
            && origin.is_none()
            && let Some(route) = FirmwareRoute::from_path(path)
        {
            let answer = Box::pin(local(app, permits, route, &parts, body)).await;
            let response = answer.unwrap_or_else(|error| {
                tracing::debug!(peer = %address, path, reason = error.reason(), "refused");
                reply::refusal(&error)
            });
            app.count(path, response.status());
            return response;
        }
        let permit = match permits.take(false) {
            Ok(permit) => permit,
            Err(error) => {
                let response = reply::refusal(&error);
                app.count(path, response.status());
                return response;
            }
        };
        let mut response = match Route::from_path(path) {
            Ok(route) if origin.is_some() && parts.method == Method::OPTIONS => {
                let response = origin_policy::preflight(route.allowed_methods(), &parts.headers);
                app.count(path, response.status());
                response.map(|()| Body::whole(Bytes::new()))
            }
            _ => {
                let mut request = router::Request {
                    method: &parts.method,
                    path,
                    query: parts.uri.query().unwrap_or_default(),
                    headers: &parts.headers,
                    body: RequestBody::clear(body),
                    caller: caller.clone(),
                    asked_at,
                };
                app.respond(&mut request).await
            }
        };
        response.body_mut().keep(permit);
        if let Some(origin) = origin {
            origin_policy::expose_to(origin, response.headers_mut());
        }
        response
    }
}

/// Answers a program on the device itself.
async fn local(
    app: &App,
    permits: &LocalPermits,
    route: FirmwareRoute,
    parts: &Parts,
    body: Incoming,
) -> Result<Response<Body>, Error> {
    let (method, path) = (&parts.method, parts.uri.path());
    let query = parts.uri.query().unwrap_or_default();
    let mut body = RequestBody::clear(body);
    check_method(route.allowed_methods(), method)?;
    if route == FirmwareRoute::Call && method == Method::GET {
        let wait = CallWait::decode(&Query::parse(query)?)?;
        let text = call(app, wait, &permits.wait()?).await;
        return Ok(reply::json(StatusCode::OK, text));
    }
    let _permit = permits.take(true)?;
    let text = match route {
        FirmwareRoute::Feedback => {
            let viewer = viewer_of(path).unwrap_or_else(|| ViewerId::from_firmware(""));
            let message = Feedback::parse(&body.read(app.body_timeout).await?)?;
            app.device.tell(&viewer, message).await?
        }
        FirmwareRoute::Event => {
            let event = EventRequest::decode(&Query::parse(query)?)?;
            app.device.note_event(event)?;
            r#"{"status":"0"}"#.to_owned()
        }
        FirmwareRoute::Speaker => {
            let heard = app.device.heard(Query::parse(query)?.channel()?)?;
            return Ok(speaker(&heard));
        }
        FirmwareRoute::Call => {
            let CallRequest { channel, what } = CallRequest::decode(&Query::parse(query)?)?;
            app.device.move_call(channel, what)?;
            r#"{"status":"0"}"#.to_owned()
        }
        FirmwareRoute::Sessions => {
            let sessions = app.device.sessions().into_iter().map(|session| {
                json!({
                    "session": session.viewer.as_str(),
                    "name": session.name,
                    "endpoint": session.endpoint,
                    "seconds": session.seconds,
                    "takes_feedback": session.takes_feedback,
                })
            });
            json!({ "sessions": sessions.collect::<Vec<_>>() }).to_string()
        }
    };
    // Of what viewers are called, and reply.
    Ok(reply::json(StatusCode::OK, Json(&text).to_string()))
}

/// State of the call as JSON, once it is not as its asker knew it any more.
async fn call(app: &App, CallWait { after, wait }: CallWait, permit: &Permit) -> String {
    let mut shown = app.device.calls().shown();
    let is_other = shown.wait_for(|shown| shown.closed || after != Some(shown.number));
    // What has not changed in time, or while others want to wait too, is told as it is.
    tokio::select! {
        _ = tokio::time::timeout(wait, is_other) => {}
        _ = permit.ended() => {}
    }
    let shown = shown.borrow().clone();
    let viewers: &[_] = match &shown.state {
        CallState::Idle => &[],
        CallState::Calling { viewers, .. } => viewers,
        CallState::Called { viewer, .. } | CallState::Talking { viewer, .. } => from_ref(viewer),
    };
    let viewers: Vec<_> = viewers.iter().map(ViewerId::as_str).collect();
    json!({
        "number": shown.number,
        "state": shown.state.as_str(),
        "channel": shown.state.channel().map(|channel| channel.0),
        "viewers": viewers,
    })
    .to_string()
}

/// Answers with the sound that a speaker has played, as a WAV; in the head when it began and how
/// loud it is now.
fn speaker(heard: &PlayedAudio) -> Response<Body> {
    let body = Body::whole(heard.wav().into());
    let mut response = reply::with_type(StatusCode::OK, "audio/wav", body);
    let headers = [
        ("x-start-millis", heard.start_millis.to_string()),
        ("x-level", format!("{:.4}", heard.level())),
    ];
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
