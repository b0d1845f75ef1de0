use std::{os::unix::fs::MetadataExt, sync::Arc, time::Duration};

use super::{
    keeper::Keeper,
    revocations::Revocations,
    store::{Store, StoreError},
};

/// How often the lists are looked at. Whoever is revoked is out within twice this.
const INTERVAL: Duration = Duration::from_millis(500);

/// Has `keeper` learn what changes in `store`, end sessions whose time is over, and report who
/// keeps failing. Never returns.
pub async fn watch(store: Store, keeper: Arc<Keeper>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // Nothing is known of the file that was read at the start: it is read once more.
    let mut known = None;
    loop {
        ticks.tick().await;
        keeper.report_failures();
        // The system has this in memory; only a file that has changed is read from the flash.
        let version = Version::of(&store);
        if known == Some(version) {
            keeper.end_sessions();
            continue;
        }
        let store = store.clone();
        let read = tokio::task::spawn_blocking(move || store.revocations());
        if let Ok(revocations) = read.await {
            known = Some(version);
            learn(&keeper, revocations);
        }
    }
}

fn learn(keeper: &Keeper, revocations: Result<Revocations, StoreError>) {
    match keeper.learn(revocations) {
        Ok(()) => tracing::debug!("the list of revoked credentials was read"),
        Err(error) => {
            tracing::error!(%error, "it cannot be known who was revoked, so nobody is let in");
        }
    }
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
    fn of(store: &Store) -> Self {
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
