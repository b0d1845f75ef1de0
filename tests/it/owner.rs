//! The owner comes first: what it needs and others have, it gets, and they are told.

use std::time::Duration;

use peercam_proto::sealed::Record;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    paired::{Device, RawViewer, read_whole},
    signalling::{Talker, pcm},
    support::{Answer, Daemon, HANG, request},
};

const LIST: &[u8] = b"action=inner_define&cmd=get_nvr_list";
const LIVE: &str = "/ipc.flv?action=live&quality=standard";
const RING: &[u8] = b"action=user_define&cmd=wx_call_start";

/// What there is little of.
#[derive(Clone, Copy, Debug)]
enum Few {
    Sessions,
    Media,
    Connections,
    Speaker,
    Call,
}

#[tokio::test]
async fn the_owner_gets_a_place_of_every_kind() {
    for few in [
        Few::Sessions,
        Few::Media,
        Few::Connections,
        Few::Speaker,
        Few::Call,
    ] {
        let device = Device::start(match few {
            Few::Sessions => "[access]\nmax_sessions = 1\n",
            Few::Media => "[http]\nmax_viewers = 1\n",
            Few::Connections => "[http]\nmax_connections = 16\n",
            Few::Speaker | Few::Call => "",
        });
        let guests = ["a", "b", "c"].map(|name| device.pair(&[name]));
        let owner = device.pair(&["owner", "--scope", "all"]);
        // An admin of a back end has no more of it than others.
        let minted = device.mint(
            r#"{"v":1,"id":"AAAAAAAAAAAAAAAAAAAAAA","name":"x","scopes":["live","voice","command","admin"],"ch":"*","exp":0}"#,
        );
        let mut guest = RawViewer::open(device.address, &guests[0]).await;
        let mut owner = RawViewer::open(device.address, &owner).await;
        match few {
            Few::Sessions => {
                guest.ask("POST", "/command", Some(LIST)).await.sealed();
                let (status, text) = owner.ask("POST", "/command", Some(LIST)).await.sealed();
                assert_eq!(status, 200, "{text}");
                let mut minted = RawViewer::open(device.address, &minted).await;
                let (status, _) = minted.ask("POST", "/command", Some(LIST)).await.sealed();
                assert_eq!(status, 503);
                let mut again = RawViewer::open(device.address, &guests[0]).await;
                let (status, text) = again.ask("POST", "/command", Some(LIST)).await.sealed();
                assert!(status == 503 && text.contains("owner"), "{text}");
            }
            Few::Media => {
                let mut watched = guest.live("quality=standard").await;
                let mut own = owner.live("quality=standard").await;
                // The guest's ends in order, and with a notice.
                let mut last = Vec::new();
                loop {
                    match watched.record().await.expect("an end in order") {
                        Record::Data(bytes) => last = bytes.to_vec(),
                        Record::Last(_) => break,
                        Record::Head(_) => panic!("a second head"),
                    }
                }
                let last = String::from_utf8_lossy(&last).into_owned();
                assert!(last.contains("owner needed this place"), "{last}");
                assert!(matches!(own.record().await, Some(Record::Data(_))));
                let mut again = RawViewer::open(device.address, &guests[0]).await;
                let (status, text) = again.ask("GET", LIVE, None).await.sealed();
                assert!(status == 503 && text.contains("owner"), "{text}");
                let mut minted = RawViewer::open(device.address, &minted).await;
                let (status, _) = minted.ask("GET", LIVE, None).await.sealed();
                assert_eq!(status, 503);
            }
            Few::Connections => {
                // Whoever has proved nothing may have to go by now.
                let mut held = vec![guest];
                for uri in &guests {
                    for _ in 0..6 {
                        let mut viewer = RawViewer::open(device.address, uri).await;
                        viewer.ask("POST", "/command", Some(LIST)).await.sealed();
                        held.push(viewer);
                    }
                }
                for _ in 0..6 {
                    let mut owner = RawViewer::open(device.address, &owner.uri).await;
                    let (status, text) = owner.ask("POST", "/command", Some(LIST)).await.sealed();
                    assert_eq!(status, 200, "{text}");
                }
            }
            Few::Speaker => {
                let mut talker = Talker::start(device.daemon.address, "_peername=guest").await;
                talker.say(&pcm(100)).await;
                device.daemon.metric_becomes("peercam_talkers", 1.0).await;
                let voice = "/voice?channel=0&recorded=1";
                let (status, text) = guest.ask("POST", voice, Some(&pcm(100))).await.sealed();
                assert!(status == 409 && text.contains("somebody else"), "{text}");
                let (status, text) = owner.ask("POST", voice, Some(&pcm(100))).await.sealed();
                assert_eq!(status, 200, "{text}");
                assert!(text.contains(r#""played":"100""#), "{text}");
                let answer = talker.answer().await;
                assert!(answer.json("reason").contains("owner"), "{answer:?}");
            }
            Few::Call => {
                let (status, text) = guest.ask("POST", "/command", Some(RING)).await.sealed();
                assert!(status == 200 && text.contains(r#""status":"0""#), "{text}");
                let call = || request(device.daemon.address, "GET", "/call", "");
                let before = call().await.body;
                let (_, text) = owner.ask("POST", "/command", Some(RING)).await.sealed();
                assert!(text.contains(r#""status":"0""#), "{text}");
                let after = call().await.body;
                assert!(
                    after.contains("called") && after != before,
                    "{before} {after}"
                );
                let (_, text) = guest.ask("POST", "/command", Some(RING)).await.sealed();
                assert!(!text.contains(r#""status":"0""#), "{text}");
                let (_, text) = owner
                    .ask(
                        "POST",
                        "/command",
                        Some(b"action=inner_define&cmd=call_hang_up"),
                    )
                    .await
                    .sealed();
                assert!(text.contains(r#""status":"0""#), "{text}");
            }
        }
    }
}

#[tokio::test]
async fn programs_that_wait_leave_places_to_others() {
    let device = Device::start("");
    let owner = device.pair(&["owner", "--scope", "all"]);
    let number = request(device.daemon.address, "GET", "/call", "").await;
    let number: serde_json::Value = serde_json::from_str(&number.body).expect("JSON");
    let wait = format!(
        "GET /call?after={}&wait=60 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        number["number"]
    );
    let mut waiting = Vec::new();
    for number in 0..300 {
        let mut stream = TcpStream::connect(device.daemon.address)
            .await
            .expect("connects");
        stream.write_all(wait.as_bytes()).await.expect("sends");
        waiting.push(stream);
        // A busy daemon would take many at once, and in no order.
        if number % 10 == 9 {
            request(device.daemon.address, "GET", "/healthz", "").await;
        }
    }
    for target in ["/sessions", "/call", "/healthz"] {
        let answer = request(device.daemon.address, "GET", target, "").await;
        assert_eq!(answer.status, 200, "{target}: {answer:?}");
    }
    let mut viewer = RawViewer::open(device.address, &owner).await;
    let (status, _) = viewer.ask("POST", "/command", Some(LIST)).await.sealed();
    assert_eq!(status, 200);
    // Those that waited for longest were told how it stands; the last ones still wait.
    let mut byte = [0];
    let last = waiting.last_mut().expect("one");
    let pending = tokio::select! {
        biased;
        _ = last.read(&mut byte) => false,
        () = std::future::ready(()) => true,
    };
    assert!(pending, "the last one was answered at once");
}

#[tokio::test]
async fn a_cookie_opens_nothing() {
    let device = Device::start("");
    let cookie_of = |answer: &Answer| {
        let line = answer.head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            (name.eq_ignore_ascii_case("peercam-cookie")).then(|| value.to_owned())
        });
        line.expect("a cookie")
    };
    let mut stream = TcpStream::connect(device.address).await.expect("connects");
    let mut ask = async |header: &str| {
        let text = format!("GET /command HTTP/1.1\r\nHost: x\r\n{header}\r\n");
        stream.write_all(text.as_bytes()).await.expect("sends");
        let answer = tokio::time::timeout(HANG, read_whole(&mut stream)).await;
        let answer = answer.expect("it does not hang").expect("an answer");
        Answer::parse(&answer).expect("HTTP")
    };
    let first = ask("").await;
    let cookie = cookie_of(&first);
    assert_eq!((first.status, cookie.len()), (401, 48));
    for shown in [cookie.clone(), cookie.replace('A', "B"), "x".repeat(3000)] {
        let answer = ask(&format!("Peercam-Cookie: {shown}\r\n")).await;
        assert_eq!((answer.status, &answer.body), (401, &first.body));
        assert_eq!(cookie_of(&answer).len(), 48);
    }
}

#[tokio::test]
async fn a_viewer_that_does_not_read_is_gone_soon_after_it_lost_its_place() {
    let directory = tempfile::tempdir().unwrap();
    // Longer than this test may take.
    let text = crate::paired::config("[http]\nmax_viewers = 1\nwrite_timeout = \"1h\"\n");
    let text = text.replace(
        "kind = \"sim\"",
        "kind = \"sim\", bitrate = [500000, 1500000, 50000000]",
    );
    let device = Device::of(Daemon::start_in(directory, &text));
    let guest = device.pair(&["guest"]);
    let owner = device.pair(&["owner", "--scope", "all"]);
    let mut guest = RawViewer::open(device.address, &guest).await;
    let _unread = guest.live("quality=super").await;
    let sent = || device.daemon.metric("peercam_live_sent_frames_total");
    let fills_up = async {
        let (mut before, mut same) = (-1.0, 0);
        while same < 5 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let now = sent().await;
            same = if now == before { same + 1 } else { 0 };
            before = now;
        }
    };
    let filled = tokio::time::timeout(HANG, fills_up).await;
    filled.expect("the connection fills up");
    let mut owner = RawViewer::open(device.address, &owner).await;
    let mut own = owner.live("quality=standard").await;
    assert!(matches!(own.record().await, Some(Record::Data(_))));
    device
        .daemon
        .metric_becomes("peercam_live_viewers", 1.0)
        .await;
}
