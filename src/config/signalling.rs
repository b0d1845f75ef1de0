//! `[talkback]`, `[call]` and `[user_define]`: what viewers may have done beside watching.

use std::{collections::BTreeSet, ops::RangeInclusive, path::PathBuf, time::Duration};

use peercam_proto::command::{ANSWER_TIME, TopicName};
use serde::Deserialize;
use toml::Spanned;
use url::{Host, Url};

use super::{Speaker, checks::within, error::Problem, units::Span};
use crate::{http::WebhookAddress, talk};

/// The name of what `wx_call_start` and the like mean, beside the topics.
const CALL: &str = "call";

/// `[user_define]`: commands that makers defined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserDefine {
    /// `allow`: what the device does itself. Default: all it can.
    pub allow: BTreeSet<String>,
    /// `[[user_define.handler]]`: programs on the device that do others.
    pub handlers: Vec<Handler>,
}

/// One `[[user_define.handler]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handler {
    /// `name`: of a topic, or a command's first word; `*` is what nobody else does.
    pub name: String,
    /// `url`: where the program listens.
    pub address: WebhookAddress,
    /// `timeout`: to answer. Default: 1.5 s.
    pub timeout: Duration,
}

impl UserDefine {
    /// Settings that work, and hardly as they were meant.
    pub(super) fn doubts(&self) -> impl Iterator<Item = String> + '_ {
        let slow = |handler: &&Handler| handler.timeout > ANSWER_TIME;
        self.handlers.iter().filter(slow).map(|handler| {
            format!(
                "user_define.handler \"{}\": apps of phones wait 2 s for an answer, its way included; with a timeout above {} s they may have given up before it comes",
                handler.name,
                ANSWER_TIME.as_secs_f64()
            )
        })
    }
}

impl Default for UserDefine {
    fn default() -> Self {
        let all = TopicName::ALL
            .map(TopicName::as_str)
            .into_iter()
            .chain([CALL]);
        Self {
            allow: all.map(str::to_owned).collect(),
            handlers: Vec::new(),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTalkback {
    jitter: Option<Spanned<Span>>,
    sample_rate: Option<Spanned<u64>>,
    idle: Option<Spanned<Span>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCall {
    ring: Option<Spanned<Span>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawUserDefine {
    allow: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    handler: Vec<RawHandler>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHandler {
    name: Spanned<String>,
    url: Spanned<String>,
    timeout: Option<Spanned<Span>>,
}

/// `speaker` of a channel.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSpeaker {
    command: Option<Spanned<Vec<String>>>,
    sample_rate: Option<Spanned<u64>>,
}

impl RawTalkback {
    pub(super) fn check(self, talk: &mut talk::Config) -> Result<(), Problem> {
        span(self.jitter, &mut talk.jitter, 40..=2_000, "40ms to 2s")?;
        span(self.idle, &mut talk.idle, 1_000..=300_000, "1s to 5m")?;
        talk.sample_rate = within(
            self.sample_rate,
            talk.sample_rate,
            8_000,
            48_000,
            "8000",
            "48000",
        )?;
        Ok(())
    }
}

impl RawCall {
    pub(super) fn check(self, ring: &mut Duration) -> Result<(), Problem> {
        span(self.ring, ring, 1_000..=300_000, "1s to 5m")
    }
}

impl RawUserDefine {
    pub(super) fn check(self) -> Result<UserDefine, Problem> {
        let known = UserDefine::default();
        let allow = match self.allow {
            None => known.allow,
            Some(names) => {
                let name = |name: Spanned<String>| {
                    if known.allow.contains(name.get_ref()) {
                        Ok(name.into_inner())
                    } else {
                        let known: Vec<_> = known.allow.iter().map(String::as_str).collect();
                        let message = format!("one of {} is needed", known.join(", "));
                        Err(Problem::at(name.span(), message))
                    }
                };
                names.into_iter().map(name).collect::<Result<_, _>>()?
            }
        };
        let mut seen = BTreeSet::new();
        let mut handlers = Vec::new();
        for handler in self.handler {
            if !seen.insert(handler.name.get_ref().clone()) {
                return Err(Problem::at(handler.name.span(), "this name is there twice"));
            }
            handlers.push(handler.check()?);
        }
        Ok(UserDefine { allow, handlers })
    }
}

impl RawHandler {
    fn check(self) -> Result<Handler, Problem> {
        let name = self.name.get_ref();
        if !(1..=64).contains(&name.len()) || name.contains(char::is_whitespace) {
            let message = "1 to 64 characters without spaces are needed";
            return Err(Problem::at(self.name.span(), message));
        }
        let mut timeout = ANSWER_TIME;
        span(self.timeout, &mut timeout, 100..=7_000, "100ms to 7s")?;
        Ok(Handler {
            name: self.name.into_inner(),
            address: address(&self.url)?,
            timeout,
        })
    }
}

/// `http://127.0.0.1:PORT/PATH` or `unix:/PATH`
fn address(url: &Spanned<String>) -> Result<WebhookAddress, Problem> {
    const NEEDED: &str =
        "\"http://127.0.0.1:PORT/PATH\" or \"unix:/PATH\" is needed: programs on this device only";
    let problem = || Problem::at(url.span(), NEEDED);
    if let Some(path) = url.get_ref().strip_prefix("unix:") {
        return if path.starts_with('/') {
            Ok(WebhookAddress::Unix(PathBuf::from(path)))
        } else {
            Err(problem())
        };
    }
    let parsed = Url::parse(url.get_ref()).map_err(|_| problem())?;
    let ip = match parsed.host() {
        Some(Host::Ipv4(ip)) => ip.into(),
        Some(Host::Ipv6(ip)) => std::net::IpAddr::from(ip),
        _ => return Err(problem()),
    };
    let port = parsed.port_or_known_default();
    match port.filter(|_| parsed.scheme() == "http" && ip.is_loopback()) {
        Some(port) => {
            let path = match parsed.query() {
                Some(query) => format!("{}?{query}", parsed.path()),
                None => parsed.path().to_owned(),
            };
            Ok(WebhookAddress::Http((ip, port).into(), path))
        }
        None => Err(problem()),
    }
}

impl RawSpeaker {
    pub(super) fn check(self) -> Result<Speaker, Problem> {
        let command = match self.command {
            None => None,
            Some(command) => match command.get_ref().first() {
                Some(program) if !program.is_empty() => Some(command.into_inner()),
                _ => {
                    let message = "a program and its arguments are needed";
                    return Err(Problem::at(command.span(), message));
                }
            },
        };
        let sample_rate = match self.sample_rate {
            None => None,
            rate => Some(within(rate, 0, 8_000, 48_000, "8000", "48000")?),
        };
        Ok(Speaker {
            command,
            sample_rate,
        })
    }
}

/// A duration within bounds, in milliseconds.
fn span(
    value: Option<Spanned<Span>>,
    target: &mut Duration,
    allowed: RangeInclusive<u128>,
    words: &str,
) -> Result<(), Problem> {
    let Some(value) = value else { return Ok(()) };
    let Span(duration) = *value.get_ref();
    if !allowed.contains(&duration.as_millis()) {
        return Err(Problem::at(value.span(), format!("{words} are allowed")));
    }
    *target = duration;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::Config;

    fn problem(text: &str) -> String {
        let text =
            format!("{text}\n[[channel]]\nid = 0\nsource = {{ kind = \"file\", path = \"x\" }}\n");
        let config = Config::parse(&text, Path::new("c.toml"));
        config.expect_err("a mistake").to_string()
    }

    #[test]
    fn a_program_that_may_answer_too_late_for_apps_is_doubted() {
        let doubts = |timeout: &str| {
            let text = format!(
                "[[user_define.handler]]\nname = \"light\"\nurl = \"unix:/x\"\n{timeout}\n\
                 [[channel]]\nid = 0\nsource = {{ kind = \"file\", path = \"x\" }}\n"
            );
            let config = Config::parse(&text, Path::new("c.toml")).expect("a configuration");
            config.doubts().collect::<Vec<_>>()
        };
        for timeout in ["", "timeout = \"1500ms\"", "timeout = \"100ms\""] {
            assert!(doubts(timeout).is_empty(), "{timeout}");
        }
        let told = doubts("timeout = \"2s\"");
        assert!(told.len() == 1 && told[0].contains("\"light\""), "{told:?}");
    }

    #[test]
    fn mistakes_are_told_with_what_is_allowed() {
        for (text, words) in [
            ("[talkback]\njitter = \"1ms\"", "40ms to 2s"),
            ("[talkback]\nsample_rate = 1", "8000 to 48000"),
            ("[call]\nring = \"1h\"", "1s to 5m"),
            ("[user_define]\nallow = [\"shell\"]", "Mirror_flip"),
            (
                "[[user_define.handler]]\nname = \"a b\"\nurl = \"unix:/x\"",
                "without spaces",
            ),
            (
                "[[user_define.handler]]\nname = \"a\"\nurl = \"unix:x\"",
                "programs on this device",
            ),
            (
                "[[user_define.handler]]\nname = \"a\"\nurl = \"http://192.0.2.1/\"",
                "programs on this device",
            ),
            (
                "[[user_define.handler]]\nname = \"a\"\nurl = \"https://127.0.0.1/\"",
                "programs on this device",
            ),
            (
                "[[user_define.handler]]\nname = \"a\"\nurl = \"http://localhost/\"",
                "programs on this device",
            ),
            (
                "[[user_define.handler]]\nname = \"a\"\nurl = \"unix:/x\"\ntimeout = \"8s\"",
                "100ms to 7s",
            ),
            (
                "[[user_define.handler]]\nname = \"a\"\nurl = \"unix:/x\"\n[[user_define.handler]]\nname = \"a\"\nurl = \"unix:/y\"",
                "twice",
            ),
        ] {
            let told = problem(text);
            assert!(told.contains(words), "{text}: {told}");
        }
    }

    #[test]
    fn a_speaker_is_a_program_or_has_a_rate_or_both() {
        let speaker = |text: &str| {
            let text = format!(
                "[[channel]]\nid = 0\nspeaker = {text}\nsource = {{ kind = \"file\", path = \"x\" }}\n"
            );
            let config = Config::parse(&text, Path::new("c.toml"));
            config.map(|config| config.channels[0].speaker.clone())
        };
        for (text, rate, any_rate, told_channels) in [
            ("{}", None, true, false),
            ("{ sample_rate = 8000 }", Some(8_000), true, false),
            (r#"{ command = ["play", "-r{rate}"] }"#, None, true, false),
            (r#"{ command = ["play", "{channels}"] }"#, None, false, true),
            (
                r#"{ command = ["play"], sample_rate = 48000 }"#,
                Some(48_000),
                true,
                false,
            ),
        ] {
            let found = speaker(text).expect("a speaker");
            assert_eq!(found.sample_rate, rate, "{text}");
            assert_eq!(found.doubt().is_none(), any_rate, "{text}");
            assert_eq!(found.is_told_channels(), told_channels, "{text}");
        }
        for (text, word) in [
            ("{ command = [] }", "a program and its arguments"),
            ("{ sample_rate = 4000 }", "8000 to 48000"),
        ] {
            let error = speaker(text).expect_err("a mistake").to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
