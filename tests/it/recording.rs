//! Recording, listing, playing and fetching, with the built daemon.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    process::Stdio,
    time::Duration,
};

use bytes::Bytes;
use peercam_proto::flv::{Reader, TagBody, VideoPacket};
use rustix::process::{Pid, Signal};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    card::Random,
    hostile::scaled,
    support::{Answer, Daemon, HANG, program, request, run, sim_config},
};

fn config(record: &str, extra: &str) -> String {
    format!(
        "{}[record]\nsegment = \"5s\"\n{record}\n",
        sim_config(&format!(", gop = 25{extra}"))
    )
}

async fn command(daemon: &Daemon, text: &str) -> Value {
    let target = format!("/command?action=inner_define&cmd={text}");
    let answer = request(daemon.address, "POST", &target, "").await;
    serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{text}: {answer:?}"))
}

fn number(value: &Value) -> i64 {
    value.as_str().expect("a string").parse().expect("a number")
}

/// Waits until so many seconds were recorded; gives the first and the last second.
async fn recorded(daemon: &Daemon, seconds: i64) -> (i64, i64) {
    let wait = async {
        loop {
            let list = command(daemon, "get_record_index").await;
            let spans = list["video_list"].as_array().expect("a list");
            if let (Some(first), Some(last)) = (spans.first(), spans.last()) {
                let (start, end) = (number(&first["start_time"]), number(&last["end_time"]));
                if end - start >= seconds {
                    return (start, end);
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(HANG, wait).await.expect("it records")
}

/// The bytes of an answer.
async fn fetch(daemon: &Daemon, target: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(daemon.address).await.unwrap();
    let text = format!("GET {target} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.0 200"), "{target}");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    answer.split_off(end.expect("a head") + 4)
}

/// A player: what it is sent, and its commands.
struct Playing {
    stream: TcpStream,
    reader: Reader,
    buffer: Vec<u8>,
    head: String,
    chunked: bool,
}

impl Playing {
    async fn start(daemon: &Daemon, query: &str) -> Self {
        let mut stream = TcpStream::connect(daemon.address).await.unwrap();
        let text =
            format!("GET /ipc.flv?action=playback&{query} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n");
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        Self {
            stream,
            reader: Reader::new(),
            buffer: vec![0; 64 << 10],
            chunked: head.contains("chunked"),
            head,
        }
    }

    /// Time stamp, whether it is a key frame, and the words of a notice, of the next tag that is a
    /// picture or a notice; `None` at the end.
    async fn next(&mut self) -> Option<(u32, bool)> {
        assert!(!self.chunked, "HTTP/1.0 has no chunks");
        loop {
            while let Some(tag) = self.reader.next_tag().expect("whole tags") {
                if let TagBody::Video(_, VideoPacket::Frame { key, .. }) = tag.body {
                    return Some((tag.timestamp, key));
                }
            }
            let read = tokio::time::timeout(HANG, self.stream.read(&mut self.buffer)).await;
            match read.expect("it does not hang").unwrap() {
                0 => return None,
                count => self.reader.feed(&self.buffer[..count]),
            }
        }
    }

    /// The first picture, and how long the stream says that it will be, in seconds.
    async fn first(mut self) -> (Bytes, f64) {
        let mut came = Vec::new();
        loop {
            while let Some(tag) = self.reader.next_tag().expect("whole tags") {
                let TagBody::Video(_, VideoPacket::Frame { data, .. }) = tag.body else {
                    continue;
                };
                let key = b"duration\0";
                let at = came.windows(key.len()).position(|part| part == key);
                let at = at.expect("a duration") + key.len();
                let length = came[at..at + 8].try_into().expect("a number");
                return (data, f64::from_be_bytes(length));
            }
            let read = tokio::time::timeout(HANG, self.stream.read(&mut self.buffer)).await;
            let count = read.expect("it does not hang").unwrap();
            assert_ne!(count, 0, "it has no picture");
            came.extend_from_slice(&self.buffer[..count]);
            self.reader.feed(&self.buffer[..count]);
        }
    }

    async fn rest(&mut self) -> Vec<(u32, bool)> {
        let mut all = Vec::new();
        while let Some(picture) = self.next().await {
            all.push(picture);
        }
        all
    }
}

#[tokio::test]
async fn what_was_recorded_is_listed_played_and_fetched() {
    let daemon = Daemon::start(&config("", ""));
    let (start, end) = recorded(&daemon, 8).await;
    // Played over the border of two segments, as fast as it was recorded.
    let query = format!("start_time={start}&end_time={}", end - 1);
    let mut playing = Playing::start(&daemon, &query).await;
    assert!(playing.head.starts_with("HTTP/1.0 200"), "{}", playing.head);
    let pictures = playing.rest().await;
    assert!(pictures[0].1, "it begins with a key frame");
    // A camera that is late for want of a processor leaves pictures out.
    assert!(pictures.len() > 100, "{}", pictures.len());
    let steps: Vec<_> = pictures
        .windows(2)
        .map(|pair| pair[1].0 - pair[0].0)
        .collect();
    assert!(
        steps.iter().all(|step| (20..=60).contains(step)),
        "{steps:?}"
    );

    let list = command(&daemon, "get_file_list&file_type=0").await;
    let file = list["file_list"][0].clone();
    let name = file["file_name"].as_str().unwrap();
    let target = format!("/ipc.flv?action=download&file_name={name}&offset=0");
    let whole = fetch(&daemon, &target).await;
    assert_eq!(whole.len() as i64, number(&file["file_size"]));
    let rest = fetch(&daemon, &target.replace("offset=0", "offset=1000")).await;
    assert!(rest == whole[1000..]);
    let still = command(&daemon, "get_file_list&file_type=1").await;
    let name = still["file_list"][0]["file_name"].as_str().unwrap();
    let still = fetch(
        &daemon,
        &format!("/ipc.flv?action=download&file_name={name}"),
    )
    .await;
    assert!(still.starts_with(b"\xff\xd8\xff"), "a JPEG");

    let now = jiff::Zoned::now().strftime("%Y%m").to_string();
    let month = command(&daemon, &format!("get_month_record&time={now}")).await;
    assert_ne!(number(&month["video_list"]), 0);
    let health = request(daemon.address, "GET", "/healthz", "").await;
    let health: Value = serde_json::from_str(&health.body).unwrap();
    assert_eq!(health["recording"]["problem"], Value::Null);
}

#[tokio::test]
async fn a_player_follows_its_remote_control() {
    let daemon = Daemon::start(&config("", ""));
    let (start, end) = recorded(&daemon, 6).await;
    let query = format!("start_time={start}&end_time={end}");
    let mut playing = Playing::start(&daemon, &query).await;
    playing.next().await.expect("a picture");
    let ok = serde_json::json!({"status": "0"});
    let progress = async || number(&command(&daemon, "playback_progress").await["progress"]);
    // It stands still: what was on its way comes, and then nothing.
    assert_eq!(command(&daemon, "playback_pause").await, ok);
    let before = progress().await;
    assert_eq!(progress().await, before);
    assert_eq!(command(&daemon, "playback_seek&progress=4000").await, ok);
    assert_eq!(progress().await, 4000, "a seek does not end the pause");
    assert_eq!(command(&daemon, "playback_resume").await, ok);
    // Key frames only, backwards.
    assert_eq!(
        command(&daemon, "playback_rewind&start_time=0&end_time=4000").await,
        ok
    );
    let mut keys = 0;
    while keys < 3 {
        let (_, key) = playing.next().await.expect("a picture");
        keys = if key { keys + 1 } else { 0 };
    }
    assert!(progress().await <= 3000, "from key to key");
    assert_eq!(command(&daemon, "playback_ff&value=1").await, ok);
    assert_eq!(command(&daemon, "playback_speed&speed=10").await, ok);
    let far = command(&daemon, "playback_seek&progress=99999999").await;
    assert_eq!(far["status"], "404", "{far}");
    // The end comes in order.
    let rest = playing.rest().await;
    assert!(rest.is_sorted(), "{rest:?}");
    let gone = command(&daemon, "playback_pause").await;
    assert_eq!(gone["status"], "404", "{gone}");
}

/// Apps open their player anew to seek, and send both at once.
#[tokio::test]
async fn a_seek_that_is_there_before_its_playback_decides_where_it_begins() {
    let daemon = Daemon::start(&config("", ""));
    let (start, end) = recorded(&daemon, 6).await;
    let query = format!("start_time={start}&end_time={}", end - 1);
    let ok = serde_json::json!({"status": "0"});
    let whole = Playing::start(&daemon, &query).await.first().await;
    // As one app writes it.
    assert_eq!(command(&daemon, "playback_seek&time=4}").await, ok);
    let others = format!("{query}&_peername=other");
    let other = Playing::start(&daemon, &others).await.first().await;
    assert_eq!(other, whole, "it is somebody else's");
    let later = Playing::start(&daemon, &query).await.first().await;
    assert_ne!(later.0, whole.0);
    let skipped = whole.1 - later.1;
    assert!((0.5..=5.0).contains(&skipped), "{skipped} s");
    // It counts once.
    let again = Playing::start(&daemon, &query).await.first().await;
    assert_eq!(again, whole);
    let asks = command(&daemon, "playback_progress").await;
    assert_eq!(asks["status"], "404", "nothing is being played: {asks}");
    let nowhere = command(&daemon, "playback_seek&channel=7&time=4").await;
    assert_eq!(nowhere["status"], "404", "{nowhere}");
}

#[tokio::test]
async fn a_second_playback_takes_the_place_of_the_first() {
    let daemon = Daemon::start(&config("", ""));
    let (start, end) = recorded(&daemon, 3).await;
    let query = format!("start_time={start}&end_time={}", end + 60);
    let mut first = Playing::start(&daemon, &query).await;
    first.next().await.expect("a picture");
    let mut other = Playing::start(&daemon, &format!("{query}&_peername=other")).await;
    let mut second = Playing::start(&daemon, &query).await;
    second.next().await.expect("a picture");
    first.rest().await;
    daemon.logs("asked for another playback");
    other.next().await.expect("another viewer's goes on");
}

#[tokio::test]
async fn nothing_is_played_or_fetched_that_is_not_there() {
    let daemon = Daemon::start(&config("", ""));
    let (start, end) = recorded(&daemon, 2).await;
    let get =
        async |target: String| -> Answer { request(daemon.address, "GET", &target, "").await };
    for (target, status) in [
        (
            format!(
                "/ipc.flv?action=playback&start_time={}&end_time={}",
                start - 100,
                start - 50
            ),
            404,
        ),
        ("/ipc.flv?action=playback".to_owned(), 400),
        (
            format!("/ipc.flv?action=playback&start_time={end}&end_time={start}"),
            400,
        ),
        (
            format!("/ipc.flv?action=playback&channel=7&start_time={start}&end_time={end}"),
            404,
        ),
        ("/ipc.flv?action=download".to_owned(), 400),
        (
            "/ipc.flv?action=download&file_name=0-1.mp4&offset=x".to_owned(),
            400,
        ),
        ("/ipc.flv?action=download&file_name=0-1.mp4".to_owned(), 404),
        (
            "/ipc.flv?action=download&file_name=../../secrets".to_owned(),
            404,
        ),
        (
            "/ipc.flv?action=download&file_name=/etc/passwd".to_owned(),
            404,
        ),
        (
            "/ipc.flv?action=download&file_name=%2e%2e%2fcamera.toml".to_owned(),
            404,
        ),
        (
            "/ipc.flv?action=download&file_name=%252e%252e%252fcamera.toml".to_owned(),
            404,
        ),
        (
            "/ipc.flv?action=download&file_name=camera.toml%00.mp4".to_owned(),
            400,
        ),
    ] {
        let answer = get(target.clone()).await;
        assert_eq!(answer.status, status, "{target}");
    }
    let list = command(&daemon, "get_file_list").await;
    let name = list["file_list"][0]["file_name"].as_str().unwrap();
    let behind = get(format!(
        "/ipc.flv?action=download&file_name={name}&offset=99999999999"
    ))
    .await;
    assert_eq!(behind.status, 416);
    for text in [
        "get_month_record&time=1",
        "get_record_index&start_time=1",
        "playback_seek",
        "playback_dance",
    ] {
        let answer = command(&daemon, text).await;
        assert!(
            ["404", "406"].contains(&answer["status"].as_str().unwrap()),
            "{text}: {answer}"
        );
    }
}

#[tokio::test]
async fn a_daemon_that_was_killed_has_lost_a_fragment_at_most() {
    let mut daemon = Daemon::start(&config("", ""));
    let (start, end) = recorded(&daemon, 5).await;
    daemon.signal(Signal::KILL);
    daemon.wait();
    let daemon = Daemon::start_in(daemon.take_directory(), &config("mode = \"off\"", ""));
    let list = command(&daemon, "get_record_index").await;
    let spans = list["video_list"].as_array().unwrap();
    assert_eq!(number(&spans[0]["start_time"]), start, "{list}");
    assert!(number(&spans[spans.len() - 1]["end_time"]) >= end, "{list}");
    let query = format!("start_time={start}&end_time={end}");
    assert!(Playing::start(&daemon, &query).await.rest().await.len() >= 60);

    let card = daemon.directory().join("peercam-data/recordings");
    let record = |what: &str| {
        let output = run(&["record", what, card.to_str().unwrap()]);
        (
            output.status.success(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    let (is_fine, text) = record("check");
    assert!(
        is_fine && text.contains("0 unfinished, 0 damaged"),
        "{text}"
    );
    let (_, listed) = record("ls");
    let path = listed.lines().find(|line| line.ends_with(".mp4")).unwrap();
    let path = path.split_whitespace().last().unwrap();
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
    let (is_fine, text) = record("check");
    assert!(
        !is_fine && text.contains("1 damaged") && text.contains(path),
        "{text}"
    );
}

/// Name and size of the newest files, by name: times stand in names.
async fn newest_files(daemon: &Daemon) -> BTreeMap<String, i64> {
    let list = command(daemon, "get_file_list&file_type=0").await;
    let files = list["file_list"].as_array().expect("a list").iter();
    let file = |file: &Value| {
        (
            file["file_name"].as_str().unwrap().to_owned(),
            number(&file["file_size"]),
        )
    };
    files.map(file).collect()
}

#[tokio::test]
async fn a_daemon_that_is_killed_again_and_again_loses_nothing_that_it_told_of() {
    let mut random = Random(3);
    let text = sim_config(", gop = 5") + "[record]\nsegment = \"5s\"\nmax_size = \"64GiB\"\n";
    let mut directory = tempfile::tempdir().unwrap();
    let mut told = BTreeMap::new();
    let mut kept = 0;
    for round in 0..scaled(2000) {
        let mut daemon = Daemon::start_in(directory, &text);
        for (name, size) in newest_files(&daemon).await {
            let before = told.remove(&name).unwrap_or(0);
            assert!(
                size >= before,
                "round {round}: {name} has {size} of {before} bytes"
            );
            kept += usize::from(before > 0);
        }
        assert!(told.is_empty(), "round {round}: {told:?} are gone");
        tokio::time::sleep(Duration::from_millis(random.below(500))).await;
        // An answer holds the newest hundred or so.
        told = newest_files(&daemon)
            .await
            .into_iter()
            .rev()
            .take(20)
            .collect();
        tokio::time::sleep(Duration::from_millis(random.below(200))).await;
        daemon.signal(Signal::KILL);
        daemon.wait();
        directory = daemon.take_directory();
    }
    let off = sim_config("") + "[record]\nmode = \"off\"\n";
    let daemon = Daemon::start_in(directory, &off);
    assert!(kept > scaled(2000), "{kept}");
    let card = daemon.directory().join("peercam-data/recordings");
    let check = run(&["record", "check", card.to_str().unwrap()]);
    let text = String::from_utf8(check.stdout).unwrap();
    assert!(text.contains("0 unfinished, 0 damaged"), "{text}");
}

#[tokio::test]
async fn an_event_is_recorded_with_what_was_before_it() {
    let daemon = Daemon::start(&config("mode = \"event\"\npre_roll = \"2s\"", ""));
    let nothing = command(&daemon, "get_record_index").await;
    assert_eq!(nothing["video_list"], serde_json::json!([]));
    tokio::time::sleep(Duration::from_secs(3)).await;
    let happened = jiff::Timestamp::now().as_second();
    let event = request(daemon.address, "POST", "/event?type=7&seconds=3", "").await;
    assert_eq!(event.status, 200, "{event:?}");
    let (start, _) = recorded(&daemon, 3).await;
    assert!(start < happened, "{start} {happened}");
    let list = command(&daemon, "get_record_index").await;
    assert_eq!(list["video_list"][0]["type"], 7);
    let none = command(&daemon, "get_record_index&type=0").await;
    assert_eq!(none["video_list"], serde_json::json!([]));
    let unknown = request(daemon.address, "POST", "/event?channel=5", "").await;
    assert_eq!(unknown.status, 404);
}

#[tokio::test]
async fn a_second_daemon_keeps_off_the_same_directory() {
    let shared = tempfile::tempdir().unwrap();
    let record = format!("path = {:?}", shared.path().join("card"));
    let first = Daemon::start(&config(&record, ""));
    recorded(&first, 2).await;
    let second = Daemon::start(&config(&record, ""));
    let told = async {
        loop {
            let health = request(second.address, "GET", "/healthz", "").await;
            let health: Value = serde_json::from_str(&health.body).unwrap();
            let problem = health["recording"]["problem"].as_str().map(str::to_owned);
            if let Some(problem) = problem.filter(|problem| problem.contains("another process")) {
                return (problem, health["status"].clone());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let (_, status) = tokio::time::timeout(HANG, told).await.expect("it is told");
    assert_eq!(status, "degraded");
    recorded(&first, 4).await;
}

#[cfg(all(feature = "client", feature = "p2p"))]
#[tokio::test]
async fn recordings_come_over_p2p_too_for_those_who_may_have_them() {
    use peercam_client::{
        Answer,
        p2p::{ClientRequest, Session},
    };

    use crate::dialled;

    async fn all(mut answer: Answer) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some(piece) = answer.piece().await.expect("it does not break off") {
            bytes.extend_from_slice(&piece);
        }
        bytes
    }
    async fn command(session: &Session, cmd: &str) -> Value {
        let text = format!("action=inner_define&cmd={cmd}");
        let ask = ClientRequest::post("/command", text.into());
        let answer = session.send(ask).await.expect("an answer");
        serde_json::from_slice(&all(answer).await).expect("JSON")
    }

    let device = dialled::device("[record]\nsegment = \"5s\"\nquality = \"standard\"\n");
    let session = dialled::session(&device.pair(&["owner"])).await;
    let files = async {
        loop {
            let list = command(&session, "get_file_list&file_type=0").await;
            let files = list["file_list"].as_array().expect("a list").clone();
            if files.len() >= 2 {
                return files;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let files = tokio::time::timeout(HANG, files).await.expect("it records");
    let name = files[0]["file_name"].as_str().expect("a name");
    let target = format!("/ipc.flv?action=download&file_name={name}&offset=0");
    let fetched = session.media(&target, None).await.expect("an answer");
    assert_eq!(fetched.status(), 200);
    assert_eq!(
        all(fetched).await.len() as i64,
        number(&files[0]["file_size"])
    );
    let (start, end) = (
        number(&files[0]["start_time"]),
        number(&files[0]["end_time"]),
    );
    let target = format!("/ipc.flv?action=playback&start_time={start}&end_time={end}");
    let mut played = session.media(&target, None).await.expect("an answer");
    assert!(
        played
            .piece()
            .await
            .expect("FLV")
            .expect("FLV")
            .starts_with(b"FLV")
    );
    assert_eq!(command(&session, "playback_pause").await["status"], "0");
    // Another viewer has a player of its own, or none.
    let guest = dialled::session(&device.pair(&["guest", "--scope", "playback"])).await;
    assert_eq!(command(&guest, "playback_resume").await["status"], "404");
    assert_eq!(command(&guest, "get_file_list").await["status"], "1");
    let target = format!("/ipc.flv?action=download&file_name={name}");
    assert_eq!(
        guest
            .media(&target, None)
            .await
            .expect("an answer")
            .status(),
        403
    );
    assert_eq!(command(&session, "playback_resume").await["status"], "0");
    let rest = all(played).await;
    assert!(rest.len() > 100_000);
}

#[test]
fn a_start_says_what_it_records_and_how_not_to() {
    for (arguments, expected) in [
        (&["run"][..], true),
        (&["run", "--no-record"], false),
        (&["--no-record"], false),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("camera.toml");
        let text = sim_config("") + "[record]\nmax_size = \"64MiB\"\n";
        std::fs::write(&path, text).unwrap();
        let mut child = program()
            .args(arguments)
            .arg("--config")
            .arg(&path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        while !said.contains("Ctrl-C stops it") {
            assert!(stdout.read_line(&mut said).unwrap() > 0, "{said}");
        }
        rustix::process::kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        assert!(child.wait().unwrap().success());
        let recordings = directory.path().join("peercam-data/recordings");
        let line = format!("It records to {}, at most 64 MiB", recordings.display());
        assert_eq!(said.contains(&line), expected, "{arguments:?}: {said}");
        assert_eq!(recordings.exists(), expected, "{arguments:?}");
    }
}
