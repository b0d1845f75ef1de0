//! Deletes all recordings, as somebody asked.

use std::io;

use tokio::sync::oneshot;

use super::{catalog::Key, store::Store};

/// All recordings being deleted.
pub(super) struct Erasing {
    left: Vec<Key>,
    is_whole: bool,
    reply: Option<oneshot::Sender<bool>>,
}

impl Erasing {
    pub(super) fn begin(store: &mut Store, reply: oneshot::Sender<bool>) -> Self {
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

    /// Deletes some of them; whether that were the last ones.
    pub(super) fn go_on(&mut self, store: &mut Store) -> bool {
        const AT_A_TIME: usize = 16;
        for _ in 0..AT_A_TIME {
            match self.left.pop() {
                Some(key) => self.is_whole &= store.erase(key),
                None => {
                    // Whoever asked may have gone.
                    let _ = self.reply.take().map(|reply| reply.send(self.is_whole));
                    return true;
                }
            }
        }
        false
    }
}

impl Store {
    /// Ends every file and gives all there are, the newest last, to be deleted one by one.
    fn all(&mut self) -> Vec<Key> {
        self.finish();
        self.catalog.keys()
    }

    /// Deletes a file for good; whether it is gone.
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
}
