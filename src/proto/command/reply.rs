use serde::Serialize;

use super::records::{self, FileEntry, ListDialect, RecordSpan};
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
        /// Whether the request would be accepted.
        status: Status,
        /// Viewers being served now.
        viewers: usize,
        /// Viewers the device serves at most.
        max_viewers: usize,
        /// Why not, if not.
        reason: Option<String>,
    },
    /// Answer to [`Command::ChannelList`](super::Command::ChannelList).
    ChannelList(Vec<ChannelState>),
    /// Answer to [`Command::RecordIndex`](super::Command::RecordIndex).
    RecordIndex {
        /// What was recorded, by start.
        spans: Vec<RecordSpan>,
        /// If not all fit: the newest, not the oldest.
        newest: bool,
    },
    /// Answer to [`Command::MonthRecord`](super::Command::MonthRecord): bit 0 is the first day.
    MonthRecord(u32),
    /// Answer to [`Command::FileList`](super::Command::FileList).
    FileList {
        /// The files, by start.
        files: Vec<FileEntry>,
        /// How they are written.
        dialect: ListDialect,
        /// If not all fit: the newest, not the oldest.
        newest: bool,
    },
    /// Answer to a [`PlaybackCommand::Progress`](super::PlaybackCommand::Progress): milliseconds.
    Progress(u64),
    /// What a handler of `user_define` says: JSON or any other text; empty is [`Reply::Done`].
    Text(String),
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
            Self::Text(text) if !text.is_empty() => Ok(text.clone()),
            Self::Text(_) | Self::Done => Ok(r#"{"status":"0"}"#.to_owned()),
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
