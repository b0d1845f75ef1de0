//! Doubts about files: whether others may read secrets, and whether one may write where it says.

use std::{collections::BTreeSet, fs, os::unix::fs::MetadataExt, path::Path};

use rustix::{
    fs::{Access, access},
    process::geteuid,
};

#[cfg(feature = "record")]
use super::Record;
use super::{Config, Source};
use crate::http::WebhookAddress;

impl Config {
    /// Warning that others may read the secrets in this file, if it has any and they may.
    pub fn exposed_secret(&self, path: &Path) -> Option<String> {
        let metadata = fs::metadata(path).ok()?;
        // Whoever reads it by its group needs that.
        let is_own = metadata.uid() == geteuid().as_raw();
        let others = if is_own { 0o044 } else { 0o004 };
        let secret = self.secret().filter(|_| metadata.mode() & others != 0)?;
        let path = path.display();
        Some(format!(
            "{path}: other users of this machine may read it, and there is {secret} in it: chmod 600 {path}"
        ))
    }

    /// Places where the daemon has to write and whoever asks may not: one sentence each.
    pub fn unwritable(&self) -> impl Iterator<Item = String> + '_ {
        let sockets: BTreeSet<&Path> = self.channels.iter().filter_map(socket).collect();
        let sockets = sockets.into_iter().filter_map(|socket| {
            let problem = problem(socket.parent().unwrap_or(Path::new("")))?;
            Some(format!("socket {}: {problem}", socket.display()))
        });
        #[cfg(feature = "record")]
        let sockets = sockets.chain(self.record.as_ref().and_then(unwritable_card));
        sockets
    }

    /// Name of a secret in it.
    fn secret(&self) -> Option<&'static str> {
        let is_camera = self
            .channels
            .iter()
            .any(|channel| has_secret(&channel.source));
        if is_camera {
            return Some("a camera's password");
        }
        #[cfg(feature = "p2p")]
        if self
            .p2p
            .as_ref()
            .is_some_and(|p2p| p2p.relay_token.is_some())
        {
            return Some("the relays' token");
        }
        let is_handler = self
            .user
            .handlers
            .iter()
            .any(|handler| match &handler.address {
                WebhookAddress::Http(_, path) => looks_secret(path),
                WebhookAddress::Unix(_) => false,
            });
        is_handler.then_some("what looks like a handler's password")
    }
}

fn socket(channel: &super::Channel) -> Option<&Path> {
    match &channel.source {
        Source::Socket { config } => Some(&config.path),
        _ => None,
    }
}

fn has_secret(source: &Source) -> bool {
    match source {
        #[cfg(feature = "rtsp")]
        Source::Rtsp(config) => {
            let mut urls = config.urls.iter().chain(&config.snapshot);
            config.credentials.is_some() || urls.any(|url| looks_secret(url.as_str()))
        }
        #[cfg(feature = "rtsp")]
        Source::Jpeg(config) => config.credentials.is_some() || looks_secret(config.url.as_str()),
        _ => false,
    }
}

/// Returns whether a URL names a password, as those of many cameras do.
fn looks_secret(url: &str) -> bool {
    let url = url.to_ascii_lowercase();
    ["passw", "pwd=", "token="]
        .iter()
        .any(|word| url.contains(word))
}

/// A card that is not there now may be writable when it is.
#[cfg(feature = "record")]
fn unwritable_card(record: &Record) -> Option<String> {
    let config = &record.config;
    let device = |path: &Path| fs::metadata(path).ok().map(|metadata| metadata.dev());
    if let Some(mount) = &config.mount
        && device(mount) == mount.parent().and_then(device)
    {
        return None;
    }
    let problem = problem(&config.path)?;
    Some(format!("record.path {}: {problem}", config.path.display()))
}

/// Reason that nothing can be made in a directory; one that is not there yet is judged by the one in
/// which it would be made.
fn problem(directory: &Path) -> Option<String> {
    let existing = directory.ancestors().find(|path| path.exists());
    let existing = existing.unwrap_or(Path::new("."));
    // To make something in a directory takes both.
    let error = access(existing, Access::WRITE_OK | Access::EXEC_OK).err()?;
    let path = existing.display();
    Some(format!(
        "nothing can be made in {path} by the user who runs this: {error}"
    ))
}
