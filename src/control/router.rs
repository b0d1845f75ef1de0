//! Routes of the control socket, and what answers them.

use std::sync::Arc;

use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use peercam_proto::{
    error::{Error, ErrorKind},
    refusal::check_method,
    text::Json,
};
use tokio::sync::watch;

use super::body::{Body, Form, refusal};
use crate::{access::Authority, budget::Budget, http::App, reach::Reachability};

/// A running daemon, as it is asked over its control socket.
pub struct Control {
    /// Services that requests of viewers reach.
    pub app: Arc<App>,
    /// The authority over who is let in.
    pub authority: Arc<Authority>,
    /// Path of the data directory.
    pub data_dir: String,
    /// Ways to reach the device.
    pub reach: watch::Receiver<Reachability>,
    /// Shares of the memory.
    pub budget: Budget,
}

/// A route of the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Status,
}

impl Route {
    /// Every route with its path and its methods.
    const ALL: [(Self, &'static str, &'static str); 1] = [(Self::Status, "/status", "GET")];

    fn from_path(path: &str) -> Result<(Self, &'static str), Error> {
        let mut routes = Self::ALL.into_iter();
        let known = routes.find(|(_, known, _)| *known == path);
        known
            .map(|(route, _, methods)| (route, methods))
            .ok_or_else(|| {
                let paths = Self::ALL.map(|(_, path, _)| path).join(", ");
                let reason = format!("there is no such path; the control socket has {paths}");
                Error::new(ErrorKind::NotFound, reason)
            })
    }
}

impl Control {
    /// Answers a request: whatever goes wrong is an answer too.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (parts, _body) = request.into_parts();
        let form = Form::wanted(&parts.headers);
        let (route, methods) = match Route::from_path(parts.uri.path()) {
            Ok(known) => known,
            Err(error) => return refusal(&error),
        };
        if let Err(error) = check_method(methods, &parts.method) {
            let mut response = refusal(&error);
            let methods = HeaderValue::from_static(methods);
            response.headers_mut().insert(header::ALLOW, methods);
            return response;
        }
        let answered = match route {
            Route::Status => Ok(self.tell_status(form)),
        };
        answered.unwrap_or_else(|error: Error| refusal(&error))
    }

    fn tell_status(&self, form: Form) -> Response<Body> {
        let status = self.status();
        let text = match form {
            Form::Json => {
                let text = serde_json::to_string(&status).expect("strings and numbers serialize");
                Json(&text).to_string() + "\n"
            }
            Form::Text => status.to_string(),
        };
        form.answer(StatusCode::OK, text)
    }
}
