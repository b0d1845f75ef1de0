use std::{collections::BTreeSet, io, path::PathBuf, sync::Arc};

use peercam_proto::{
    error::{Error, ErrorKind},
    media::ChannelId,
};
use peercam_task::boundary::{self, Guarded, Part};

use crate::{
    channels::{ChannelEntry, ChannelRegistry},
    live::Hub,
};

/// Channels that stand by, kept in a file: whoever told a camera not to look must not find it
/// looking again after a power cut.
pub struct Standby {
    hub: Hub,
    /// Those that were told to, of channels too that do not exist now: they may come back.
    told: Guarded<BTreeSet<u16>>,
    path: Arc<PathBuf>,
    /// The file is written by one at a time.
    writing: Arc<tokio::sync::Mutex<()>>,
}

impl Standby {
    /// Restores what was told before. Blocks for as long as a short file takes.
    pub fn restore(channels: &ChannelRegistry, hub: Hub, path: PathBuf) -> Self {
        let known = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
            Err(error) => Err(error),
        };
        let known: BTreeSet<u16> = known.unwrap_or_else(|error| {
            tracing::error!(path = %path.display(), %error, "which cameras stand by is not known, so all of them do until they are told to work");
            channels.all().keys().map(|id| id.0).collect()
        });
        for channel in &known {
            hub.set_working(ChannelId(*channel), false);
        }
        Self {
            hub,
            told: Guarded::whole(known),
            path: Arc::new(path),
            writing: Arc::default(),
        }
    }

    /// Has a channel that is new stand by, if one of its number was told to.
    pub(super) fn admit(&self, entry: &ChannelEntry) {
        if self.told.lock().contains(&entry.id.0) {
            self.hub.begin_on_standby(entry);
        }
    }

    /// Has a channel work or stand by, from now on and after a restart.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if it could not be kept; until the next restart it holds.
    pub async fn set(&self, channel: ChannelId, working: bool) -> Result<(), Error> {
        // Whoever asked may leave before it is written.
        let writing = Arc::clone(&self.writing).lock_owned().await;
        self.hub.set_working(channel, working);
        let standing = {
            let mut told = self.told.lock();
            if working {
                told.remove(&channel.0);
            } else {
                told.insert(channel.0);
            }
            told.clone()
        };
        let path = Arc::clone(&self.path);
        let kept = boundary::blocking(Part::Service, "standby", move || {
            let _writing = writing;
            write(&path, &standing)
        })
        .await;
        kept.map_err(io::Error::other)
            .flatten()
            .map_err(|error| {
                tracing::warn!(path = %self.path.display(), %error, "which cameras stand by cannot be kept");
                let reason = "done, but it could not be kept for after a restart: the device's data directory cannot be written";
                Error::new(ErrorKind::Unavailable, reason)
            })
    }
}

fn write(path: &PathBuf, standing: &BTreeSet<u16>) -> io::Result<()> {
    let draft = path.with_extension("new");
    let text = serde_json::to_vec(standing)?;
    let mut file = std::fs::File::create(&draft)?;
    io::Write::write_all(&mut file, &text)?;
    file.sync_all()?;
    std::fs::rename(&draft, path)?;
    let directory = path.parent().unwrap_or(std::path::Path::new("."));
    std::fs::File::open(directory)?.sync_all()
}
