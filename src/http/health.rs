//! `/healthz`: whether the device is well, what is wrong if it is not, and what to do.

use http::{Response, StatusCode};
use peercam_proto::{error::Error, query::Query, route::is_strict};
use serde_json::{Value, json};

use super::{body::Body, reply, router::App};
use crate::{
    access::Caller,
    device::{Audience, ChannelHealth, Health},
};

impl App {
    /// Answers `/healthz`: 503 if nobody can be served, and with `strict=1` if anything is wrong.
    pub(super) fn health(&self, caller: &Caller, query: &str) -> Result<Response<Body>, Error> {
        let is_strict = is_strict(&Query::parse(query)?)?;
        let health = self.device.health(&Audience::of(caller));
        let status = match (health.is_serving, health.is_well()) {
            (true, true) => StatusCode::OK,
            (true, false) if !is_strict => StatusCode::OK,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Ok(reply::json(status, self.health_text(&health).to_string()))
    }

    fn health_text(&self, health: &Health) -> Value {
        let channels: Vec<_> = health.channels.iter().map(channel).collect();
        let date = self.clock.date();
        let mut text = json!({
            "status": status_word(health),
            "version": env!("CARGO_PKG_VERSION"),
            "uptime_seconds": self.started.elapsed().as_secs(),
            "clock": date,
            "viewers": health.viewers,
            "max_viewers": health.max_viewers,
            "streams": health.streams,
            "channels": channels,
            "problems": health.reports(date),
        });
        if let Some(card) = &health.card {
            text["recording"] = json!({
                "problem": card.problem,
                "bytes": card.bytes,
                "files": card.files,
            });
        }
        if !health.is_serving {
            text["reason"] = "the device is shutting down".into();
        }
        text
    }
}

fn status_word(health: &Health) -> &'static str {
    if !health.is_serving {
        "unavailable"
    } else if health.is_well() {
        "ok"
    } else {
        "degraded"
    }
}

fn channel(channel: &ChannelHealth) -> Value {
    let mut text = json!({
        "channel": channel.id.0,
        "name": channel.name,
        "online": channel.offline.is_none(),
    });
    if let Some(reason) = &channel.offline {
        text["reason"] = reason.as_str().into();
    }
    text
}
