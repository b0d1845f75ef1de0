//! Starting, failing to start, and stopping.

use std::{
    io::{BufRead, BufReader, Read},
    net::{TcpListener, UdpSocket},
    time::Duration,
};

use rustix::process::Signal;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::support::{Daemon, HANG, Viewer, request, run, sim_config};

#[tokio::test]
async fn the_first_signal_ends_bodies_in_order() {
    for (signal, extra) in [
        (Signal::TERM, "[record]\n"),
        (Signal::INT, "[runtime]\nthreads = 2\n"),
    ] {
        let mut daemon = Daemon::start(&(sim_config("") + extra));
        let mut viewers = Vec::new();
        for quality in ["standard", "high", "super"] {
            let mut viewer = Viewer::open(daemon.address, &format!("quality={quality}")).await;
            viewer.picture().await.expect("a picture");
            viewers.push(viewer);
        }
        let mut idle = TcpStream::connect(daemon.address).await.unwrap();
        idle.write_all(b"GET /healthz HT").await.unwrap();
        daemon.signal(signal);
        for mut viewer in viewers {
            while viewer.tag().await.is_some() {}
            assert!(viewer.ended_in_order, "the chunked terminator came");
        }
        assert_eq!(daemon.wait().code(), Some(0));
        // Nobody waits for what is not to come again, the recorder included.
        let log = daemon.log();
        assert!(!log.contains(" WARN "), "{log}");
    }
}

#[tokio::test]
async fn a_viewer_that_does_not_read_cannot_delay_the_end() {
    let mut daemon = Daemon::start(&sim_config(", bitrate = [500000, 1500000, 50000000]"));
    let _stuck = stuck_viewer(&daemon).await;
    daemon.signal(Signal::TERM);
    let status = daemon.wait();
    assert_eq!(status.code(), Some(0));
    assert!(
        daemon.log().contains("cutting off connections"),
        "it had to be cut off"
    );
}

#[tokio::test]
async fn the_second_signal_ends_at_once() {
    let mut daemon = Daemon::start(&sim_config(", bitrate = [500000, 1500000, 50000000]"));
    let _stuck = stuck_viewer(&daemon).await;
    daemon.signal(Signal::TERM);
    while !daemon.log().contains("shutting down") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(130));
}

/// A viewer whose connection is full: its frames are being skipped.
async fn stuck_viewer(daemon: &Daemon) -> TcpStream {
    let mut stuck = TcpStream::connect(daemon.address).await.unwrap();
    let request = b"GET /ipc.flv?action=live&quality=super HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    stuck.write_all(request).await.unwrap();
    let waited = async {
        let (mut before, mut same) = (-1.0, 0);
        while same < 5 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let sent = daemon.metric("peercam_live_sent_frames_total").await;
            same = if sent == before && sent > 0.0 {
                same + 1
            } else {
                0
            };
            before = sent;
        }
    };
    tokio::time::timeout(HANG, waited)
        .await
        .expect("the connection fills up");
    stuck
}

#[test]
fn what_prevents_a_start_is_one_clear_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
    std::fs::write(
        path("taken.toml"),
        sim_config("").replace("127.0.0.1:0", &address.to_string()),
    )
    .unwrap();
    // Root, or whoever runs this, sees that it is this process.
    let me = format!("(process {})", std::process::id());
    let udp = UdpSocket::bind("0.0.0.0:0").unwrap();
    let port = udp.local_addr().unwrap().port();
    let p2p = format!("[p2p]\nport = {port}");
    std::fs::write(
        path("taken_udp.toml"),
        sim_config("").replace("[p2p]\nenabled = false", &p2p),
    )
    .unwrap();
    // RFC 5737.
    let foreign = "addr = \"192.0.2.1:0\"\nallow_insecure_lan = true";
    std::fs::write(
        path("foreign.toml"),
        sim_config("").replace("addr = \"127.0.0.1:0\"", foreign),
    )
    .unwrap();
    let file_source = "[[channel]]\nid = 3\nsource = { kind = \"file\", path = \"missing.mp4\" }\n";
    let listen = "[p2p]\nenabled = false\n[[listen]]\naddr = \"127.0.0.1:0\"\n";
    std::fs::write(path("file.toml"), format!("{listen}{file_source}")).unwrap();
    std::fs::write(path("no_channel.toml"), "[http]\nmax_viewers = 3\n").unwrap();
    for (config, words) in [
        (
            "taken.toml",
            vec!["cannot listen on", "in use by", &me, "[[listen]] addr"],
        ),
        (
            "taken_udp.toml",
            vec!["UDP port", "in use by", &me, "[p2p] port"],
        ),
        ("foreign.toml", vec!["192.0.2.1", "no such address"]),
        (
            "file.toml",
            vec!["channel 3", "missing.mp4", "No such file"],
        ),
        ("no_channel.toml", vec!["no_channel.toml", "no [[channel]]"]),
        (
            "absent.toml",
            vec!["absent.toml", "cannot be read", "No such file"],
        ),
        (".", vec!["cannot be read", "directory"]),
    ] {
        let output = run(&["run", "--config", &path(config)]);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{config}: {errors}");
        assert_eq!(errors.lines().count(), 1, "{config}: {errors}");
        assert!(errors.starts_with("peercam: "), "{errors}");
        for word in words {
            assert!(errors.contains(word), "{config}: {word} in {errors}");
        }
        assert!(output.stdout.is_empty(), "{config}");
        let is_port = config.contains("taken") || config == "foreign.toml";
        let made = directory.path().join("peercam-data").exists();
        assert!(!is_port || !made, "{config}: nothing is left behind");
    }
}

#[test]
fn help_names_every_command() {
    let help = String::from_utf8(run(&["--help"]).stdout).unwrap();
    for word in ["run", "check", "--config", "--log", "simulated camera"] {
        assert!(help.contains(word), "{word} in {help}");
    }
    assert_eq!(run(&["frobnicate"]).status.code(), Some(2));
}

/// Has a daemon log more than its queue and a pipe take, which nobody reads.
async fn daemon_with_a_full_log() -> Daemon {
    let daemon = Daemon::start_unread(&sim_config(""));
    let full = tokio::time::timeout(HANG, async {
        while daemon.metric("peercam_log_lines_lost_total").await < 10.0 {
            request(daemon.address, "GET", "/no/such/path", "").await;
        }
    });
    full.await.expect("it answers, whoever reads its log");
    daemon
}

#[tokio::test]
async fn a_log_that_nobody_reads_keeps_nobody_waiting() {
    let mut daemon = daemon_with_a_full_log().await;
    let mut viewer = Viewer::open(daemon.address, "").await;
    viewer.picture().await.expect("a picture");
    // Where it goes on, it says what was lost.
    let mut log = BufReader::new(daemon.take_log());
    let mut line = String::new();
    while !line.contains("lines of it were lost") {
        line.clear();
        assert!(
            log.read_line(&mut line).unwrap() > 0,
            "nothing is said of it"
        );
        assert!(line.starts_with("20") && line.ends_with('\n'), "{line:?}");
    }
    assert!(line.contains(" WARN peercam::log::queue: "), "{line}");
    let (_, lines) = line.trim_end().rsplit_once("lines=").expect("how many");
    assert!(lines.parse::<u64>().unwrap() > 0, "{line}");
    // The end waits for what was said last.
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
    let mut rest = String::new();
    log.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("shutting down"), "{rest}");

    let mut daemon = daemon_with_a_full_log().await;
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0), "though nobody reads it");
}
