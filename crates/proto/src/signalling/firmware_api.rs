//! Requests of the programs on the device itself, on its loopback listeners (`docs/protocol.md`,
//! "For the firmware").

use std::{str::FromStr, time::Duration};

use crate::{
    call::DeviceCallAction, error::Error, media::ChannelId, query::Query, route::last_part,
    viewer::ViewerId,
};

/// A path that only programs on the device itself may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirmwareRoute {
    /// `/…/forward/<session>/…/feedback`: a message to a viewer, see [`viewer_of`].
    Feedback,
    /// `/sessions`: who is there to be told something.
    Sessions,
    /// `/event`: something happened that is to be recorded.
    Event,
    /// `/call`: how it stands with the call, and the device's part in it.
    Call,
    /// `/speaker.wav`: what a speaker has played lately.
    Speaker,
}

impl FirmwareRoute {
    /// Every local route.
    pub const ALL: [Self; 5] = [
        Self::Feedback,
        Self::Sessions,
        Self::Event,
        Self::Call,
        Self::Speaker,
    ];

    /// Last part of its path.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Feedback => "feedback",
            Self::Sessions => "sessions",
            Self::Event => "event",
            Self::Call => "call",
            Self::Speaker => "speaker.wav",
        }
    }

    /// Returns the local route of a path, if it is one.
    pub fn from_path(path: &str) -> Option<Self> {
        let last = last_part(path);
        let mut all = Self::ALL.into_iter();
        let route = all.find(|route| route.as_str() == last)?;
        (route != Self::Feedback || viewer_of(path).is_some()).then_some(route)
    }

    /// Methods that it takes, as an `Allow` header names them.
    pub const fn allowed_methods(self) -> &'static str {
        match self {
            Self::Feedback | Self::Event => "POST",
            Self::Sessions | Self::Speaker => "GET",
            Self::Call => "GET, POST",
        }
    }
}

/// Returns the viewer whose session the path of a message names: `/…/forward/<session>/…/feedback`.
pub fn viewer_of(path: &str) -> Option<ViewerId> {
    let mut parts = path.split('/');
    parts.next_back();
    parts.find(|part| *part == "forward")?;
    Some(ViewerId::from_firmware(parts.next().unwrap_or_default()))
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
    pub fn decode(query: &Query<'_>) -> Result<Self, Error> {
        const MOTION: u32 = 1;
        let seconds: Option<u32> = number(query, "seconds")?;
        if seconds.is_some_and(|seconds| !(1..=3600).contains(&seconds)) {
            return Err(Error::bad_request("the parameter seconds is 1 to 3600"));
        }
        Ok(Self {
            channel: query.channel()?,
            kind: number(query, "type")?.unwrap_or(MOTION),
            length: seconds.map(|seconds| Duration::from_secs(seconds.into())),
        })
    }
}

/// A whole number, if there is one.
fn number<T: FromStr>(query: &Query<'_>, key: &str) -> Result<Option<T>, Error> {
    match query.value(key)? {
        None | Some("") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| {
            Error::bad_request(format!("the parameter {key} is a whole number from 0 on"))
        }),
    }
}

/// The device's part in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallRequest {
    /// `channel`; 0 if missing.
    pub channel: ChannelId,
    /// `do`: ring, answer, reject, busy or hang_up.
    pub what: DeviceCallAction,
}

impl CallRequest {
    /// Reads a request's parameters.
    ///
    /// # Errors
    /// [`Error::bad_request`] naming the one that is damaged.
    pub fn decode(query: &Query<'_>) -> Result<Self, Error> {
        let what = match query.value("do")?.unwrap_or_default() {
            "ring" => DeviceCallAction::Ring,
            "answer" => DeviceCallAction::Answer,
            "reject" => DeviceCallAction::Reject,
            "busy" => DeviceCallAction::Busy,
            "hang_up" => DeviceCallAction::HangUp,
            _ => {
                return Err(Error::bad_request(
                    "the parameter do is one of ring, answer, reject, busy, hang_up",
                ));
            }
        };
        Ok(Self {
            channel: query.channel()?,
            what,
        })
    }
}

/// Waits for a change of the call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallWait {
    /// `after`: the number that is known. Without it the answer comes at once.
    pub after: Option<u64>,
    /// `wait`: seconds to wait for another one, up to 60; 0 if missing.
    pub wait: Duration,
}

impl CallWait {
    /// Reads a request's parameters.
    ///
    /// # Errors
    /// [`Error::bad_request`] naming the one that is damaged.
    pub fn decode(query: &Query<'_>) -> Result<Self, Error> {
        const LONGEST: u64 = 60;
        let wait = number(query, "wait")?.unwrap_or(0);
        if wait > LONGEST {
            return Err(Error::bad_request(
                "the parameter wait is at most 60 seconds",
            ));
        }
        Ok(Self {
            after: number(query, "after")?,
            wait: Duration::from_secs(wait),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_device_itself() {
        let session = |path| match FirmwareRoute::from_path(path) {
            Some(FirmwareRoute::Feedback) => viewer_of(path),
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
            assert_eq!(session(path), expected.map(ViewerId::from), "{path}");
        }
        assert_eq!(
            FirmwareRoute::from_path("/sessions"),
            Some(FirmwareRoute::Sessions)
        );
        assert_eq!(FirmwareRoute::from_path("/sessions/x"), None);
        assert_eq!(
            FirmwareRoute::from_path("/event"),
            Some(FirmwareRoute::Event)
        );
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

    #[test]
    fn calls() {
        let call = |text| CallRequest::decode(&Query::parse(text).expect("a query"));
        assert_eq!(
            call("do=hang_up&channel=3"),
            Ok(CallRequest {
                channel: ChannelId(3),
                what: DeviceCallAction::HangUp,
            })
        );
        assert!(call("do=dance").is_err() && call("").is_err());
        let wait = |text| CallWait::decode(&Query::parse(text).expect("a query"));
        assert_eq!(wait(""), Ok(CallWait::default()));
        assert_eq!(
            wait("after=7&wait=30"),
            Ok(CallWait {
                after: Some(7),
                wait: Duration::from_secs(30),
            })
        );
        assert!(wait("wait=61").is_err() && wait("after=x").is_err());
    }
}
