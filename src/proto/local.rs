//! What programs on the device itself may ask, on its loopback listeners (`docs/protocol.md`,
//! "For the firmware").

use std::time::Duration;

use super::query::Query;
use crate::{error::Error, media::ChannelId};

/// A path that only programs on the device itself may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalRoute<'a> {
    /// `/…/forward/<session>/…/feedback`: a message to a viewer.
    Feedback {
        /// The session's id.
        session: &'a str,
    },
    /// `/sessions`: who is there to be told something.
    Sessions,
    /// `/event`: something happened that is to be recorded.
    Event,
}

impl<'a> LocalRoute<'a> {
    /// The local route of a path, if it is one.
    pub fn of_path(path: &'a str) -> Option<Self> {
        let mut parts = path.split('/');
        let last = parts.next_back()?;
        match last {
            "sessions" => return Some(Self::Sessions),
            "event" => return Some(Self::Event),
            _ => {}
        }
        if last != "feedback" || !parts.any(|part| part == "forward") {
            return None;
        }
        Some(Self::Feedback {
            session: parts.next().unwrap_or_default(),
        })
    }
}

/// Something that happened at a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventRequest {
    /// `channel`; 0 if missing.
    pub channel: ChannelId,
    /// `type`: of what kind it is; 1 if missing.
    pub kind: u32,
    /// `seconds`, 1 to 3600: how long it is recorded; if missing, as the configuration says.
    pub length: Option<Duration>,
}

impl EventRequest {
    /// Reads a request's parameters.
    ///
    /// # Errors
    /// [`Error::bad_request`] naming the one that is damaged.
    pub fn decode(query: &Query) -> Result<Self, Error> {
        const MOTION: u32 = 1;
        let number = |key| match query.value(key)? {
            None | Some("") => Ok(None),
            Some(text) => text.parse::<u32>().map(Some).map_err(|_| {
                Error::bad_request(format!("the parameter {key} is a whole number from 0 on"))
            }),
        };
        let seconds = number("seconds")?;
        if seconds.is_some_and(|seconds| !(1..=3600).contains(&seconds)) {
            return Err(Error::bad_request("the parameter seconds is 1 to 3600"));
        }
        Ok(Self {
            channel: query.channel()?,
            kind: number("type")?.unwrap_or(MOTION),
            length: seconds.map(|seconds| Duration::from_secs(seconds.into())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_device_itself() {
        let session = |path| match LocalRoute::of_path(path) {
            Some(LocalRoute::Feedback { session }) => Some(session),
            _ => None,
        };
        for (path, expected) in [
            (
                "/ipc.p2p.com/forward/abc/proxy.sample.server/feedback",
                Some("abc"),
            ),
            ("/forward/abc/feedback", Some("abc")),
            ("/forward/feedback", Some("")),
            ("/forward/forward/feedback", Some("forward")),
            ("/feedback", None),
            ("/forward/abc/feedback/", None),
            ("/forward/abc/command", None),
            ("/xforward/abc/feedback", None),
        ] {
            assert_eq!(session(path), expected, "{path}");
        }
        assert_eq!(LocalRoute::of_path("/sessions"), Some(LocalRoute::Sessions));
        assert_eq!(LocalRoute::of_path("/sessions/x"), None);
        assert_eq!(LocalRoute::of_path("/event"), Some(LocalRoute::Event));
    }

    #[test]
    fn events() {
        let event = |text| EventRequest::decode(&Query::parse(text).expect("a query"));
        assert_eq!(
            event("channel=2&type=7&seconds=90"),
            Ok(EventRequest {
                channel: ChannelId(2),
                kind: 7,
                length: Some(Duration::from_secs(90)),
            })
        );
        let motion = event("").expect("all have defaults");
        assert_eq!(
            (motion.channel, motion.kind, motion.length),
            (ChannelId(0), 1, None)
        );
        for text in [
            "type=x",
            "seconds=0",
            "seconds=3601",
            "seconds=-1",
            "channel=x",
        ] {
            assert!(event(text).is_err(), "{text}");
        }
    }
}
