//! Deletes all recordings, as somebody asked.

use std::{io, ops::ControlFlow, path::Path};

use peercam_proto::media::ChannelId;
use tokio::sync::oneshot;

use super::{
    card_writer::CardWriter,
    catalog::Key,
    disk::Visit,
    name::{FileName, channel_directory},
    scan,
};

/// All recordings being deleted.
pub(super) struct Erasing {
    left: Vec<Key>,
    is_whole: bool,
    reply: Option<oneshot::Sender<bool>>,
}

impl Erasing {
    pub(super) fn begin(store: &mut CardWriter, reply: oneshot::Sender<bool>) -> Self {
        let left = store.all();
        tracing::warn!(
            files = left.len(),
            "all recordings are being deleted, as somebody asked"
        );
        Self {
            left,
            is_whole: true,
            reply: Some(reply),
        }
    }

    /// Deletes some of them; returns whether those were the last ones.
    pub(super) fn go_on(&mut self, store: &mut CardWriter) -> bool {
        const AT_A_TIME: usize = 16;
        for _ in 0..AT_A_TIME {
            match self.left.pop() {
                Some(key) => self.is_whole &= store.erase(key),
                None => {
                    self.is_whole &= store.erase_rest();
                    // Whoever asked may have gone.
                    let _ = self.reply.take().map(|reply| reply.send(self.is_whole));
                    return true;
                }
            }
        }
        false
    }
}

impl CardWriter {
    /// Ends every file and gives all there are, the newest last, to be deleted one by one.
    fn all(&mut self) -> Vec<Key> {
        self.finish();
        self.catalog.keys()
    }

    /// Deletes a file for good; returns whether it is gone.
    fn erase(&mut self, key: Key) -> bool {
        let Some(entry) = self.catalog.take(key) else {
            return true;
        };
        let path = self.catalog.path(key.0, &entry);
        let removed = match self.disk.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        if let Err(error) = &removed {
            tracing::warn!(path = %path.display(), %error, "a recording cannot be deleted");
            self.catalog.put(key.0, entry);
        }
        removed.is_ok()
    }
    /// Deletes the files with names of ours that are not listed: what is not as long as its name
    /// says can be a picture of somebody all the same.
    fn erase_rest(&mut self) -> bool {
        let root = self.catalog.root().to_owned();
        let disk = self.disk.as_ref();
        let visits = |path: &Path, visit: &mut Visit<'_>| disk.visit(path, visit);
        let channels = match scan::channels_of(&visits, &root) {
            Ok(channels) => channels,
            Err(error) => {
                tracing::warn!(path = %root.display(), %error, "a card cannot be looked through");
                return false;
            }
        };
        let mut is_whole = true;
        for channel in channels {
            let directory = root.join(channel_directory(channel.0));
            for day in scan::days_of(&visits, &directory) {
                let directory = directory.join(day.to_string());
                let erased = self.erase_unlisted(channel, &directory);
                if let Err(error) = &erased {
                    tracing::warn!(path = %directory.display(), %error, "recordings cannot be deleted");
                }
                is_whole &= erased.is_ok();
                // It fails while there is something in it.
                let _ = disk.remove_directory(&directory);
            }
        }
        is_whole
    }

    fn erase_unlisted(&self, channel: ChannelId, directory: &Path) -> io::Result<()> {
        const AT_A_TIME: usize = 1024;
        loop {
            let mut found = Vec::new();
            self.disk.visit(directory, &mut |text, sizes| {
                let name = FileName::parse(text).filter(|_| sizes().is_ok());
                let is_unlisted = |name: &FileName| {
                    let key = (channel, name.start_millis, name.content);
                    self.catalog.entry(key).is_none()
                };
                found.extend(name.filter(is_unlisted).map(|_| directory.join(text)));
                if found.len() < AT_A_TIME {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            })?;
            for path in &found {
                self.disk.remove(path)?;
            }
            if found.len() < AT_A_TIME {
                return Ok(());
            }
        }
    }
}
