//! `[user_define]`

use std::{collections::BTreeSet, net::IpAddr, path::PathBuf, time::Duration};

use peercam_proto::command::{ANSWER_TIME, TopicName};
use url::{Host, Url};

use crate::{document::Table, http::WebhookAddress};

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

impl UserDefine {
    pub(super) fn read(table: &mut Table<'_>) -> Self {
        let mut user = Self::default();
        if let Some(names) = table.get("allow").list() {
            let known: Vec<_> = user.allow.iter().map(|name| (&**name, &**name)).collect();
            let names = names.filter_map(|name| name.word(&known));
            user.allow = names.map(str::to_owned).collect();
        }
        for mut table in table.tables("handler").into_iter().flatten() {
            user.handlers
                .extend(Handler::read(&mut table, &user.handlers));
        }
        user
    }
}

impl Handler {
    fn read(table: &mut Table<'_>, others: &[Self]) -> Option<Self> {
        let name = table.require("name", "the name of a topic, or a command's first word");
        let url = table.require("url", ADDRESS);
        let bounds = Duration::from_millis(100)..=Duration::from_secs(7);
        let timeout = table.get("timeout").duration(bounds).unwrap_or(ANSWER_TIME);
        if others.iter().any(|other| name.is(&other.name)) {
            name.refuse("this name is there twice");
        }
        let is_name =
            |text: &&str| (1..=64).contains(&text.len()) && !text.contains(char::is_whitespace);
        let message = "1 to 64 characters without spaces are needed";
        let text = name.string();
        let name = text.and_then(|text| name.accept(Some(text).filter(is_name).ok_or(message)));
        let address = url.accept(address(url.string()?).ok_or(ADDRESS))?;
        Some(Self {
            name: name?.to_owned(),
            address,
            timeout,
        })
    }
}

const ADDRESS: &str =
    "\"http://127.0.0.1:PORT/PATH\" or \"unix:/PATH\" is needed: programs on this device only";

/// `http://127.0.0.1:PORT/PATH` or `unix:/PATH`
fn address(url: &str) -> Option<WebhookAddress> {
    if let Some(path) = url.strip_prefix("unix:") {
        let is_absolute = path.starts_with('/');
        return is_absolute.then(|| WebhookAddress::Unix(PathBuf::from(path)));
    }
    let parsed = Url::parse(url).ok()?;
    let ip = match parsed.host()? {
        Host::Ipv4(ip) => IpAddr::from(ip),
        Host::Ipv6(ip) => IpAddr::from(ip),
        Host::Domain(_) => return None,
    };
    if parsed.scheme() != "http" || !ip.is_loopback() {
        return None;
    }
    let path = match parsed.query() {
        Some(query) => format!("{}?{query}", parsed.path()),
        None => parsed.path().to_owned(),
    };
    let port = parsed.port_or_known_default()?;
    Some(WebhookAddress::Http((ip, port).into(), path))
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
}
