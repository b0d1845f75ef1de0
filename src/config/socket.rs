//! `source = { kind = "socket", … }`

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use peercam_hal::socket::Config;

use super::{Channel, Source as Meant, error::Problem, source::Source};

/// Mode of a socket for its owner only: whoever may open it may deliver pictures, and hear talks.
const MODE: u32 = 0o600;
/// Mode of a socket for users of other names: who they are is asked when they connect.
const MODE_FOR_USERS: u32 = 0o666;
/// Bytes of a path that fit into a socket's address, `sockaddr_un`.
const LONGEST_PATH: usize = 90;

impl Source {
    pub(super) fn socket(self, base: &Path) -> Result<Meant, Problem> {
        let Some(path) = self.path else {
            return Err(Problem::at(
                self.kind.span(),
                "a socket source needs a path",
            ));
        };
        let span = path.span();
        // One socket has one path, also where it is written `./a.sock`.
        let path: PathBuf = base.join(path.into_inner()).components().collect();
        if path.as_os_str().len() > LONGEST_PATH {
            let message =
                format!("{LONGEST_PATH} bytes are the most that the path of a socket may have");
            return Err(Problem::at(span, message));
        }
        let mode = match self.mode {
            None if self.users.is_some() => MODE_FOR_USERS,
            None => MODE,
            Some(text) => u32::from_str_radix(text.get_ref(), 8)
                .ok()
                .filter(|mode| *mode <= 0o777)
                .ok_or_else(|| {
                    Problem::at(text.span(), "a file mode such as \"0660\" is needed")
                })?,
        };
        let users = self.users.map_or_else(Vec::new, toml::Spanned::into_inner);
        Ok(Meant::Socket {
            config: Config { path, mode, users },
        })
    }
}

/// Makes sure that channels which share a socket say the same of who may connect to it.
pub(super) fn check_shared(channels: &[Channel]) -> Result<(), Problem> {
    let mut known = BTreeMap::new();
    for channel in channels {
        let Meant::Socket { config, .. } = &channel.source else {
            continue;
        };
        let (first, id) = *known.entry(&config.path).or_insert((config, channel.id));
        if first != config {
            return Err(Problem::general(format!(
                "channels {id} and {} share the socket {}, and say differently who may connect; give both the same mode and users",
                channel.id,
                config.path.display()
            )));
        }
    }
    Ok(())
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
