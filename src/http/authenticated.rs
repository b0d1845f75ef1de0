//! Authenticates the requests of one connection, lets their viewer in, and seals answers
//! where the wire does not.
//!
//! Invariants: an unauthenticated request is never routed and gets the same answer whatever it
//! asks, health apart; each request is admitted anew, so a revoked credential ends in the middle of
//! a connection; over TCP no answer to an authenticated request has a body in clear, but for media
//! where viewer and owner want that. Routes are [`App`]'s, MACs [`TokenVerifier`]'s.

use std::{sync::Arc, time::Instant};

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use hyper::body::{Body as _, Incoming};
use peercam_proto::{
    cookie,
    credential::{BodyKind, ClaimsError, Target, Transport},
    error::{Error, ErrorKind},
    origin_policy,
    query::Query,
    route::{Route, wants_clear},
    sealed::{Keys, Opener},
    text::Printable,
};
use peercam_task::boundary::Guarded;
#[cfg(feature = "p2p")]
use tokio::sync::OwnedSemaphorePermit;

use super::{
    body::Body,
    connection_handle::ConnectionHandle,
    reply,
    request_body::RequestBody,
    router::{self, App},
    sealed::seal,
};
use crate::access::{
    Authority, Caller, Holder, Session, SignedRequest, TokenVerifier, Unauthenticated, Verified,
};

/// A connection of a peer that has to authenticate: until a request does, there is one constant
/// answer for all of them.
pub(super) struct AuthenticatedConnection {
    verifier: TokenVerifier,
    authority: Arc<Authority>,
    /// Set if sealed media may be had unencrypted.
    allow_clear_media: bool,
    handle: Box<dyn ConnectionHandle>,
    /// The viewer's place, once it has proved itself; held as long as the connection.
    session: Guarded<Option<Session>>,
}

/// A request that proved itself, without its body.
struct Asking<'a> {
    method: &'a Method,
    headers: &'a HeaderMap,
    target: Target<'a>,
    asked_at: Instant,
}

impl<'a> Asking<'a> {
    /// The request, as it is routed.
    fn request(&self, caller: Caller, body: RequestBody) -> router::Request<'a> {
        router::Request {
            method: self.method,
            path: self.target.path,
            query: self.target.rest.unwrap_or_default(),
            headers: self.headers,
            body,
            caller,
            asked_at: self.asked_at,
        }
    }
}

/// The connection has failed to prove itself too often and is answered no more.
#[derive(Debug, thiserror::Error)]
#[error("no proof after several tries")]
pub(super) struct TooManyAttempts;

impl AuthenticatedConnection {
    pub(super) fn new(
        verifier: TokenVerifier,
        authority: Arc<Authority>,
        allow_clear_media: bool,
        handle: impl ConnectionHandle + 'static,
    ) -> Self {
        Self {
            verifier,
            authority,
            allow_clear_media,
            handle: Box::new(handle),
            session: Guarded::default(),
        }
    }

    /// Answers a request, or ends the connection.
    pub(super) async fn answer(
        &self,
        app: &App,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, TooManyAttempts> {
        let asked_at = Instant::now();
        let (parts, body) = request.into_parts();
        let Verified {
            holder,
            target,
            keys,
        } = match self.prove(&parts, &body) {
            Ok(proven) => proven,
            Err(Unauthenticated) => return self.unproven(app, &parts),
        };
        let asking = Asking {
            method: &parts.method,
            headers: &parts.headers,
            target,
            asked_at,
        };
        Ok(match keys {
            Some(keys) => self.sealed(app, asking, holder, body, keys).await,
            None => {
                let body = RequestBody::clear(body);
                self.answer_in_clear(app, asking, holder, body).await
            }
        })
    }

    /// Answers a request on a wire that is secure by itself.
    async fn answer_in_clear(
        &self,
        app: &App,
        asking: Asking<'_>,
        holder: Result<Holder, ClaimsError>,
        body: RequestBody,
    ) -> Response<Body> {
        match self.admit(holder) {
            Err(error) => self.refuse(app, asking.target.path, body, &error).await,
            Ok(caller) => app.respond(&mut asking.request(caller, body)).await,
        }
    }

    /// Answers a request in records.
    async fn sealed(
        &self,
        app: &App,
        asking: Asking<'_>,
        holder: Result<Holder, ClaimsError>,
        body: Incoming,
        keys: Keys,
    ) -> Response<Body> {
        let target = asking.target;
        // No answer to HEAD has a body (RFC 9110 §9.3.2), so there is nothing that could be sealed,
        // and its head would stand in clear.
        if asking.method == Method::HEAD {
            app.count(target.path, StatusCode::METHOD_NOT_ALLOWED);
            let mut response = Response::new(Body::whole(bytes::Bytes::new()));
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            let headers = response.headers_mut();
            headers.insert(header::X_CONTENT_TYPE_OPTIONS, origin_policy::NO_SNIFF);
            return response;
        }
        let query = target.rest.unwrap_or_default();
        let route = Route::from_path(target.path).ok();
        let is_command = route == Some(Route::Command);
        let checked = self.admit(holder).and_then(|caller| {
            let wants_clear = route == Some(Route::Media) && wants_clear(&Query::parse(query)?)?;
            if is_command && target.rest.is_some() {
                return Err(Error::bad_request(
                    "on this listener the parameters of a command go into the sealed body, where nobody in between can read them; the target has none but _token",
                ));
            }
            if wants_clear && !self.allow_clear_media {
                return Err(Error::new(
                    ErrorKind::Forbidden,
                    "this listener does not send media unencrypted; leave _crypto=off out, or have the device's owner set allow_clear_media",
                ));
            }
            Ok((caller, wants_clear))
        });
        let (caller, wants_clear) = match checked {
            Ok(checked) => checked,
            Err(error) => {
                let body = RequestBody::clear(body);
                let response = self.refuse(app, target.path, body, &error).await;
                return seal(response, keys.response);
            }
        };
        // That there is no body is signed too, so that taking it away on the way does not hold.
        let body = if body.is_end_stream() {
            RequestBody::clear(body)
        } else {
            RequestBody::sealed(body, Opener::request(keys.request))
        };
        let response = app.respond(&mut asking.request(caller, body)).await;
        // Refusals are sealed in any case: clear is what the media alone may be.
        if wants_clear && response.status().is_success() {
            return response;
        }
        seal(response, keys.response)
    }

    /// Refuses somebody who has proved itself.
    async fn refuse(
        &self,
        app: &App,
        path: &str,
        mut body: RequestBody,
        error: &Error,
    ) -> Response<Body> {
        tracing::debug!(peer = %self.handle.peer(), path, reason = error.reason(), "refused");
        body.discard().await;
        let response = reply::refusal(error);
        app.count(path, response.status());
        response
    }

    /// Notes that something of this connection has panicked.
    pub(super) fn panicked(&self) {
        let session = self.session.lock();
        let holder = session.as_ref().map(|session| session.holder().clone());
        drop(session);
        if let Some(holder) = holder {
            self.authority.note_panic(&holder);
        }
    }

    /// Name of the viewer whose session the connection has, for logs; `None` if it has none.
    #[cfg(feature = "p2p")]
    pub(super) fn viewer(&self) -> Option<String> {
        let session = self.session.lock();
        let holder = session.as_ref().map(Session::holder);
        holder.map(|holder| Printable(&holder.claims.name).to_string())
    }

    /// Takes a place for a request, if its viewer may have another one under way. A peer that is
    /// not authenticated has one stream anyway.
    #[cfg(feature = "p2p")]
    pub(super) fn take_request(&self) -> Option<Option<OwnedSemaphorePermit>> {
        let session = self.session.lock();
        match session.as_ref() {
            None => Some(None),
            Some(session) => {
                let requests = Arc::clone(&session.requests);
                requests.try_acquire_owned().ok().map(Some)
            }
        }
    }

    fn prove<'a>(
        &self,
        parts: &'a Parts,
        body: &Incoming,
    ) -> Result<Verified<'a>, Unauthenticated> {
        // Only a target in origin form (RFC 9112 §3.2.1) is what was signed.
        let target = parts.uri.path_and_query().ok_or(Unauthenticated)?;
        let mut ranges = parts.headers.get_all(header::RANGE).iter();
        let range = ranges.next().map(HeaderValue::as_bytes);
        // Two ranges are read differently by different readers, and one of them would be unsigned.
        if parts.uri.authority().is_some() || ranges.next().is_some() {
            return Err(Unauthenticated);
        }
        self.verifier.prove(&SignedRequest {
            method: parts.method.as_str(),
            target: target.as_str(),
            range,
            body: match (body.is_end_stream(), self.handle.transport()) {
                (true, _) => BodyKind::None,
                (false, Transport::Tcp) => BodyKind::Records,
                (false, Transport::P2p) => BodyKind::Plain,
            },
        })
    }

    /// Lets the holder of a credential in: it must be good now, and there must be a place.
    fn admit(&self, holder: Result<Holder, ClaimsError>) -> Result<Caller, Error> {
        let forbidden = |reason: String| Error::new(ErrorKind::Forbidden, reason);
        let holder = holder.map_err(|error| forbidden(error.to_string()))?;
        let holder = Arc::new(self.authority.admit(holder)?);
        match (holder.claims.peer, self.verifier.peer()) {
            (None, _) => {}
            (pinned, shown) if pinned == shown => {}
            (_, None) => {
                return Err(forbidden(
                    "this credential is for one viewer's key, which a connection over TCP cannot show; use P2P".to_owned(),
                ));
            }
            (_, Some(shown)) => {
                return Err(forbidden(format!(
                    "this credential is for another viewer's key; this one has {shown}"
                )));
            }
        }
        let (peer, transport) = (self.handle.peer(), self.handle.transport());
        let mut session = self.session.lock();
        if !session.as_ref().is_some_and(Session::is_open) {
            // The device has ended the session that this connection had: what it asks now needs a
            // place like anybody's.
            *session = None;
            let (sessions, end) = (&self.authority.sessions, self.handle.ending());
            let (endpoint, path) = (self.verifier.peer(), self.handle.path());
            let entered = sessions.enter(Arc::clone(&holder), endpoint, path, end)?;
            tracing::debug!(%peer, viewer = %Printable(&holder.claims.name), credential = %holder.claims.id, "proved itself");
            if let Some(endpoint) = self.verifier.peer() {
                self.authority.note_endpoint(&holder, endpoint);
            }
            // Whoever is refused stays one of those for whom there is little room and time.
            self.handle.entered(&entered)?;
            *session = Some(entered);
        }
        let gone = || Error::new(ErrorKind::Unavailable, "the session has ended");
        let session = session.as_ref().ok_or_else(gone)?;
        let authority = &self.authority;
        Ok(Caller::authenticated(
            holder, session, authority, peer, transport,
        ))
    }

    /// The constant answer.
    fn unproven(&self, app: &App, parts: &Parts) -> Result<Response<Body>, TooManyAttempts> {
        let path = parts.uri.path();
        let has_token = parts.uri.query().is_some_and(Target::names_token);
        let is_read = matches!(parts.method, Method::GET | Method::HEAD);
        if !has_token && is_read && Route::from_path(path) == Ok(Route::Health) {
            app.count(path, StatusCode::OK);
            return Ok(reply::json(StatusCode::OK, r#"{"status":"ok"}"#.to_owned()));
        }
        // A viewer's first request asks for the challenge, and is no failure.
        if has_token {
            self.authority.note_failure(self.handle.peer().source());
        }
        if let Some(cookie) = parts.headers.get(cookie::HEADER) {
            self.handle.shown(cookie.to_str().unwrap_or_default());
        }
        let challenge = self.verifier.challenge().ok_or(TooManyAttempts)?;
        // Not by path: a stranger's request is no use of a route.
        app.count("", StatusCode::UNAUTHORIZED);
        Ok(reply::challenge(
            &challenge,
            self.handle.cookie().as_deref(),
        ))
    }
}
