//! What an app asks on `/command`, and the answers: decoding and encoding side by side.
//!
//! Shapes follow `docs/protocol.md`, "Commands". Every status is a string, every answer is JSON
//! and none is empty: stock clients take an empty answer for a lost device.

mod records;

use serde::Serialize;

pub use records::{
    FileEntry, ListDialect, MAX_REPLY, Month, PlaybackCommand, RecordSpan, SeekTo, Window,
};

use super::{query::Query, route::Labels};
use crate::{
    error::Error,
    media::{ChannelId, Content, Quality},
};

/// A command of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `get_device_st`: would a request of this kind be accepted now?
    DeviceStatus {
        /// The channel asked about.
        channel: ChannelId,
        /// The kind of request asked about.
        query: StatusQuery,
    },
    /// `get_nvr_list`: the channels and whether they are online.
    ChannelList,
    /// `get_record_index`: what was recorded in a time.
    RecordIndex {
        /// The channel asked about.
        channel: ChannelId,
        /// The time; `None`: the newest.
        window: Option<Window>,
        /// The kind asked for; `None`: all.
        kind: Option<u32>,
    },
    /// `get_month_record`: on which days of a month something was recorded.
    MonthRecord {
        /// The channel asked about.
        channel: ChannelId,
        /// The month, in the device's time zone.
        month: Month,
    },
    /// `get_file_list`: the files of a time.
    FileList {
        /// The channel asked about.
        channel: ChannelId,
        /// The time; `None`: the newest.
        window: Option<Window>,
        /// The type asked for; `None`: all.
        content: Option<Content>,
    },
    /// `playback_…`: what the caller's player is to do.
    Playback {
        /// The channel that is being played.
        channel: ChannelId,
        /// What.
        command: PlaybackCommand,
    },
    /// Anything this device does not offer.
    Unknown,
}

/// The `type` of a `get_device_st`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusQuery {
    /// `type=live` with a quality.
    Live(Quality),
    /// `type=playback`
    Playback,
    /// A kind of request this device does not offer.
    Unoffered,
    /// `type` is missing or damaged, or `quality` or `channel` is damaged.
    Damaged,
}

/// Reads a request on `/command`: its query or its body, both in the same syntax.
///
/// # Errors
/// [`Error::bad_request`] if the command is in both places, in none, or cannot be read.
pub fn decode_request(query: &str, body: &str) -> Result<(Command, Labels), Error> {
    let in_query = Query::parse(query)?;
    let in_body = Query::parse(body.trim_ascii())?;
    let has_command = |query: &Query| {
        query
            .value_of_any(&["action", "cmd"])
            .map(|value| value.is_some())
    };
    let query = match (has_command(&in_query)?, has_command(&in_body)?) {
        (true, true) => {
            return Err(Error::bad_request(
                "the command stands in the query and in the body; send it once",
            ));
        }
        (false, true) => in_body,
        (_, false) => in_query,
    };
    Ok((decode(&query)?, Labels::of(&query)?))
}

fn decode(query: &Query) -> Result<Command, Error> {
    let action = query.value("action")?.unwrap_or_default();
    let cmd = query.value("cmd")?.unwrap_or_default();
    if cmd.is_empty() {
        return Err(Error::bad_request(
            "the parameter cmd is missing; it names the command",
        ));
    }
    match action {
        "inner_define" => inner(query, cmd),
        "user_define" => Ok(Command::Unknown),
        _ => Err(Error::bad_request(
            "the parameter action is one of inner_define, user_define",
        )),
    }
}

fn inner(query: &Query, cmd: &str) -> Result<Command, Error> {
    Ok(match cmd {
        // Clients parse nothing but an array here, so damage is answered in kind.
        "get_device_st" => match query.channel() {
            Ok(channel) => Command::DeviceStatus {
                channel,
                query: status_query(query)?,
            },
            Err(_) => Command::DeviceStatus {
                channel: ChannelId(0),
                query: StatusQuery::Damaged,
            },
        },
        "get_nvr_list" => Command::ChannelList,
        "get_record_index" => Command::RecordIndex {
            channel: query.channel()?,
            window: Window::of(query)?,
            kind: kind(query)?,
        },
        "get_month_record" => Command::MonthRecord {
            channel: query.channel()?,
            month: Month::of(query)?,
        },
        "get_file_list" => Command::FileList {
            channel: query.channel()?,
            window: Window::of(query)?,
            content: content(query)?,
        },
        _ => match PlaybackCommand::of(cmd, query)? {
            Some(command) => Command::Playback {
                channel: query.channel()?,
                command,
            },
            None => Command::Unknown,
        },
    })
}

/// The number of a kind of recordings.
fn kind(query: &Query) -> Result<Option<u32>, Error> {
    match query.value("type")? {
        None | Some("") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| {
            Error::bad_request("the parameter type is the number of a kind of recordings")
        }),
    }
}

/// The type of files that is asked for, in either dialect.
fn content(query: &Query) -> Result<Option<Content>, Error> {
    match query.value_of_any(&["file_type", "type"])? {
        None | Some("") => Ok(None),
        Some("0" | "video") => Ok(Some(Content::Video)),
        Some("1" | "picture") => Ok(Some(Content::Picture)),
        Some(_) => Err(Error::bad_request(
            "the parameter file_type is 0 (video) or 1 (picture)",
        )),
    }
}

fn status_query(query: &Query) -> Result<StatusQuery, Error> {
    let kind = query
        .value("type")?
        .unwrap_or_default()
        .to_ascii_lowercase();
    Ok(match kind.as_str() {
        "live" => query
            .quality()
            .map_or(StatusQuery::Damaged, StatusQuery::Live),
        "playback" => StatusQuery::Playback,
        "voice" => StatusQuery::Unoffered,
        _ => StatusQuery::Damaged,
    })
}

/// Status codes of the protocol, sent as strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// "0": done, or accepted.
    Ok,
    /// "1": refused or busy.
    Refused,
    /// "404": the request is damaged or names nothing that exists.
    BadRequest,
    /// "405": as many viewers as the device takes.
    TooManyViewers,
    /// "406": not offered by this device.
    Unsupported,
    /// "407": the device failed while doing it.
    Failed,
}

impl Status {
    /// The code as it is sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "0",
            Self::Refused => "1",
            Self::BadRequest => "404",
            Self::TooManyViewers => "405",
            Self::Unsupported => "406",
            Self::Failed => "407",
        }
    }
}

impl Serialize for Status {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The answer to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Answer to [`Command::DeviceStatus`]: an array with exactly one object.
    DeviceStatus {
        /// Whether the request would be accepted.
        status: Status,
        /// Viewers being served now.
        viewers: usize,
        /// Viewers the device serves at most.
        max_viewers: usize,
        /// Why not, if not.
        reason: Option<String>,
    },
    /// Answer to [`Command::ChannelList`].
    ChannelList(Vec<ChannelState>),
    /// Answer to [`Command::RecordIndex`].
    RecordIndex {
        /// What was recorded, by start.
        spans: Vec<RecordSpan>,
        /// If not all fit: the newest, not the oldest.
        newest: bool,
    },
    /// Answer to [`Command::MonthRecord`]: bit 0 is the first day.
    MonthRecord(u32),
    /// Answer to [`Command::FileList`].
    FileList {
        /// The files, by start.
        files: Vec<FileEntry>,
        /// How they are written.
        dialect: ListDialect,
        /// If not all fit: the newest, not the oldest.
        newest: bool,
    },
    /// Answer to a [`PlaybackCommand::Progress`]: milliseconds.
    Progress(u64),
    /// It was done.
    Done,
    /// A bare status with a reason.
    Status {
        /// The code.
        status: Status,
        /// The sentence for the person at the other end.
        reason: String,
    },
}

/// One channel in a [`Reply::ChannelList`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelState {
    /// The configured name.
    pub name: String,
    /// Its number.
    pub channel: ChannelId,
    /// Whether its camera delivers, as far as the device knows.
    pub online: bool,
}

#[derive(Serialize)]
struct DeviceStatusJson<'a> {
    status: Status,
    #[serde(rename = "appConnectNum")]
    viewers: String,
    #[serde(rename = "maxConnectNum")]
    max_viewers: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

#[derive(Serialize)]
struct ChannelJson<'a> {
    #[serde(rename = "DeviceName")]
    name: &'a str,
    #[serde(rename = "Channel")]
    channel: String,
    #[serde(rename = "Online")]
    online: &'static str,
}

#[derive(Serialize)]
struct StatusJson<'a> {
    status: Status,
    reason: &'a str,
}

impl Reply {
    /// The answer as JSON text.
    pub fn encode(&self) -> String {
        let text = match self {
            Self::DeviceStatus {
                status,
                viewers,
                max_viewers,
                reason,
            } => serde_json::to_string(&[DeviceStatusJson {
                status: *status,
                viewers: viewers.to_string(),
                max_viewers: max_viewers.to_string(),
                reason: reason.as_deref(),
            }]),
            Self::ChannelList(channels) => {
                let channels: Vec<_> = channels
                    .iter()
                    .map(|state| ChannelJson {
                        name: &state.name,
                        channel: state.channel.to_string(),
                        online: if state.online { "1" } else { "0" },
                    })
                    .collect();
                serde_json::to_string(&channels)
            }
            Self::RecordIndex { spans, newest } => Ok(records::encode_spans(spans, *newest)),
            Self::MonthRecord(days) => Ok(format!("{{\"video_list\":\"{days}\"}}")),
            Self::FileList {
                files,
                dialect,
                newest,
            } => Ok(records::encode_files(files, *dialect, *newest)),
            Self::Progress(millis) => Ok(records::encode_progress(*millis)),
            Self::Done => Ok(r#"{"status":"0"}"#.to_owned()),
            Self::Status { status, reason } => serde_json::to_string(&StatusJson {
                status: *status,
                reason,
            }),
        };
        text.expect("strings and flat structs always serialize")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(query: &str) -> Result<Command, Error> {
        decode(&Query::parse(query)?)
    }

    #[test]
    fn commands() {
        let status = |query| {
            Ok(Command::DeviceStatus {
                channel: ChannelId(0),
                query,
            })
        };
        for (query, expected) in [
            (
                "action=inner_define&cmd=get_device_st&type=live&quality=standard",
                status(StatusQuery::Live(Quality::Standard)),
            ),
            (
                "action=inner_define&cmd=get_device_st&type=Live",
                status(StatusQuery::Live(Quality::High)),
            ),
            (
                "action=inner_define&cmd=get_device_st&type=live&quality=x",
                status(StatusQuery::Damaged),
            ),
            (
                "action=inner_define&cmd=get_device_st&type=voice",
                status(StatusQuery::Unoffered),
            ),
            (
                "action=inner_define&cmd=get_device_st",
                status(StatusQuery::Damaged),
            ),
            (
                "cmd=get_nvr_list&action=inner_define&nvr=1",
                Ok(Command::ChannelList),
            ),
            ("action=inner_define&cmd=launch", Ok(Command::Unknown)),
            (
                r#"action=user_define&cmd={"topic":"x"}"#,
                Ok(Command::Unknown),
            ),
        ] {
            assert_eq!(decoded(query), expected, "{query}");
        }
        for query in [
            "",
            "cmd=get_nvr_list",
            "action=inner_define",
            "action=other&cmd=x",
        ] {
            assert!(decoded(query).is_err(), "{query}");
        }
    }

    #[test]
    fn a_command_comes_by_query_or_by_body_but_not_by_both() {
        let text = "action=inner_define&cmd=get_nvr_list";
        let by_query = decode_request(text, "").expect("query");
        let by_body = decode_request("_peername=x", &format!("{text}\r\n")).expect("body");
        assert_eq!(by_query.0, by_body.0);
        assert!(decode_request(text, text).is_err());
        assert!(decode_request("", "").is_err());
    }

    #[test]
    fn answers_have_the_shape_that_clients_parse() {
        let status = Reply::DeviceStatus {
            status: Status::Ok,
            viewers: 2,
            max_viewers: 32,
            reason: None,
        };
        assert_eq!(
            status.encode(),
            r#"[{"status":"0","appConnectNum":"2","maxConnectNum":"32"}]"#
        );
        let list = Reply::ChannelList(vec![ChannelState {
            name: "front \"door\"".into(),
            channel: ChannelId(1),
            online: true,
        }]);
        assert_eq!(
            list.encode(),
            r#"[{"DeviceName":"front \"door\"","Channel":"1","Online":"1"}]"#
        );
        let unknown = Reply::Status {
            status: Status::Unsupported,
            reason: "no".into(),
        };
        assert_eq!(unknown.encode(), r#"{"status":"406","reason":"no"}"#);
    }
}
