//! Garbage on the wire: a clear error or a closed connection, and live viewers notice nothing.
//!
//! `PEERCAM_SOAK=1` runs the full counts.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use proptest::{prelude::*, test_runner::TestRng};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};

use crate::support::{Answer, Daemon, Viewer, raw, request, sim_config};

/// 1/20 of a count, unless this is the soak.
pub(crate) fn scaled(full: usize) -> usize {
    if std::env::var_os("PEERCAM_SOAK").is_some() {
        full
    } else {
        full.div_ceil(20)
    }
}

/// A daemon and a viewer of it that must not notice what a test does.
struct Scene {
    daemon: Daemon,
    /// Watches until it is told to stop; gives the number of pictures it saw.
    watcher: JoinHandle<u32>,
    stop: Arc<AtomicBool>,
}

impl Scene {
    async fn start(extra: &str) -> Self {
        let daemon = Daemon::start(&(sim_config("") + extra));
        let mut viewer = Viewer::open(daemon.address, "quality=standard").await;
        assert_eq!(viewer.picture().await, Some((0, true)));
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let watcher = tokio::spawn(async move {
            let (mut seen, mut last, mut squeezed) = (0, 0, true);
            while !stopping.load(Ordering::Relaxed) {
                let (timestamp, _) = viewer.picture().await.expect("the stream goes on");
                seen += 1;
                let step = timestamp - last;
                // Pictures that were there before the viewer come 1 ms apart.
                squeezed &= step == 1;
                assert!(squeezed || step == 40, "a picture is missing: {step} ms");
                last = timestamp;
            }
            seen
        });
        Self {
            daemon,
            watcher,
            stop,
        }
    }

    /// The viewer saw every picture that the camera made.
    async fn end(mut self) {
        assert!(self.daemon.is_alive(), "the daemon died");
        self.stop.store(true, Ordering::Relaxed);
        assert!(self.watcher.await.expect("the viewer noticed nothing") > 0);
        let skipped = self
            .daemon
            .metric("peercam_live_skipped_frames_total{channel=\"0\",quality=\"standard\"}");
        assert_eq!(skipped.await, 0.0);
        assert!(
            !self.daemon.log().contains("panicked"),
            "{}",
            self.daemon.log()
        );
    }
}

/// Whatever comes back is an HTTP error or nothing.
fn assert_refused(sent: &[u8], answer: &[u8]) {
    let status = Answer::parse(answer).map(|answer| answer.status);
    let sent = String::from_utf8_lossy(&sent[..sent.len().min(200)]);
    assert!(
        answer.is_empty() || status.is_some_and(|status| status >= 400),
        "{sent:?} -> {status:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_bytes_and_mutated_requests() {
    let scene = Scene::start("[http]\nheader_timeout = \"1s\"\n").await;
    let address = scene.daemon.address;
    let mut random = TestRng::deterministic_rng(prop::test_runner::RngAlgorithm::ChaCha);
    let template = b"GET /ipc.flv?action=live&channel=0&quality=high HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    for round in 0..scaled(2000) {
        let mut bytes = if round % 2 == 0 {
            let length = random.random_range(1..400);
            (0..length).map(|_| random.random()).collect()
        } else {
            template.to_vec()
        };
        if round % 2 == 1 {
            // One that stays a valid request would play for ever: always break the method too.
            bytes[0] = random.random_range(0..0x20);
            for _ in 0..random.random_range(0..6) {
                let at = random.random_range(0..bytes.len());
                bytes[at] = random.random();
            }
        }
        bytes.extend_from_slice(b"\r\n\r\n");
        assert_refused(&bytes, &raw(address, &bytes).await);
    }
    scene.end().await;
}

#[tokio::test]
async fn requests_that_are_wrong_on_purpose() {
    let scene = Scene::start("").await;
    let host = "Host: 127.0.0.1\r\nConnection: close\r\n";
    let many_headers: String = (0..200).map(|index| format!("X-{index}: y\r\n")).collect();
    for text in [
        format!("GET /{} HTTP/1.1\r\n{host}\r\n", "x".repeat(100_000)),
        format!(
            "GET /ipc.flv?{} HTTP/1.1\r\n{host}\r\n",
            "a=b&".repeat(3000)
        ),
        format!("GET / HTTP/1.1\r\n{host}X: {}\r\n\r\n", "y".repeat(100_000)),
        format!("GET / HTTP/1.1\r\n{host}{many_headers}\r\n"),
        format!("GET /ipc.flv?action=live&channel=%zz HTTP/1.1\r\n{host}\r\n"),
        format!("GET /ipc.flv?action=live&user_args=%00 HTTP/1.1\r\n{host}\r\n"),
        format!("GET /../../etc/passwd HTTP/1.1\r\n{host}\r\n"),
        format!("GET /ipc.flv\0?action=live HTTP/1.1\r\n{host}\r\n"),
        format!("GET /ipc.flv?action=live HTTP/9.9\r\n{host}\r\n"),
        format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{host}"),
        format!("CONNECT 127.0.0.1:22 HTTP/1.1\r\n{host}\r\n"),
        format!("GET /command HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
        format!("POST /command HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
        format!(
            "POST /command HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"
        ),
        format!("POST /command HTTP/1.1\r\n{host}Content-Length: 99999999999999999999\r\n\r\n"),
        format!("POST /command HTTP/1.1\r\n{host}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
        format!("POST /command HTTP/1.1\r\n{host}Content-Length: 4\r\n\r\n\u{fffd}x"),
        format!(
            "POST /command?cmd={{\"a\":\"{}\" HTTP/1.1\r\n{host}Content-Length: 0\r\n\r\n",
            "x y".repeat(5000)
        ),
    ] {
        assert_refused(
            text.as_bytes(),
            &raw(scene.daemon.address, text.as_bytes()).await,
        );
    }
    scene.end().await;
}

#[tokio::test]
async fn a_get_with_a_chunked_body_is_a_get() {
    let scene = Scene::start("").await;
    let text = "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let answer =
        Answer::parse(&raw(scene.daemon.address, text.as_bytes()).await).expect("an answer");
    assert_eq!(answer.status, 200);
    scene.end().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_answered_with_408() {
    let scene = Scene::start("[http]\nbody_timeout = \"1s\"\n").await;
    let text = "POST /command?action=inner_define&cmd=x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\nabc";
    let answer =
        Answer::parse(&raw(scene.daemon.address, text.as_bytes()).await).expect("an answer");
    assert_eq!(
        (answer.status, answer.json("status")),
        (408, "407".to_owned())
    );
    scene.end().await;
}

#[tokio::test]
async fn a_head_that_does_not_come_and_an_idle_connection_are_closed() {
    let scene = Scene::start("[http]\nheader_timeout = \"1s\"\nidle_timeout = \"1s\"\n").await;
    assert!(
        raw(scene.daemon.address, b"GET /healthz HTTP/1.1\r\nHost: 12")
            .await
            .is_empty()
    );
    assert!(raw(scene.daemon.address, b"").await.is_empty());
    let kept = raw(
        scene.daemon.address,
        b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    )
    .await;
    assert_eq!(Answer::parse(&kept).expect("an answer").status, 200);
    let ended = scene.daemon.metric("peercam_connections_ended_total").await;
    assert_eq!(ended, 3.0, "two without a head, one idle");
    scene.end().await;
}

#[tokio::test]
async fn half_open_requests_cannot_shut_a_viewer_out() {
    let scene = Scene::start("[http]\nmax_connections = 64\n").await;
    let address: SocketAddr = scene.daemon.address;
    let mut half_open = Vec::new();
    for _ in 0..scaled(10_000) {
        let mut stream = TcpStream::connect(address).await.expect("accepted");
        stream
            .write_all(b"GET /ipc.flv?action=li")
            .await
            .expect("sends");
        half_open.push(stream);
    }
    let mut newcomer = Viewer::open(address, "").await;
    assert!(newcomer.picture().await.expect("a picture").1);
    assert!(
        scene.daemon.descriptors() < 64 + 32,
        "{} descriptors",
        scene.daemon.descriptors()
    );
    // The oldest were displaced.
    let mut byte = [0];
    assert!(matches!(half_open[0].read(&mut byte).await, Ok(0) | Err(_)));
    drop(half_open);
    scene.end().await;
}

#[tokio::test]
async fn a_full_house_says_so() {
    let scene = Scene::start("[http]\nmax_connections = 2\n").await;
    let second = Viewer::open(scene.daemon.address, "").await;
    let answer = raw(scene.daemon.address, b"").await;
    let answer = Answer::parse(&answer).expect("an answer");
    assert_eq!(
        (answer.status, answer.json("status")),
        (503, "405".to_owned())
    );
    drop(second);
    // The place of a viewer that has left is free again.
    loop {
        let mut stream = TcpStream::connect(scene.daemon.address)
            .await
            .expect("connects");
        let _ = stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            .await;
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes).await;
        if Answer::parse(&bytes).is_some_and(|answer| answer.status == 200) {
            break;
        }
    }
    scene.end().await;
}

#[tokio::test]
async fn a_viewer_that_does_not_read_is_ended_and_its_place_is_free() {
    let extra = "[http]\nwrite_timeout = \"1s\"\n";
    let scene = Scene::start(extra).await;
    let mut stuck = TcpStream::connect(scene.daemon.address)
        .await
        .expect("connects");
    let text = b"GET /ipc.flv?action=live&quality=super HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    stuck.write_all(text).await.expect("sends");
    scene
        .daemon
        .metric_becomes("peercam_live_viewers", 2.0)
        .await;
    scene
        .daemon
        .metric_becomes("peercam_live_viewers", 1.0)
        .await;
    scene.end().await;
}

#[tokio::test]
async fn pipelined_requests_behind_a_live_stream_do_no_harm() {
    let scene = Scene::start("").await;
    let mut stream = TcpStream::connect(scene.daemon.address)
        .await
        .expect("connects");
    let one = "GET /ipc.flv?action=live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    stream
        .write_all(one.repeat(100).as_bytes())
        .await
        .expect("sends");
    let mut piece = vec![0; 1 << 16];
    assert!(stream.read(&mut piece).await.expect("an answer") > 0);
    let status = request(scene.daemon.address, "GET", "/healthz", "").await;
    assert!(status.body.contains("\"viewers\":2"), "{}", status.body);
    drop(stream);
    scene
        .daemon
        .metric_becomes("peercam_live_viewers", 1.0)
        .await;
    scene.end().await;
}
