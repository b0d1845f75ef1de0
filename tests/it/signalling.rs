//! Talkback, calls, PTZ and commands of makers, with the built daemon.

use std::{io::Write, net::SocketAddr, time::Duration};

use peercam_proto::flv::TagBody;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixListener},
};

use crate::support::{Answer, Daemon, HANG, Viewer, request, sim_config};

async fn json_of(address: SocketAddr, method: &str, target: &str, body: &str) -> Value {
    let answer = request(address, method, target, body).await;
    serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{target}: {answer:?}"))
}

async fn command(address: SocketAddr, text: &str) -> Value {
    json_of(address, "POST", "/command", text).await
}

async fn topic(address: SocketAddr, text: &str) -> Value {
    command(address, &format!("action=user_define&cmd={text}")).await
}

/// Milliseconds of sound, as bare PCM of 8 kHz.
pub(crate) fn pcm(millis: usize) -> Vec<u8> {
    vec![0x11; 16 * millis]
}

/// A talker whose body goes on as long as it is not finished.
pub(crate) struct Talker(TcpStream);

impl Talker {
    pub(crate) async fn start(address: SocketAddr, query: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST /voice?{query} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        Self(stream)
    }

    pub(crate) async fn say(&mut self, sound: &[u8]) {
        let head = format!("{:x}\r\n", sound.len());
        let chunk = [head.as_bytes(), sound, b"\r\n"].concat();
        // It may have been answered and closed by now.
        let _ = self.0.write_all(&chunk).await;
    }

    /// Has the connection reset when it is dropped.
    pub(crate) fn reset(&self) {
        self.0.set_zero_linger().unwrap();
    }

    async fn finish(mut self) -> Answer {
        let _ = self.0.write_all(b"0\r\n\r\n").await;
        self.answer().await
    }

    pub(crate) async fn answer(&mut self) -> Answer {
        let mut answer = Vec::new();
        let read = tokio::time::timeout(HANG, self.0.read_to_end(&mut answer)).await;
        read.expect("it is answered").unwrap();
        Answer::parse(&answer).expect("an answer")
    }
}

/// What the speaker has played, without the head.
async fn heard(daemon: &Daemon) -> Vec<i16> {
    let mut stream = TcpStream::connect(daemon.address).await.unwrap();
    let text = "GET /speaker.wav HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let start = answer.windows(4).position(|four| four == b"data");
    let samples = answer[start.expect("a WAV") + 8..].chunks_exact(2);
    samples
        .map(|two| i16::from_le_bytes([two[0], two[1]]))
        .collect()
}

#[tokio::test]
async fn what_is_talked_is_heard() {
    let daemon = Daemon::start(&sim_config(""));
    let mut talker = Talker::start(daemon.address, "channel=0&recorded=1").await;
    talker.say(&pcm(300)).await;
    let answer = talker.finish().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        (answer.json("played"), answer.json("lost")),
        ("300".into(), "0".into())
    );
    sounded(&daemon, 300).await;
    daemon.metric_becomes("peercam_talkers", 0.0).await;
    assert_eq!(daemon.metric("peercam_talk_blocks_total").await, 15.0);
}

/// Waits until the speaker has played so many milliseconds of what [`pcm`] gives.
async fn sounded(daemon: &Daemon, millis: usize) {
    let sounds = async {
        loop {
            let samples = heard(daemon).await;
            let loud = samples.iter().filter(|sample| **sample == 0x1111).count();
            assert!(loud <= millis * 16, "{loud} samples");
            if loud == millis * 16 {
                return;
            }
        }
    };
    tokio::time::timeout(HANG, sounds)
        .await
        .expect("all of it sounds");
}

#[tokio::test]
async fn what_came_is_heard_though_its_talker_has_left() {
    // Some close their side only, and would read the answer.
    for (end, closes) in [("0\r\n\r\n", true), ("", true), ("0\r\n\r\n", false)] {
        let daemon = Daemon::start(&sim_config(""));
        let mut talker = Talker::start(daemon.address, "recorded=1").await;
        talker.say(&pcm(400)).await;
        talker.say(&pcm(300)).await;
        talker.0.write_all(end.as_bytes()).await.unwrap();
        talker.0.shutdown().await.unwrap();
        let talker = (!closes).then_some(talker);
        sounded(&daemon, 700).await;
        daemon.metric_becomes("peercam_talkers", 0.0).await;
        let next = request(daemon.address, "POST", "/voice", "").await;
        assert_eq!(next.status, 200, "{next:?}");
        drop(talker);
    }
}

#[tokio::test]
async fn who_talks_too_fast_is_told_what_was_lost_and_how_to_send_it() {
    let daemon = Daemon::start(&sim_config(""));
    let mut talker = Talker::start(daemon.address, "").await;
    talker.say(&pcm(2_000)).await;
    let answer = talker.finish().await;
    let millis = |key| answer.json(key).parse::<u64>().expect("a number");
    assert_eq!(millis("played") + millis("lost_ms"), 2_000, "{answer:?}");
    assert!(millis("lost_ms") > 1_000, "{answer:?}");
    assert!(answer.json("advice").contains("recorded=1"), "{answer:?}");
    let wrong = request(daemon.address, "POST", "/voice?sample_rate=8001", "x").await;
    assert_eq!(wrong.status, 400);
    assert!(wrong.json("reason").contains("22050"), "{wrong:?}");
}

#[tokio::test]
async fn one_talks_at_a_time_and_others_are_told() {
    let daemon = Daemon::start(&sim_config(""));
    let mut first = Talker::start(daemon.address, "_peername=first").await;
    first.say(&pcm(100)).await;
    daemon.metric_becomes("peercam_talkers", 1.0).await;
    let intercom = topic(daemon.address, r#"{"topic":"intercom"}"#).await;
    assert_eq!(intercom["status"], "using");
    // The second one sees the reason though it has sent a lot.
    let second = request(daemon.address, "POST", "/voice", &"x".repeat(200_000)).await;
    assert_eq!(second.status, 409, "{second:?}");
    assert!(
        second.json("reason").contains("somebody else"),
        "{second:?}"
    );
    let status = command(
        daemon.address,
        "action=inner_define&cmd=get_device_st&type=voice",
    )
    .await;
    assert_eq!(status[0]["status"], "1", "{status}");
    // Whoever leaves in the middle of a word frees the speaker.
    drop(first);
    daemon.metric_becomes("peercam_talkers", 0.0).await;
    let third = request(daemon.address, "POST", "/voice", "").await;
    assert_eq!(third.status, 200);
}

#[tokio::test]
async fn watching_never_opens_the_speaker() {
    let daemon = Daemon::start(&sim_config(""));
    let mut viewer = Viewer::open(daemon.address, "quality=standard").await;
    let tag = viewer.tag().await.expect("a tag");
    assert_eq!(tag.body, TagBody::Script);
    let intercom = topic(daemon.address, r#"{"topic":"intercom"}"#).await;
    assert_eq!(intercom["status"], "unused");
}

#[tokio::test]
async fn what_cannot_be_played_is_refused_with_the_reason() {
    let daemon = Daemon::start(&sim_config(""));
    for (body, status, word) in [
        (
            "FLV\x01\x04\0\0\0\x09\0\0\0\0xxxxxxxxxxxxxxx",
            400,
            "FLV is damaged",
        ),
        (
            "RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x03\0\x01\0\0\0\0\0\0\0\0\0\0\0\x20\0data\0\0\0\0",
            400,
            "WAV",
        ),
        ("OggS\0\x02\0\0\0\0\0\0\0\0", 415, "bare PCM"),
        ("{\"audio\":\"UklGRiQAAABXQVZF\"}", 415, "WAV"),
    ] {
        let answer = request(daemon.address, "POST", "/voice", body).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.json("reason").contains(word), "{answer:?}");
    }
    let answer = request(daemon.address, "POST", "/voice?channel=9", "x").await;
    assert_eq!(answer.status, 404, "{answer:?}");
    let busy = Daemon::start(&sim_config(r#", faults = ["speaker-busy"], seed = 11"#));
    let mut statuses = Vec::new();
    // The fault strikes now and then.
    for _ in 0..200 {
        let answer = request(busy.address, "POST", "/voice", "1234567890123456").await;
        statuses.push(answer.status);
        if statuses.contains(&200) && statuses.contains(&409) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{statuses:?}");
}

#[tokio::test]
async fn who_is_silent_for_long_has_finished() {
    let config = sim_config("") + "[talkback]\nidle = \"1s\"\n";
    let daemon = Daemon::start(&config);
    let mut talker = Talker::start(daemon.address, "").await;
    talker.say(&pcm(50)).await;
    let answer = talker.answer().await;
    assert_eq!(answer.status, 408, "{answer:?}");
    daemon.metric_becomes("peercam_talkers", 0.0).await;
}

/// What a speaker's program is told of two tenths of a second of bare PCM, and what it is given.
async fn played_by_program(options: &str) -> (String, Vec<u8>) {
    let directory = tempfile::tempdir().unwrap();
    let played = directory.path().join("played");
    let script = directory.path().join("play");
    let mut file = std::fs::File::create(&script).unwrap();
    writeln!(
        file,
        "echo \"$1 $2\" > {0}.part; cat >> {0}.part; mv {0}.part {0}",
        played.display()
    )
    .unwrap();
    let config = sim_config("").trim_end().to_owned();
    let config = format!(
        "{config}\nspeaker = {{ command = [\"sh\", {script:?}, \"{{rate}}\", \"{{channels}}\"]{options} }}\n"
    );
    let daemon = Daemon::start(&config);
    let answer = request(daemon.address, "POST", "/voice", &"ab".repeat(1600)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let wait = async {
        while !played.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(HANG, wait)
        .await
        .expect("the program ends");
    let all = std::fs::read(played).unwrap();
    let line = all.iter().position(|byte| *byte == b'\n').expect("a line");
    let told = String::from_utf8(all[..line].to_vec()).unwrap();
    (told, all[line + 1..].to_vec())
}

#[tokio::test]
async fn a_speaker_may_be_a_program() {
    let (told, given) = played_by_program("").await;
    assert_eq!(told, "8000 1");
    assert_eq!(given, "ab".repeat(1600).as_bytes());
    // One that plays one rate gets that.
    let (told, given) = played_by_program(", sample_rate = 16000").await;
    assert_eq!(told, "16000 1");
    assert!((6_300..=6_400).contains(&given.len()), "{}", given.len());
}

async fn call(daemon: &Daemon) -> Value {
    json_of(daemon.address, "GET", "/call", "").await
}

async fn on_device(daemon: &Daemon, what: &str) -> Answer {
    request(daemon.address, "POST", &format!("/call?do={what}"), "").await
}

#[tokio::test]
async fn a_viewer_that_calls_is_answered_talks_and_is_hung_up_on() {
    let daemon = Daemon::start(&sim_config(""));
    let who = "&_peername=caller";
    assert_eq!(call(&daemon).await["state"], "idle");
    let waiting = json_of(daemon.address, "GET", "/call?after=0&wait=60", "");
    let start = format!("action=user_define&cmd=wx_call_start{who}");
    let ring = command(daemon.address, &start);
    let (told, rung) = tokio::join!(waiting, ring);
    assert_eq!(rung["status"], "0");
    assert_eq!(
        (&told["state"], &told["viewers"]),
        (&json!("called"), &json!(["caller"]))
    );
    assert_eq!(on_device(&daemon, "answer").await.status, 200);
    let mut talker = Talker::start(daemon.address, "_peername=caller").await;
    talker.say(&pcm(100)).await;
    daemon.metric_becomes("peercam_talkers", 1.0).await;
    assert_eq!(on_device(&daemon, "hang_up").await.status, 200);
    let answer = talker.answer().await;
    assert_eq!(
        (answer.status, answer.json("reason")),
        (200, "the device has hung up".into())
    );
    assert_eq!(call(&daemon).await["state"], "idle");
    let again = on_device(&daemon, "hang_up").await;
    assert_eq!(
        (again.status, again.json("reason")),
        (404, "there is no call".into())
    );
    assert_eq!(on_device(&daemon, "dance").await.status, 400);
    let nobody = on_device(&daemon, "ring").await;
    assert_eq!(nobody.status, 404, "{nobody:?}");
}

#[tokio::test]
async fn a_call_that_nobody_takes_ends() {
    let config = sim_config("") + "[call]\nring = \"1s\"\n";
    let daemon = Daemon::start(&config);
    let rung = command(daemon.address, "action=user_define&cmd=wx_call_start").await;
    assert_eq!(rung["status"], "0");
    let ended = json_of(daemon.address, "GET", "/call?after=1&wait=20", "").await;
    assert_eq!(
        (&ended["state"], &ended["number"]),
        (&json!("idle"), &json!(2))
    );
}

#[tokio::test]
async fn a_camera_turns_while_the_button_is_held() {
    let daemon = Daemon::start(&sim_config(""));
    let ptz = |cmd: &str| format!(r#"{{"topic":"ptz","message_id":5,"data":{{"cmd":"{cmd}"}}}}"#);
    let pressed = topic(daemon.address, &ptz("ptz_left_press")).await;
    assert_eq!(
        (&pressed["apex"], &pressed["message_id"]),
        (&json!("no"), &json!(5))
    );
    let turned = async {
        loop {
            // A viewer that asks is there.
            let now = topic(daemon.address, &ptz("ptz_left_press")).await;
            if now["apex"] == "yes" {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let end = tokio::time::timeout(HANG, turned).await.expect("it turns");
    assert_eq!(end["current_x"], end["min_x"]);
    let released = topic(daemon.address, &ptz("ptz_release_pre")).await;
    assert_eq!(
        (&released["apex"], &released["result"]),
        (&json!("yes"), &json!("0"))
    );
    // A viewer that is gone cannot let go: it stops by itself.
    topic(daemon.address, &ptz("ptz_right_press")).await;
    let place =
        || async { topic(daemon.address, &ptz("ptz_release_pre")).await["current_x"].clone() };
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (first, second) = (place().await, place().await);
    assert_eq!(first, second);
    assert!(
        first.as_i64().unwrap() < -20,
        "it stopped before it was there: {first}"
    );
}

#[tokio::test]
async fn standby_lasts_over_a_restart() {
    let daemon = Daemon::start(&sim_config(""));
    let set = |status: &str| format!(r#"{{"topic":"set_status","data":{{"status":"{status}"}}}}"#);
    assert_eq!(topic(daemon.address, &set("standby")).await["result"], "0");
    let daemon = Daemon::start_in(daemon.stop(), &sim_config(""));
    let refused = request(daemon.address, "GET", "/ipc.flv?action=live", "").await;
    assert_eq!(refused.status, 502, "{refused:?}");
    assert!(refused.json("reason").contains("standby"), "{refused:?}");
    assert_eq!(topic(daemon.address, &set("working")).await["result"], "0");
    let daemon = Daemon::start_in(daemon.stop(), &sim_config(""));
    let mut viewer = Viewer::open(daemon.address, "quality=standard").await;
    assert!(viewer.picture().await.is_some());
}

/// A program that answers one request with this text, and gives what it was asked.
pub(crate) async fn answer_once<S: AsyncReadExt + AsyncWriteExt + Unpin>(
    mut stream: S,
    text: &str,
) -> String {
    let mut asked = Vec::new();
    while !asked.ends_with(b"}") {
        assert!(stream.read_buf(&mut asked).await.unwrap() > 0);
    }
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    );
    stream.write_all(answer.as_bytes()).await.unwrap();
    String::from_utf8(asked).unwrap()
}

#[tokio::test]
async fn programs_on_the_device_do_what_the_configuration_says() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("light.sock");
    let unix = UnixListener::bind(&socket).unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let slow = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let handler = |name: &str, url: &str| {
        format!("[[user_define.handler]]\nname = {name:?}\nurl = {url:?}\ntimeout = \"1s\"\n")
    };
    let config = [
        sim_config(""),
        "[user_define]\nallow = [\"version\"]\n".to_owned(),
        handler("light", &format!("unix:{}", socket.display())),
        handler(
            "*",
            &format!("http://{}/rest?x=1", tcp.local_addr().unwrap()),
        ),
        handler("slow", &format!("http://{}/", slow.local_addr().unwrap())),
        handler("gone", "unix:/nowhere"),
    ];
    let daemon = Daemon::start(&config.concat());
    let serve = async {
        let (stream, _) = unix.accept().await.unwrap();
        answer_once(stream, r#"{"on":true}"#).await
    };
    let (answer, asked) = tokio::join!(topic(daemon.address, r#"{"topic":"light","on":1}"#), serve);
    assert_eq!(answer, json!({"on": true}));
    assert!(asked.starts_with("POST / HTTP/1.1\r\n"), "{asked}");
    let body: Value = serde_json::from_str(asked.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(body["name"], "light");
    assert_eq!(body["cmd"], r#"{"topic":"light","on":1}"#);
    // What is not allowed goes to whoever does the rest.
    let serve = async {
        let (stream, _) = tcp.accept().await.unwrap();
        answer_once(stream, "success").await
    };
    let asking = request(
        daemon.address,
        "POST",
        "/command",
        "action=user_define&cmd=ptz_left",
    );
    let (answer, asked) = tokio::join!(asking, serve);
    assert_eq!((answer.status, answer.body.as_str()), (200, "success"));
    assert!(asked.starts_with("POST /rest?x=1 HTTP/1.1\r\n"), "{asked}");
    let version = topic(daemon.address, r#"{"topic":"version"}"#).await;
    assert_eq!(version["result"], "0");
    let late = topic(daemon.address, r#"{"topic":"slow"}"#).await;
    assert_eq!(late["status"], "407", "{late}");
    let gone = topic(daemon.address, r#"{"topic":"gone"}"#).await;
    assert_eq!(gone["status"], "407", "{gone}");
    assert!(
        gone["reason"].as_str().unwrap().contains("not there"),
        "{gone}"
    );
}

#[cfg(feature = "record")]
#[tokio::test]
async fn formatting_the_card_takes_two_steps_and_deletes_all() {
    let config = sim_config(", gop = 5") + "[record]\nsegment = \"5s\"\n";
    let daemon = Daemon::start(&config);
    let files = || async {
        let list = command(daemon.address, "action=inner_define&cmd=get_file_list").await;
        list["file_list"].as_array().unwrap().clone()
    };
    let wait = async {
        while files().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(HANG, wait).await.expect("it records");
    let before = files().await;
    let asked = topic(daemon.address, r#"{"topic":"sd_format","message_id":1}"#).await;
    let word = asked["confirm"].as_str().expect("a word").to_owned();
    assert_eq!(
        files().await[0]["file_name"],
        before[0]["file_name"],
        "nothing was done yet"
    );
    let format = format!(r#"{{"topic":"sd_format","message_id":2,"data":{{"confirm":"{word}"}}}}"#);
    let done = topic(daemon.address, &format).await;
    assert_eq!(
        (&done["result"], &done["message_id"]),
        (&json!("0"), &json!(2)),
        "{done}"
    );
    let names: Vec<Value> = before
        .iter()
        .map(|file| file["file_name"].clone())
        .collect();
    assert!(
        files()
            .await
            .iter()
            .all(|file| !names.contains(&file["file_name"]))
    );
    let again = topic(daemon.address, &format).await;
    assert_eq!(again["result"], "1", "a word is good once: {again}");
    tokio::time::timeout(HANG, async {
        while files().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .expect("it goes on recording");
}

#[cfg(all(feature = "client", feature = "p2p"))]
mod over_p2p {
    use std::sync::Arc;

    use bytes::Bytes;
    use peercam_client::{
        Answer, ClientError,
        p2p::{ClientRequest, Identity, Session},
        upload,
    };

    use super::*;
    use crate::dialled::{self, PlayedAudio};

    async fn text(mut answer: Answer) -> Value {
        let body = answer
            .collect(1 << 16)
            .await
            .expect("it does not break off");
        serde_json::from_slice(&body).expect("JSON")
    }

    async fn tell(session: &Session, cmd: &str) -> Value {
        let ask = ClientRequest::post("/command", cmd.to_owned().into());
        text(session.send(ask).await.expect("an answer")).await
    }

    async fn has_heard(heard: &PlayedAudio, words: &str) {
        let wait = async {
            while !heard.all().iter().any(|text| text.contains(words)) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout(HANG, wait).await;
        waited.unwrap_or_else(|_| panic!("{words}: {:?}", heard.all()));
    }

    #[tokio::test]
    async fn the_device_rings_and_the_first_to_answer_talks() {
        let device = dialled::device("[access]\nmax_sessions = 4\n");
        let address = device.daemon.address;
        let (one, two) = (
            Arc::new(PlayedAudio::default()),
            Arc::new(PlayedAudio::default()),
        );
        let mut sessions = Vec::new();
        for (name, heard) in [("one", &one), ("two", &two)] {
            let listening: Arc<dyn peercam_client::p2p::OnFeedback> =
                Arc::<PlayedAudio>::clone(heard);
            let uri = device.pair(&[name]);
            let session =
                dialled::session_with(&uri, Identity::random().unwrap(), Some(listening)).await;
            tell(&session, "action=inner_define&cmd=get_nvr_list").await;
            sessions.push(session);
        }
        let ring = request(address, "POST", "/call?do=ring&channel=1", "").await;
        assert_eq!(ring.status, 200, "{ring:?}");
        for heard in [&one, &two] {
            has_heard(heard, r#""cmd":"ring""#).await;
        }
        let answered = tell(
            &sessions[0],
            "action=inner_define&cmd=call_answer&channel=1",
        )
        .await;
        assert_eq!(answered["status"], "0");
        has_heard(&two, "call_cancel").await;
        let late = tell(
            &sessions[1],
            "action=inner_define&cmd=call_answer&channel=1",
        )
        .await;
        assert_eq!(late["status"], "404", "{late}");
        // Who calls itself by its session's id, on a listener without access control, is not it.
        let talking = json_of(address, "GET", "/call", "").await;
        let id = talking["viewers"][0]
            .as_str()
            .expect("a session")
            .to_owned();
        for cmd in ["call_hang_up", "call_answer"] {
            let query = format!("action=inner_define&cmd={cmd}&channel=1&_peername={id}");
            assert_eq!(command(address, &query).await["status"], "404");
        }
        assert_eq!(json_of(address, "GET", "/call", "").await, talking);
        // It talks, and the device ends it.
        let (pieces, waiting) = tokio::sync::mpsc::channel(4);
        pieces.send(Bytes::from(pcm(100))).await.unwrap();
        let sending = sessions[0].clone();
        let talk = tokio::spawn(async move {
            sending
                .send(ClientRequest::send(
                    "/voice?channel=1",
                    upload::stream(waiting),
                ))
                .await
        });
        device.daemon.metric_becomes("peercam_talkers", 1.0).await;
        let hung_up = request(address, "POST", "/call?do=hang_up", "").await;
        assert_eq!(hung_up.status, 200);
        has_heard(&one, "call_hang_up").await;
        let answer = text(talk.await.unwrap().expect("an answer")).await;
        assert_eq!(answer["reason"], "the device has hung up");
        let query = format!("action=user_define&cmd=wx_call_start&_peername={id}");
        assert_eq!(command(address, &query).await["status"], "0");
        let rings = json_of(address, "GET", "/call", "").await;
        assert_eq!(rings["viewers"], json!([format!("open:{id}")]));
        let hung_up = request(address, "POST", "/call?do=hang_up", "").await;
        assert_eq!(hung_up.status, 200);
        // Whoever leaves ends its call.
        assert_eq!(
            request(address, "POST", "/call?do=ring", "").await.status,
            200
        );
        let number = json_of(address, "GET", "/call", "").await["number"].clone();
        tell(&sessions[0], "action=inner_define&cmd=call_answer").await;
        sessions[0].close().await;
        let target = format!("/call?after={}&wait=20", number.as_u64().unwrap() + 1);
        let ended = json_of(address, "GET", &target, "").await;
        assert_eq!(ended["state"], "idle", "{ended}");
    }

    #[tokio::test]
    async fn a_device_that_takes_no_more_sound_says_so_and_ends_the_talk() {
        let device = dialled::device("");
        let heard = Arc::new(PlayedAudio::default());
        let listening: Arc<dyn peercam_client::p2p::OnFeedback> = Arc::<PlayedAudio>::clone(&heard);
        let uri = device.pair(&["one"]);
        let session =
            dialled::session_with(&uri, Identity::random().unwrap(), Some(listening)).await;
        let (pieces, waiting) = tokio::sync::mpsc::channel(4);
        pieces.send(Bytes::from(pcm(100))).await.unwrap();
        let talk = tokio::spawn(async move {
            let asked = ClientRequest::send("/voice?channel=1", upload::stream(waiting));
            session.send(asked).await
        });
        device.daemon.metric_becomes("peercam_talkers", 1.0).await;
        let sessions = json_of(device.daemon.address, "GET", "/sessions", "").await;
        let id = sessions["sessions"][0]["session"].as_str().expect("one");
        let target = format!("/ipc.p2p.com/forward/{id}/proxy.sample.server/feedback");
        let message = r#"{"iv_private_cmd":"recv_stop"}"#;
        let told = request(device.daemon.address, "POST", &target, message).await;
        assert_eq!((told.status, told.json("status")), (200, "0".to_owned()));
        assert_eq!(heard.all(), [message]);
        let answer = text(talk.await.unwrap().expect("an answer")).await;
        assert_eq!(answer["reason"], "the device has hung up");
    }

    #[tokio::test]
    async fn only_who_may_talks_and_commands() {
        let device = dialled::device("");
        let watcher = dialled::session(&device.pair(&["watcher", "--scope", "live"])).await;
        let refused = watcher
            .send(ClientRequest::post(
                "/voice?channel=0",
                Bytes::from(pcm(50)),
            ))
            .await;
        let refused = refused.unwrap().checked().await.err();
        assert!(
            matches!(&refused, Some(ClientError::Refused { status: 403, reason }) if reason.contains("voice")),
            "{refused:?}"
        );
        for cmd in ["ptz_left", "wx_call_start", r#"{"topic":"get_status"}"#] {
            let answer = tell(&watcher, &format!("action=user_define&cmd={cmd}")).await;
            assert_eq!(answer["status"], "1", "{cmd}: {answer}");
        }
        let mover = dialled::session(&device.pair(&["mover", "--scope", "command"])).await;
        let moved = tell(&mover, "action=user_define&cmd=ptz_left").await;
        assert_eq!(moved["status"], "0");
        for cmd in [
            r#"{"topic":"sd_format"}"#,
            r#"{"topic":"set_status","data":{"status":"standby"}}"#,
        ] {
            let answer = tell(&mover, &format!("action=user_define&cmd={cmd}")).await;
            assert!(
                answer["reason"].as_str().unwrap().contains("admin"),
                "{cmd}: {answer}"
            );
        }
    }

    #[tokio::test]
    async fn peercam_talk_speaks_a_file_on_either_way() {
        let device = dialled::device("");
        let uri = device.pair(&["phone"]);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hello.pcm");
        std::fs::write(&path, pcm(400)).unwrap();
        for (relays_and_udp, port) in [(true, 0), (false, 0)] {
            let text = uri.expose();
            // Without a way to dial over P2P it goes to the listener, sealed.
            let text = match relays_and_udp {
                true => text,
                false => {
                    let mut uri = uri.clone();
                    uri.udp.clear();
                    uri.relays.clear();
                    uri.expose()
                }
            };
            let spoken = crate::support::program()
                .args([
                    "talk",
                    path.to_str().unwrap(),
                    "--sample-rate=8000",
                    "--channel",
                    &port.to_string(),
                ])
                .env("PEERCAM_URI", text.as_str())
                .output()
                .unwrap();
            let out = String::from_utf8(spoken.stdout).unwrap();
            assert!(
                spoken.status.success(),
                "{out} {}",
                String::from_utf8_lossy(&spoken.stderr)
            );
            let answer: Value = serde_json::from_str(&out).unwrap();
            assert_eq!(answer["played"], "400", "{answer}");
        }
    }
}
