//! Viewers that vanish without a word, and come back.

use std::{
    io::Read,
    path::Path,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use peercam_proto::credential::PairingUri;

use crate::{dialled::device, hostile::scaled, paired::Device, support::program};

/// Viewers at a time.
const VIEWERS: usize = 4;
/// Kills before anything is measured: as many ghosts at once as there can be.
const WARM_UP: usize = 240;

/// Watches until there is a picture, and is killed: the kernel ends it, and not a word goes out.
fn watch_and_die(directory: &Path, viewer: usize) {
    let uri = format!("@{}", directory.join(format!("{viewer}.uri")).display());
    let mut child = program()
        .args(["pull", "--quality", "standard", &uri, "--identity"])
        .arg(directory.join(format!("{viewer}.key")))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut picture = [0; 4096];
    let stdout = child.stdout.as_mut().unwrap();
    if stdout.read_exact(&mut picture).is_err() {
        let mut said = String::new();
        child.stderr.unwrap().read_to_string(&mut said).unwrap();
        panic!("viewer {viewer}: {said}");
    }
    assert!(picture.starts_with(b"FLV"));
    child.kill().unwrap();
    child.wait().unwrap();
}

async fn kill_many(directory: &Arc<tempfile::TempDir>, kills: usize) {
    let left = Arc::new(AtomicUsize::new(kills));
    let workers = (0..VIEWERS).map(|viewer| {
        let (directory, left) = (Arc::clone(directory), Arc::clone(&left));
        tokio::task::spawn_blocking(move || {
            let another = || {
                left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                    left.checked_sub(1)
                })
            };
            while another().is_ok() {
                watch_and_die(directory.path(), viewer);
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
}

/// Waits until nobody is there.
async fn emptied(device: &Device) {
    for metric in [
        "peercam_access_sessions ",
        "peercam_p2p_connections ",
        "peercam_p2p_requests ",
        "peercam_live_viewers",
    ] {
        device.daemon.metric_becomes(metric, 0.0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_that_are_killed_leave_nothing_behind() {
    // As many places as viewers: none of them ever waits for its own ghosts.
    let device = device(&format!("[access]\nmax_sessions = {VIEWERS}\n"));
    let directory = Arc::new(tempfile::tempdir().unwrap());
    for viewer in 0..VIEWERS {
        let uri = PairingUri {
            lan: Vec::new(),
            ..device.pair(&[&format!("v{viewer}")])
        };
        let path = directory.path().join(format!("{viewer}.uri"));
        std::fs::write(path, uri.expose()).unwrap();
    }
    kill_many(&directory, WARM_UP).await;
    emptied(&device).await;
    let (descriptors, resident) = (device.daemon.descriptors(), device.daemon.resident_kib());
    let kills = scaled(10_000);
    kill_many(&directory, kills).await;
    emptied(&device).await;
    device.daemon.descriptors_fall_to(descriptors).await;
    let now = device.daemon.resident_kib();
    println!("{resident} KiB after {WARM_UP} kills, {now} KiB after {kills} more");
    // An allocator keeps some of what was in use at once.
    assert!(now < resident + (8 << 10), "{resident} KiB, then {now} KiB");
}
