//! The `voice` route: a request's body, played through a channel's speaker, and the answer that says how it
//! went. Containers are `proto::voice`'s, the flow of sound is `talk`'s.

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};
use peercam_hal::BoxFuture;
use peercam_proto::{
    credential::Transport, error::Error, query::Query, route::Labels, voice::Declared,
};
use serde_json::json;

use super::{
    body::Body,
    reply,
    request_body::RequestBody,
    router::{App, Request},
};
use crate::{
    access::Caller,
    talk::{Pace, Pieces},
};

impl App {
    /// Plays a body through a speaker. It is answered when it has ended; a refusal comes at once.
    pub(super) async fn voice(&self, request: &mut Request<'_>) -> Result<Response<Body>, Error> {
        let Request {
            query,
            headers,
            body,
            caller,
            ..
        } = request;
        let talk = async {
            let query = Query::parse(query)?;
            caller.introduce(&Labels::from_query(&query)?);
            let talk = self.device.talk(caller, query.channel()?)?;
            let (declared, pace) = declared(&query, headers, body, caller)?;
            let (played, talked) = talk.play(body.take(), declared, pace).await;
            if let Some(played) = played {
                *body = played;
            }
            talked
        };
        let talked = talk.await;
        match talked {
            Ok(talked) if talked.hung_up.is_none() => {}
            // Whoever still sends sees the answer.
            _ => body.discard().await,
        }
        let talked = talked?;
        let mut text = json!({
            "status": "0",
            "played": talked.played_millis.to_string(),
            "lost": talked.lost.to_string(),
            "lost_ms": talked.lost_millis.to_string(),
        });
        if let Some(advice) = talked.advice() {
            text["advice"] = json!(advice);
        }
        if let Some(why) = talked.hung_up {
            text["reason"] = json!(why);
        }
        Ok(reply::json(StatusCode::OK, text.to_string()))
    }
}

/// Form of a body, and whether it was recorded before.
fn declared(
    query: &Query<'_>,
    headers: &HeaderMap,
    body: &RequestBody,
    caller: &Caller,
) -> Result<(Declared, Pace), Error> {
    // In clear, or within QUIC, the head of the request is its sender's own. Over TCP with a token
    // it may be anybody's on the way: there the parameters decide how a talk is read.
    let has_own_head = !is_under_token(caller);
    let content_type = has_own_head
        .then(|| headers.get(header::CONTENT_TYPE))
        .flatten();
    let content_type = content_type.map(|text| text.to_str().unwrap_or("unreadable"));
    let declared = Declared::from_request(query, content_type)?;
    let is_recorded = declared.is_recorded() || has_own_head && body.length().is_some();
    let pace = if is_recorded {
        Pace::Recorded
    } else {
        Pace::Live
    };
    Ok((declared, pace))
}

/// Returns whether a token covers a request and not its head.
fn is_under_token(caller: &Caller) -> bool {
    caller.transport == Transport::Tcp && caller.holder().is_some()
}

impl Pieces for RequestBody {
    fn piece(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Error>> {
        Box::pin(self.next_piece())
    }
}
