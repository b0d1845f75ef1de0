//! The `voice` route: a request's body, played through a channel's speaker, and the answer that says how it
//! went. Containers are `proto::voice`'s, the flow of sound is `talk`'s.

use bytes::Bytes;
use http::{Response, StatusCode, header};
use peercam_hal::BoxFuture;
use peercam_proto::{
    credential::Transport, error::Error, media::ChannelId, query::Query, route::Labels,
    voice::Declared,
};
use peercam_task::boundary::Panicked;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{
    body::Body,
    reply,
    request_body::RequestBody,
    router::{App, Request},
};
use crate::{
    access::Caller,
    talk::{Pace, Pieces, TalkSignals, Talked},
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
        let asked = Query::parse(query).and_then(|query| {
            caller.introduce(&Labels::from_query(&query)?);
            let channel = query.channel()?;
            self.hub.check_channel(channel, caller.channels())?;
            // In clear, or within QUIC, the head of the request is its sender's own. Over TCP with a
            // token it may be anybody's on the way: there the parameters decide how a talk is read.
            let has_own_head = !is_under_token(caller);
            let content_type = has_own_head
                .then(|| headers.get(header::CONTENT_TYPE))
                .flatten();
            let content_type = content_type.map(|text| text.to_str().unwrap_or("unreadable"));
            let declared = Declared::from_request(&query, content_type)?;
            let is_recorded =
                query.value("recorded")? == Some("1") || has_own_head && body.length().is_some();
            let pace = if is_recorded {
                Pace::Recorded
            } else {
                Pace::Live
            };
            Ok((channel, declared, pace))
        });
        let talked = match asked {
            Ok((channel, declared, pace)) => self.talk(caller, channel, declared, pace, body).await,
            Err(error) => Err(error),
        };
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

    async fn talk(
        &self,
        caller: &Caller,
        channel: ChannelId,
        declared: Declared,
        pace: Pace,
        body: &mut RequestBody,
    ) -> Result<Talked, Error> {
        let _permit = self.take_permit(caller, None)?;
        let speakers = self.device.speakers();
        let turn = speakers
            .take(channel, caller.rank(), &caller.viewer)
            .await?;
        tracing::info!(%channel, %caller, req_id = caller.req_id, "talk began");
        let sequel = caller.sequel();
        let signals = TalkSignals {
            has_left: CancellationToken::new(),
            is_barred: sequel.ends.clone(),
        };
        let _leaves = signals.has_left.clone().drop_guard();
        let (talker, has_left) = (caller.clone(), signals.has_left.clone());
        let ended = move |talked: Result<&Result<Talked, Error>, Panicked>| match talked {
            Ok(talked) => {
                drop(sequel);
                log_end(&talker, channel, talked, has_left.is_cancelled());
            }
            Err(Panicked) => sequel.panicked(),
        };
        let (played, talked) = turn.play(body.take(), declared, pace, signals, ended).await;
        if let Some(played) = played {
            *body = played;
        }
        talked
    }
}

/// Returns whether a token covers a request and not its head.
fn is_under_token(caller: &Caller) -> bool {
    caller.transport == Transport::Tcp && caller.holder().is_some()
}

/// Says how a talk ended.
fn log_end(caller: &Caller, channel: ChannelId, talked: &Result<Talked, Error>, has_left: bool) {
    let mut how = match talked {
        Ok(talked) => format!(
            "{} ms played, {} blocks lost",
            talked.played_millis, talked.lost
        ),
        Err(error) => error.reason().to_owned(),
    };
    if has_left {
        how += "; its viewer has left";
    }
    let advice = talked.as_ref().ok().and_then(Talked::advice);
    tracing::info!(%channel, %caller, req_id = caller.req_id, how, advice, "talk ended");
}

impl Pieces for RequestBody {
    fn piece(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Error>> {
        Box::pin(self.next_piece())
    }
}
