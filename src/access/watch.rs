use std::{os::unix::fs::MetadataExt, sync::Arc, time::Duration};

use peercam_task::boundary::{self, Part};
use tokio::sync::oneshot;

use super::{
    authority::Authority,
    files::FileError,
    store::{SecretStore, StoreError},
};

/// Interval between looks at the lists. Whoever is revoked is out within twice this.
const INTERVAL: Duration = Duration::from_millis(500);

/// Has `authority` learn what changes in `store`, end sessions whose time is over, and report who
/// keeps failing. Never returns.
pub async fn watch(store: SecretStore, authority: Arc<Authority>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // Nothing is known of the file that was read at the start: it is read once more.
    let mut known = None;
    let mut reading: Option<(Version, oneshot::Receiver<Result<(), StoreError>>)> = None;
    loop {
        let read = async {
            match &mut reading {
                Some((version, read)) => (*version, read.await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            (version, read) = read => {
                reading = None;
                let Ok(learnt) = read else { continue };
                // What the system refused for now is tried again; what stands in the file is final.
                let is_final = !matches!(learnt, Err(StoreError::File(FileError::Io { .. })))
                    || version == Version::Missing;
                known = is_final.then_some(version);
                match learnt {
                    Ok(()) => tracing::debug!("the list of revoked credentials was read"),
                    Err(error) => {
                        tracing::error!(%error, "it cannot be known who was revoked, so nobody is let in");
                    }
                }
            }
            _ = ticks.tick() => {
                authority.report_failures();
                authority.end_sessions();
                // The system has this in memory; only a file that has changed is read from the
                // flash, which may be busy.
                let version = Version::of(&store);
                if known != Some(version) && reading.is_none() {
                    reading = learn_apart(&store, &authority).map(|read| (version, read));
                }
            }
        }
    }
}

/// Has the list read and learnt on a thread of its own; `None` if there is none to be had at the
/// moment.
fn learn_apart(
    store: &SecretStore,
    authority: &Arc<Authority>,
) -> Option<oneshot::Receiver<Result<(), StoreError>>> {
    let (sender, receiver) = oneshot::channel();
    let (store, authority) = (store.clone(), Arc::clone(authority));
    let learn = move || drop(sender.send(authority.refresh(&store).map(|_| ())));
    let spawned = boundary::thread(Part::Service, "revocations", learn);
    spawned.is_ok().then_some(receiver)
}

/// Tells one state of the file from another. Every change, also of its mode, changes `ctime`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Missing,
    Is {
        inode: u64,
        length: u64,
        changed: (i64, i64),
    },
}

impl Version {
    fn of(store: &SecretStore) -> Self {
        match std::fs::symlink_metadata(store.revocations_path()) {
            Ok(data) => Self::Is {
                inode: data.ino(),
                length: data.len(),
                changed: (data.ctime(), data.ctime_nsec()),
            },
            Err(_) => Self::Missing,
        }
    }
}
