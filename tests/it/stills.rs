//! Stills: who gets one, which one, and what a camera is asked for.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use peercam::{
    channels::{ChannelEntry, ChannelRegistry},
    events::Events,
    live::{Config, Hub, Metrics, Permit, Stills},
};
use peercam_hal::{BoxFuture, Camera, Capabilities, HalError, MediaInput, Snapshot, clock::Clock};
use peercam_proto::{
    error::{Error, ErrorKind},
    jpeg,
    media::{ChannelId, Quality},
};
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;

use crate::{
    paired::{Device, RawViewer, Reply},
    support::{Daemon, program, raw, request, sim_config},
};

const FRONT: ChannelId = ChannelId(0);
const LARGEST: usize = 1000;

/// A JPEG of one block, with this in a comment.
pub(crate) fn jpeg_with(comment: &[u8]) -> Vec<u8> {
    let length = (comment.len() as u16 + 2).to_be_bytes();
    let frame = [0xff, 0xc0, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0];
    let scan = [0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0, 0x12, 0xff, 0xd9];
    [
        &[0xff, 0xd8, 0xff, 0xfe][..],
        &length,
        comment,
        &frame,
        &scan,
    ]
    .concat()
}

/// A still camera in a test's hands. What it was not told to give has its number in a comment.
struct Still {
    asked: AtomicUsize,
    /// What may be given.
    open: Semaphore,
    given: Mutex<VecDeque<Result<Vec<u8>, HalError>>>,
    offline: Mutex<Option<String>>,
    /// It has no moving picture.
    only: bool,
}

impl Still {
    fn new() -> Arc<Self> {
        Self::of(false)
    }

    fn of(only: bool) -> Arc<Self> {
        Arc::new(Self {
            asked: AtomicUsize::new(0),
            open: Semaphore::new(0),
            given: Mutex::default(),
            offline: Mutex::default(),
            only,
        })
    }

    /// Its hub and what takes its stills.
    fn stills(self: &Arc<Self>) -> (Hub, Arc<Stills>) {
        let camera = Arc::new(Scripted(Arc::clone(self)));
        let channel = ChannelEntry::new(FRONT, "still".to_owned(), camera);
        let blind = ChannelEntry::new(ChannelId(1), "blind".to_owned(), Arc::new(Blind));
        let channels = ChannelRegistry::new([channel, blind]);
        let (config, metrics) = (Config::default(), Metrics::default());
        let clock = Clock::start();
        let hub = Hub::new(clock, Events::new(clock), config, channels.clone(), metrics);
        let stills = Stills::new(&hub, channels, LARGEST, &mut Registry::default());
        (hub, Arc::new(stills))
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Waits until it was asked so often.
    async fn asked_for(&self, times: usize) {
        while self.asked() < times {
            // Time goes on meanwhile.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

struct Scripted(Arc<Still>);

impl Camera for Scripted {
    fn open(&self, _quality: Quality) -> Result<MediaInput, HalError> {
        Err(HalError::Missing)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            snapshot: Some(Arc::new(Self(Arc::clone(&self.0)))),
            stills_only: self.0.only,
            ..Capabilities::default()
        }
    }

    fn offline(&self) -> Option<String> {
        self.0.offline.lock().unwrap().clone()
    }
}

impl Snapshot for Scripted {
    fn capture(&self) -> BoxFuture<'_, Result<Bytes, HalError>> {
        let number = self.0.asked.fetch_add(1, Ordering::SeqCst) + 1;
        Box::pin(async move {
            self.0.open.acquire().await.unwrap().forget();
            let given = self.0.given.lock().unwrap().pop_front();
            let given =
                given.unwrap_or_else(|| Ok(jpeg_with(format!("number {number}").as_bytes())));
            assert!(given != Err(HalError::Failed("panic".to_owned())), "panics");
            given.map(Bytes::from)
        })
    }
}

fn place() -> Permit {
    Arc::new(())
}

/// A camera without stills.
struct Blind;

impl Camera for Blind {
    fn open(&self, _quality: Quality) -> Result<MediaInput, HalError> {
        Err(HalError::Missing)
    }
}

/// The number of a still.
fn number(still: Result<Bytes, Error>) -> String {
    let still = still.expect("a still");
    let text = String::from_utf8_lossy(&still);
    let (_, rest) = text.split_once("number ").expect("a number");
    rest.chars().take_while(char::is_ascii_digit).collect()
}

#[tokio::test(start_paused = true)]
async fn many_who_ask_cost_one_still_a_second() {
    let camera = Still::new();
    let (_, stills) = camera.stills();
    let ask = || {
        let stills = Arc::clone(&stills);
        tokio::spawn(async move { stills.take(FRONT, &place()).await })
    };
    // Who asks and leaves does not have it taken again.
    let left: Vec<_> = (0..20).map(|_| ask()).collect();
    camera.asked_for(1).await;
    left.iter().for_each(tokio::task::JoinHandle::abort);
    let asked: Vec<_> = (0..20).map(|_| ask()).collect();
    camera.open.add_permits(100);
    for one in asked {
        assert_eq!(number(one.await.unwrap()), "1");
    }
    assert_eq!(camera.asked(), 1);
    // Nothing is kept: the next ones wait for their turn, together.
    let began = tokio::time::Instant::now();
    let asked: Vec<_> = (0..20).map(|_| ask()).collect();
    for one in asked {
        assert_eq!(number(one.await.unwrap()), "2");
    }
    assert_eq!(began.elapsed().as_secs(), 1);
    // Nor is a camera asked more often that has none.
    for _ in 0..3 {
        let missing = Err(HalError::Missing);
        camera.given.lock().unwrap().push_back(missing);
        let error = stills.take(FRONT, &place()).await.expect_err("missing");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    }
    assert_eq!((began.elapsed().as_secs(), camera.asked()), (4, 5));
}

#[tokio::test(start_paused = true)]
async fn a_place_is_held_for_as_long_as_the_camera_is_asked() {
    let camera = Still::new();
    let (_, stills) = camera.stills();
    let mine = place();
    let asked = tokio::spawn({
        let (stills, mine) = (Arc::clone(&stills), Arc::clone(&mine));
        async move { stills.take(FRONT, &mine).await }
    });
    camera.asked_for(1).await;
    asked.abort();
    assert!(asked.await.is_err(), "it has left");
    assert_eq!(Arc::strong_count(&mine), 2);
    camera.open.add_permits(2);
    assert_eq!(number(stills.take(FRONT, &place()).await), "1");
    assert_eq!(Arc::strong_count(&mine), 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_camera_gives_is_judged() {
    let camera = Still::new();
    let (_, stills) = camera.stills();
    camera.open.add_permits(100);
    let large = jpeg_with(&[b'x'; LARGEST]);
    let cut = jpeg_with(b"cut")[..20].to_vec();
    let failed = HalError::Failed("its lamp is broken".to_owned());
    let panics = HalError::Failed("panic".to_owned());
    for (given, kind, words) in [
        (
            Ok(b"<html>".to_vec()),
            ErrorKind::BadAnswer,
            "does not begin as a JPEG",
        ),
        (
            Ok(Vec::new()),
            ErrorKind::BadAnswer,
            "does not begin as a JPEG",
        ),
        (Ok(cut), ErrorKind::BadAnswer, "cut off"),
        (Ok(large), ErrorKind::BadAnswer, "1000 are allowed"),
        (Err(failed), ErrorKind::Unavailable, "its lamp is broken"),
        (Err(HalError::Busy), ErrorKind::Busy, "in use"),
        (
            Err(HalError::Unsupported("stills".to_owned())),
            ErrorKind::Unsupported,
            "no decoder",
        ),
        (Err(panics), ErrorKind::Unavailable, "the log says where"),
    ] {
        camera.given.lock().unwrap().push_back(given);
        let error = stills.take(FRONT, &place()).await.expect_err(words);
        assert!(
            error.kind() == kind && error.reason().contains(words),
            "{error}"
        );
    }
    let followed = [&jpeg_with(b"number 0")[..], b"<script>"].concat();
    camera.given.lock().unwrap().push_back(Ok(followed));
    let still = stills.take(FRONT, &place()).await.expect("a JPEG");
    assert!(
        still.ends_with(&[0xff, 0xd9]),
        "what is behind it is left out"
    );
    let none = stills
        .take(ChannelId(1), &place())
        .await
        .expect_err("blind");
    assert_eq!(none.kind(), ErrorKind::Unsupported);
    assert!(none.reason().contains("H.264"), "{none}");
}

#[tokio::test(start_paused = true)]
async fn a_camera_that_hangs_keeps_nobody_waiting() {
    let camera = Still::new();
    let (_, stills) = camera.stills();
    let began = tokio::time::Instant::now();
    let error = stills.take(FRONT, &place()).await.expect_err("it hangs");
    assert_eq!(error.kind(), ErrorKind::NoAnswer, "{error}");
    assert_eq!(began.elapsed().as_secs(), 4);
    camera.open.add_permits(1);
    assert_eq!(number(stills.take(FRONT, &place()).await), "2");
}

#[tokio::test(start_paused = true)]
async fn no_still_is_older_than_the_end_of_standby() {
    let camera = Still::new();
    let (hub, stills) = camera.stills();
    camera.open.add_permits(1);
    assert_eq!(number(stills.take(FRONT, &place()).await), "1");
    hub.set_working(FRONT, false);
    let error = stills.take(FRONT, &place()).await.expect_err("on standby");
    assert!(error.reason().contains("on standby"), "{error}");
    hub.set_working(FRONT, true);
    let asked = tokio::spawn({
        let stills = Arc::clone(&stills);
        async move { stills.take(FRONT, &place()).await }
    });
    camera.asked_for(2).await;
    // Meanwhile it stood by again: the second one was begun before that.
    hub.set_working(FRONT, false);
    hub.set_working(FRONT, true);
    camera.open.add_permits(2);
    assert_eq!(number(asked.await.unwrap()), "3");
    let asked = tokio::spawn({
        let stills = Arc::clone(&stills);
        async move { stills.take(FRONT, &place()).await }
    });
    camera.asked_for(4).await;
    hub.set_working(FRONT, false);
    camera.open.add_permits(1);
    let error = asked.await.unwrap().expect_err("on standby now");
    assert!(error.reason().contains("on standby"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_camera_that_is_off_is_not_asked_and_the_end_is_waited_for_by_nobody() {
    let camera = Still::new();
    let (hub, stills) = camera.stills();
    *camera.offline.lock().unwrap() = Some("its plug is out".to_owned());
    let error = stills.take(FRONT, &place()).await.expect_err("off");
    assert!(
        error.reason().contains("is off: its plug is out"),
        "{error}"
    );
    assert_eq!(camera.asked(), 0);
    *camera.offline.lock().unwrap() = None;
    let asked = tokio::spawn({
        let stills = Arc::clone(&stills);
        async move { stills.take(FRONT, &place()).await }
    });
    camera.asked_for(1).await;
    let began = tokio::time::Instant::now();
    hub.close();
    stills.close();
    let error = asked.await.unwrap().expect_err("the end");
    assert!(error.reason().contains("shutting down"), "{error}");
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_camera_of_stills_alone_is_known_by_the_last_one_and_asked_again() {
    for only in [true, false] {
        let camera = Still::of(only);
        let (hub, stills) = camera.stills();
        assert_eq!(hub.offline(FRONT), None, "nobody has asked it");
        camera.open.add_permits(3);
        let broken = HalError::Failed("its lamp is broken".to_owned());
        for (given, reason) in [
            (Err(broken.clone()), "its lamp is broken"),
            (Ok(b"<html>".to_vec()), "does not begin as a JPEG"),
            (
                Err(HalError::Failed("panic".to_owned())),
                "the log says where",
            ),
        ] {
            camera.given.lock().unwrap().push_back(given);
            assert!(stills.take(FRONT, &place()).await.is_err());
            // Of other cameras streams tell.
            let off = hub.offline(FRONT);
            assert_eq!(
                off.is_some_and(|off| off.contains(reason)),
                only,
                "{reason}"
            );
        }
        assert!(stills.take(FRONT, &place()).await.is_err(), "it hangs");
        let off = hub.offline(FRONT);
        assert_eq!(off.is_some_and(|off| off.contains("within 4 s")), only);
        camera.open.add_permits(1);
        assert_eq!(number(stills.take(FRONT, &place()).await), "5");
        assert_eq!(hub.offline(FRONT), None);
    }
}

/// Head and body of an answer.
pub(crate) async fn still(
    address: std::net::SocketAddr,
    method: &str,
    headers: &str,
) -> (String, Vec<u8>) {
    let text = format!(
        "{method} /ipc.p2p.com/snapshot.jpg?channel=0&req_id=7 HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}Connection: close\r\n\r\n"
    );
    let answer = raw(address, text.as_bytes()).await;
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .expect("a head");
    let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
    (head, answer[end + 4..].to_vec())
}

#[tokio::test]
async fn a_still_over_http() {
    let daemon = Daemon::start(&sim_config(""));
    let (head, body) = still(daemon.address, "GET", "").await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert_eq!(jpeg::length(&body), Ok(body.len()));
    for header in [
        "content-type: image/jpeg",
        &format!("content-length: {}", body.len()),
        "cache-control: no-store",
        "x-content-type-options: nosniff",
        "cross-origin-resource-policy: same-origin",
    ] {
        assert!(head.contains(header), "{header}: {head}");
    }
    let (head, nothing) = still(daemon.address, "HEAD", "").await;
    assert!(
        head.contains("content-length: ") && nothing.is_empty(),
        "{head}"
    );
    let (head, _) = still(daemon.address, "GET", "Origin: http://console.test\r\n").await;
    assert!(
        head.contains("access-control-allow-origin: http://console.test"),
        "{head}"
    );
    for headers in [
        "Origin: http://evil.test\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "X-Forwarded-For: 1.2.3.4\r\n",
    ] {
        let (head, _) = still(daemon.address, "GET", headers).await;
        assert!(head.starts_with("http/1.1 403"), "{headers}: {head}");
    }
    for (method, target, status, words) in [
        ("POST", "/snapshot.jpg", 405, "GET, HEAD"),
        ("GET", "/snapshot.jpg?channel=9", 404, "this device has 0"),
        ("GET", "/snapshot.jpg?channel=x", 400, "channel"),
        ("GET", "/snapshot.jpg?channel=0&channel=0", 400, "twice"),
    ] {
        let answer = request(daemon.address, method, target, "").await;
        assert_eq!(answer.status, status, "{target}: {answer:?}");
        assert!(
            answer.json("reason").contains(words),
            "{target}: {answer:?}"
        );
    }
    assert!(daemon.metric("peercam_snapshots_total").await >= 1.0);
    assert_eq!(daemon.metric("peercam_live_source_frames_total").await, 0.0);

    let set = |status: &str| {
        format!(r#"action=user_define&cmd={{"topic":"set_status","data":{{"status":"{status}"}}}}"#)
    };
    request(daemon.address, "POST", "/command", &set("standby")).await;
    let still_refused = request(daemon.address, "GET", "/snapshot.jpg", "").await;
    let live_refused = request(daemon.address, "GET", "/ipc.flv?action=live", "").await;
    assert_eq!(
        still_refused.status, live_refused.status,
        "as the live picture"
    );
    assert_eq!(still_refused.body, live_refused.body);
    assert!(still_refused.body.contains("standby"), "{still_refused:?}");
    request(daemon.address, "POST", "/command", &set("working")).await;
    let (head, _) = still(daemon.address, "GET", "").await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
}

#[tokio::test]
async fn a_still_for_who_may_see_it() {
    let device = Device::start("");
    let narrow = device.pair(&["guest", "--scope", "live", "--channel", "1"]);
    let deaf = device.pair(&["deaf", "--scope", "command"]);
    let mut viewer = RawViewer::open(device.address, &narrow).await;
    let answer = viewer.ask("GET", "/snapshot.jpg?channel=1", None).await;
    let Reply::Sealed(head, Some(body)) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!((head.status, jpeg::length(&body)), (200, Ok(body.len())));
    let has = |name: &str, value: &str| {
        let mut headers = head.headers.iter();
        headers.any(|(known, said)| known == name && said == value)
    };
    assert!(has("content-type", "image/jpeg") && has("content-length", &body.len().to_string()));
    let (status, text) = viewer.ask("GET", "/snapshot.jpg", None).await.sealed();
    assert!(
        status == 404 && text.contains("this device has 1"),
        "{text}"
    );
    let mut viewer = RawViewer::open(device.address, &deaf).await;
    let (status, text) = viewer.ask("GET", "/snapshot.jpg", None).await.sealed();
    assert!(status == 403 && text.contains("scope live"), "{text}");
    let bare = request(device.address, "GET", "/snapshot.jpg", "").await;
    assert_eq!(bare.status, 401);
}

#[cfg(feature = "client")]
#[tokio::test]
async fn a_still_by_the_command_line() {
    let device = Device::start("");
    let uri = device.daemon.directory().join("uri");
    std::fs::write(&uri, device.pair(&["phone", "--channel", "1"]).expose()).unwrap();
    let directory = device.daemon.directory().to_owned();
    let run = |arguments: &[&str]| {
        let mut command = program();
        command.arg("snapshot").arg(format!("@{}", uri.display()));
        command
            .args(arguments)
            .current_dir(&directory)
            .output()
            .unwrap()
    };
    let done = run(&["--channel", "1", "-o", "picture.jpg"]);
    assert!(done.status.success(), "{done:?}");
    let file = std::fs::read(directory.join("picture.jpg")).unwrap();
    assert_eq!(jpeg::length(&file), Ok(file.len()));
    for arguments in [&["--channel", "1"][..], &["--channel", "1", "-o", "-"]] {
        let done = run(arguments);
        assert_eq!(jpeg::length(&done.stdout), Ok(done.stdout.len()));
    }
    for (arguments, words) in [
        (
            &["--channel", "1", "-o", "picture.jpg"][..],
            "picture.jpg: there is such a file already",
        ),
        (&["--channel", "0", "-o", "other.jpg"], "no such channel"),
        (
            &["--channel", "1", "-o", "/nowhere/x.jpg"],
            "/nowhere/x.jpg",
        ),
    ] {
        let done = run(arguments);
        let errors = String::from_utf8(done.stderr).unwrap();
        assert!(!done.status.success() && errors.contains(words), "{errors}");
    }
    assert!(!directory.join("other.jpg").exists());
}
