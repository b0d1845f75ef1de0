//! Routing: method, path and query of a request become a route and its parameters.
//!
//! Only the last part of the path routes, so `http://127.0.0.1:34567/ipc.p2p.com/ipc.flv` and
//! `/ipc.flv` are one (`docs/protocol.md`, "Routing").

use crate::{
    command::Window,
    error::{Error, ErrorKind},
    media::{ChannelId, StreamId},
    query::Query,
};

/// The longest `user_args`, in bytes after decoding.
const MAX_USER_ARGS: usize = 1024;
/// The longest `requester`, in bytes after decoding.
const MAX_REQUESTER: usize = 64;
/// The longest `req_id` and `_peername`, in bytes after decoding.
const MAX_LABEL: usize = 128;

/// A path of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/ipc.flv`: media.
    Media,
    /// `/voice`: sound for the speaker.
    Voice,
    /// `/command`: signalling from the app.
    Command,
    /// `/snapshot.jpg`: the picture of now, by itself.
    Snapshot,
    /// `/healthz`: is the daemon well?
    Health,
    /// `/metrics`: counters for Prometheus.
    Metrics,
}

impl Route {
    /// Every route.
    pub const ALL: [Self; 6] = [
        Self::Media,
        Self::Voice,
        Self::Command,
        Self::Snapshot,
        Self::Health,
        Self::Metrics,
    ];

    /// The last part of its path.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Media => "ipc.flv",
            Self::Voice => "voice",
            Self::Command => "command",
            Self::Snapshot => "snapshot.jpg",
            Self::Health => "healthz",
            Self::Metrics => "metrics",
        }
    }

    /// The route of a path.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the last part names none.
    pub fn from_path(path: &str) -> Result<Self, Error> {
        let last = last_part(path);
        Self::ALL
            .into_iter()
            .find(|route| route.as_str() == last)
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::NotFound,
                    "no such path; this device serves /ipc.flv, /voice, /command, /snapshot.jpg, /healthz and /metrics",
                )
            })
    }

    /// The methods it takes, as an `Allow` header names them.
    pub fn allowed_methods(self) -> &'static str {
        match self {
            Self::Command => "POST",
            // Some players know no other way to send what has no end yet.
            Self::Voice => "POST, PUT",
            Self::Media | Self::Snapshot | Self::Health | Self::Metrics => "GET, HEAD",
        }
    }
}

/// Returns the last segment of a path.
pub(super) fn last_part(path: &str) -> &str {
    let slash = path.bytes().rposition(|byte| byte == b'/');
    slash.map_or(path, |at| &path[at + 1..])
}

/// Labels that a client gives itself, for logs: none of them proves anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// `requester`: the role of the app, such as `app-android`. At most 64 bytes.
    pub requester: Option<String>,
    /// `req_id`: ties the app's telemetry to our log lines. At most 128 bytes.
    pub req_id: Option<String>,
    /// `_peername` (or `peername`): tells viewers apart on listeners without access control.
    pub peer_name: Option<String>,
    /// `user_args`: free text of the app. At most 1 KiB.
    pub user_args: Option<String>,
}

impl Labels {
    /// Reads the labels out of a query.
    ///
    /// # Errors
    /// [`Error::bad_request`] for one that is too long or stands there twice.
    pub fn from_query(query: &Query<'_>) -> Result<Self, Error> {
        Ok(Self {
            requester: label(query, &["requester"], MAX_REQUESTER)?,
            req_id: label(query, &["req_id"], MAX_LABEL)?,
            peer_name: label(query, &["_peername", "peername"], MAX_LABEL)?,
            user_args: label(query, &["user_args"], MAX_USER_ARGS)?,
        })
    }
}

fn label(query: &Query<'_>, keys: &[&str], max: usize) -> Result<Option<String>, Error> {
    match query.value_of_any(keys)? {
        Some(value) if value.len() > max => Err(Error::bad_request(format!(
            "the parameter {} has {} bytes; at most {max} are allowed",
            keys[0],
            value.len()
        ))),
        value => Ok(value.filter(|value| !value.is_empty()).map(str::to_owned)),
    }
}

/// Kind of media that a request on `/ipc.flv` asks for: its parameter `action`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaAction {
    /// `live`
    Live,
    /// `playback`
    Playback,
    /// `download`
    Download,
}

impl MediaAction {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Live, Self::Playback, Self::Download];

    /// Its word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Playback => "playback",
            Self::Download => "download",
        }
    }

    fn from_query(query: &Query<'_>) -> Result<Self, Error> {
        let word = query.value_of_any(&["action", "type"])?.unwrap_or_default();
        if word.is_empty() {
            return Err(Error::bad_request(
                "the parameter action is missing: live, playback or download",
            ));
        }
        let mut all = Self::ALL.into_iter();
        all.find(|action| action.as_str().eq_ignore_ascii_case(word))
            .ok_or_else(|| {
                Error::bad_request("the parameter action is one of live, playback, download")
            })
    }
}

/// A request for media on `/ipc.flv`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaRequest {
    /// `action=live`: the picture of now.
    Live(StreamId),
    /// `action=playback`: what was recorded.
    Playback {
        /// The camera.
        channel: ChannelId,
        /// Time that is played.
        window: Window,
    },
    /// `action=download`: a file as it is.
    Download {
        /// Name of the file, as `get_file_list` tells it.
        file_name: String,
        /// The first byte that is wanted.
        offset: u64,
    },
}

impl MediaRequest {
    /// Reads a media request. Missing `channel` is 0, missing `quality` is high, values are read
    /// in any case; `qualtity` and `type=live` instead of `action=live` are accepted because
    /// clients in the field send them.
    ///
    /// # Errors
    /// [`Error::bad_request`] naming the parameter and what it takes.
    pub fn decode(query: &Query<'_>) -> Result<Self, Error> {
        let action = MediaAction::from_query(query)?;
        let channel = query.channel()?;
        match action {
            MediaAction::Live => Ok(Self::Live(StreamId {
                channel,
                quality: query.quality()?,
            })),
            MediaAction::Playback => match Window::from_query(query)? {
                Some(window) => Ok(Self::Playback { channel, window }),
                None => Err(Error::bad_request(
                    "start_time and end_time are missing: seconds since 1970",
                )),
            },
            MediaAction::Download => Ok(Self::Download {
                file_name: file_name(query)?,
                offset: offset(query)?,
            }),
        }
    }
}

/// Returns whether a request for media asks not to have it encrypted.
///
/// # Errors
/// [`Error::bad_request`] for a parameter that stands there twice.
pub fn wants_clear(query: &Query<'_>) -> Result<bool, Error> {
    let is = |key: &str, word: &str| {
        let value = query.value(key)?;
        Ok::<_, Error>(value.is_some_and(|value| value.eq_ignore_ascii_case(word)))
    };
    Ok(is("_crypto", "off")? || is("crypto", "false")?)
}

/// Reads `strict`, which monitors ask `/healthz` with that know statuses only.
///
/// # Errors
/// [`Error::bad_request`] if it is neither 0 nor 1.
pub fn is_strict(query: &Query<'_>) -> Result<bool, Error> {
    match query.value("strict")? {
        None | Some("0") => Ok(false),
        Some("1") => Ok(true),
        Some(_) => Err(Error::bad_request("strict is 0 or 1")),
    }
}

fn file_name(query: &Query<'_>) -> Result<String, Error> {
    match query.value("file_name")? {
        None | Some("") => Err(Error::bad_request(
            "the parameter file_name is missing; get_file_list tells the names",
        )),
        Some(name) => Ok(name.to_owned()),
    }
}

fn offset(query: &Query<'_>) -> Result<u64, Error> {
    match query.value("offset")? {
        None | Some("") => Ok(0),
        Some(text) => text
            .parse()
            .map_err(|_| Error::bad_request("the parameter offset is a number of bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{ChannelId, Quality};

    fn media(query: &str) -> Result<MediaRequest, Error> {
        MediaRequest::decode(&Query::parse(query)?)
    }

    fn live(channel: u16, quality: Quality) -> Result<MediaRequest, Error> {
        Ok(MediaRequest::Live(StreamId {
            channel: ChannelId(channel),
            quality,
        }))
    }

    #[test]
    fn only_the_last_part_of_the_path_routes() {
        for path in ["/ipc.flv", "/ipc.p2p.com/ipc.flv", "//x/ipc.flv"] {
            assert_eq!(Route::from_path(path), Ok(Route::Media), "{path}");
        }
        for path in ["/", "/ipc.flv/", "/IPC.FLV", "/ipc.flv2", "*", ""] {
            assert!(Route::from_path(path).is_err(), "{path}");
        }
    }

    #[test]
    fn live_requests() {
        for (query, expected) in [
            (
                "action=live&channel=1&quality=super",
                live(1, Quality::Super),
            ),
            ("quality=STANDARD&action=LIVE", live(0, Quality::Standard)),
            ("action=live", live(0, Quality::High)),
            ("type=Live&qualtity=super", live(0, Quality::Super)),
            ("action=live&channel=&quality=", live(0, Quality::High)),
            ("action=live&_crypto=off&unknown=1", live(0, Quality::High)),
        ] {
            assert_eq!(media(query), expected, "{query}");
        }
    }

    #[test]
    fn impossible_values_name_the_parameter() {
        for (query, word) in [
            ("", "action"),
            ("action=fly", "action"),
            ("action=live&channel=-1", "channel"),
            ("action=live&channel=99999999999", "channel"),
            ("action=live&channel=1.5", "channel"),
            ("action=live&quality=best", "quality"),
            ("action=live&channel=0&channel=1", "twice"),
        ] {
            let error = media(query).expect_err(query);
            assert!(error.reason().contains(word), "{query}: {error}");
        }
    }

    #[test]
    fn labels_are_read_and_bounded() {
        let query = Query::parse("requester=app-ios&req_id=7&peername=p&user_args=%E4%BD%A0")
            .expect("valid");
        let labels = Labels::from_query(&query).expect("short enough");
        assert_eq!(labels.requester.as_deref(), Some("app-ios"));
        assert_eq!(labels.peer_name.as_deref(), Some("p"));
        assert_eq!(labels.user_args.as_deref(), Some("你"));
        let long = format!("requester={}", "x".repeat(MAX_REQUESTER + 1));
        assert!(Labels::from_query(&Query::parse(&long).expect("valid")).is_err());
    }
}
