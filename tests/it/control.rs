//! The control socket of a running daemon, and the commands that use it.

use std::{
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::Duration,
};

use peercam_proto::credential::PairingUri;
use rustix::process::Signal;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use crate::{
    paired::{Device, RawViewer},
    support::{Answer, Daemon, HANG, Viewer, program, run, sim_config},
};

fn socket(daemon: &Daemon) -> PathBuf {
    daemon.directory().join("peercam-data/control.sock")
}

/// Asks as `curl --unix-socket` does.
async fn ask(daemon: &Daemon, request: &str, body: &str) -> Answer {
    ask_at(&socket(daemon), request, body).await
}

async fn ask_at(socket: &Path, request: &str, body: &str) -> Answer {
    let mut stream = UnixStream::connect(socket).await.expect("connects");
    let text = format!(
        "{request} HTTP/1.1\r\nHost: peercam\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(text.as_bytes()).await.expect("sends");
    read(&mut stream).await
}

async fn read(stream: &mut UnixStream) -> Answer {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(HANG, stream.read_to_end(&mut bytes)).await;
    read.expect("it ends").expect("reads");
    Answer::parse(&bytes).unwrap_or_else(|| panic!("{:?}", String::from_utf8_lossy(&bytes)))
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[tokio::test]
async fn status_says_who_watches_what_and_how() {
    let device = Device::start("");
    let uri = device.pair(&["phone"]);
    let mut open = Viewer::open(device.daemon.address, "channel=1&quality=standard").await;
    open.picture().await.expect("a picture");
    let mut paired = RawViewer::open(device.address, &uri).await;
    let mut live = paired.live("channel=0&quality=super").await;
    live.record().await.expect("a record");

    let status = json(&device.peercam(&["status", "--json"]));
    assert_eq!(status["device_id"], device.id.to_string());
    assert_eq!(status["listeners"][1]["access"], "token");
    assert_eq!(status["cameras"][1]["name"], "back");
    assert_eq!(status["cameras"][1]["state"], "on");
    let viewers = status["viewers"].as_array().expect("a list");
    assert_eq!(viewers.len(), 2, "{status}");
    let (phone, other) = (&viewers[0], &viewers[1]);
    assert_eq!(
        (&phone["name"], &phone["path"]),
        (&"phone".into(), &"tcp".into())
    );
    let medium = &phone["media"][0];
    assert_eq!(
        (&medium["medium"], &medium["quality"]),
        (&"live".into(), &"super".into())
    );
    assert_eq!(
        (&other["path"], &other["session"]),
        (&"open".into(), &Value::Null)
    );
    assert_eq!(other["media"][0]["channel"], 1);
    let places = &status["places"][0];
    assert_eq!(
        (&places["of"], &places["taken"]),
        (&"viewers".into(), &2.into())
    );
    assert!(
        status["memory"]["resident_bytes"].as_u64() > Some(1 << 20),
        "{status}"
    );
    let live_streams = &status["memory"]["shares"][0];
    assert!(live_streams["used_bytes"].as_u64() > Some(0), "{status}");

    let text = device.peercam(&["status"]);
    for line in [
        "listener  127.0.0.1:",
        "camera    0 \"front\": on\n",
        "viewer    \"phone\" (tcp, 127.0.0.1:",
        "live of channel 0, super, for ",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let secret = uri.expose();
    let key = secret.split("&k=").nth(1).expect("a key");
    assert!(!text.contains(&key[..43]), "{text}");

    drop(open);
    device
        .daemon
        .metric_becomes("peercam_live_viewers", 1.0)
        .await;
    let status = json(&device.peercam(&["status", "--json"]));
    assert_eq!(
        status["viewers"].as_array().map(Vec::len),
        Some(1),
        "{status}"
    );
}

#[tokio::test]
async fn the_socket_is_its_users_and_replaces_what_a_killed_daemon_left() {
    let mut daemon = Daemon::start(&sim_config(""));
    let metadata = std::fs::metadata(socket(&daemon)).expect("is there");
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    daemon.signal(Signal::KILL);
    daemon.wait();
    assert!(socket(&daemon).exists(), "nobody took it away");
    let config = daemon.directory().join("camera.toml");
    let status = ["status", "--config", config.to_str().expect("text")];
    let none = run(&status);
    let said = String::from_utf8_lossy(&none.stderr);
    assert!(
        !none.status.success() && said.contains("no daemon runs") && said.contains("peercam run"),
        "{said}"
    );
    let directory = daemon.take_directory();
    let daemon = Daemon::start_in(directory, &sim_config(""));
    assert_eq!(ask(&daemon, "GET /status", "").await.status, 200);
    let directory = daemon.stop();
    let left = directory.path().join("peercam-data/control.sock");
    assert!(!left.exists(), "one that ends in order takes it away");
}

#[tokio::test]
async fn programs_that_do_not_go_on_leave_places_to_others() {
    let daemon = Daemon::start(&sim_config(""));
    let half = || async {
        let mut stream = UnixStream::connect(socket(&daemon))
            .await
            .expect("connects");
        stream.write_all(b"GET /status HT").await.expect("sends");
        stream
    };
    let mut slow = Vec::new();
    for _ in 0..3 {
        slow.push(half().await);
        assert_eq!(ask(&daemon, "GET /status", "").await.status, 200);
    }
    slow.push(half().await);
    let refused = ask(&daemon, "GET /status", "").await;
    assert_eq!(refused.status, 503);
    assert!(refused.json("reason").contains("4 programs"), "{refused:?}");
    // Viewers have their places.
    assert!(
        Viewer::open(daemon.address, "")
            .await
            .picture()
            .await
            .is_some()
    );
    let mut last = slow.pop().expect("four");
    last.write_all(b"TP/1.1\r\nHost: x\r\n\r\n")
        .await
        .expect("sends");
    assert_eq!(read(&mut last).await.status, 200);
}

/// A program that follows what happens.
struct Follower {
    stream: UnixStream,
    bytes: Vec<u8>,
}

impl Follower {
    async fn open(daemon: &Daemon, target: &str) -> Self {
        let mut stream = UnixStream::connect(socket(daemon)).await.expect("connects");
        let text = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
        stream.write_all(text.as_bytes()).await.expect("sends");
        let bytes = Vec::new();
        let mut follower = Self { stream, bytes };
        follower.until("\r\n\r\n").await;
        follower
    }

    /// All that has come by now, once this has come, and the line in which it is.
    async fn until(&mut self, text: &str) -> String {
        let Self { stream, bytes } = self;
        let read = async {
            while !String::from_utf8_lossy(bytes).contains(text) || !bytes.ends_with(b"\n") {
                let read = stream.read_buf(bytes).await.expect("reads");
                assert_ne!(read, 0, "it ended: {}", String::from_utf8_lossy(bytes));
            }
        };
        tokio::time::timeout(HANG, read).await.expect("it comes");
        String::from_utf8_lossy(bytes).into_owned()
    }
}

#[tokio::test]
async fn what_happens_is_told_as_it_happens_to_few_and_to_the_end() {
    let device = Device::start("");
    let uri = device.pair(&["phone"]);
    let mut follower = Follower::open(&device.daemon, "/events").await;
    let person = program_of(&device, &["events"]);
    followers_become(&device.daemon, 2).await;
    // A third one has no place, and takes none of those who ask for something short.
    let refused = ask(&device.daemon, "GET /events", "").await;
    assert_eq!(
        (refused.status, refused.json("status")),
        (503, "405".to_owned())
    );

    let mut viewer = RawViewer::open(device.address, &uri).await;
    let mut live = viewer.live("channel=0&quality=standard").await;
    live.record().await.expect("a record");
    let told = follower.until("viewer_joined").await;
    let line = told.lines().find(|line| line.contains("viewer_joined"));
    let event = json(line.expect("a line"));
    assert_eq!(
        (&event["name"], &event["path"]),
        (&"phone".into(), &"tcp".into())
    );
    drop(viewer);
    follower.until("viewer_left").await;
    drop(follower);
    followers_become(&device.daemon, 1).await;
    // Who comes again is told what it has missed.
    let target = format!("/events?after={}", event["number"]);
    let mut again = Follower::open(&device.daemon, &target).await;
    assert!(!again.until("viewer_left").await.contains("viewer_joined"));

    let _directory = device.daemon.stop();
    let told = again.until("\r\n0\r\n\r\n").await;
    assert!(told.ends_with("0\r\n\r\n"), "its end is told: {told}");
    let told = person.wait_with_output().expect("it ends with the daemon");
    let text = String::from_utf8_lossy(&told.stdout);
    assert!(told.status.success(), "{told:?}");
    for words in [
        r#" viewer_joined name="phone" path="tcp" "#,
        " viewer_left ",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

async fn followers_become(daemon: &Daemon, count: usize) {
    let place = format!(r#"{{"of":"followers of events","taken":{count},"max":2}}"#);
    let wait = async {
        while !ask(daemon, "GET /status", "").await.body.contains(&place) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(HANG, wait).await.expect("they do");
}

/// A command of this device that goes on by itself.
fn program_of(device: &Device, arguments: &[&str]) -> Child {
    let child = program()
        .args(arguments)
        .arg("--config")
        .arg(device.daemon.directory().join("camera.toml"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    child.expect("the program starts")
}

#[tokio::test]
async fn who_is_revoked_at_the_daemon_has_no_session_when_the_command_ends() {
    let device = Device::start("");
    let uri = device.pair(&["phone", "--scope", "live"]);
    let mut viewer = RawViewer::open(device.address, &uri).await;
    let mut live = viewer.live("channel=0&quality=standard").await;
    let (done, said) = device.try_peercam(&["revoke", "phone"]);
    assert!(
        done.is_some() && said.contains("one session has ended"),
        "{said}"
    );
    let status = json(&device.peercam(&["status", "--json"]));
    assert_eq!(status["viewers"], json("[]"), "{status}");
    live.cut_off().await;
    let mut again = RawViewer::open(device.address, &uri).await;
    let (code, told) = again.ask("GET", "/healthz", None).await.sealed();
    assert!(code == 403 && told.contains("revoked"), "{told}");

    // Programs do the same, without the command.
    let post =
        async |path: &str, body: &str| ask(&device.daemon, &format!("POST {path}"), body).await;
    let paired = post("/pair", r#"{"name":"door","scopes":["live"],"ch":[1]}"#).await;
    let uri = PairingUri::parse(&paired.json("uri")).expect("a URI");
    let mut viewer = RawViewer::open(device.address, &uri).await;
    let (code, _) = viewer.ask("GET", "/healthz", None).await.sealed();
    assert_eq!(code, 200, "it is good at once");
    let taken = post("/pair", r#"{"name":"door","scopes":["live"]}"#).await;
    assert_eq!(taken.status, 409, "{taken:?}");
    let revoked = post("/revoke", r#"{"all":true,"issuer":"local"}"#).await;
    let expected = json(r#"{"paired":1,"sessions":1,"after_loss":false}"#);
    assert_eq!(json(&revoked.body), expected);
    for (path, body, status) in [
        ("/revoke", r#"{"name":"door"}"#, 404),
        ("/revoke", "{}", 400),
        ("/pair", r#"{"name":"door"}"#, 400),
        ("/pair", &"x".repeat(17 << 10), 413),
    ] {
        let refused = post(path, body).await;
        assert_eq!(refused.status, status, "{refused:?}");
    }
    assert!(!device.daemon.log().contains(&uri.expose()));
}

#[tokio::test]
async fn the_log_says_more_or_less_while_it_is_written() {
    let daemon = Daemon::start(&sim_config(""));
    let config = daemon.directory().join("camera.toml");
    let config = config.to_str().expect("text");
    let log = |levels: &[&str]| {
        let done = run(&[&["log"], levels, &["--config", config]].concat());
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (done.status.success(), text(done.stdout), text(done.stderr))
    };
    let watch = async |name: &str| {
        let mut viewer = Viewer::open(daemon.address, &format!("_peername={name}")).await;
        viewer.picture().await.expect("a picture");
    };
    assert_eq!(log(&[]).1, "trace\n");
    assert_eq!(log(&["error"]).1, "error\n");
    watch("unheard").await;
    let (is_done, _, said) = log(&["loud"]);
    assert!(!is_done && said.contains("is no level"), "{said}");
    assert_eq!(
        log(&["off,peercam::http=info"]).1,
        "off,peercam::http=info\n"
    );
    watch("heard").await;
    daemon.logs("caller=heard");
    assert!(!daemon.log().contains("caller=unheard"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_in_another_program_has_the_socket_and_not_the_log() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("camera.toml");
    std::fs::write(&path, sim_config("")).expect("writes");
    let config = peercam::config::Config::load(&path).expect("in order");
    let daemon = peercam::daemon::Daemon::start(config)
        .await
        .expect("starts");
    let socket = directory.path().join("peercam-data/control.sock");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(daemon.run(async move {
        let _ = stopped.await;
    }));
    assert_eq!(ask_at(&socket, "GET /status", "").await.status, 200);
    let log = ask_at(&socket, "PUT /log-level", "debug").await;
    assert_eq!(log.status, 501, "{log:?}");
    stop.send(()).expect("it runs");
    running.await.expect("it ends");
    assert!(!socket.exists());
}

#[tokio::test]
async fn what_the_socket_does_not_have_is_refused_with_what_it_has() {
    let daemon = Daemon::start(&sim_config(""));
    let unknown = ask(&daemon, "GET /healthz", "").await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.json("reason").contains("/status"), "{unknown:?}");
    let method = ask(&daemon, "POST /status", "").await;
    assert_eq!(method.status, 405);
    assert!(method.head.contains("allow: get"), "{method:?}");
}

#[tokio::test]
async fn a_data_directory_may_lie_deep() {
    let directory = tempfile::tempdir().expect("a directory");
    let data_dir = directory.path().join("d".repeat(100)).join("e".repeat(100));
    let config = format!("data_dir = {:?}\n{}", data_dir, sim_config(""));
    let daemon = Daemon::start_in(directory, &config);
    let config = daemon.directory().join("camera.toml");
    let told = run(&["status", "--config", config.to_str().expect("text")]);
    assert!(told.status.success(), "{told:?}");
}
