//! What was under way when a connection was lost goes on.

use std::time::Duration;

use peercam_client::{Answer, ClientError, p2p::ClientRequest};
use peercam_net::p2p::{CloseReason, Connection, Endpoint, Stream};
use peercam_proto::{
    credential::PairingUri,
    flv::{Reader, TagBody, VideoPacket},
};
use rustix::process::Signal;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    dialled::{RawPeer, device, endpoint, session},
    hostile::scaled,
    support::{Daemon, HANG, request},
};

const LIVE: &str = "/ipc.flv?action=live&channel=0&quality=standard";

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(2 * HANG, work).await;
    done.expect("it does not hang")
}

async fn piece(answer: &mut Answer) -> Result<Option<bytes::Bytes>, ClientError> {
    let piece = tokio::time::timeout(HANG, answer.piece()).await;
    piece.expect("it does not hang")
}

#[tokio::test]
async fn a_live_stream_goes_on_when_the_device_was_killed_and_started_again() {
    goes_on_over(Signal::KILL, 500).await;
}

/// An update, a reboot: to who watches through a proxy they are no end either.
#[tokio::test]
async fn a_live_stream_goes_on_when_the_device_was_stopped_and_started_again() {
    // It says that it goes, so it may be dialled again as soon as it is back.
    goes_on_over(Signal::TERM, 60).await;
}

async fn goes_on_over(signal: Signal, least: u32) {
    let mut device = device("");
    let uri = device.pair(&["phone"]);
    let session = session(&uri).await;
    let mut stream = session.media(LIVE, None).await.unwrap();
    let mut reader = Reader::new();
    let (mut pictures, mut configs, mut scripts) = (Vec::new(), 0, 0);
    let mut restarted = None;
    while pictures.len() < 100 {
        reader.feed(&piece(&mut stream).await.unwrap().expect("it does not end"));
        while let Some(tag) = reader.next_tag().expect("whole tags only") {
            match tag.body {
                TagBody::Video(_, VideoPacket::Frame { key, .. }) => {
                    pictures.push((tag.timestamp, key));
                }
                TagBody::Video(_, VideoPacket::Config(_)) => configs += 1,
                TagBody::Script => scripts += 1,
                _ => {}
            }
        }
        if pictures.len() >= 50 && restarted.is_none() {
            device.daemon.signal(signal);
            device.daemon.wait();
            let directory = device.daemon.take_directory();
            let port = uri.udp[0].port();
            let config = format!("{}[p2p]\nport = {port}\n", crate::paired::config(""));
            restarted = Some((pictures.len(), Daemon::start_in(directory, &config)));
        }
    }
    assert_eq!((configs, scripts), (1, 1), "they are the same as before");
    let stamps: Vec<_> = pictures.iter().map(|(timestamp, _)| *timestamp).collect();
    assert!(
        stamps.is_sorted() && stamps.windows(2).all(|pair| pair[0] < pair[1]),
        "{stamps:?}"
    );
    // Where the device was away is a longer step, to a key frame.
    let (before, _again) = restarted.expect("it was restarted");
    // What it had sent before it went may still have come behind that.
    let gap = (before..stamps.len()).find(|at| stamps[*at] - stamps[at - 1] > least);
    let gap = gap.unwrap_or_else(|| panic!("no step behind picture {before}: {stamps:?}"));
    assert!(pictures[gap].1, "it goes on with a key frame: {stamps:?}");
}

#[tokio::test]
async fn who_dials_a_device_that_is_shutting_down_is_told_at_once() {
    let handler = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = handler.local_addr().unwrap();
    let mut device = device(&format!(
        "[[user_define.handler]]\nname = \"wait\"\nurl = \"http://{url}/\"\ntimeout = \"7s\"\n"
    ));
    let uri = device.pair(&["phone"]);
    let (early, late) = (endpoint(70).await, endpoint(71).await);
    let connection = RawPeer::dial_from(&early, &uri).await.unwrap();
    // A command that takes its time is not cut off: the device waits for it.
    let address = device.daemon.address;
    let command = tokio::spawn(async move {
        let target = "/command?action=user_define&cmd=wait";
        request(address, "POST", target, "").await
    });
    let (mut asked, _) = in_time(handler.accept()).await.unwrap();
    device.daemon.signal(Signal::TERM);
    // It takes no more connections, and waits for what was asked.
    let gone = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    in_time(gone).await;
    let refused = match in_time(RawPeer::dial_from(&late, &uri)).await {
        // It may have been let in and is told then.
        Ok(late) => in_time(late.closed()).await,
        Err(refused) => refused,
    };
    assert_eq!(refused, CloseReason::ShuttingDown);
    assert_eq!(
        in_time(connection.closed()).await,
        CloseReason::ShuttingDown
    );
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone";
    asked.write_all(answer).await.unwrap();
    assert_eq!(command.await.unwrap().body, "done");
    device.daemon.wait();
}

#[tokio::test]
async fn a_stream_that_the_device_ends_for_good_ends() {
    let device = device("");
    let session = session(&device.pair(&["phone"])).await;
    let mut stream = session.media(LIVE, None).await.unwrap();
    assert!(piece(&mut stream).await.unwrap().is_some());
    let standby =
        r#"/command?action=user_define&cmd={"topic":"set_status","data":{"status":"standby"}}"#;
    let done = request(device.daemon.address, "POST", standby, "").await;
    assert_eq!(done.status, 200, "{done:?}");
    let ended = async { while piece(&mut stream).await.expect("in order").is_some() {} };
    in_time(ended).await;
}

/// A device that serves as it likes: a file of its own making, and breaks off where it likes.
struct Scripted {
    endpoint: Endpoint,
    uri: PairingUri,
}

impl Scripted {
    async fn new(uri: &PairingUri) -> Self {
        let endpoint = crate::dialled::device_endpoint(78).await;
        let uri = PairingUri {
            device: endpoint.id(),
            udp: endpoint.hints(),
            lan: Vec::new(),
            ..uri.clone()
        };
        Self { endpoint, uri }
    }

    async fn accept(&self) -> Connection {
        let connection = self
            .endpoint
            .accept()
            .await
            .unwrap()
            .accept()
            .await
            .unwrap();
        connection.give_room();
        connection
    }

    /// The next request for media: its stream and its target. What says hello is answered.
    async fn asked(&self, connection: &Connection) -> (Stream, String) {
        loop {
            let mut stream = connection.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            let target = head.split(' ').nth(1).unwrap().to_owned();
            if target.starts_with("/ipc.flv") {
                return (stream, target);
            }
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                .await
                .unwrap();
            stream.shutdown().await.unwrap();
        }
    }
}

fn parameter(target: &str, key: &str) -> usize {
    let (_, rest) = target.split_once(&format!("{key}=")).unwrap();
    rest.split('&').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_download_goes_on_with_the_next_byte() {
    let device = device("");
    let scripted = Scripted::new(&device.pair(&["phone"])).await;
    let file: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let served = file.clone();
    let uri = scripted.uri.clone();
    let serve = async move {
        let mut offsets = Vec::new();
        loop {
            let connection = scripted.accept().await;
            let (mut stream, target) = scripted.asked(&connection).await;
            let offset = parameter(&target, "offset");
            offsets.push(offset);
            let rest = &served[offset..];
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", rest.len());
            stream.write_all(head.as_bytes()).await.unwrap();
            let is_last = offsets.len() == 4;
            // Not at a border of anything.
            let part = if is_last {
                rest.len()
            } else {
                rest.len() / 3 + 7
            };
            stream.write_all(&rest[..part]).await.unwrap();
            if is_last {
                stream.shutdown().await.unwrap();
                connection.closed().await;
                return offsets;
            }
            // What was written may or may not arrive.
            tokio::task::yield_now().await;
            connection.close("broken");
        }
    };
    let fetch = async move {
        let session = session(&uri).await;
        let target = "/ipc.flv?action=download&file_name=a.mp4&offset=4";
        let mut answer = session.media(target, None).await.unwrap();
        let mut got = Vec::new();
        while let Some(bytes) = piece(&mut answer).await.unwrap() {
            got.extend_from_slice(&bytes);
        }
        got
    };
    let (offsets, got) = Box::pin(in_time(async { tokio::join!(serve, fetch) })).await;
    assert!(got == file[4..], "byte for byte");
    assert!(offsets[0] == 4 && offsets.is_sorted(), "{offsets:?}");
}

#[tokio::test]
async fn a_reader_that_lags_far_behind_loses_nothing() {
    let device = device("");
    let scripted = Scripted::new(&device.pair(&["phone"])).await;
    let file: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let (served, uri) = (file.clone(), scripted.uri.clone());
    let serve = async move {
        let connection = scripted.accept().await;
        let (mut stream, _) = scripted.asked(&connection).await;
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
            served.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&served).await.unwrap();
        stream.shutdown().await.unwrap();
        connection.closed().await;
    };
    let fetch = async move {
        let session = session(&uri).await;
        let mut answer = session
            .send(ClientRequest::get("/ipc.flv?action=x"))
            .await
            .unwrap();
        // More would come meanwhile than a connection has room for.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut got = Vec::new();
        while let Some(bytes) = piece(&mut answer).await.unwrap() {
            got.extend_from_slice(&bytes);
        }
        session.close().await;
        got
    };
    let ((), got) = Box::pin(in_time(async { tokio::join!(serve, fetch) })).await;
    assert!(got == file, "byte for byte");
}

#[tokio::test]
async fn the_command_goes_on_with_what_is_there_and_overwrites_nothing() {
    let device = device("");
    let scripted = Scripted::new(&device.pair(&["phone"])).await;
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("uri"), scripted.uri.expose()).unwrap();
    std::fs::write(path("b c.mp4.part"), b"01234").unwrap();
    let command = |name: &str, output: &std::path::Path| {
        let mut command = crate::support::program();
        command
            .arg("download")
            .arg(format!("@{}", path("uri").display()))
            .args([name, "-o"])
            .arg(output);
        tokio::task::spawn_blocking(move || command.output().unwrap())
    };
    let served = async {
        let connection = scripted.accept().await;
        let (mut stream, target) = scripted.asked(&connection).await;
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n56789";
        stream.write_all(answer).await.unwrap();
        stream.shutdown().await.unwrap();
        connection.closed().await;
        target
    };
    let (output, target) = tokio::join!(command("a/b c.mp4", &path("b c.mp4")), served);
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(
        target.contains("file_name=a%2Fb%20c%2Emp4&offset=5"),
        "{target}"
    );
    assert_eq!(std::fs::read(path("b c.mp4")).unwrap(), b"0123456789");
    assert!(!path("b c.mp4.part").exists());
    let again = command("a/b c.mp4", &path("b c.mp4")).await.unwrap();
    let errors = String::from_utf8(again.stderr).unwrap();
    assert!(
        !again.status.success() && errors.contains("such a file already"),
        "{errors}"
    );
    // A device that refuses.
    let refused = async {
        let connection = scripted.accept().await;
        let (mut stream, _) = scripted.asked(&connection).await;
        let answer = b"HTTP/1.1 404 Not Found\r\ncontent-length: 17\r\n\r\n{\"reason\":\"gone\"}";
        stream.write_all(answer).await.unwrap();
        stream.shutdown().await.unwrap();
        connection.closed().await;
    };
    let (output, ()) = tokio::join!(command("x", &path("x")), refused);
    let errors = String::from_utf8(output.unwrap().stderr).unwrap();
    assert!(errors.contains("gone (code -2701)"), "{errors}");
    assert!(!path("x").exists() && !path("x.part").exists());
}

#[tokio::test]
async fn a_stream_that_stands_still_is_waited_for() {
    let device = device("");
    let scripted = Scripted::new(&device.pair(&["phone"])).await;
    let uri = scripted.uri.clone();
    let pause = Duration::from_secs(u64::try_from(scaled(600)).unwrap());
    let header = b"FLV\x01\x01\0\0\0\x09\0\0\0\0";
    let serve = async move {
        let connection = scripted.accept().await;
        let (mut stream, _) = scripted.asked(&connection).await;
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nd\r\n";
        stream
            .write_all(&[&head[..], header, b"\r\n"].concat())
            .await
            .unwrap();
        tokio::time::sleep(pause).await;
        let tag = b"\x09\0\0\x02\0\0\0\0\0\0\0\x27\x01\0\0\0\x0d";
        let chunk = [b"11\r\n", &tag[..], b"\r\n0\r\n\r\n"].concat();
        stream.write_all(&chunk).await.unwrap();
        stream.shutdown().await.unwrap();
        connection.closed().await;
    };
    let watch = async {
        let session = session(&uri).await;
        let target = "/ipc.flv?action=playback&start_time=1&end_time=9";
        let mut answer = session.media(target, None).await.unwrap();
        let mut got = 0;
        while let Some(bytes) = answer.piece().await.expect("it ends in order") {
            got += bytes.len();
        }
        session.close().await;
        got
    };
    let (got, ()) = tokio::join!(watch, serve);
    assert_eq!(got, 13 + 17);
}

#[tokio::test]
async fn a_device_that_ends_every_stream_at_once_is_not_asked_in_a_loop() {
    let device = device("");
    let scripted = Scripted::new(&device.pair(&["phone"])).await;
    let uri = scripted.uri.clone();
    let serve = async move {
        let connection = scripted.accept().await;
        let mut asked = Vec::new();
        // It says that it shuts down, and is there again.
        for end in ["peercam-end: shutdown\r\n", ""] {
            let (mut stream, _) = scripted.asked(&connection).await;
            asked.push(std::time::Instant::now());
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: peercam-end\r\n";
            let text = format!("{head}\r\n0\r\n{end}\r\n");
            stream.write_all(text.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        }
        connection.closed().await;
        asked[1] - asked[0]
    };
    let watch = async {
        let session = session(&uri).await;
        let mut answer = session.media(LIVE, None).await.unwrap();
        assert_eq!(piece(&mut answer).await.expect("in order"), None);
        session.close().await;
    };
    let ((), between) = Box::pin(in_time(async { tokio::join!(watch, serve) })).await;
    // A pause is no shorter than it is.
    assert!(between.as_millis() >= 500, "{between:?}");
}

#[tokio::test]
async fn a_download_of_what_has_become_another_file_breaks_off() {
    let device = device("");
    let scripted = Scripted::new(&device.pair(&["phone"])).await;
    let uri = scripted.uri.clone();
    let serve = async move {
        for length in [1000, 5000] {
            let connection = scripted.accept().await;
            let (mut stream, _) = scripted.asked(&connection).await;
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n0123456789");
            stream.write_all(head.as_bytes()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
            connection.close("broken");
        }
        std::future::pending::<()>().await;
    };
    let fetch = async {
        let session = session(&uri).await;
        let target = "/ipc.flv?action=download&file_name=a&offset=0";
        let mut answer = session.media(target, None).await.unwrap();
        while let Some(bytes) = piece(&mut answer).await.transpose() {
            match bytes {
                Ok(bytes) => assert_eq!(&bytes[..], b"0123456789"),
                Err(error) => return error,
            }
        }
        panic!("it ended in order");
    };
    tokio::select! {
        error = fetch => assert!(matches!(error, ClientError::Broken), "{error}"),
        () = serve => {}
    }
}

#[tokio::test]
async fn a_playback_ends_in_order_behind_its_last_whole_tag() {
    let device = device("");
    let scripted = Scripted::new(&device.pair(&["phone"])).await;
    let uri = scripted.uri.clone();
    let header = b"FLV\x01\x01\0\0\0\x09\0\0\0\0";
    let tag = b"\x09\0\0\x02\0\0\0\0\0\0\0\x27\x01\0\0\0\x0d";
    let serve = async move {
        let connection = scripted.accept().await;
        let (mut stream, _) = scripted.asked(&connection).await;
        let body = [&header[..], tag, &tag[..9]].concat();
        let head = format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n",
            body.len()
        );
        let text = [head.as_bytes(), &body, b"\r\n"];
        stream.write_all(&text.concat()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        connection.close("broken");
        std::future::pending::<()>().await;
    };
    let watch = async {
        let session = session(&uri).await;
        let target = "/ipc.flv?action=playback&start_time=1&end_time=9";
        let mut answer = session.media(target, None).await.unwrap();
        let mut got = Vec::new();
        while let Some(bytes) = piece(&mut answer).await.expect("it ends in order") {
            got.extend_from_slice(&bytes);
        }
        got
    };
    tokio::select! {
        got = watch => assert_eq!(got, [&header[..], tag].concat()),
        () = serve => {}
    }
}

#[tokio::test]
async fn what_was_sent_is_never_sent_again_and_what_was_asked_is() {
    let device = device("");
    let scripted = Scripted::new(&device.pair(&["phone"])).await;
    let uri = scripted.uri.clone();
    let serve = async move {
        let mut heads = Vec::new();
        loop {
            let connection = scripted.accept().await;
            let mut stream = connection.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            heads.push(head.split('?').next().unwrap().to_owned());
            if heads.len() == 4 {
                connection.closed().await;
                return heads;
            }
            connection.close("broken");
        }
    };
    let ask = async move {
        let session = session(&uri).await;
        let body = bytes::Bytes::from_static(b"action=user_define&cmd=ptz_left");
        let sent = session
            .send(ClientRequest::post("/command", body))
            .await
            .err();
        assert!(
            matches!(&sent, Some(error @ ClientError::OutcomeUnknown(_)) if error.to_string().contains("not sent again")),
            "{sent:?}"
        );
        // It is asked a second time, and that is all.
        let asked = session.send(ClientRequest::get("/healthz?x")).await.err();
        assert!(
            matches!(asked, Some(ClientError::CloseReason(_))),
            "{asked:?}"
        );
        let last = session.send(ClientRequest::get("/last"));
        let _ = tokio::time::timeout(Duration::from_secs(5), last).await;
        session.close().await;
    };
    let (heads, ()) = Box::pin(in_time(async { tokio::join!(serve, ask) })).await;
    assert_eq!(
        heads,
        ["POST /command", "GET /healthz", "GET /healthz", "GET /last"]
    );
}
