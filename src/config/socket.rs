//! `source = { kind = "socket", … }`

use std::path::Path;

use super::{Source as Meant, audio::sound, error::Problem, source::Source};
use crate::hal::socket::Config;

/// Whoever may open it may deliver pictures, and hear what is talked.
const MODE: u32 = 0o600;
/// For users of other names: who they are is asked when they come.
const MODE_FOR_USERS: u32 = 0o666;
/// What a socket's address has room for.
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
        let path = base.join(path.into_inner());
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
            sound: sound(self.audio)?,
        })
    }
}
