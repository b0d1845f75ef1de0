//! `user_define`: what a device's maker defined, and what standard panels send
//! (`docs/protocol.md`, "Commands that makers define").

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::{PanelMessage, TopicName, json, panel::Members};
use crate::{call::ViewerCallAction, encoding::hex};

/// Most layers of percent-encoding that are looked through, beside that of the query.
const MAX_ESCAPED: usize = 4;

/// A command of `user_define`.
#[derive(Clone, Debug, PartialEq)]
pub struct CustomCommand {
    /// The command as it goes on: JSON written anew, words or hex. Empty if it goes to nobody.
    pub text: String,
    /// Meaning of the command, as far as this device knows.
    pub meaning: Meaning,
    /// The topics of this device that are named in it, wherever and in whatever case. Whoever does
    /// the command may understand them, so what they need is needed.
    pub names: Vec<TopicName>,
}

/// Meaning of a custom command.
#[derive(Clone, Debug, PartialEq)]
pub enum Meaning {
    /// JSON with a topic.
    Panel(PanelMessage),
    /// `ptz_left` and the like: a step.
    Step(Direction, Speed),
    /// `wx_call_start` and the like.
    Call(ViewerCallAction),
    /// A command that is not known here.
    Other,
    /// JSON without a topic. It goes to nobody.
    NoTopic,
    /// Text that begins as JSON does and that not all readers understand as one thing, with the
    /// reason. It goes to nobody.
    Damaged(&'static str),
}

/// Direction of a pan or tilt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Pan to the left.
    Left,
    /// Pan to the right.
    Right,
    /// Tilt upwards.
    Up,
    /// Tilt downwards.
    Down,
}

/// Words for a step; `_speed_` and a number may follow.
pub const STEP_WORDS: [(&str, Direction); 4] = [
    ("ptz_left", Direction::Left),
    ("ptz_right", Direction::Right),
    ("ptz_up", Direction::Up),
    ("ptz_down", Direction::Down),
];

/// Words for a viewer's part in a call.
pub const CALL_WORDS: [(&str, ViewerCallAction); 4] = [
    ("wx_call_start", ViewerCallAction::Start),
    ("wx_call_cancel", ViewerCallAction::Cancel),
    ("wx_call_hangup", ViewerCallAction::HangUp),
    ("wx_call_timeout", ViewerCallAction::Timeout),
];

/// Speed of a step, 1 (slowest) to 10.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speed(u8);

impl Speed {
    /// Speed of commands that name none.
    pub const USUAL: Self = Self(5);

    /// 1 to 10.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl CustomCommand {
    /// Reads a command.
    pub fn parse(text: &str) -> Self {
        let mut names = Vec::new();
        let read = read(text, |said| note_names(said, &mut names));
        let (text, meaning) = match read {
            Ok((_, Meaning::NoTopic)) => (String::new(), Meaning::NoTopic),
            Ok(read) => read,
            Err(_) if text.contains(":+") || text.contains(",+") => (
                String::new(),
                Meaning::Damaged("a space is written as %20, not as +"),
            ),
            Err(reason) => (String::new(), Meaning::Damaged(reason)),
        };
        Self {
            text,
            meaning,
            names,
        }
    }

    /// Returns the name by which a configuration selects it: its topic, or `ptz` and `call` for
    /// words that mean that, or else the first word.
    pub fn name(&self) -> &str {
        match &self.meaning {
            Meaning::Panel(topic) => &topic.name,
            Meaning::Step(..) => "ptz",
            Meaning::Call(_) => "call",
            Meaning::Other | Meaning::NoTopic | Meaning::Damaged(_) => self.first_word(),
        }
    }

    /// Returns the text before the first space.
    pub fn first_word(&self) -> &str {
        let mut words = self.text.split_ascii_whitespace();
        words.next().unwrap_or_default()
    }
}

/// The text as it goes on, and what it means. `hear` is told all that stands in it.
fn read(text: &str, mut hear: impl FnMut(&str)) -> Result<(String, Meaning), &'static str> {
    if json::begins_as_json(text) {
        let mut members = Members::default();
        let text = json::rewrite(text, hear, |key, value| members.take(key, value))?;
        let meaning = members.topic().map_or(Meaning::NoTopic, Meaning::Panel);
        return Ok((text, meaning));
    }
    // Firmware may decode once more than this device did, and then read a topic that was not checked.
    // Each layer is heard, and JSON below one is refused.
    hear(text);
    let mut unescaped = Cow::Borrowed(text);
    for tries in 0.. {
        let further = percent_decode_str(&unescaped).decode_utf8_lossy();
        if further == unescaped {
            break;
        }
        if tries == MAX_ESCAPED || json::begins_as_json(&further) {
            return Err("it is percent-encoded more than once");
        }
        hear(&further);
        unescaped = Cow::Owned(further.into_owned());
    }
    // Binary goes as hex (signalling description, "Custom signalling"), and JSON can hide in it.
    if let Some(bytes) = unhex(text) {
        let inner = String::from_utf8_lossy(&bytes);
        // `22` may as well be a number of the maker's.
        if json::begins_as_json(&inner) && inner.contains('{') {
            let mut members = Members::default();
            let anew = json::rewrite(&inner, hear, |key, value| members.take(key, value))?;
            // Upper case as in the document's example, unless the app had it otherwise.
            let is_lower = text.bytes().any(|byte| byte.is_ascii_lowercase());
            let mut text = hex(anew.as_bytes());
            if !is_lower {
                text.make_ascii_uppercase();
            }
            let meaning = members.topic().map_or(Meaning::NoTopic, |_| Meaning::Other);
            return Ok((text, meaning));
        }
        hear(&inner);
    }
    let word = text.trim_matches(json::is_skipped).to_ascii_lowercase();
    let step = step(&word).map(|(direction, speed)| Meaning::Step(direction, speed));
    let meaning = step.or_else(|| call(&word).map(Meaning::Call));
    Ok((text.to_owned(), meaning.unwrap_or(Meaning::Other)))
}

/// Notes which topics of this device are words of a text, as it is and as it is behind the escapes
/// of JSON.
fn note_names(text: &str, names: &mut Vec<TopicName>) {
    note_words(text, names);
    if text.contains('\\') {
        note_words(&without_escapes(text), names);
    }
}

/// `\u0061` and `\x61` as what they stand for, however often the backslash was escaped itself.
fn without_escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let after = after.trim_start_matches('\\');
        let digits = match after.bytes().next() {
            Some(b'u' | b'U') => 4,
            Some(b'x' | b'X') => 2,
            _ => 0,
        };
        let number = after.get(1..1 + digits).filter(|_| digits > 0);
        let number = number.and_then(|number| u32::from_str_radix(number, 16).ok());
        match number.and_then(char::from_u32) {
            Some(letter) => {
                out.push(letter);
                rest = &after[1 + digits..];
            }
            None => {
                // What is escaped otherwise is no part of a word.
                out.push('\\');
                rest = after;
            }
        }
    }
    out + rest
}

fn note_words(text: &str, names: &mut Vec<TopicName>) {
    let is_other = |byte: &u8| !byte.is_ascii_alphanumeric() && *byte != b'_';
    for name in text.as_bytes().split(is_other).filter_map(TopicName::like) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
}

/// The bytes of a text that is hex, whatever its case and the blanks in it.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .filter(|c| !json::is_skipped(*c))
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let digits = digits.filter(|digits| !digits.is_empty() && digits.len() % 2 == 0)?;
    Some(digits.chunks(2).map(|two| two[0] << 4 | two[1]).collect())
}

/// `ptz_left`, `ptz_left_speed_1`
fn step(text: &str) -> Option<(Direction, Speed)> {
    let (word, speed) = match text.split_once("_speed_") {
        None => (text, Speed::USUAL),
        Some((word, number)) => {
            let number: u8 = number.parse().ok()?;
            (word, Speed(number.clamp(1, 10)))
        }
    };
    Some((direction(word)?, speed))
}

/// The direction of a word such as `ptz_left`.
pub(super) fn direction(text: &str) -> Option<Direction> {
    let mut words = STEP_WORDS.into_iter();
    words.find_map(|(word, direction)| (word == text).then_some(direction))
}

fn call(text: &str) -> Option<ViewerCallAction> {
    let mut words = CALL_WORDS.into_iter();
    words.find_map(|(word, action)| (word == text).then_some(action))
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
            ("wx_call_start", Meaning::Call(ViewerCallAction::Start)),
            ("wx_call_cancel", Meaning::Call(ViewerCallAction::Cancel)),
            ("wx_call_hangup", Meaning::Call(ViewerCallAction::HangUp)),
            ("wx_call_timeout", Meaning::Call(ViewerCallAction::Timeout)),
            ("ptz_inwards", Meaning::Other),
            ("ptz_left_speed_x", Meaning::Other),
            ("36D7F336FCEC9E57318ECA0323BA9497", Meaning::Other),
            ("PTZ_LEFT\t", Meaning::Step(Direction::Left, Speed::USUAL)),
            ("22", Meaning::Other),
            (r#"{"shell":"reboot"}"#, Meaning::NoTopic),
            (r#"{"topic":1}"#, Meaning::NoTopic),
            (r#"{"topic":"a b"}"#, Meaning::NoTopic),
            (r#"{"topic":""}"#, Meaning::NoTopic),
            (r#"{"topic":"\u017fd"}"#, Meaning::NoTopic),
            (r#"["ptz",1,{}]"#, Meaning::NoTopic),
            (r#""sd_format""#, Meaning::NoTopic),
        ] {
            assert_eq!(CustomCommand::parse(text).meaning, meaning, "{text}");
        }
    }

    #[test]
    fn what_is_not_one_message_goes_to_nobody() {
        for text in [
            r#"{"topic":"sd_format","topic":"x"}"#,
            r#"{"topic":"x","data":{},"data":{}}"#,
            r#"{"topic":"sd_format"} ,"#,
            r#"{"topic":"reboot",}"#,
            r#"{"Topic":"sd_format"}"#,
            r#"{"topic":"x","TOPIC":"sd_format"}"#,
            r#"{"topic":"sd_format""#,
            "\u{feff}{\"topic\":\"sd_format\"}",
            "\u{b}{\"topic\":\"sd_format\"}",
            r#"{"topic":"x\u0000"}"#,
            r#"{"topic":"x","data":{"topic\u0000":"y"}}"#,
            // Escaped twice, and again.
            "%7B%22topic%22:%22sd_format%22%7D",
            "%257B%2522topic%2522%253A%2522x%2522%257D",
            "%25252525252525x",
            r#"/**/{"topic":"sd_format"}"#,
            "//x\n{\"topic\":\"sd_format\"}",
            "# x\n{\"topic\":\"sd_format\"}",
            r#"{"topic":+"x"}"#,
            // {"topic":"x",}
            "7B22746F706963223A2278222C7D",
        ] {
            let command = CustomCommand::parse(text);
            let is_damaged = matches!(command.meaning, Meaning::Damaged(_));
            assert!(is_damaged && command.text.is_empty(), "{text}: {command:?}");
        }
        // [{"topic":"x"}] and {"shell":"x"}
        for text in [
            "5b7b22746f706963223a2278227d5d",
            "7b227368656c6c223a2278227d",
        ] {
            let command = CustomCommand::parse(text);
            assert_eq!(
                (command.meaning, command.text),
                (Meaning::NoTopic, String::new())
            );
        }
    }

    #[test]
    fn what_goes_on_is_written_anew() {
        for (text, expected) in [
            (
                " { \"topic\" : \"\\u006cight\", \"on\":1e400 }\n",
                r#"{"topic":"light","on":1e400}"#,
            ),
            // { "topic":"x"}
            ("7B2022746F706963223A2278227D", "7B22746F706963223A2278227D"),
            ("light on", "light on"),
            ("36D7F336", "36D7F336"),
        ] {
            let command = CustomCommand::parse(text);
            assert_eq!(command.text, expected);
            assert_eq!(command.names, [], "{text}");
        }
    }

    #[test]
    fn names_of_this_device_are_found_wherever_they_stand() {
        for text in [
            r#"{"topic":"sd_format"}"#,
            r#"{"topic":"SD_Format"}"#,
            r#"{"topic":"x","data":{"topic":"sd_format"}}"#,
            r#"{"topic":"x","data":[["rm; \u0073d_format"]]}"#,
            r#"{"topic":"x","sd_format":1}"#,
            r#"{"topic":"x","data":{"Sd_Format":1}}"#,
            "sd_format",
            "\tSD_FORMAT now",
            "sd_format;x",
            "'sd_format'",
            "sd_format\\u0000x",
            r#"x {"topic":"sd\u005fformat"}"#,
            r#"{"topic":"x","data":"{\"topic\":\"sd\\u005fformat\"}"}"#,
            r"s\x64_format",
            "run sd_format",
            "s%64_format",
            "s%2564_format",
            // sd_format, and {"topic":"sd_format"}
            "73645f666f726d6174",
            "7B22746F706963223A2273645F666F726D6174227D",
            "73 64 5f 66 6f 72 6d 61 74",
        ] {
            let command = CustomCommand::parse(text);
            assert_eq!(command.names, [TopicName::SdFormat], "{text}");
        }
        for text in [
            "sd_formatted",
            "no_reboot",
            r#"{"topic":"set_status_light"}"#,
        ] {
            assert_eq!(CustomCommand::parse(text).names, [], "{text}");
        }
    }
}
