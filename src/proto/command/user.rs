//! `user_define`: what a device's maker defined, and what standard panels send
//! (`docs/protocol.md`, "Commands that makers define").

use serde_json::{Map, Value, json};

use super::Status;
use crate::proto::call::ViewerMove;

/// A command of `user_define`.
#[derive(Clone, Debug, PartialEq)]
pub struct UserCommand {
    /// The command as it came: JSON, words or hex.
    pub text: String,
    /// What it means, as far as this device knows.
    pub meaning: Meaning,
}

/// What a command means.
#[derive(Clone, Debug, PartialEq)]
pub enum Meaning {
    /// JSON with a topic.
    Topic(Topic),
    /// `ptz_left` and the like: a step.
    Step(Direction, Speed),
    /// `wx_call_start` and the like.
    Call(ViewerMove),
    /// Nothing that is known here.
    Other,
}

/// A message of a panel: `{"topic":"…","message_id":…,"data":{…}}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// What its answer is told by: a number, a string, or missing.
    pub message_id: Option<Value>,
    /// What it says.
    pub data: Map<String, Value>,
}

/// Where a camera turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the left.
    Left,
    /// To the right.
    Right,
    /// Upwards.
    Up,
    /// Downwards.
    Down,
}

/// How fast, 1 (slowest) to 10.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speed(u8);

impl Speed {
    /// What is not said otherwise.
    pub const USUAL: Self = Self(5);

    /// 1 to 10.
    pub fn get(self) -> u8 {
        self.0
    }
}

/// A topic that this device knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Panel {
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
        /// By 180°; or as it was.
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

/// The names of the topics of [`Panel`], as the configuration allows them.
pub const TOPICS: [&str; 9] = [
    "ptz",
    "get_status",
    "set_status",
    "Mirror_flip",
    "version",
    "sd_format",
    "bind_status",
    "intercom",
    "reboot",
];

impl UserCommand {
    /// Reads a command.
    pub fn parse(text: &str) -> Self {
        let meaning = topic(text).map(Meaning::Topic);
        let meaning = meaning
            .or_else(|| step(text).map(|(direction, speed)| Meaning::Step(direction, speed)))
            .or_else(|| call(text).map(Meaning::Call));
        Self {
            text: text.to_owned(),
            meaning: meaning.unwrap_or(Meaning::Other),
        }
    }

    /// By what a configuration names it: its topic, or `ptz` and `call` for words that mean that,
    /// or else the first word.
    pub fn name(&self) -> &str {
        match &self.meaning {
            Meaning::Topic(topic) => &topic.name,
            Meaning::Step(..) => "ptz",
            Meaning::Call(_) => "call",
            Meaning::Other => self.first_word(),
        }
    }

    /// What stands before the first space.
    pub fn first_word(&self) -> &str {
        self.text.split_whitespace().next().unwrap_or_default()
    }
}

fn topic(text: &str) -> Option<Topic> {
    let mut object: Map<String, Value> = serde_json::from_str(text.trim()).ok()?;
    let name = object.get("topic")?.as_str()?.to_owned();
    let data = match object.remove("data") {
        Some(Value::Object(data)) => data,
        _ => Map::new(),
    };
    Some(Topic {
        name,
        message_id: object.remove("message_id"),
        data,
    })
}

/// `ptz_left`, `ptz_left_speed_1`
fn step(text: &str) -> Option<(Direction, Speed)> {
    let rest = text.strip_prefix("ptz_")?;
    let (word, speed) = match rest.split_once("_speed_") {
        None => (rest, Speed::USUAL),
        Some((word, number)) => {
            let number: u8 = number.parse().ok()?;
            (word, Speed(number.clamp(1, 10)))
        }
    };
    Some((direction(word)?, speed))
}

fn direction(word: &str) -> Option<Direction> {
    Some(match word {
        "left" => Direction::Left,
        "right" => Direction::Right,
        "up" => Direction::Up,
        "down" => Direction::Down,
        _ => return None,
    })
}

fn call(text: &str) -> Option<ViewerMove> {
    Some(match text {
        "wx_call_start" => ViewerMove::Start,
        "wx_call_cancel" => ViewerMove::Cancel,
        "wx_call_hangup" => ViewerMove::HangUp,
        "wx_call_timeout" => ViewerMove::Timeout,
        _ => return None,
    })
}

/// Why a topic is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotPanel {
    /// No topic of this name is known.
    Unknown,
    /// What it says makes no sense: how it should be.
    Damaged(&'static str),
}

impl Panel {
    /// What a topic says.
    ///
    /// # Errors
    /// [`NotPanel`]
    pub fn of(topic: &Topic) -> Result<Self, NotPanel> {
        let word = |key: &str| topic.data.get(key).and_then(Value::as_str);
        Ok(match topic.name.as_str() {
            "ptz" => match word("cmd") {
                Some("ptz_release_pre") => Self::Release,
                Some(cmd) => {
                    let pressed = cmd.strip_prefix("ptz_");
                    let pressed = pressed.and_then(|word| word.strip_suffix("_press"));
                    let direction = pressed.and_then(direction);
                    Self::Press(direction.ok_or(NotPanel::Damaged(PTZ))?)
                }
                None => return Err(NotPanel::Damaged(PTZ)),
            },
            "get_status" => Self::GetStatus,
            "set_status" => match word("status") {
                Some("working") => Self::SetStatus { working: true },
                Some("standby") => Self::SetStatus { working: false },
                _ => return Err(NotPanel::Damaged("data.status is working or standby")),
            },
            "Mirror_flip" => match word("mode") {
                Some("normal") => Self::Flip { flipped: false },
                Some("flip") => Self::Flip { flipped: true },
                _ => return Err(NotPanel::Damaged("data.mode is normal or flip")),
            },
            "version" => Self::Version,
            "sd_format" => Self::FormatCard {
                confirm: word("confirm").map(str::to_owned),
            },
            "bind_status" => Self::BindStatus,
            "intercom" => Self::Intercom,
            "reboot" => Self::Reboot,
            _ => return Err(NotPanel::Unknown),
        })
    }
}

const PTZ: &str = "data.cmd is one of ptz_left_press, ptz_right_press, ptz_up_press, ptz_down_press, ptz_release_pre";

/// The answer to a topic: `{"confirmation_topic":"…","result":"0","message_id":…,…}`.
pub fn encode_topic(
    topic: &Topic,
    (result, reason): (Status, Option<&str>),
    fields: Map<String, Value>,
) -> String {
    let mut object = Map::new();
    object.insert("confirmation_topic".to_owned(), json!(topic.name));
    object.insert("result".to_owned(), json!(result.as_str()));
    object.extend(fields);
    if let Some(reason) = reason {
        // Clients that know no topics look for this.
        object.insert("status".to_owned(), json!(result.as_str()));
        object.insert("reason".to_owned(), json!(reason));
    }
    if let Some(message_id) = &topic.message_id {
        object.insert("message_id".to_owned(), message_id.clone());
    }
    Value::Object(object).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_old_clients() {
        for (text, meaning) in [
            ("ptz_left", Meaning::Step(Direction::Left, Speed::USUAL)),
            ("ptz_left_speed_1", Meaning::Step(Direction::Left, Speed(1))),
            (
                "ptz_right_speed_1",
                Meaning::Step(Direction::Right, Speed(1)),
            ),
            ("ptz_up", Meaning::Step(Direction::Up, Speed::USUAL)),
            (
                "ptz_down_speed_99",
                Meaning::Step(Direction::Down, Speed(10)),
            ),
            ("wx_call_start", Meaning::Call(ViewerMove::Start)),
            ("wx_call_cancel", Meaning::Call(ViewerMove::Cancel)),
            ("wx_call_hangup", Meaning::Call(ViewerMove::HangUp)),
            ("wx_call_timeout", Meaning::Call(ViewerMove::Timeout)),
            ("ptz_inwards", Meaning::Other),
            ("ptz_left_speed_x", Meaning::Other),
            ("36D7F336FCEC9E57318ECA0323BA9497", Meaning::Other),
            (r#"{"shell":"reboot"}"#, Meaning::Other),
            (r#"{"topic":1}"#, Meaning::Other),
            (r#"{"topic":"ptz""#, Meaning::Other),
        ] {
            assert_eq!(UserCommand::parse(text).meaning, meaning, "{text}");
        }
    }

    fn panel(text: &str) -> Result<Panel, NotPanel> {
        match UserCommand::parse(text).meaning {
            Meaning::Topic(topic) => Panel::of(&topic),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn topics_of_the_standard_panel() {
        for (text, expected) in [
            (
                r#"{"topic":"ptz","message_id":0,"data":{"cmd":"ptz_release_pre"}}"#,
                Panel::Release,
            ),
            (
                r#"{"topic":"ptz","data":{"cmd":"ptz_up_press"}}"#,
                Panel::Press(Direction::Up),
            ),
            (
                r#"{"topic":"ptz","data":{"cmd":"ptz_left_press"}}"#,
                Panel::Press(Direction::Left),
            ),
            (
                r#"{"topic":"get_status","data":{"user":"owner"}}"#,
                Panel::GetStatus,
            ),
            (
                r#"{"topic":"set_status","data":{"status":"standby"}}"#,
                Panel::SetStatus { working: false },
            ),
            (
                r#"{"topic":"Mirror_flip","data":{"mode":"flip"}}"#,
                Panel::Flip { flipped: true },
            ),
            (r#"{"topic":"version"}"#, Panel::Version),
            (
                r#"{"topic":"sd_format","data":null}"#,
                Panel::FormatCard { confirm: None },
            ),
            (
                r#"{"topic":"sd_format","data":{"confirm":"x"}}"#,
                Panel::FormatCard {
                    confirm: Some("x".into()),
                },
            ),
            (
                r#"{"topic":"bind_status","status":"success"}"#,
                Panel::BindStatus,
            ),
            (r#"{"topic":"intercom"}"#, Panel::Intercom),
            (r#"{"topic":"reboot"}"#, Panel::Reboot),
        ] {
            assert_eq!(panel(text), Ok(expected), "{text}");
        }
        assert_eq!(panel(r#"{"topic":"upgrade"}"#), Err(NotPanel::Unknown));
        for text in [
            r#"{"topic":"ptz"}"#,
            r#"{"topic":"ptz","data":{"cmd":"ptz_in_press"}}"#,
            r#"{"topic":"set_status","data":{"status":"asleep"}}"#,
            r#"{"topic":"Mirror_flip","data":{}}"#,
        ] {
            assert!(matches!(panel(text), Err(NotPanel::Damaged(_))), "{text}");
        }
        for name in TOPICS {
            assert_ne!(
                panel(&format!("{{\"topic\":\"{name}\"}}")),
                Err(NotPanel::Unknown)
            );
        }
    }

    #[test]
    fn answers_carry_the_number_of_the_question() {
        let answer = |id: &str| {
            let text = format!(r#"{{"topic":"ptz"{id}}}"#);
            let Meaning::Topic(topic) = UserCommand::parse(&text).meaning else {
                panic!("{text}");
            };
            encode_topic(&topic, (Status::Ok, None), Map::new())
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
