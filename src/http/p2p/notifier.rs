//! Messages of the device to viewers: an HTTP request on a stream that the device opens.
//!
//! Invariant: a message goes only to a session that has the scope for it, over its newest
//! connection, and is answered or given up within [`REPLY_TIME`]. When something is to be said is
//! the device's to decide.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use peercam_hal::BoxFuture;
use peercam_net::{ExchangeError, Limits, p2p::Connection, request_once};
use peercam_proto::{
    credential::Scope,
    error::{Error, ErrorKind},
    feedback::{Feedback, MAX_FEEDBACK},
    viewer::ViewerId,
};
use tokio::time::{Instant, timeout_at};

use super::Peers;
use crate::{
    access::{Authority, SessionView},
    device::{SessionInfo, ViewerNotifier},
};

/// Timeout of a viewer's reply.
const REPLY_TIME: Duration = Duration::from_millis(7500);

/// Sender of the device's messages to viewers over P2P.
pub struct PeerNotifier {
    authority: Arc<Authority>,
    peers: Peers,
    /// Path and parameters of every message.
    target: String,
}

impl PeerNotifier {
    /// A notifier of the sessions of `authority`, over the connections of `peers`, in this device's
    /// name. Both names are of letters, digits, `_` and `-`.
    pub fn new(
        authority: Arc<Authority>,
        peers: Peers,
        product_id: &str,
        device_name: &str,
    ) -> Self {
        let target = format!("/feedback?product_id={product_id}&device_name={device_name}");
        Self {
            authority,
            peers,
            target,
        }
    }

    fn info(&self, view: &SessionView) -> SessionInfo {
        let rights = &view.holder.rights;
        let connection = self.peers.newest(&view.id);
        SessionInfo {
            viewer: view.id.clone(),
            name: view.holder.claims.name.clone(),
            endpoint: view.endpoint.map(|endpoint| endpoint.to_string()),
            peer: connection.as_ref().map(Connection::peer_address),
            seconds: view.since.elapsed().as_secs(),
            takes_feedback: rights.scopes.contains(Scope::Feedback) && connection.is_some(),
            may_talk: rights.scopes.contains(Scope::Voice),
            channels: rights.channels.clone(),
        }
    }

    fn connection(&self, viewer: &ViewerId) -> Result<Connection, Error> {
        let not_found = |reason| Err(Error::new(ErrorKind::NotFound, reason));
        let sessions = self.authority.sessions.list();
        let Some(view) = sessions.iter().find(|view| view.id == *viewer) else {
            return not_found(
                "there is no such session: its viewer has left, or never was; GET /sessions lists those that are there",
            );
        };
        if !view.holder.rights.scopes.contains(Scope::Feedback) {
            return Err(Error::new(
                ErrorKind::Forbidden,
                "this viewer was paired without the scope feedback",
            ));
        }
        match self.peers.newest(viewer) {
            Some(connection) => Ok(connection),
            None if view.endpoint.is_none() => {
                not_found("this viewer is there over TCP, by which a device cannot say anything")
            }
            None => not_found("this viewer's connection is gone; it may come again"),
        }
    }

    async fn exchange(&self, viewer: &ViewerId, message: Feedback) -> Result<String, Error> {
        let connection = self.connection(viewer)?;
        let limits = Limits {
            body: Some(MAX_FEEDBACK),
            deadline: Instant::now() + REPLY_TIME,
        };
        let stream = timeout_at(limits.deadline, connection.open()).await;
        let stream = stream.map_err(|_| silent())?.map_err(|_| broken())?;
        let request = Request::post(&self.target)
            // The apps' placeholder: HTTP/1.1 asks for a host (RFC 9112 §3.2), and there is none.
            .header(header::HOST, "ipc.p2p.com")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Bytes::from(message.text().to_owned()))
            .map_err(|_| Error::bad_request("the message cannot be written"))?;
        let reply = request_once(stream, request, limits).await;
        let reply = reply.map_err(|error| match error {
            ExchangeError::Timeout => silent(),
            ExchangeError::NoHead(_) | ExchangeError::Panicked(_) => broken(),
            ExchangeError::BrokenBody(_) | ExchangeError::TooLarge(_) => {
                let reason = "the viewer's reply broke off or is longer than 16 KiB";
                Error::new(ErrorKind::BadAnswer, reason)
            }
        })?;
        parse_reply(reply.status(), reply.body())
    }
}

fn silent() -> Error {
    Error::new(
        ErrorKind::NoAnswer,
        "the viewer did not reply within 7.5 s; whether it has seen the message is not known",
    )
}

fn broken() -> Error {
    Error::new(
        ErrorKind::BadAnswer,
        "the viewer broke off before it replied; whether it has seen the message is not known",
    )
}

/// The viewer's reply, if it is JSON.
fn parse_reply(status: StatusCode, body: &[u8]) -> Result<String, Error> {
    let bad = |reason: String| Error::new(ErrorKind::BadAnswer, reason);
    if status != StatusCode::OK {
        return Err(bad(format!("the viewer refused the message ({status})")));
    }
    let text = std::str::from_utf8(body).unwrap_or_default();
    // Viewers written in C may send their string with its NUL.
    let text = text.trim_end_matches('\0');
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(bad("the viewer's reply is no JSON".to_owned())),
    }
}

impl ViewerNotifier for PeerNotifier {
    fn sessions(&self) -> Vec<SessionInfo> {
        let sessions = self.authority.sessions.list();
        sessions.iter().map(|view| self.info(view)).collect()
    }

    fn send(&self, viewer: &ViewerId, message: Feedback) -> BoxFuture<'_, Result<String, Error>> {
        let viewer = viewer.clone();
        Box::pin(async move { self.exchange(&viewer, message).await })
    }
}
