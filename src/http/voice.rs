use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::json;

use super::{
    body::Body,
    reply,
    request_body::RequestBody,
    router::{App, Request},
};
use crate::{
    device::Caller,
    error::Error,
    hal::BoxFuture,
    media::ChannelId,
    proto::{query::Query, route::Labels},
    talk::{Pieces, Talked},
};

impl App {
    /// Plays a body through a speaker. It is answered when it has ended; a refusal comes at once.
    pub(super) async fn voice(&self, request: Request<'_>) -> Result<Response<Body>, Error> {
        let Request {
            query,
            mut body,
            who,
            ..
        } = request;
        let asked = Query::parse(query).and_then(|query| {
            let caller = who.caller(&Labels::of(&query)?);
            let channel = query.channel()?;
            self.hub.check_channel(channel, &caller.channels)?;
            Ok((caller, channel))
        });
        let talked = match asked {
            Ok((caller, channel)) => self.talk((&caller, channel), who, &mut body).await,
            Err(error) => Err(error),
        };
        match talked {
            Ok(talked) if !talked.hung_up => {}
            // Whoever still sends sees the answer.
            _ => body.discard().await,
        }
        let talked = talked?;
        let mut text = json!({
            "status": "0",
            "played": talked.played_millis.to_string(),
            "lost": talked.lost.to_string(),
        });
        if talked.hung_up {
            text["reason"] = json!("the device has hung up");
        }
        Ok(reply::json(StatusCode::OK, text.to_string()))
    }

    async fn talk(
        &self,
        (caller, channel): (&Caller, ChannelId),
        who: super::router::Who<'_>,
        body: &mut RequestBody,
    ) -> Result<Talked, Error> {
        let _seat = self.take_seat(who, caller, false)?;
        let turn = self.device.talkers().take(channel, &caller.viewer)?;
        tracing::info!(%channel, %caller, req_id = caller.req_id, "talk began");
        let talked = turn.play(body).await;
        match &talked {
            Ok(talked) => tracing::info!(
                %channel, %caller, req_id = caller.req_id, milliseconds = talked.played_millis,
                lost_blocks = talked.lost, hung_up = talked.hung_up, "talk ended"
            ),
            Err(error) => tracing::info!(
                %channel, %caller, req_id = caller.req_id, reason = error.reason(), "talk ended"
            ),
        }
        talked
    }
}

impl Pieces for RequestBody {
    fn piece(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Error>> {
        Box::pin(self.next_piece())
    }
}
