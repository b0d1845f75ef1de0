//! Answers to commands, and the JSON that they are on the wire.
//!
//! Every answer is JSON, none is empty, and statuses and numbers are strings: stock clients parse
//! nothing else. Entries of lists are written by `records`, answers to panels by `panel`.

use std::fmt::Display;

use serde::Serialize;

use super::{
    Offer,
    records::{self, FileEntry, ListDialect, RecordSpan},
};
use crate::media::ChannelId;

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
    /// Answer to [`Command::DeviceStatus`](super::Command::DeviceStatus): an array with exactly one object.
    DeviceStatus {
        /// [`Status::Ok`] if the request would be accepted.
        status: Status,
        /// Apps that are connected.
        connected: usize,
        /// Number of apps at which a further one is refused.
        max_connected: usize,
        /// Reason of a refusal.
        reason: Option<String>,
    },
    /// Answer to [`Command::ChannelList`](super::Command::ChannelList).
    ChannelList(Vec<ChannelState>),
    /// Answer to a [`Command::RecordIndex`](super::Command::RecordIndex) without a window: the newest.
    RecordIndex {
        /// Recorded times, by start.
        spans: Vec<RecordSpan>,
        /// Most entries of the answer.
        limit: usize,
    },
    /// Answer to [`Command::MonthRecord`](super::Command::MonthRecord): bit 0 is the first day.
    MonthRecord(u32),
    /// Answer to a [`Command::FileList`](super::Command::FileList) without a window: the newest.
    FileList {
        /// The files, by start.
        files: Vec<FileEntry>,
        /// Notation of types and times.
        dialect: ListDialect,
        /// Most entries of the answer.
        limit: usize,
    },
    /// Answer to a [`PlaybackCommand::Progress`](super::PlaybackCommand::Progress): milliseconds.
    Progress(u64),
    /// Answer of a handler of `user_define`: JSON or any other text; empty is [`Reply::Done`].
    Text(String),
    /// Answer to [`Command::Help`](super::Command::Help).
    Help(Box<Offer>),
    /// Confirmation: `{"status":"0"}`.
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
    /// Set if the camera delivers, as far as the device knows.
    pub online: bool,
}

#[derive(Serialize)]
struct DeviceStatusJson<'a> {
    status: Status,
    #[serde(rename = "appConnectNum", serialize_with = "as_text")]
    connected: usize,
    #[serde(rename = "maxConnectNum", serialize_with = "as_text")]
    max_connected: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

#[derive(Serialize)]
struct ChannelJson<'a> {
    #[serde(rename = "DeviceName")]
    name: &'a str,
    #[serde(rename = "Channel", serialize_with = "as_text")]
    channel: ChannelId,
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
    pub fn encode(self) -> String {
        match self {
            Self::DeviceStatus {
                status,
                connected,
                max_connected,
                reason,
            } => to_json(&[DeviceStatusJson {
                status,
                connected,
                max_connected,
                reason: reason.as_deref(),
            }]),
            Self::ChannelList(channels) => {
                let channels: Vec<_> = channels
                    .iter()
                    .map(|state| ChannelJson {
                        name: &state.name,
                        channel: state.channel,
                        online: if state.online { "1" } else { "0" },
                    })
                    .collect();
                to_json(&channels)
            }
            Self::RecordIndex { spans, limit } => records::encode_spans(&spans, limit),
            Self::MonthRecord(days) => format!("{{\"video_list\":\"{days}\"}}"),
            Self::FileList {
                files,
                dialect,
                limit,
            } => records::encode_files(&files, dialect, limit),
            Self::Progress(millis) => records::encode_progress(millis),
            Self::Help(offer) => offer.encode(),
            Self::Text(text) if !text.is_empty() => text,
            Self::Text(_) | Self::Done => r#"{"status":"0"}"#.to_owned(),
            Self::Status { status, reason } => to_json(&StatusJson {
                status,
                reason: &reason,
            }),
        }
    }
}

/// Writes a value that always serializes: texts, numbers and flat structs.
pub(super) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("texts, numbers and flat structs always serialize")
}

/// The same over several lines, to be read by people too.
pub(super) fn to_json_lines(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("texts, numbers and flat structs always serialize")
}

/// Serializes a number as text, as the protocol has numbers.
pub(super) fn as_text<S: serde::Serializer>(
    number: &impl Display,
    to: S,
) -> Result<S::Ok, S::Error> {
    to.collect_str(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_the_shape_that_clients_parse() {
        let status = Reply::DeviceStatus {
            status: Status::Ok,
            connected: 2,
            max_connected: 32,
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
