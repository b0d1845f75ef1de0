//! `user_define`: what a device's maker defined, and what standard panels send
//! (`docs/protocol.md`, "Commands that makers define").

use serde::de::IgnoredAny;

use super::Topic;
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
    /// It begins as JSON does, and is none.
    Damaged,
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

impl UserCommand {
    /// Reads a command.
    pub fn parse(text: &str) -> Self {
        let meaning = Topic::parse(text).map(Meaning::Topic);
        let meaning = meaning
            .or_else(|| step(text).map(|(direction, speed)| Meaning::Step(direction, speed)))
            .or_else(|| call(text).map(Meaning::Call));
        Self {
            text: text.to_owned(),
            meaning: meaning.unwrap_or_else(|| match is_damaged(text) {
                true => Meaning::Damaged,
                false => Meaning::Other,
            }),
        }
    }

    /// By what a configuration names it: its topic, or `ptz` and `call` for words that mean that,
    /// or else the first word.
    pub fn name(&self) -> &str {
        match &self.meaning {
            Meaning::Topic(topic) => &topic.name,
            Meaning::Step(..) => "ptz",
            Meaning::Call(_) => "call",
            Meaning::Other | Meaning::Damaged => self.first_word(),
        }
    }

    /// What stands before the first space.
    pub fn first_word(&self) -> &str {
        let mut words = self.text.split_ascii_whitespace();
        words.next().unwrap_or_default()
    }
}

fn is_damaged(text: &str) -> bool {
    text.trim_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(text).is_err()
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

pub(super) fn direction(word: &str) -> Option<Direction> {
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
            (r#"["ptz",1,{}]"#, Meaning::Other),
            (r#"{"topic":"ptz""#, Meaning::Damaged),
        ] {
            assert_eq!(UserCommand::parse(text).meaning, meaning, "{text}");
        }
    }
}
