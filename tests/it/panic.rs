//! Panics and standstills: one part ends, and the others go on; the process ends only where nothing
//! else helps.
//!
//! What is known to make a library panic comes from cameras (`tests/judges/test_panic.py`). Here a
//! camera, its card and what a viewer may tell it panic because they are written to. `tests/run` has
//! all of it in the release profile: optimised, without debug assertions, unwinding as what ships.

use std::{
    future::pending,
    process::{Child, Command},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use peercam::{config::Config, daemon::Daemon};
use peercam_hal::{
    BoxFuture, Camera, Capabilities, Commands, HalError, MakerCommand, MediaInput, MediaSource,
    Query, Recording, RecordingFile, RecordingIndex, RecordingReader, SourceEvent,
    clock::Clock,
    sim::{self, SimCamera},
};
use peercam_proto::media::{Content, Quality};
use peercam_task::{
    boundary::Exit,
    watchdog::{Watchdog, noted},
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::oneshot;

use crate::support::{HANG, Viewer, request};

/// What a camera of these tests does when it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Panic,
    /// Holds the thread of the runtime.
    Block,
    /// Delivers nothing.
    Nothing,
}

struct Bad {
    deed: Deed,
    opened: Arc<AtomicUsize>,
}

struct Source(Deed);

impl Camera for Bad {
    fn open(&self, _quality: Quality) -> Result<MediaInput, HalError> {
        self.opened.fetch_add(1, Ordering::SeqCst);
        Ok(MediaInput {
            source: Box::new(Source(self.deed)),
            control: None,
        })
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            recordings: Some(Arc::new(BadCard)),
            commands: Some(Arc::new(BadCommands)),
            ..Capabilities::default()
        }
    }
}

impl MediaSource for Source {
    fn next(&mut self) -> BoxFuture<'_, SourceEvent> {
        let deed = self.0;
        Box::pin(async move {
            match deed {
                Deed::Panic => panic!("a camera"),
                Deed::Block => std::thread::sleep(HANG),
                Deed::Nothing => {}
            }
            pending().await
        })
    }
}

/// A maker's commands, whose sender makes them panic.
struct BadCommands;

impl Commands for BadCommands {
    fn run<'a>(&'a self, _command: MakerCommand<'a>) -> BoxFuture<'a, Result<String, HalError>> {
        Box::pin(async { panic!("a viewer's command") })
    }
}

/// One recording, which makes whoever reads it panic.
struct BadCard;

impl RecordingIndex for BadCard {
    fn list(&self, _query: Query) -> BoxFuture<'_, Result<Vec<Recording>, HalError>> {
        let recording = Recording {
            start_millis: 1_800_000_000_000,
            end_millis: 1_800_000_060_000,
            kind: 0,
            size: 1 << 20,
            content: Content::Video,
        };
        Box::pin(async move { Ok(vec![recording]) })
    }

    fn open(&self, _start: i64) -> BoxFuture<'_, Result<Box<dyn RecordingReader>, HalError>> {
        Box::pin(async { panic!("a card that is played") })
    }

    fn fetch(
        &self,
        _start: i64,
        _content: Content,
    ) -> BoxFuture<'_, Result<Box<dyn RecordingFile>, HalError>> {
        Box::pin(async { panic!("a card that is fetched from") })
    }
}

/// A daemon whose channel 0 is a good camera, and channel 1 one of these.
async fn daemon(directory: &std::path::Path, bad: Arc<Bad>) -> Daemon {
    let text = "data_dir = \".\"\n[p2p]\nenabled = false\n[[listen]]\naddr = \"127.0.0.1:0\"\n\
        [[channel]]\nid = 0\nsource = { kind = \"sim\" }\n[[channel]]\nid = 1\nsource = { kind = \"sim\" }\n";
    let path = directory.join("camera.toml");
    std::fs::write(&path, text).unwrap();
    let config = Config::load(&path).unwrap();
    let cameras =
        |clock: Clock, channel: &peercam::config::Channel| -> Result<Arc<dyn Camera>, _> {
            Ok(match channel.id.0 {
                0 => Arc::new(SimCamera::new(clock, sim::Config::default())),
                _ => Arc::clone(&bad) as Arc<dyn Camera>,
            })
        };
    Daemon::with_cameras(config, cameras).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_panics_is_ended_and_nobody_else() {
    let directory = tempfile::tempdir().unwrap();
    let opened = Arc::new(AtomicUsize::new(0));
    let bad = Bad {
        deed: Deed::Panic,
        opened: Arc::clone(&opened),
    };
    let daemon = daemon(directory.path(), Arc::new(bad)).await;
    let address = daemon.addresses()[0];
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(daemon.run(async move {
        let _ = stopped.await;
    }));
    let mut good = Viewer::open(address, "channel=0").await;
    good.picture().await.unwrap();
    // The camera, again and again: it has a rest, and then it is opened again.
    let waited = tokio::time::timeout(HANG, async {
        while opened.load(Ordering::SeqCst) < 2 {
            let refused = request(address, "GET", "/ipc.flv?action=live&channel=1", "").await;
            assert_eq!(refused.status, 502, "{refused:?}");
        }
    });
    waited.await.expect("it is tried again");
    // The card, played and fetched from, and a viewer's command: the connection ends, with an answer or without.
    let window = "channel=1&start_time=1800000000&end_time=1800000060";
    for target in [
        format!("GET /ipc.flv?action=playback&{window}"),
        format!("GET /ipc.flv?action=download&{window}"),
        "POST /command?action=user_define&channel=1&cmd=light_on".to_owned(),
    ] {
        let request = format!(
            "{target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        );
        let answer = crate::support::raw(address, request.as_bytes()).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(!answer.starts_with("HTTP/1.1 200"), "{target}: {answer}");
    }
    for _ in 0..50 {
        good.picture()
            .await
            .expect("the good camera's viewer sees nothing of it");
    }
    let metrics = request(address, "GET", "/metrics", "").await.body;
    let counted = |part: &str| -> f64 {
        let line = format!("peercam_panics_total{{part=\"{part}\"}} ");
        let found = metrics.lines().find_map(|found| found.strip_prefix(&line));
        found
            .unwrap_or_else(|| panic!("{line:?} in {metrics}"))
            .parse()
            .unwrap()
    };
    assert!(counted("camera") >= 2.0, "{metrics}");
    assert!(counted("connection") >= 2.0, "{metrics}");
    stop.send(()).unwrap();
    running.await.unwrap();
}

#[cfg(all(feature = "client", feature = "p2p"))]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2p_is_made_anew_when_a_task_of_its_library_may_have_panicked() {
    use peercam_client::p2p::ClientRequest;
    use peercam_proto::credential::PairingUri;

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("camera.toml");
    let port = std::net::UdpSocket::bind("0.0.0.0:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let text = format!(
        "[p2p]\nport = {port}\n[[listen]]\naddr = \"127.0.0.1:0\"\n\
         [[channel]]\nid = 0\nsource = {{ kind = \"sim\" }}\n"
    );
    std::fs::write(&path, text).unwrap();
    let daemon = Daemon::start(Config::load(&path).unwrap()).await.unwrap();
    let running = tokio::spawn(daemon.run(pending()));
    let pair = crate::support::program()
        .arg("pair")
        .arg("owner")
        .arg("--config")
        .arg(&path)
        .output();
    let uri = PairingUri::parse(&String::from_utf8(pair.unwrap().stdout).unwrap()).unwrap();
    let before = crate::dialled::RawPeer::dial(&uri, 79).await;
    peercam_task::boundary::note_library_panic();
    let ended = tokio::time::timeout(HANG, before.connection.closed()).await;
    ended.expect("its connection is gone with the endpoint");
    let after = crate::dialled::session(&uri).await;
    let answer = after.send(ClientRequest::get("/healthz")).await.unwrap();
    answer.checked().await.unwrap();
    running.abort();
}

#[cfg(all(feature = "client", feature = "p2p"))]
#[tokio::test]
async fn an_endpoint_that_has_ended_is_made_anew_as_the_same() {
    use peercam_net::p2p::Hints;

    let device = crate::dialled::device_endpoint(77).await;
    let (copy, id) = (device.clone(), device.id());
    device.close().await;
    assert!(copy.accept().await.is_none(), "that it has ended is seen");
    device.renew().await.unwrap();
    assert_eq!(copy.id(), id);
    let viewer = crate::dialled::endpoint(78).await;
    let hints = Hints {
        relays: Vec::new(),
        addresses: copy.hints(),
    };
    let (dialled, accepted) = tokio::join!(viewer.dial(id, &hints), async {
        copy.accept().await.expect("it is dialled").accept().await
    });
    assert!(dialled.is_ok() && accepted.is_ok());
}

/// Says to a process that is started by one of these tests what it is.
const ROLE: &str = "PEERCAM_TEST_ROLE";
const LIMIT: Duration = Duration::from_millis(500);

/// Runs one of these tests in a process of its own.
fn child(test: &str, directory: &std::path::Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]);
    command.env(ROLE, directory);
    command.spawn().unwrap()
}

fn role() -> Option<std::path::PathBuf> {
    std::env::var_os(ROLE).map(Into::into)
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

#[test]
fn a_runtime_that_stands_still_ends_the_process() {
    if let Some(directory) = role() {
        return runtime().block_on(async {
            let bad = Bad {
                deed: Deed::Block,
                opened: Arc::default(),
            };
            let daemon = daemon(&directory, Arc::new(bad)).await;
            let _watchdog = Watchdog::start(LIMIT, &directory).unwrap();
            let stream = peercam_proto::media::StreamId {
                channel: peercam_proto::media::ChannelId(1),
                quality: Quality::Super,
            };
            let refused = daemon.hub().subscribe(stream).await.err().unwrap();
            assert!(refused.reason().contains("stood still twice"), "{refused}");
            assert!(daemon.hub().offline(stream.channel).is_some());
        });
    }
    let directory = tempfile::tempdir().unwrap();
    let test = "panic::a_runtime_that_stands_still_ends_the_process";
    for times in 1..=2 {
        let ended = child(test, directory.path()).wait().unwrap();
        assert_eq!(ended.code(), Some(Exit::Stalled as i32));
        let notes: Vec<_> = noted(directory.path()).into_iter().collect();
        assert_eq!(notes, [("camera 1/super".to_owned(), times)]);
    }
    // The camera is left out now, so the daemon runs.
    let ended = child(test, directory.path()).wait().unwrap();
    assert_eq!(ended.code(), Some(0));
}

#[test]
fn a_process_that_was_stopped_goes_on() {
    if let Some(directory) = role() {
        return runtime().block_on(async {
            let bad = Bad {
                deed: Deed::Nothing,
                opened: Arc::default(),
            };
            let daemon = daemon(&directory, Arc::new(bad)).await;
            let _watchdog = Watchdog::start(LIMIT, &directory).unwrap();
            let go_on = directory.join("go-on");
            std::fs::write(directory.join("ready"), "").unwrap();
            daemon
                .run(async {
                    while !go_on.exists() {
                        tokio::time::sleep(LIMIT / 10).await;
                    }
                    tokio::time::sleep(2 * LIMIT).await;
                })
                .await;
        });
    }
    let directory = tempfile::tempdir().unwrap();
    let mut child = child(
        "panic::a_process_that_was_stopped_goes_on",
        directory.path(),
    );
    let pid = Pid::from_child(&child);
    while !directory.path().join("ready").exists() {
        assert!(child.try_wait().unwrap().is_none());
        std::thread::sleep(LIMIT / 10);
    }
    for _ in 0..2 {
        kill_process(pid, Signal::STOP).unwrap();
        std::thread::sleep(2 * LIMIT);
        kill_process(pid, Signal::CONT).unwrap();
        std::thread::sleep(LIMIT / 10);
    }
    std::fs::write(directory.path().join("go-on"), "").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
