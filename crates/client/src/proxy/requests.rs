//! A player's request, and the device's answer to it.

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Method, Request, Response, StatusCode, header, request::Parts,
};
use http_body::Body as _;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use peercam_proto::{
    credential::Target,
    error::{Error, ErrorKind},
    origin_policy,
    refusal::{self, check_method},
    request_line::Form,
};
use serde_json::json;

use super::{Rules, events::EventBody, passed, tail::Tail};
use crate::{
    Answer, ClientError, Code,
    p2p::{ClientRequest, Kind, Session},
    upload::{self, Upload},
};

/// Body of the answer to a player.
pub(super) type ProxyBody = UnsyncBoxBody<Bytes, ClientError>;

/// The code of a failure, for apps that know codes.
const CODE: HeaderName = HeaderName::from_static("peercam-code");
/// Service of a proxy; of a path only the last part counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    /// Media of the device.
    Media,
    /// Sound to the device.
    Voice,
    /// Commands to the device.
    Command,
    /// A picture of the device by itself.
    Snapshot,
    /// Feedback of the device.
    Events,
    /// State of the connection.
    Health,
}

impl Route {
    fn from_path(path: &str) -> Option<Self> {
        Some(match path.rsplit('/').next()? {
            "ipc.flv" => Self::Media,
            "voice" => Self::Voice,
            "command" => Self::Command,
            "snapshot.jpg" => Self::Snapshot,
            "events" => Self::Events,
            "healthz" => Self::Health,
            _ => return None,
        })
    }

    const fn methods(self) -> &'static str {
        match self {
            Self::Media | Self::Snapshot => "GET, HEAD",
            Self::Voice => "POST, PUT",
            Self::Command => "POST",
            Self::Events | Self::Health => "GET",
        }
    }

    /// The code of a request that the device refused.
    const fn code(self) -> Option<Code> {
        match self {
            Self::Media | Self::Snapshot => Some(Code::NoStream),
            Self::Voice => Some(Code::NoVoice),
            Self::Command | Self::Events | Self::Health => None,
        }
    }
}

/// Answers a request. `is_own` is whether this user's programs made it.
pub(super) async fn answer(
    device: (&Session, &Tail),
    rules: &Rules,
    is_own: bool,
    (request, form): (Request<Incoming>, Form),
) -> Response<ProxyBody> {
    let (parts, body) = request.into_parts();
    let origin = match origin_policy::check(&parts.headers, &form, &rules.allowed) {
        Ok(origin) => origin,
        Err(error) => return fenced(refusal(&error)),
    };
    let mut response = match route(&parts, is_own) {
        Err(error) => refusal(&error),
        Ok(route) if origin.is_some() && parts.method == Method::OPTIONS => {
            let mut response = Response::new(whole(String::new()));
            *response.status_mut() = StatusCode::NO_CONTENT;
            *response.headers_mut() = origin_policy::preflight(route.methods(), &parts.headers);
            response
        }
        Ok(route) => match check_method(route.methods(), &parts.method) {
            Err(error) => refusal(&error),
            Ok(()) => serve(device, rules, route, &parts, body).await,
        },
    };
    if let Some(origin) = origin {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    }
    fenced(response)
}

/// An answer of which a browser makes nothing, whatever the device wrote into it.
fn fenced(mut response: Response<ProxyBody>) -> Response<ProxyBody> {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, origin_policy::NO_SNIFF);
    headers.insert(header::CONTENT_SECURITY_POLICY, passed::NOTHING);
    response
}

fn route(parts: &Parts, is_own: bool) -> Result<Route, Error> {
    if !is_own {
        return Err(Error::new(
            ErrorKind::Forbidden,
            "this proxy serves the user who started it only (--any-user lifts that)",
        ));
    }
    Route::from_path(parts.uri.path()).ok_or_else(|| {
        Error::new(
            ErrorKind::NotFound,
            "no such path; this proxy serves /ipc.flv, /voice, /command, /snapshot.jpg, /events and /healthz",
        )
    })
}

async fn serve(
    (session, tail): (&Session, &Tail),
    rules: &Rules,
    route: Route,
    parts: &Parts,
    body: Incoming,
) -> Response<ProxyBody> {
    let path = match route {
        Route::Media => "/ipc.flv",
        Route::Voice => "/voice",
        Route::Command => "/command",
        Route::Snapshot => "/snapshot.jpg",
        Route::Events => {
            let body = EventBody::new(rules.events.subscribe());
            let body = body.map_err(|never| match never {}).boxed_unsync();
            return with_type("text/event-stream", body);
        }
        Route::Health => {
            let path = session.path();
            let text = json!({
                "status": if path.is_some() { "ok" } else { "degraded" },
                "connected": path.is_some(),
                "path": path,
            });
            return with_type("application/json", whole(text.to_string()));
        }
    };
    let target = target(path, parts.uri.query());
    let sent = match parts.method {
        Method::GET => {
            let range = parts.headers.get(header::RANGE).cloned();
            session.media(&target, range).await
        }
        _ => {
            let body = match route {
                Route::Voice if body.size_hint().exact().is_none() => {
                    upload::as_far_as_it_comes(body)
                }
                _ => body.map_err(Into::into).boxed_unsync(),
            };
            let sending = send(session.clone(), target.clone(), parts, body);
            match route {
                Route::Voice => tail.run(sending).await.unwrap_or(Err(ClientError::Broken)),
                _ => sending.await,
            }
        }
    };
    match sent {
        Err(error) => failure(&error),
        Ok(answer) => {
            let status = passed::status(answer.status());
            let headers = passed::headers(answer.headers());
            let mut response = Response::new(answer.into_body().boxed_unsync());
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            let code = match Kind::of(&target) {
                Some(Kind::Download) => Some(Code::NoDownload),
                _ => route.code(),
            };
            if let Some(code) = code.filter(|_| !status.is_success()) {
                response
                    .headers_mut()
                    .insert(CODE, HeaderValue::from(code.number()));
            }
            response
        }
    }
}

/// Sends a player's body on.
fn send(
    session: Session,
    target: String,
    parts: &Parts,
    body: Upload,
) -> impl Future<Output = Result<Answer, ClientError>> + Send + use<> {
    let method = parts.method.clone();
    let [range, content_type] =
        [header::RANGE, header::CONTENT_TYPE].map(|name| parts.headers.get(name).cloned());
    async move {
        let request = ClientRequest {
            method,
            target: &target,
            range,
            content_type,
            body,
        };
        session.send(request).await
    }
}

/// The device's target: tokens are the proxy's to add, and it knows no others.
fn target(path: &str, query: Option<&str>) -> String {
    let pairs = query.unwrap_or_default().split('&');
    let kept: Vec<_> = pairs
        .filter(|pair| !pair.is_empty() && !Target::names_token(pair))
        .collect();
    if kept.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{}", kept.join("&"))
    }
}

/// No answer came from the device.
fn failure(error: &ClientError) -> Response<ProxyBody> {
    let cause = match error {
        ClientError::OutcomeUnknown(cause) => cause,
        error => error,
    };
    let status = match cause {
        ClientError::Refused { status, .. } => {
            StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_GATEWAY)
        }
        ClientError::NotDialled { .. } | ClientError::CloseReason(_) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        ClientError::Timeout(_) => StatusCode::GATEWAY_TIMEOUT,
        ClientError::BadTarget(_) => StatusCode::BAD_REQUEST,
        _ => StatusCode::BAD_GATEWAY,
    };
    let code = error.code().map(Code::number);
    let mut text = json!({"status": "407", "reason": error.to_string()});
    if let Some(code) = code {
        text["code"] = code.into();
    }
    let mut response = with_type("application/json", whole(text.to_string()));
    *response.status_mut() = status;
    if let Some(code) = code {
        response.headers_mut().insert(CODE, HeaderValue::from(code));
    }
    response
}

/// The request is none for this proxy.
fn refusal(error: &Error) -> Response<ProxyBody> {
    tracing::debug!(reason = error.reason(), "refused");
    let (status, text) = refusal::refusal(error);
    let mut response = with_type("application/json", whole(text));
    *response.status_mut() = status;
    response
}

fn with_type(content_type: &'static str, body: ProxyBody) -> Response<ProxyBody> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn whole(text: String) -> ProxyBody {
    Full::new(Bytes::from(text))
        .map_err(|never| match never {})
        .boxed_unsync()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_others_go_no_further() {
        for (query, expected) in [
            (None, "/x"),
            (Some(""), "/x"),
            (Some("a=1&b=2"), "/x?a=1&b=2"),
            (Some("_token=t&a=1"), "/x?a=1"),
            (Some("a=1&%5Ftoken=t"), "/x?a=1"),
            (Some("a=1&_%74oken"), "/x?a=1"),
            (Some("_token=t"), "/x"),
            (
                Some("cmd={%22a%22:1}&x_token=2"),
                "/x?cmd={%22a%22:1}&x_token=2",
            ),
        ] {
            assert_eq!(target("/x", query), expected, "{query:?}");
        }
    }

    #[test]
    fn only_the_last_part_of_the_path_routes() {
        assert_eq!(Route::from_path("/ipc.p2p.com/ipc.flv"), Some(Route::Media));
        assert_eq!(Route::from_path("/snapshot.jpg"), Some(Route::Snapshot));
        for path in [
            "/",
            "/ipc.flv/",
            "/metrics",
            "/sessions",
            "/forward/x/feedback",
        ] {
            assert_eq!(Route::from_path(path), None, "{path}");
        }
    }
}
