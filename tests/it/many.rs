//! Many viewers, some of whom do not read: nobody else notices, and everything is given back.

use std::time::Duration;

use tokio::{io::AsyncWriteExt, net::TcpStream, task::JoinHandle};

use crate::{
    hostile::scaled,
    support::{Daemon, Viewer, request, sim_config},
};

const READERS: usize = 180;
const NON_READERS: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_viewers_of_which_twenty_read_nothing() {
    let limits = "[http]\nmax_connections = 300\nmax_viewers = 300\n";
    let daemon = Daemon::start(&(sim_config("") + limits));
    let address = daemon.address;
    let descriptors_before = daemon.descriptors();
    // Warm up, so that what stays allocated once is not counted.
    Viewer::open(address, "")
        .await
        .picture()
        .await
        .expect("a picture");
    daemon.metric_becomes("peercam_live_viewers", 0.0).await;
    let memory_before = daemon.resident_kib();

    let mut stuck = Vec::new();
    for _ in 0..NON_READERS {
        let mut stream = TcpStream::connect(address).await.expect("connects");
        stream
            .write_all(b"GET /ipc.flv?action=live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            .await
            .expect("sends");
        stuck.push(stream);
    }
    let pictures = scaled(25 * 120) as u32;
    let readers: Vec<_> = (0..READERS)
        .map(|_| {
            tokio::spawn(async move {
                let mut viewer = Viewer::open(address, "").await;
                let (first, key) = viewer.picture().await.expect("a picture");
                assert!(first == 0 && key);
                let mut last = None;
                for _ in 0..pictures {
                    let (timestamp, _) = viewer.picture().await.expect("a picture");
                    // The squeezed GOP comes 1 ms apart, what follows 40 ms.
                    let step = timestamp - last.unwrap_or(first);
                    assert!(
                        step == 40 || step == 1 && timestamp < 50,
                        "{timestamp} after {last:?}"
                    );
                    last = Some(timestamp);
                }
            })
        })
        .collect();
    let mut peak = 0;
    while !readers.iter().all(JoinHandle::is_finished) {
        peak = peak.max(daemon.resident_kib());
        let health = request(address, "GET", "/healthz", "").await.body;
        assert!(
            !health.contains("\"streams\":2"),
            "one stream serves them all: {health}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for reader in readers {
        reader.await.expect("every picture came");
    }
    let memory = peak - memory_before;
    // 32 KiB a viewer and the frames that the stuck ones hold on to.
    let bound = (READERS + NON_READERS) as u64 * 32 + NON_READERS as u64 * 128 + 4096;
    assert!(
        memory < bound,
        "{memory} KiB more than before, {bound} allowed"
    );

    drop(stuck);
    daemon.metric_becomes("peercam_live_viewers", 0.0).await;
    daemon.metric_becomes("peercam_connections", 1.0).await;
    daemon.descriptors_fall_to(descriptors_before).await;
    let kept = daemon.resident_kib().saturating_sub(memory_before);
    assert!(kept < 8192, "{kept} KiB were not given back");
}
