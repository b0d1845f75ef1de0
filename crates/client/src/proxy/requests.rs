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
    route::Route,
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
enum Service {
    /// A route of the device, to which the request goes on.
    Device(Route),
    /// Feedback of the device.
    Events,
    /// State of the connection.
    Health,
}

impl Service {
    fn from_path(path: &str) -> Option<Self> {
        match Route::from_path(path) {
            // The proxy tells of itself; counters of the device are for its owner.
            Ok(Route::Health) => Some(Self::Health),
            Ok(Route::Metrics) => None,
            Ok(route) => Some(Self::Device(route)),
            Err(_) => (path.rsplit('/').next() == Some("events")).then_some(Self::Events),
        }
    }

    fn methods(self) -> &'static str {
        match self {
            Self::Device(route) => route.allowed_methods(),
            Self::Events | Self::Health => "GET",
        }
    }
}

/// A player on its connection, and the device that it is served from.
pub(super) struct Player {
    pub(super) session: Session,
    pub(super) rules: Rules,
    /// Sound of it that is still being sent.
    pub(super) tail: Tail,
    /// Set if it is a program of this user.
    pub(super) is_own: bool,
}

impl Player {
    /// Answers a request, whose line had this form.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        form: Form,
    ) -> Response<ProxyBody> {
        let (parts, body) = request.into_parts();
        let origin = match origin_policy::check(&parts.headers, &form, &self.rules.allowed) {
            Ok(origin) => origin,
            Err(error) => return fenced(refusal(&error)),
        };
        let mut response = match self.service(parts.uri.path()) {
            Err(error) => refusal(&error),
            Ok(service) if origin.is_some() && parts.method == Method::OPTIONS => {
                let response = origin_policy::preflight(service.methods(), &parts.headers);
                response.map(|()| whole(String::new()))
            }
            Ok(service) => match check_method(service.methods(), &parts.method) {
                Err(error) => refusal(&error),
                Ok(()) => self.serve(service, &parts, body).await,
            },
        };
        if let Some(origin) = origin {
            origin_policy::expose_to(origin, response.headers_mut());
        }
        fenced(response)
    }

    fn service(&self, path: &str) -> Result<Service, Error> {
        if !self.is_own {
            return Err(Error::new(
                ErrorKind::Forbidden,
                "this proxy serves the user who started it only (--any-user lifts that)",
            ));
        }
        Service::from_path(path).ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                "no such path; this proxy serves /ipc.flv, /voice, /command, /snapshot.jpg, /events and /healthz",
            )
        })
    }

    async fn serve(&self, service: Service, parts: &Parts, body: Incoming) -> Response<ProxyBody> {
        match service {
            Service::Device(route) => self.forward(route, parts, body).await,
            Service::Events => {
                let body = EventBody::new(self.rules.events.subscribe());
                let body = body.map_err(|never| match never {}).boxed_unsync();
                with_type("text/event-stream", body)
            }
            Service::Health => {
                let path = self.session.path();
                let text = json!({
                    "status": if path.is_some() { "ok" } else { "degraded" },
                    "connected": path.is_some(),
                    "path": path,
                });
                with_type("application/json", whole(text.to_string()))
            }
        }
    }

    /// Has the device answer.
    async fn forward(&self, route: Route, parts: &Parts, body: Incoming) -> Response<ProxyBody> {
        let target = target(&format!("/{}", route.as_str()), parts.uri.query());
        let sent = match parts.method {
            Method::GET => {
                let range = parts.headers.get(header::RANGE).cloned();
                self.session.media(&target, range).await
            }
            _ => {
                let body = match route {
                    Route::Voice if body.size_hint().exact().is_none() => {
                        upload::as_far_as_it_comes(body)
                    }
                    _ => body.map_err(Into::into).boxed_unsync(),
                };
                let sending = send(self.session.clone(), target.clone(), parts, body);
                match route {
                    Route::Voice => {
                        let sent = self.tail.run(sending).await;
                        sent.unwrap_or(Err(ClientError::Broken))
                    }
                    _ => sending.await,
                }
            }
        };
        match sent {
            Err(error) => failure(&error),
            Ok(answer) => passed_on(answer, refused(route, &target)),
        }
    }
}

/// The device's answer; one that is none of success has this code.
fn passed_on(answer: Answer, code: Option<Code>) -> Response<ProxyBody> {
    let status = passed::status(answer.status());
    let mut headers = passed::headers(answer.headers());
    if let Some(code) = code.filter(|_| !status.is_success()) {
        headers.insert(CODE, HeaderValue::from(code.number()));
    }
    let mut response = Response::new(answer.into_body().boxed_unsync());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// The code of a request that the device refused.
fn refused(route: Route, target: &str) -> Option<Code> {
    match route {
        Route::Media if Kind::of(target) == Some(Kind::Download) => Some(Code::NoDownload),
        Route::Media | Route::Snapshot => Some(Code::NoStream),
        Route::Voice => Some(Code::NoVoice),
        Route::Command | Route::Health | Route::Metrics => None,
    }
}

/// An answer of which a browser makes nothing, whatever the device wrote into it.
fn fenced(mut response: Response<ProxyBody>) -> Response<ProxyBody> {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, origin_policy::NO_SNIFF);
    headers.insert(header::CONTENT_SECURITY_POLICY, passed::NOTHING);
    response
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
    *response.headers_mut() = origin_policy::headers(content_type);
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
        for (path, service) in [
            ("/ipc.p2p.com/ipc.flv", Service::Device(Route::Media)),
            ("/snapshot.jpg", Service::Device(Route::Snapshot)),
            ("/ipc.p2p.com/events", Service::Events),
            ("/healthz", Service::Health),
        ] {
            assert_eq!(Service::from_path(path), Some(service), "{path}");
        }
        for path in [
            "/",
            "/ipc.flv/",
            "/metrics",
            "/sessions",
            "/forward/x/feedback",
        ] {
            assert_eq!(Service::from_path(path), None, "{path}");
        }
    }
}
