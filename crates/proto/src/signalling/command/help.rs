//! Answer to `help`: the offer of a device to a caller, for people and for programs
//! (`docs/protocol.md`, "Help").

use serde::{Serialize, Serializer};

use super::{Status, TopicName, reply::to_json_lines};
use crate::{credential::Scope, media::ChannelId};

/// A command of `inner_define`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inner {
    /// Value of the parameter `cmd`.
    pub name: &'static str,
    /// Scope that the caller needs; `None`: nothing but to be let in.
    pub scope: Option<Scope>,
    /// Its parameters.
    pub takes: &'static str,
}

const fn inner(name: &'static str, scope: Option<Scope>, takes: &'static str) -> Inner {
    Inner { name, scope, takes }
}

/// Every command of `inner_define`.
#[rustfmt::skip]
pub const INNER: [Inner; 19] = [
    inner("help", None, ""),
    inner("get_device_st", None, "type=live|voice|playback, quality, channel"),
    inner("get_nvr_list", None, ""),
    inner("get_record_index", Some(Scope::Playback), "channel, start_time, end_time, type, limit"),
    inner("get_month_record", Some(Scope::Playback), "channel, time=YYYYMM"),
    inner("get_file_list", Some(Scope::Download), "channel, start_time, end_time, file_type=0|1, limit"),
    inner("playback_pause", Some(Scope::Playback), "channel"),
    inner("playback_resume", Some(Scope::Playback), "channel"),
    inner("playback_seek", Some(Scope::Playback), "channel, progress (ms) or time (s)"),
    inner("playback_progress", Some(Scope::Playback), "channel"),
    inner("playback_ff", Some(Scope::Playback), "channel, value"),
    inner("playback_rewind", Some(Scope::Playback), "channel, start_time, end_time (ms)"),
    inner("playback_speed", Some(Scope::Playback), "channel, speed (ms)"),
    inner("call_answer", Some(Scope::Voice), "channel"),
    inner("call_hang_up", Some(Scope::Voice), "channel"),
    inner("call_cancel", Some(Scope::Voice), "channel"),
    inner("call_reject", Some(Scope::Voice), "channel"),
    inner("call_busy", Some(Scope::Voice), "channel"),
    inner("call_timeout", Some(Scope::Voice), "channel"),
];

/// Commands, topics and requests that a device offers to one caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// Its channels.
    pub channels: Vec<ChannelId>,
    /// Requests for media and talk, with their parameters.
    pub requests: Vec<(&'static str, &'static str)>,
    /// Commands of `inner_define`.
    pub inner: Vec<Inner>,
    /// Topics of `user_define` that the device does itself.
    pub topics: Vec<TopicName>,
    /// Words of `user_define` that it does itself.
    pub words: Vec<&'static str>,
    /// Commands of `user_define` that programs on the device do.
    pub programs: Vec<String>,
    /// Set if other commands go on to a program or to the camera's firmware.
    pub goes_on: bool,
}

#[derive(Serialize)]
struct OfferJson<'a> {
    status: &'static str,
    #[serde(serialize_with = "texts")]
    channels: &'a [ChannelId],
    #[serde(serialize_with = "pairs")]
    requests: Vec<(&'static str, &'static str)>,
    #[serde(serialize_with = "pairs")]
    inner_define: Vec<(&'static str, &'static str)>,
    user_define: UserJson<'a>,
}

#[derive(Serialize)]
struct UserJson<'a> {
    topics: Vec<&'static str>,
    words: &'a [&'static str],
    programs: &'a [String],
    others: &'static str,
}

impl Offer {
    /// The whole, as JSON over several lines.
    pub(super) fn encode(&self) -> String {
        let inner = self.inner.iter().map(|inner| (inner.name, inner.takes));
        to_json_lines(&OfferJson {
            status: Status::Ok.as_str(),
            channels: &self.channels,
            requests: self.requests.clone(),
            inner_define: inner.collect(),
            user_define: UserJson {
                topics: self.topics.iter().map(|name| name.as_str()).collect(),
                words: &self.words,
                programs: &self.programs,
                others: if self.goes_on {
                    "go to a program on the device, or to the camera's firmware"
                } else {
                    "none"
                },
            },
        })
    }

    /// The same in a sentence, for who asked for something else.
    pub fn beside(&self, asked: &str) -> String {
        let list = |names: &[&str]| match names {
            [] => "nothing".to_owned(),
            names => names.join(", "),
        };
        let requests: Vec<_> = self.requests.iter().map(|(request, _)| *request).collect();
        let inner: Vec<_> = self.inner.iter().map(|inner| inner.name).collect();
        let near = match self.near(asked).as_slice() {
            [] => String::new(),
            near => format!("is {} meant? ", near.join(" or ")),
        };
        format!(
            "{near}what there is for this caller: inner_define: {}; user_define: {}; requests: {}",
            list(&inner),
            list(&self.user_names()),
            list(&requests)
        )
    }

    fn user_names(&self) -> Vec<&str> {
        let topics = self.topics.iter().map(|name| name.as_str());
        let programs = self.programs.iter().map(String::as_str);
        let mut names: Vec<_> = topics.chain(self.words.iter().copied()).collect();
        names.extend(programs);
        names
    }

    /// The names that are most like what was asked for.
    fn near(&self, asked: &str) -> Vec<&str> {
        let asked: Vec<char> = asked
            .chars()
            .take(MAX_LETTERS)
            .flat_map(char::to_lowercase)
            .collect();
        let enough = match asked.len() {
            0..=3 => 1,
            letters => (letters / 4).max(2),
        };
        let inner = self.inner.iter().map(|inner| inner.name);
        let names = inner.chain(self.user_names());
        let mut near: Vec<_> = names
            .map(|name| (distance(&asked, &name.to_lowercase()), name))
            .filter(|(distance, _)| *distance <= enough)
            .collect();
        near.sort();
        near.dedup();
        near.into_iter().take(3).map(|(_, name)| name).collect()
    }
}

/// No name is compared beyond so many letters.
const MAX_LETTERS: usize = 64;

/// Returns the Levenshtein distance: letters to add, leave out or change to make one of the other.
fn distance(asked: &[char], name: &str) -> usize {
    // Wagner and Fischer's algorithm, of whose table one row is kept.
    let mut row: Vec<usize> = (0..=asked.len()).collect();
    for (line, letter) in name.chars().take(MAX_LETTERS).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], line + 1);
        for (column, other) in asked.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

fn texts<S: Serializer>(channels: &[ChannelId], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(channels.iter().map(ToString::to_string))
}

fn pairs<S: Serializer>(pairs: &[(&str, &str)], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(pairs.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer() -> Offer {
        Offer {
            channels: vec![ChannelId(0), ChannelId(2)],
            requests: vec![("GET /ipc.flv?action=live", "channel")],
            inner: INNER[..4].to_vec(),
            topics: vec![TopicName::Ptz, TopicName::MirrorFlip],
            words: vec!["ptz_left"],
            programs: vec!["light".to_owned()],
            goes_on: false,
        }
    }

    #[test]
    fn help_is_for_people_and_for_programs() {
        let text = offer().encode();
        assert!(text.lines().count() > 10, "{text}");
        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(json["status"], "0");
        assert_eq!(json["channels"][1], "2");
        assert_eq!(
            json["inner_define"]["get_device_st"],
            "type=live|voice|playback, quality, channel"
        );
        assert_eq!(json["user_define"]["topics"][1], "Mirror_flip");
        assert_eq!(json["user_define"]["programs"][0], "light");
        assert_eq!(json["user_define"]["others"], "none");
    }

    #[test]
    fn what_is_like_it_is_named() {
        for (asked, near) in [
            ("get_devic_st", &["get_device_st"][..]),
            ("GET_NVR_LIST", &["get_nvr_list"]),
            ("get_record_indx", &["get_record_index"]),
            ("lihgt", &["light"]),
            ("ligt", &["light"]),
            ("ptz_lef", &["ptz_left"]),
            ("mirror_flip", &["Mirror_flip"]),
            ("", &[]),
            ("launch", &[]),
            ("get_file_list", &[]),
        ] {
            assert_eq!(offer().near(asked), near, "{asked}");
        }
        let text = offer().beside(&"\u{130}".repeat(20_000));
        assert!(text.len() < 300, "{text}");
        assert!(
            text.ends_with("; requests: GET /ipc.flv?action=live"),
            "{text}"
        );
        let nothing = Offer::default().beside("ptz_left");
        assert!(
            !nothing.contains("ptz") && nothing.contains("nothing"),
            "{nothing}"
        );
    }
}
