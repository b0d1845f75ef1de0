//! `source = { kind = "socket", … }`

use std::path::{Path, PathBuf};

use peercam_hal::socket::Config;
use peercam_proto::media::ChannelId;

use super::{Channel, Source};
use crate::document::{Table, Value};

/// Mode of a socket for its owner only: whoever may open it may deliver pictures, and hear talks.
const MODE: u32 = 0o600;
/// Mode of a socket for users of other names: who they are is asked when they connect.
const MODE_FOR_USERS: u32 = 0o666;
/// Bytes of a path that fit into a socket's address, `sockaddr_un`.
const LONGEST_PATH: usize = 90;

pub(super) fn read(table: &mut Table<'_>, base: &Path) -> Option<Source> {
    let (path, mode, users) = (
        table.get("path"),
        table.get("mode"),
        table.get("users").list(),
    );
    if !path.is_there() {
        table.peek("kind").refuse("a socket source needs a path");
    }
    let default_mode = if users.is_some() {
        MODE_FOR_USERS
    } else {
        MODE
    };
    let mode = file_mode(mode).unwrap_or(default_mode);
    let users = users.into_iter().flatten();
    let user = |value: Value<'_>| value.number(0..=u64::from(u32::MAX));
    let users = users.filter_map(user).collect();
    let value = path;
    // One socket has one path, also where it is written `./a.sock`.
    let path: PathBuf = base.join(value.path()?).components().collect();
    if path.as_os_str().len() > LONGEST_PATH {
        value.refuse(format!(
            "{LONGEST_PATH} bytes are the most that the path of a socket may have"
        ));
    }
    let config = Config { path, mode, users };
    Some(Source::Socket { config })
}

fn file_mode(value: Value<'_>) -> Option<u32> {
    let mode = u32::from_str_radix(value.string()?, 8).ok();
    let mode = mode.filter(|mode| *mode <= 0o777);
    value.accept(mode.ok_or("a file mode such as \"0660\" is needed"))
}

impl Source {
    /// Makes sure that channels which share a socket say the same of who may connect to it.
    pub(super) fn refuse_other_access(&self, table: &Table<'_>, id: ChannelId, others: &[Channel]) {
        let Self::Socket { config } = self else {
            return;
        };
        let other = others.iter().find(|other| match &other.source {
            Self::Socket { config: other } => other.path == config.path && other != config,
            _ => false,
        });
        if let Some(Channel { id: other, .. }) = other {
            let message = format!(
                "channels {other} and {id} share the socket {}, and say differently who may connect; give both the same mode and users",
                config.path.display()
            );
            table.peek("path").refuse(message);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Source};

    fn parse(first: &str, second: &str) -> Result<Config, String> {
        let channel = |id, source| {
            format!("[[channel]]\nid = {id}\nsource = {{ kind = \"socket\", {source} }}\n")
        };
        let text = channel(0, first) + &channel(1, second);
        Config::parse(&text, "/etc/peercam.toml".as_ref()).map_err(|error| error.to_string())
    }

    #[test]
    fn channels_may_share_a_socket() {
        let config = parse("path = \"a.sock\"", "path = \"./a.sock\"").expect("valid");
        let paths: Vec<_> = config
            .channels
            .iter()
            .map(|channel| match &channel.source {
                Source::Socket { config, .. } => config.path.to_str(),
                _ => None,
            })
            .collect();
        assert_eq!(paths, [Some("/etc/a.sock"); 2]);
        let refused = parse("path = \"a.sock\"", "path = \"a.sock\", users = [1000]")
            .expect_err("who may connect?");
        assert!(
            refused.contains("channels 0 and 1 share the socket"),
            "{refused}"
        );
        parse("path = \"a.sock\"", "path = \"b.sock\", users = [1000]").expect("two sockets");
    }
}
