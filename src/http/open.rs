use std::{net::SocketAddr, sync::Arc, time::Instant};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use serde_json::json;

use super::{
    body::Body,
    reply,
    request_body::RequestBody,
    router::{self, App, Who},
};
use crate::{
    error::Error,
    hal::Heard,
    proto::{
        call::CallState,
        feedback::Feedback,
        guard::{self, Allowed},
        local::{CallRequest, CallWait, EventRequest, LocalRoute},
        query::Query,
        refusal::check_method,
        request_line::Form,
        route::Route,
        text::Json,
    },
};

/// Whoever has a connection to a listener without access control.
pub(super) struct Peer {
    pub(super) app: Arc<App>,
    /// What is let in beside programs of this machine.
    pub(super) allowed: Arc<Allowed>,
    /// The listener is on loopback: it has what is for programs on the device itself.
    pub(super) is_local: bool,
    pub(super) address: SocketAddr,
    /// The address without its port.
    pub(super) name: Arc<str>,
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
            address,
            name,
        } = self;
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        let origin = match guard::check(&parts.headers, form, allowed) {
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
            && let Some(route) = LocalRoute::of_path(path)
        {
            let body = RequestBody::clear(body);
            let query = parts.uri.query().unwrap_or_default();
            let answer = Box::pin(local(app, route, (&parts.method, query), body)).await;
            let response = answer.unwrap_or_else(|error| {
                tracing::debug!(peer = %address, path, reason = error.reason(), "refused");
                reply::refusal(&error)
            });
            app.count(path, response.status());
            return response;
        }
        let mut response = match Route::of_path(path) {
            Ok(route) if origin.is_some() && parts.method == Method::OPTIONS => {
                let mut response = Response::new(Body::whole(Bytes::new()));
                *response.status_mut() = StatusCode::NO_CONTENT;
                *response.headers_mut() = guard::preflight(route.allowed_methods(), &parts.headers);
                app.count(path, response.status());
                response
            }
            _ => {
                let mut request = router::Request {
                    method: &parts.method,
                    path,
                    query: parts.uri.query().unwrap_or_default(),
                    headers: &parts.headers,
                    body: RequestBody::clear(body),
                    who: Who::Anybody {
                        address: *address,
                        name,
                    },
                    asked_at,
                };
                app.respond(&mut request).await
            }
        };
        if let Some(origin) = origin {
            let headers = response.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(header::VARY, HeaderValue::from_static("Origin"));
        }
        response
    }
}

/// Answers a program on the device itself.
async fn local(
    app: &App,
    route: LocalRoute<'_>,
    (method, query): (&Method, &str),
    mut body: RequestBody,
) -> Result<Response<Body>, Error> {
    let allowed = match route {
        LocalRoute::Feedback { .. } | LocalRoute::Event => "POST",
        LocalRoute::Sessions | LocalRoute::Speaker => "GET",
        LocalRoute::Call => "GET, POST",
    };
    check_method(allowed, method)?;
    let text = match route {
        LocalRoute::Feedback { session } => {
            let message = Feedback::parse(&body.read(app.body_timeout).await?)?;
            app.device.tell(session, message).await?
        }
        LocalRoute::Event => {
            let event = EventRequest::decode(&Query::parse(query)?)?;
            app.device.note_event(event)?;
            r#"{"status":"0"}"#.to_owned()
        }
        LocalRoute::Speaker => {
            let heard = app.device.heard(Query::parse(query)?.channel()?)?;
            return Ok(speaker(&heard));
        }
        LocalRoute::Call if method == Method::POST => {
            let CallRequest { channel, what } = CallRequest::decode(&Query::parse(query)?)?;
            app.device.move_call(channel, what)?;
            r#"{"status":"0"}"#.to_owned()
        }
        LocalRoute::Call => call(app, CallWait::decode(&Query::parse(query)?)?).await,
        LocalRoute::Sessions => {
            let sessions = app.device.sessions().into_iter().map(|session| {
                json!({
                    "session": session.session,
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

/// How it stands with the call, once it is not as it was known any more.
async fn call(app: &App, CallWait { after, wait }: CallWait) -> String {
    let mut shown = app.device.calls().shown();
    let is_other = shown.wait_for(|shown| shown.closed || after != Some(shown.number));
    // What has not changed in time is told as it is.
    let _ = tokio::time::timeout(wait, is_other).await;
    let shown = shown.borrow().clone();
    let (state, channel, viewers) = match &shown.state {
        CallState::Idle => ("idle", None, Vec::new()),
        CallState::Calling {
            channel, viewers, ..
        } => ("calling", Some(channel), viewers.clone()),
        CallState::Called {
            channel, viewer, ..
        } => ("called", Some(channel), vec![viewer.clone()]),
        CallState::Talking { channel, viewer } => ("talking", Some(channel), vec![viewer.clone()]),
    };
    json!({
        "number": shown.number,
        "state": state,
        "channel": channel.map(|channel| channel.0),
        "viewers": viewers,
    })
    .to_string()
}

/// What a speaker has played, as a WAV; in the head when it began and how loud it is now.
fn speaker(heard: &Heard) -> Response<Body> {
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
