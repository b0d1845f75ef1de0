//! Routes of the control socket, and what answers them.

use std::sync::Arc;

use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use peercam_proto::{
    error::{Error, ErrorKind},
    query::Query,
    refusal::check_method,
    text::Json,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    body::{Body, Form, refusal},
    events::{EventLines, Followers},
};
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
    /// Programs that follow what happens.
    pub followers: Followers,
    /// Token that is cancelled at the end of the daemon.
    pub stop: CancellationToken,
}

/// A route of the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Status,
    Events,
}

impl Route {
    /// Every route with its path and its methods.
    const ALL: [(Self, &'static str, &'static str); 2] = [
        (Self::Status, "/status", "GET"),
        (Self::Events, "/events", "GET"),
    ];

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
            Route::Events => self.tell_events(form, parts.uri.query().unwrap_or_default()),
        };
        answered.unwrap_or_else(|error| refusal(&error))
    }

    /// What happens from now on, or behind the event of a number.
    fn tell_events(&self, form: Form, query: &str) -> Result<Response<Body>, Error> {
        let events = self.app.device.events();
        let receiver = match Query::parse(query)?.value("after")? {
            None => events.subscribe(),
            Some(number) => events.resume(
                number
                    .parse()
                    .map_err(|_| Error::bad_request("after is the number of an event"))?,
            ),
        };
        let stop = self.stop.clone();
        Ok(form.lines(EventLines::new(receiver, form, stop, &self.followers)?))
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
