//! Messages of the standard panel, and what is answered (`docs/protocol.md`, "Commands that makers
//! define").

use serde::Serialize;
use serde_json::{Map, Value, value::RawValue};

use super::{
    Status,
    custom::{Direction, direction},
    json,
    reply::to_json,
};

/// A message of a panel: `{"topic":"…","message_id":…,"data":{…}}`.
#[derive(Clone, Debug, PartialEq)]
pub struct PanelMessage {
    /// Its name.
    pub name: String,
    /// Correlation id of the answer: a number, a string, or missing.
    pub message_id: Option<Value>,
    /// Parameters of the topic.
    pub data: Map<String, Value>,
}

/// A topic that this device knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StandardCommand {
    /// `ptz`: turn until the finger leaves.
    Press(Direction),
    /// `ptz`: the finger has left.
    Release,
    /// `get_status`: is it working?
    GetStatus,
    /// `set_status`: work, or stand by.
    SetStatus {
        /// Work.
        working: bool,
    },
    /// `Mirror_flip`: turn the picture.
    Flip {
        /// Rotated by 180°, or as mounted.
        flipped: bool,
    },
    /// `version`: which firmware is it?
    Version,
    /// `sd_format`: delete all recordings. The first time it gives a word, with which it does it.
    FormatCard {
        /// The word.
        confirm: Option<String>,
    },
    /// `bind_status`: somebody has bound the device; it beeps.
    BindStatus,
    /// `intercom`: does somebody talk?
    Intercom,
    /// `reboot`: start the camera again. No document has it, and every maker does.
    Reboot,
}

/// The topics of [`StandardCommand`], as the configuration allows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicName {
    /// `ptz`
    Ptz,
    /// `get_status`
    GetStatus,
    /// `set_status`
    SetStatus,
    /// `Mirror_flip`
    MirrorFlip,
    /// `version`
    Version,
    /// `sd_format`
    SdFormat,
    /// `bind_status`
    BindStatus,
    /// `intercom`
    Intercom,
    /// `reboot`
    Reboot,
}

impl TopicName {
    /// Every name.
    pub const ALL: [Self; 9] = [
        Self::Ptz,
        Self::GetStatus,
        Self::SetStatus,
        Self::MirrorFlip,
        Self::Version,
        Self::SdFormat,
        Self::BindStatus,
        Self::Intercom,
        Self::Reboot,
    ];

    /// Returns the name as panels write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ptz => "ptz",
            Self::GetStatus => "get_status",
            Self::SetStatus => "set_status",
            Self::MirrorFlip => "Mirror_flip",
            Self::Version => "version",
            Self::SdFormat => "sd_format",
            Self::BindStatus => "bind_status",
            Self::Intercom => "intercom",
            Self::Reboot => "reboot",
        }
    }

    /// The name that a word may be taken for: some firmware compares without case.
    pub fn like(word: impl AsRef<[u8]>) -> Option<Self> {
        let word = word.as_ref();
        let mut all = Self::ALL.into_iter();
        all.find(|name| name.as_str().as_bytes().eq_ignore_ascii_case(word))
    }
}

/// The members of a JSON object that make it a message of a panel, as they came.
#[derive(Default)]
pub(super) struct Members<'a> {
    topic: Option<&'a RawValue>,
    message_id: Option<&'a RawValue>,
    data: Option<&'a RawValue>,
}

impl<'a> Members<'a> {
    /// Notes a member.
    pub(super) fn take(&mut self, key: &str, value: &'a RawValue) {
        match key {
            "topic" => self.topic = Some(value),
            "message_id" => self.message_id = Some(value),
            "data" => self.data = Some(value),
            _ => {}
        }
    }

    /// The message, if it is one.
    pub(super) fn topic(self) -> Option<PanelMessage> {
        let name: String = serde_json::from_str(self.topic?.get()).ok()?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let is_name = (1..=json::MAX_NAME).contains(&name.len()) && name.bytes().all(is_plain);
        let value = |raw: Option<&RawValue>| match raw {
            None => Some(Value::Null),
            Some(raw) => serde_json::from_str(raw.get()).ok(),
        };
        let (message_id, data) = (value(self.message_id)?, value(self.data)?);
        is_name.then(|| PanelMessage {
            name,
            message_id: Some(message_id).filter(|id| !id.is_null()),
            data: match data {
                Value::Object(data) => data,
                _ => Map::new(),
            },
        })
    }
}

/// Reason why a topic is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PanelError {
    /// No topic of this name is known.
    Unknown,
    /// Malformed data; the text says how it should be.
    Damaged(&'static str),
}

impl StandardCommand {
    /// Reads the message of a topic.
    ///
    /// # Errors
    /// [`PanelError`]
    pub fn parse(topic: &PanelMessage) -> Result<Self, PanelError> {
        let word = |key: &str| topic.data.get(key).and_then(Value::as_str);
        let name = TopicName::like(&topic.name);
        let name = name.filter(|name| name.as_str() == topic.name);
        Ok(match name.ok_or(PanelError::Unknown)? {
            TopicName::Ptz => match word("cmd") {
                Some("ptz_release_pre") => Self::Release,
                Some(cmd) => {
                    let direction = cmd.strip_suffix("_press").and_then(direction);
                    Self::Press(direction.ok_or(PanelError::Damaged(PTZ))?)
                }
                None => return Err(PanelError::Damaged(PTZ)),
            },
            TopicName::GetStatus => Self::GetStatus,
            TopicName::SetStatus => match word("status") {
                Some("working") => Self::SetStatus { working: true },
                Some("standby") => Self::SetStatus { working: false },
                _ => return Err(PanelError::Damaged("data.status is working or standby")),
            },
            TopicName::MirrorFlip => match word("mode") {
                Some("normal") => Self::Flip { flipped: false },
                Some("flip") => Self::Flip { flipped: true },
                _ => return Err(PanelError::Damaged("data.mode is normal or flip")),
            },
            TopicName::Version => Self::Version,
            TopicName::SdFormat => Self::FormatCard {
                confirm: word("confirm").map(str::to_owned),
            },
            TopicName::BindStatus => Self::BindStatus,
            TopicName::Intercom => Self::Intercom,
            TopicName::Reboot => Self::Reboot,
        })
    }
}

const PTZ: &str = "data.cmd is one of ptz_left_press, ptz_right_press, ptz_up_press, ptz_down_press, ptz_release_pre";

/// Answer to a [`StandardCommand`] message that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PanelReply {
    /// Confirmation without more.
    Done,
    /// Answer to `ptz`: the position of the camera.
    PtzStatus {
        /// Position after the move.
        position: Position,
        /// Set if the camera is at the end of its range in that direction.
        is_at_end: bool,
    },
    /// Answer to `get_status`.
    Status {
        /// Working, or standing by.
        working: bool,
        /// Viewers being served.
        viewers: usize,
    },
    /// Answer to `version`: the version of the firmware.
    Version(&'static str),
    /// The word without which the card is not formatted.
    Confirm(String),
    /// Answer to `intercom`.
    Intercom {
        /// Set if somebody talks.
        is_used: bool,
    },
}

/// Pan and tilt position of a camera, in steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Pan, to the right.
    pub x: i32,
    /// Tilt, upwards.
    pub y: i32,
    /// The least and the greatest x.
    pub x_range: (i32, i32),
    /// The least and the greatest y.
    pub y_range: (i32, i32),
}

#[derive(Default, Serialize)]
struct AnswerJson<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    apex: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confirm: Option<&'a str>,
    confirmation_topic: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_x: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_y: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_x: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_y: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_x: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_y: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_num: Option<usize>,
}

/// The answer to a topic: `{"confirmation_topic":"…","message_id":…,"result":"0",…}`; if it was not
/// done, with the status and the reason.
pub fn encode_topic(topic: &PanelMessage, done: Result<&PanelReply, (Status, &str)>) -> String {
    let mut answer = AnswerJson {
        confirmation_topic: &topic.name,
        message_id: topic.message_id.as_ref(),
        result: Status::Ok.as_str(),
        ..AnswerJson::default()
    };
    match done {
        Ok(PanelReply::Done) => {}
        Ok(PanelReply::PtzStatus {
            position,
            is_at_end,
        }) => {
            answer.apex = Some(if *is_at_end { "yes" } else { "no" });
            (answer.current_x, answer.current_y) = (Some(position.x), Some(position.y));
            (answer.min_x, answer.max_x) = (Some(position.x_range.0), Some(position.x_range.1));
            (answer.min_y, answer.max_y) = (Some(position.y_range.0), Some(position.y_range.1));
        }
        Ok(PanelReply::Status { working, viewers }) => {
            answer.status = Some(if *working { "working" } else { "standby" });
            answer.user_num = Some(*viewers);
        }
        Ok(PanelReply::Version(info)) => answer.info = Some(info),
        Ok(PanelReply::Confirm(word)) => {
            answer.confirm = Some(word);
            answer.reason =
                Some("this deletes all recordings; send it again within 60 s with data.confirm");
        }
        Ok(PanelReply::Intercom { is_used }) => {
            answer.status = Some(if *is_used { "using" } else { "unused" });
        }
        Err((status, reason)) => {
            answer.result = status.as_str();
            // Clients that know no topics look for this.
            answer.status = Some(status.as_str());
            answer.reason = Some(reason);
        }
    }
    to_json(&answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{CustomCommand, Meaning};

    fn topic(text: &str) -> PanelMessage {
        match CustomCommand::parse(text).meaning {
            Meaning::Panel(topic) => topic,
            other => panic!("{text} is {other:?}"),
        }
    }

    fn panel(text: &str) -> Result<StandardCommand, PanelError> {
        StandardCommand::parse(&topic(text))
    }

    #[test]
    fn topics_of_the_standard_panel() {
        for (text, expected) in [
            (
                r#"{"topic":"ptz","message_id":0,"data":{"cmd":"ptz_release_pre"}}"#,
                StandardCommand::Release,
            ),
            (
                r#"{"topic":"ptz","data":{"cmd":"ptz_up_press"}}"#,
                StandardCommand::Press(Direction::Up),
            ),
            (
                r#"{"topic":"ptz","data":{"cmd":"ptz_left_press"}}"#,
                StandardCommand::Press(Direction::Left),
            ),
            (
                r#"{"topic":"get_status","data":{"user":"owner"}}"#,
                StandardCommand::GetStatus,
            ),
            (
                r#"{"topic":"set_status","data":{"status":"standby"}}"#,
                StandardCommand::SetStatus { working: false },
            ),
            (
                r#"{"topic":"Mirror_flip","data":{"mode":"flip"}}"#,
                StandardCommand::Flip { flipped: true },
            ),
            (r#"{"topic":"version"}"#, StandardCommand::Version),
            (
                r#"{"topic":"sd_format","data":null}"#,
                StandardCommand::FormatCard { confirm: None },
            ),
            (
                r#"{"topic":"sd_format","data":{"confirm":"x"}}"#,
                StandardCommand::FormatCard {
                    confirm: Some("x".into()),
                },
            ),
            (
                r#"{"topic":"bind_status","status":"success"}"#,
                StandardCommand::BindStatus,
            ),
            (r#"{"topic":"intercom"}"#, StandardCommand::Intercom),
            (r#"{"topic":"reboot"}"#, StandardCommand::Reboot),
        ] {
            assert_eq!(panel(text), Ok(expected), "{text}");
        }
        assert_eq!(panel(r#"{"topic":"upgrade"}"#), Err(PanelError::Unknown));
        for text in [
            r#"{"topic":"ptz"}"#,
            r#"{"topic":"ptz","data":{"cmd":"ptz_in_press"}}"#,
            r#"{"topic":"set_status","data":{"status":"asleep"}}"#,
            r#"{"topic":"Mirror_flip","data":{}}"#,
        ] {
            assert!(matches!(panel(text), Err(PanelError::Damaged(_))), "{text}");
        }
        for name in TopicName::ALL.map(TopicName::as_str) {
            assert_ne!(
                panel(&format!("{{\"topic\":\"{name}\"}}")),
                Err(PanelError::Unknown)
            );
        }
    }

    #[test]
    fn answers_carry_the_number_of_the_question() {
        let answer = |id: &str| {
            let text = format!(r#"{{"topic":"ptz"{id}}}"#);
            let topic = topic(&text);
            encode_topic(&topic, Ok(&PanelReply::Done))
        };
        let start = r#"{"confirmation_topic":"ptz","#;
        for (id, end) in [
            ("", r#""result":"0"}"#),
            (r#","message_id":7"#, r#""message_id":7,"result":"0"}"#),
            (
                r#","message_id":"x-1""#,
                r#""message_id":"x-1","result":"0"}"#,
            ),
        ] {
            assert_eq!(answer(id), format!("{start}{end}"), "{id}");
        }
    }
}
