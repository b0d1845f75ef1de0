//! Routes of the control socket, and what answers them.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Collected, Limited};
use hyper::body::Incoming;
use peercam_hal::BoxFuture;
use peercam_proto::{
    credential::RelayToken,
    error::{Error, ErrorKind},
    query::Query,
    refusal::check_method,
    text::Json,
};
use serde::Serialize;
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    body::{Body, Form, refusal},
    events::{EventLines, Followers},
};
use crate::{
    access::{Authority, SecretStore},
    budget::Budget,
    config::ReloadReport,
    http::App,
    log::levels::{self, Levels},
    reach::Reachability,
};

/// A running daemon, as it is asked over its control socket.
pub struct Control {
    /// Services that requests of viewers reach.
    pub app: Arc<App>,
    /// Handle with which the configuration is read again.
    pub reloader: Arc<dyn Reload>,
    /// The authority over who is let in.
    pub authority: Arc<Authority>,
    /// The lists of who is let in.
    pub store: SecretStore,
    /// Token that relays want to see of whoever is paired.
    pub relay_token: Option<RelayToken>,
    /// Path of the data directory.
    pub data_dir: String,
    /// Ways to reach the device.
    pub reach: watch::Receiver<Reachability>,
    /// Programs that follow what happens.
    pub followers: Followers,
    /// Token that is cancelled at the end of the daemon.
    pub stop: CancellationToken,
}

/// Handle with which the configuration is read again.
pub trait Reload: Send + Sync {
    /// Reads it, and applies what can be applied. Once begun it goes to its end, whether somebody
    /// waits for it or not.
    ///
    /// # Errors
    /// [`Error`] with the reason: nothing has changed.
    fn reload(&self) -> BoxFuture<'_, Result<ReloadReport, Error>>;

    /// Shares of the memory with the channels that there are now.
    fn budget(&self) -> Arc<Budget>;
}

/// A route of the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Status,
    Events,
    LogLevel,
    Reload,
    Pair,
    Revoke,
}

/// Time for which an answer waits for a reload: less than whoever asked waits for the answer.
const RELOAD_TIME: Duration = Duration::from_secs(4);
/// The longest body of a request, in bytes.
const MAX_BODY: usize = 16 << 10;

impl Route {
    /// Every route with its path and its methods.
    const ALL: [(Self, &'static str, &'static str); 6] = [
        (Self::Status, "/status", "GET"),
        (Self::Events, "/events", "GET"),
        (Self::LogLevel, "/log-level", "GET, PUT"),
        (Self::Reload, "/reload", "POST"),
        (Self::Pair, "/pair", "POST"),
        (Self::Revoke, "/revoke", "POST"),
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
        let (parts, body) = request.into_parts();
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
        let body = match read(body).await {
            Ok(body) => body,
            Err(error) => return refusal(&error),
        };
        let answered = match route {
            Route::Status => Ok(self.tell_status(form)),
            Route::Events => self.tell_events(form, parts.uri.query().unwrap_or_default()),
            Route::LogLevel if parts.method == Method::PUT => set_levels(&body),
            Route::LogLevel => tell_levels(),
            Route::Reload => self.reload(form).await,
            Route::Pair => self.pair(&body).await,
            Route::Revoke => self.revoke(&body).await,
        };
        answered.unwrap_or_else(|error| refusal(&error))
    }

    /// Lines of events from now on, or behind the event of a number.
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
        told(form, &self.status())
    }

    async fn reload(&self, form: Form) -> Result<Response<Body>, Error> {
        let reloaded = timeout(RELOAD_TIME, self.reloader.reload()).await;
        let reloaded = reloaded.map_err(|_| {
            let reason = "the configuration is still being read; the log of the daemon says what comes of it";
            Error::new(ErrorKind::Unavailable, reason)
        })?;
        Ok(told(form, &reloaded?))
    }
}

/// An answer, as it is wanted.
fn told(form: Form, answer: &(impl Serialize + fmt::Display)) -> Response<Body> {
    let text = match form {
        Form::Json => {
            let text = serde_json::to_string(answer).expect("strings and numbers serialize");
            Json(&text).to_string() + "\n"
        }
        Form::Text => answer.to_string(),
    };
    form.answer(StatusCode::OK, text)
}

/// Levels of the log, as `--log` takes them.
fn tell_levels() -> Result<Response<Body>, Error> {
    let levels = levels::current().ok_or_else(foreign_log)?;
    Ok(Form::Text.answer(StatusCode::OK, levels + "\n"))
}

fn set_levels(body: &[u8]) -> Result<Response<Body>, Error> {
    let text = std::str::from_utf8(body).unwrap_or_default().trim();
    let levels: Levels = text
        .parse()
        .map_err(|error: String| Error::bad_request(error))?;
    if levels::current().is_none() {
        return Err(foreign_log());
    }
    tracing::info!(%levels, "the levels of the log are set");
    if !levels::set(levels) {
        return Err(foreign_log());
    }
    tell_levels()
}

fn foreign_log() -> Error {
    let reason = "this daemon is part of another program, and the log is that program's";
    Error::new(ErrorKind::Unsupported, reason)
}

/// The whole body of a request; its connection has the time for that. One that is a little too long
/// is read nevertheless: whoever still sends would not see the refusal.
async fn read(body: Incoming) -> Result<Bytes, Error> {
    let read = Limited::new(body, 2 * MAX_BODY).collect().await;
    let body = read.map(Collected::to_bytes).ok();
    body.filter(|body| body.len() <= MAX_BODY).ok_or_else(|| {
        let reason = format!("the body broke off, or is longer than {MAX_BODY} bytes");
        Error::new(ErrorKind::TooLarge, reason)
    })
}
