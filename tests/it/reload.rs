//! The configuration, read again: who watches another channel misses nothing, what is broken changes
//! nothing, what needs a restart is named, and nothing is left of what goes.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use peercam::{
    config::Config,
    daemon::{Daemon, ReloadError, ReloadReport, Reloader},
    events::{Event, EventReceiver},
};
use rustix::process::Signal;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
};

use crate::support::{self, HANG, Viewer, raw, request};

/// Interval of the simulated camera's pictures, and what rounding adds to it.
const INTERVAL: u32 = 41;

const HEAD: &str = "[p2p]\nenabled = false\n[[listen]]\naddr = \"127.0.0.1:0\"\n";

/// A simulated camera.
fn channel(id: u16, name: &str, keys: &str) -> String {
    format!(
        "[[channel]]\nid = {id}\nname = \"{name}\"\nsource = {{ kind = \"sim\", every_picture = true{keys} }}\n"
    )
}

/// A daemon in this process, and the file that it reads.
struct Running {
    directory: tempfile::TempDir,
    address: SocketAddr,
    reloader: Reloader,
    events: EventReceiver,
    stop: Option<oneshot::Sender<()>>,
    daemon: JoinHandle<()>,
}

impl Running {
    async fn start(text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("camera.toml");
        std::fs::write(&path, text).unwrap();
        let daemon = Daemon::start(Config::load(&path).unwrap()).await.unwrap();
        let (address, reloader) = (daemon.addresses()[0], daemon.reloader());
        let events = daemon.events().subscribe();
        let (stop, stopped) = oneshot::channel::<()>();
        let daemon = tokio::spawn(daemon.run(async move {
            let _ = stopped.await;
        }));
        Self {
            directory,
            address,
            reloader,
            events,
            stop: Some(stop),
            daemon,
        }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("camera.toml")
    }

    async fn reload(&self, text: &str) -> Result<ReloadReport, ReloadError> {
        std::fs::write(self.file(), text).unwrap();
        self.reloader.reload().await
    }

    /// Reloads what can be applied as a whole; gives what was.
    async fn applied(&self, text: &str) -> Vec<String> {
        let report = self.reload(text).await.unwrap();
        assert_eq!(report.restart, Vec::<String>::new());
        report.applied
    }

    async fn get(&self, target: &str) -> support::Answer {
        request(self.address, "GET", target, "").await
    }

    /// Names of all channels, as three places tell them.
    async fn names(&self) -> Vec<String> {
        let list = "/command?action=inner_define&cmd=get_nvr_list";
        let list = request(self.address, "POST", list, "").await.body;
        let health = self.get("/healthz").await.body;
        let names = |text: &str, key: &str| {
            let text: serde_json::Value = serde_json::from_str(text).unwrap();
            let all = text.as_array().or_else(|| text["channels"].as_array());
            let names = all.unwrap().iter().map(|one| one[key].as_str());
            names
                .map(|name| name.unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        let listed = names(&list, "DeviceName");
        assert_eq!(listed, names(&health, "name"), "{list} {health}");
        listed
    }

    /// All that a viewer of a channel is sent, who has pictures already.
    async fn watch(&self, channel: u16) -> JoinHandle<Vec<u8>> {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let get = format!(
            "GET /ipc.flv?action=live&channel={channel}&quality=high HTTP/1.1\r\n\
             Host: 127.0.0.1\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(get.as_bytes()).await.unwrap();
        let mut sent = vec![0; 4 << 10];
        let first = tokio::time::timeout(HANG, stream.read_exact(&mut sent)).await;
        first.expect("it comes").unwrap();
        tokio::spawn(async move {
            stream.read_to_end(&mut sent).await.unwrap();
            sent
        })
    }

    async fn event(&mut self, is_it: impl Fn(&Event) -> bool) -> Event {
        let wanted = async {
            loop {
                let record = self.events.recv().await.expect("nothing is lost");
                if is_it(&record.event) {
                    return record.event.clone();
                }
            }
        };
        tokio::time::timeout(HANG, wanted).await.expect("it comes")
    }

    async fn end(mut self) {
        drop(self.stop.take());
        self.daemon.await.unwrap();
    }
}

fn says(answer: &[u8], words: &str) -> bool {
    answer.ends_with(b"0\r\n\r\n") && String::from_utf8_lossy(answer).contains(words)
}

/// Watches a channel until it is told to stop: gives the longest step between two pictures.
fn step_watched(address: SocketAddr) -> (oneshot::Sender<()>, JoinHandle<u32>) {
    let (stop, mut stopped) = oneshot::channel();
    let watching = tokio::spawn(async move {
        let mut viewer = Viewer::open(address, "channel=0&quality=standard").await;
        let (mut last, mut longest) = (None, 0);
        while stopped.try_recv().is_err() {
            let (time, _) = viewer.picture().await.expect("it goes on");
            longest = longest.max(last.map_or(0, |last| time - last));
            last = Some(time);
        }
        longest
    });
    (stop, watching)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_comes_changes_and_goes_and_nobody_else_misses_a_picture() {
    let front = format!("{HEAD}{}", channel(0, "front", ""));
    let mut running = Running::start(&front).await;
    let (stop, watching) = step_watched(running.address);

    let garden = format!("{front}{}", channel(1, "garden", ""));
    assert_eq!(
        running.applied(&garden).await,
        ["channel 1 (garden): added"]
    );
    assert_eq!(
        running.event(|event| *event == Event::Reloaded).await,
        Event::Reloaded
    );
    assert_eq!(running.names().await, ["front", "garden"]);
    let viewer = running.watch(1).await;

    let yard = format!("{front}{}", channel(1, "yard", ""));
    assert_eq!(running.applied(&yard).await, ["channel 1 (yard): name"]);
    assert_eq!(running.names().await, ["front", "yard"]);
    let other = format!("{front}{}", channel(1, "yard", ", gop = 10"));
    assert_eq!(running.applied(&other).await, ["channel 1 (yard): source"]);
    // It has survived its channel's other name, and not its other camera.
    let sent = viewer.await.unwrap();
    assert!(says(&sent, "the camera of this channel was replaced"));

    let viewer = running.watch(1).await;
    assert_eq!(running.applied(&front).await, ["channel 1 (yard): removed"]);
    let sent = viewer.await.unwrap();
    assert!(says(&sent, "taken out of the device's configuration"));
    assert_eq!(running.names().await, ["front"]);
    let gone = running.get("/ipc.flv?action=live&channel=1").await;
    assert_eq!(gone.status, 404, "{}", gone.body);
    assert!(!running.get("/metrics").await.body.contains("channel=\"1\""));
    assert!(running.applied(&front).await.is_empty(), "the same again");

    stop.send(()).unwrap();
    let longest = watching.await.unwrap();
    assert!((1..=INTERVAL).contains(&longest), "{longest} ms");
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_broken_changes_nothing_and_says_why() {
    let front = format!("{HEAD}{}", channel(0, "front", ""));
    let running = Running::start(&front).await;
    let viewer = running.watch(0).await;
    let in_place = running.directory.path().join("a file");
    std::fs::write(&in_place, "no socket").unwrap();
    let with = |source: &str| format!("{front}[[channel]]\nid = 1\nsource = {{ {source} }}\n");
    let socket = "kind = \"socket\", path = \"new.sock\"";
    let second = format!(
        "{}[[channel]]\nid = 2\nsource = {{ kind = \"file\", path = \"none.flv\" }}\n",
        with(socket)
    );
    for (text, words) in [
        ("[[channel]".to_owned(), "camera.toml:1"),
        (front.replace("sim", "tape"), "kind: unknown variant"),
        (HEAD.to_owned(), "there is no [[channel]]"),
        (with("kind = \"file\", path = \"none.flv\""), "none.flv"),
        (
            with("kind = \"socket\", path = \"a file\""),
            "no socket is in its place",
        ),
        (with("kind = \"own\""), "channel 1"),
        // What was made before it is undone.
        (second, "none.flv"),
        (
            (1..2000).fold(front.clone(), |text, id| text + &channel(id, "x", "")),
            "A restart gives memory out anew",
        ),
    ] {
        let error = running.reload(&text).await.expect_err(words).to_string();
        assert!(error.contains(words), "{words}: {error}");
        assert_eq!(running.names().await, ["front"]);
    }
    assert!(!running.directory.path().join("new.sock").exists());
    std::fs::remove_file(running.file()).unwrap();
    let error = running.reloader.reload().await.expect_err("no file");
    assert!(error.to_string().contains("cannot be read"), "{error}");
    assert!(!viewer.is_finished());
    let address = running.address;
    assert_eq!(request(address, "GET", "/healthz", "").await.status, 200);
    let reloader = running.reloader.clone();
    running.end().await;
    viewer.await.unwrap();
    let error = reloader.reload().await.expect_err("it has ended");
    assert!(matches!(error, ReloadError::ShuttingDown), "{error}");
}

#[tokio::test]
async fn a_reload_goes_to_its_end_when_nobody_waits_for_it() {
    let front = format!("{HEAD}{}", channel(0, "front", ""));
    let both = format!("{front}{}", channel(1, "garden", ""));
    let mut running = Running::start(&front).await;
    std::fs::write(running.file(), &both).unwrap();
    tokio::select! {
        biased;
        _ = running.reloader.reload() => panic!("it waits for a file"),
        () = std::future::ready(()) => {}
    }
    running.event(|event| *event == Event::Reloaded).await;
    assert_eq!(running.names().await, ["front", "garden"]);
    running.end().await;
}

#[tokio::test]
async fn without_a_file_there_is_nothing_to_read() {
    let directory = tempfile::tempdir().unwrap();
    let text = format!("{HEAD}{}", channel(0, "front", ""));
    let config = Config::parse(&text, &directory.path().join("camera.toml")).unwrap();
    let daemon = Daemon::start(config).await.unwrap();
    let error = daemon.reloader().reload().await.expect_err("no file");
    assert!(matches!(error, ReloadError::NoFile), "{error}");
}

#[tokio::test]
async fn origins_follow_and_what_would_let_others_in_waits_for_a_restart() {
    let front = channel(0, "front", "");
    let listen = |keys: &str| format!("{HEAD}{keys}{front}");
    let running = Running::start(&listen("")).await;
    let asked = async |origin: &str| {
        let get = format!(
            "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: {origin}\r\nConnection: close\r\n\r\n"
        );
        let answer = raw(running.address, get.as_bytes()).await;
        support::Answer::parse(&answer).unwrap().status
    };
    assert_eq!(asked("http://a.test").await, 403);
    let text = listen("allow_origins = [\"http://a.test\"]\nallow_placeholder_hosts = true\n")
        + "[access]\nmax_sessions = 9\n";
    let report = running.reload(&text).await.unwrap();
    assert_eq!(report.applied, ["listen 127.0.0.1:0: allow_origins"]);
    let restart = [
        "listen 127.0.0.1:0: allow_placeholder_hosts",
        "access.max_sessions",
    ];
    assert_eq!(report.restart, restart);
    assert_eq!(asked("http://a.test").await, 200);
    let hosted = b"GET /healthz HTTP/1.1\r\nHost: ipc.p2p.com\r\nConnection: close\r\n\r\n";
    let hosted = raw(running.address, hosted).await;
    assert_eq!(support::Answer::parse(&hosted).unwrap().status, 403);
    // It is named again for as long as it waits.
    let report = running.reloader.reload().await.unwrap();
    assert!(report.applied.is_empty());
    assert_eq!(report.restart, restart);
    assert_eq!(running.applied(&listen("")).await.len(), 1);
    assert_eq!(asked("http://a.test").await, 403, "no more");
    running.end().await;
}

#[tokio::test]
async fn a_channel_that_stands_by_does_so_when_it_comes_back() {
    let front = format!("{HEAD}{}", channel(0, "front", ""));
    let both = format!("{front}{}", channel(1, "garden", ""));
    let running = Running::start(&both).await;
    let body =
        r#"action=user_define&channel=1&cmd={"topic":"set_status","data":{"status":"standby"}}"#;
    let answer = request(running.address, "POST", "/command", body).await;
    assert!(answer.body.contains(r#""result":"0""#), "{answer:?}");
    let refused = async || {
        let answer = running.get("/ipc.flv?action=live&channel=1").await;
        assert!(answer.body.contains("on standby"), "{answer:?}");
    };
    refused().await;
    running.applied(&front).await;
    running.applied(&both).await;
    refused().await;
    let other = format!("{front}{}", channel(1, "garden", ", gop = 10"));
    running.applied(&other).await;
    refused().await;
    running.end().await;
}

#[cfg(feature = "record")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_recorded_changes_and_each_file_is_ended_in_order() {
    let text = |record: &str, channels: &str| {
        let keys = "segment = \"60s\"\nsnapshots = false\n";
        format!("{HEAD}[record]\n{keys}{record}{channels}")
    };
    let recorded = |mode: &str, id| channel(id, "x", "") + &format!("record = \"{mode}\"\n");
    let both = format!("{}{}", recorded("always", 0), recorded("always", 1));
    let mut running = Running::start(&text("", &both)).await;
    let files = async |channel: u16| {
        let index = format!("/command?action=inner_define&cmd=get_record_index&channel={channel}");
        let index = request(running.address, "POST", &index, "").await.body;
        index.matches("start_time").count()
    };
    let begun = async {
        while files(0).await == 0 || files(1).await == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(HANG, begun).await.expect("it records");
    let off = format!("{}{}", recorded("off", 0), recorded("always", 1));
    let applied = running
        .applied(&text("max_size = \"512MiB\"\n", &off))
        .await;
    assert_eq!(applied, ["record.max_size", "channel 0 (x): record"]);
    let closed = |id| move |event: &Event| matches!(event, Event::SegmentClosed { channel, .. } if channel.0 == id);
    running.event(closed(0)).await;
    let unrecorded = request(running.address, "POST", "/event?channel=0", "").await;
    assert_eq!(unrecorded.status, 404, "{unrecorded:?}");
    // The other one goes with its channel.
    running.applied(&text("", &recorded("off", 0))).await;
    running.event(closed(1)).await;
    running.applied(&text("", &both)).await;
    let event = request(running.address, "POST", "/event?channel=1", "").await;
    assert_eq!(event.status, 200, "{event:?}");
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_reloads_leave_nothing_behind() {
    let front = format!("{HEAD}{}", channel(0, "front", ""));
    let socket = "[[channel]]\nid = 2\nsource = { kind = \"socket\", path = \"run/c.sock\" }\n";
    let all = format!("{front}{}{socket}", channel(1, "garden", ""));
    let running = Running::start(&front).await;
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let socket = running.directory.path().join("run/c.sock");
    let mut before = None;
    for round in 0..50 {
        assert_eq!(running.applied(&all).await.len(), 2, "round {round}");
        assert!(socket.exists(), "round {round}");
        if round % 10 == 0 {
            let viewer = running.watch(1).await;
            running.applied(&front).await;
            viewer.await.unwrap();
        } else {
            running.applied(&front).await;
        }
        assert!(!socket.exists(), "round {round}");
        before = before.or_else(|| Some(tasks()));
    }
    let before = before.unwrap();
    let fallen = async {
        while tasks() > before {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let fallen = tokio::time::timeout(HANG, fallen).await;
    assert!(fallen.is_ok(), "{} tasks, not {before}", tasks());
    running.end().await;
}

#[tokio::test]
async fn signals_read_it_again_and_never_end_the_daemon() {
    let front = support::sim_config("");
    let mut daemon = support::Daemon::start(&front);
    let path = daemon.directory().join("camera.toml");
    for signal in [Signal::USR1, Signal::USR2, Signal::HUP] {
        daemon.signal(signal);
    }
    daemon.logs("the configuration was read again, and has not changed");
    let threads = |daemon: &support::Daemon| daemon.threads();
    let (descriptors, before) = (daemon.descriptors(), threads(&daemon));
    let garden = format!("{front}{}", channel(1, "garden", ""));
    let off = "[p2p]\nenabled = false\n";
    for round in 0..10 {
        std::fs::write(&path, &garden).unwrap();
        daemon.signal(Signal::HUP);
        daemon.logs_times("channel 1 (garden): added", round + 1);
        std::fs::write(&path, &front).unwrap();
        daemon.signal(Signal::HUP);
        daemon.logs_times("channel 1 (garden): removed", round + 1);
    }
    std::fs::write(&path, off).unwrap();
    daemon.signal(Signal::HUP);
    daemon.logs("there is no [[channel]]");
    std::fs::write(&path, front.replace("127.0.0.1:0", "127.0.0.1:1")).unwrap();
    daemon.signal(Signal::HUP);
    daemon.logs("needs a restart: listen 127.0.0.1:1: added");
    daemon.descriptors_fall_to(descriptors).await;
    assert!(daemon.is_alive());
    assert!(
        threads(&daemon) <= before + 1,
        "one reads files, for a second"
    );
    daemon.stop();
}

#[tokio::test]
async fn the_command_tells_what_came_of_it() {
    let front = support::sim_config("");
    let daemon = support::Daemon::start(&front);
    let path = daemon.directory().join("camera.toml");
    let reload = |text: &str, json: &[&str]| {
        std::fs::write(&path, text).unwrap();
        let arguments = [&["reload", "--config", path.to_str().unwrap()], json].concat();
        let output = support::run(&arguments);
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    };
    let talkback = || {
        let output = support::run(&["status", "--json", "--config", path.to_str().unwrap()]);
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let shares = status["memory"]["shares"].as_array().unwrap();
        let share = shares.iter().find(|share| share["part"] == "talkback");
        share.unwrap()["bytes"].as_u64().unwrap()
    };
    let before = talkback();
    let both = format!(
        "{front}{}[access]\nmax_sessions = 9\n",
        channel(1, "garden", "")
    );
    let (done, said) = reload(&both, &[]);
    assert!(done, "{said}");
    assert!(
        said.contains("applied: channel 1 (garden): added\n"),
        "{said}"
    );
    assert_eq!(talkback(), before + (192 << 10), "two channels have it");
    assert!(
        said.contains("needs a restart: access.max_sessions\n"),
        "{said}"
    );
    let (_, said) = reload(&both, &["--json"]);
    let told: serde_json::Value = serde_json::from_str(&said).unwrap();
    let restart = serde_json::json!({ "applied": [], "restart": ["access.max_sessions"] });
    assert_eq!(told, restart);
    let (done, said) = reload(&format!("{both}[lisen]\n"), &[]);
    assert!(!done && said.contains("lisen"), "{said}");
    let (done, said) = reload(&front, &[]);
    assert!(
        done && said.contains("channel 1 (garden): removed"),
        "{said}"
    );
    let (done, said) = reload(&front, &[]);
    assert!(
        done && said.contains("the configuration has not changed"),
        "{said}"
    );
}
