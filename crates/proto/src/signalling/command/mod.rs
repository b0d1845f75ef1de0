//! Commands of apps on `/command`, and their answers: decoding and encoding side by side.
//!
//! Shapes follow `docs/protocol.md`, "Commands". Every status is a string, every answer is JSON
//! and none is empty: stock clients take an empty answer for a lost device.
//!
//! ```
//! use peercam_proto::{
//!     command::{Command, Reply, Status, decode_request},
//!     media::ChannelId,
//! };
//!
//! let query = "action=inner_define&channel=1&cmd=get_record_index&limit=10";
//! let (command, _) = decode_request(query, "")?;
//! let expected = Command::RecordIndex {
//!     channel: ChannelId(1),
//!     window: None,
//!     kind: None,
//!     limit: Some(10),
//! };
//! assert_eq!(command, expected);
//!
//! // A panel of a stock app puts raw JSON into the query.
//! let query = r#"action=user_define&cmd={"topic":"ptz","data":{"cmd":"ptz_left_press"}}"#;
//! let (command, _) = decode_request(query, "")?;
//! assert_eq!(command.name(), "ptz");
//!
//! let reply = Reply::Status {
//!     status: Status::Unsupported,
//!     reason: "this camera does not turn".to_owned(),
//! };
//! let json = r#"{"status":"406","reason":"this camera does not turn"}"#;
//! assert_eq!(reply.encode(), json);
//! # Ok::<(), peercam_proto::error::Error>(())
//! ```

mod custom;
mod help;
mod json;
mod panel;
mod records;
mod reply;

pub use help::{INNER, Inner, Offer};
pub use records::{
    FileEntry, ListDialect, MAX_REPLY, Month, PlaybackCommand, RecordSpan, SeekTo, Window,
    encode_file, encode_span,
};

pub use custom::{CALL_WORDS, CustomCommand, Direction, Meaning, STEP_WORDS, Speed};
pub use panel::{
    PanelError, PanelMessage, PanelReply, Position, StandardCommand, TopicName, encode_topic,
};
pub use reply::{ChannelState, Reply, Status};

use std::time::Duration;

use self::json::MAX_NAME;
use crate::{
    call::ViewerCallAction,
    error::Error,
    media::{ChannelId, Content, Quality},
    query::Query,
    route::Labels,
};

/// Default timeout of a handler that does a command for the device: apps of phones give it 2 s in
/// all, and half a second is for the way there and back, also through a relay.
pub const ANSWER_TIME: Duration = Duration::from_millis(1500);

/// A command of an app.
#[derive(Clone, Debug, PartialEq)]
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
        /// Entries per answer; `None`: all of a window.
        limit: Option<usize>,
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
        /// Entries per answer; `None`: all of a window.
        limit: Option<usize>,
    },
    /// `playback_…`: what the caller's player is to do.
    Playback {
        /// The channel that is being played.
        channel: ChannelId,
        /// Player command.
        command: PlaybackCommand,
    },
    /// `call_…`: the caller's part in a call.
    Call {
        /// The channel that it is about.
        channel: ChannelId,
        /// Move of the caller in the call.
        what: ViewerCallAction,
    },
    /// `user_define`.
    Custom {
        /// The channel that it is about.
        channel: ChannelId,
        /// Custom command.
        command: CustomCommand,
    },
    /// `help`: what does this device offer to this caller?
    Help,
    /// Anything this device does not offer: what it was called, cut to 64 characters.
    Unknown(String),
}

impl Command {
    /// Channel that its caller has to be allowed; `None` if it is about none, or answers in its own
    /// form where that is not allowed (`get_device_st`).
    pub fn channel(&self) -> Option<ChannelId> {
        match self {
            Self::RecordIndex { channel, .. }
            | Self::MonthRecord { channel, .. }
            | Self::FileList { channel, .. }
            | Self::Playback { channel, .. }
            | Self::Call { channel, .. }
            | Self::Custom { channel, .. } => Some(*channel),
            Self::DeviceStatus { .. } | Self::ChannelList | Self::Help | Self::Unknown(_) => None,
        }
    }

    /// Returns the name of a custom or unknown command, which may have been meant to be another one;
    /// empty for commands of the protocol.
    pub fn name(&self) -> &str {
        match self {
            Self::Unknown(name) => name,
            Self::Custom { command, .. } => command.name(),
            _ => "",
        }
    }
}

/// The `type` of a `get_device_st`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusQuery {
    /// `type=live` with a quality.
    Live(Quality),
    /// `type=playback`
    Playback,
    /// `type=voice`
    Voice,
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
    let has_command = |query: &Query<'_>| {
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
    Ok((decode(&query)?, Labels::from_query(&query)?))
}

fn decode(query: &Query<'_>) -> Result<Command, Error> {
    let action = query.value("action")?.unwrap_or_default();
    let cmd = query.value("cmd")?.unwrap_or_default();
    if cmd.is_empty() {
        return Err(Error::bad_request(
            "the parameter cmd is missing; it names the command",
        ));
    }
    match action {
        // Whoever asks for help need not know what there is.
        "" if cmd == "help" => Ok(Command::Help),
        "inner_define" => inner(query, cmd),
        "user_define" => Ok(Command::Custom {
            channel: query.channel()?,
            command: CustomCommand::parse(cmd),
        }),
        _ => Err(Error::bad_request(
            "the parameter action is one of inner_define, user_define",
        )),
    }
}

fn inner(query: &Query<'_>, cmd: &str) -> Result<Command, Error> {
    let unknown = || Command::Unknown(cmd.chars().take(MAX_NAME).collect());
    // There is no other than those that help lists.
    if !INNER.iter().any(|inner| inner.name == cmd) {
        return Ok(unknown());
    }
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
        "help" => Command::Help,
        "get_nvr_list" => Command::ChannelList,
        "get_record_index" => Command::RecordIndex {
            channel: query.channel()?,
            window: Window::from_query(query)?,
            kind: kind(query)?,
            limit: records::limit(query)?,
        },
        "get_month_record" => Command::MonthRecord {
            channel: query.channel()?,
            month: Month::from_query(query)?,
        },
        "get_file_list" => Command::FileList {
            channel: query.channel()?,
            window: Window::from_query(query)?,
            content: content(query)?,
            limit: records::limit(query)?,
        },
        _ => match (PlaybackCommand::from_query(cmd, query)?, viewer_move(cmd)) {
            (Some(command), _) => Command::Playback {
                channel: query.channel()?,
                command,
            },
            (None, Some(what)) => Command::Call {
                channel: query.channel()?,
                what,
            },
            (None, None) => unknown(),
        },
    })
}

fn viewer_move(cmd: &str) -> Option<ViewerCallAction> {
    Some(match cmd {
        "call_answer" => ViewerCallAction::Answer,
        "call_hang_up" => ViewerCallAction::HangUp,
        "call_cancel" => ViewerCallAction::Cancel,
        "call_reject" => ViewerCallAction::Reject,
        "call_busy" => ViewerCallAction::Busy,
        "call_timeout" => ViewerCallAction::Timeout,
        _ => return None,
    })
}

/// The number of a kind of recordings.
fn kind(query: &Query<'_>) -> Result<Option<u32>, Error> {
    match query.value("type")? {
        None | Some("") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| {
            Error::bad_request("the parameter type is the number of a kind of recordings")
        }),
    }
}

/// The type of files that is asked for, in either dialect.
fn content(query: &Query<'_>) -> Result<Option<Content>, Error> {
    match query.value_of_any(&["file_type", "type"])? {
        None | Some("") => Ok(None),
        Some("0" | "video") => Ok(Some(Content::Video)),
        Some("1" | "picture") => Ok(Some(Content::Snapshot)),
        Some(_) => Err(Error::bad_request(
            "the parameter file_type is 0 (video) or 1 (picture)",
        )),
    }
}

fn status_query(query: &Query<'_>) -> Result<StatusQuery, Error> {
    let kind = query.value("type")?.unwrap_or_default();
    let is = |word| kind.eq_ignore_ascii_case(word);
    if is("live") {
        let quality = query.quality();
        return Ok(quality.map_or(StatusQuery::Damaged, StatusQuery::Live));
    }
    Ok(if is("playback") {
        StatusQuery::Playback
    } else if is("voice") {
        StatusQuery::Voice
    } else {
        StatusQuery::Damaged
    })
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
                status(StatusQuery::Voice),
            ),
            (
                "action=inner_define&cmd=get_device_st",
                status(StatusQuery::Damaged),
            ),
            (
                "cmd=get_nvr_list&action=inner_define&nvr=1",
                Ok(Command::ChannelList),
            ),
            (
                "action=inner_define&cmd=launch",
                Ok(Command::Unknown("launch".into())),
            ),
            ("cmd=help", Ok(Command::Help)),
            ("action=inner_define&cmd=help", Ok(Command::Help)),
            (
                r#"action=user_define&cmd={"topic":"x"}&channel=2"#,
                Ok(Command::Custom {
                    channel: ChannelId(2),
                    command: CustomCommand::parse(r#"{"topic":"x"}"#),
                }),
            ),
            (
                "action=inner_define&cmd=call_answer",
                Ok(Command::Call {
                    channel: ChannelId(0),
                    what: ViewerCallAction::Answer,
                }),
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
    fn every_name_is_a_command() {
        for Inner { name, .. } in INNER {
            // What is missing is told; what is not known is not.
            let needed = "type=live&time=202401&progress=1&value=1&speed=1";
            let command = decoded(&format!("action=inner_define&cmd={name}&{needed}"));
            // `time` is a month to one of them and none to the others.
            let command = match name {
                "get_record_index" => decoded("action=inner_define&cmd=get_record_index"),
                "get_file_list" => decoded("action=inner_define&cmd=get_file_list"),
                _ => command,
            };
            let command = command.expect(name);
            assert!(!matches!(command, Command::Unknown(_)), "{name}");
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
}
