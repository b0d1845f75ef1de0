//! Viewers that dial the device by its key.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Stdio},
    sync::Arc,
};

use iroh_relay::server::{RelayConfig, Server, ServerConfig};
use peercam_client::{
    Answer, ClientError,
    p2p::{ClientRequest, Identity, Session},
};
use peercam_proto::{
    credential::PairingUri,
    flv::{Reader, TagBody, VideoPacket},
};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    dialled::{PlayedAudio, RawPeer, device, session, session_with},
    paired::Device,
    support::{Daemon, HANG, program, request},
};

const LIST: &[u8] = b"action=inner_define&cmd=get_nvr_list";
const LIVE: &str = "/ipc.flv?action=live&channel=0&quality=standard";

async fn list(session: &Session) -> Result<String, ClientError> {
    let request = ClientRequest::post("/command", bytes::Bytes::from_static(LIST));
    let mut answer = session.send(request).await?.checked().await?;
    let body = answer.collect(4096).await?;
    Ok(String::from_utf8(body.to_vec()).unwrap())
}

async fn live(session: &Session) -> Result<Answer, ClientError> {
    session
        .send(ClientRequest::get(LIVE))
        .await?
        .checked()
        .await
}

/// The timestamps of the next pictures.
async fn pictures(answer: &mut Answer, count: usize) -> Vec<u32> {
    let mut reader = Reader::new();
    let mut timestamps = Vec::new();
    while timestamps.len() < count {
        let piece = tokio::time::timeout(HANG, answer.piece()).await;
        let piece = piece.expect("it does not hang").unwrap();
        reader.feed(&piece.expect("it does not end"));
        while let Some(tag) = reader.next_tag().unwrap() {
            if let TagBody::Video(_, VideoPacket::Frame { .. }) = tag.body {
                timestamps.push(tag.timestamp);
            }
        }
    }
    timestamps
}

async fn sessions(device: &Device) -> Vec<serde_json::Value> {
    let answer = request(device.daemon.address, "GET", "/sessions", "").await;
    let json: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    json["sessions"].as_array().unwrap().clone()
}

async fn tell(device: &Device, session: &str, message: &str) -> crate::support::Answer {
    let target = format!("/ipc.p2p.com/forward/{session}/proxy.sample.server/feedback?_token=1");
    request(device.daemon.address, "POST", &target, message).await
}

#[tokio::test]
async fn a_viewer_that_knows_the_key_watches_and_commands() {
    let device = device("");
    let uri = device.pair(&["phone"]);
    let session = session(&uri).await;
    assert!(list(&session).await.unwrap().contains("front"));
    let mut stream = live(&session).await.unwrap();
    assert_eq!(stream.headers()["content-type"], "video/x-flv");
    let seen = pictures(&mut stream, 10).await;
    assert!(seen.is_sorted() && seen[0] == 0, "{seen:?}");
    let status: serde_json::Value =
        serde_json::from_str(&device.peercam(&["status", "--json"])).unwrap();
    let viewer = &status["viewers"][0];
    assert_eq!(viewer["path"], "direct", "{status}");
    assert!(viewer["address"].is_string(), "{status}");
    // Beside it, on the same connection.
    assert!(list(&session).await.unwrap().contains("front"));
    let refused = session.send(ClientRequest::get("/ipc.flv?action=live&channel=7"));
    let refused = refused.await.unwrap().checked().await.err();
    assert!(
        matches!(&refused, Some(ClientError::Refused { status: 404, reason }) if reason.contains("channel")),
        "{refused:?}"
    );
    drop(stream);
    device
        .daemon
        .metric_becomes("peercam_live_viewers", 0.0)
        .await;
    session.close().await;
    device
        .daemon
        .metric_becomes("peercam_access_sessions ", 0.0)
        .await;
}

#[tokio::test]
async fn a_stream_ends_in_order_when_the_device_stops() {
    let mut device = device("");
    let uri = device.pair(&["phone"]);
    let session = session(&uri).await;
    let mut stream = live(&session).await.unwrap();
    pictures(&mut stream, 1).await;
    device.daemon.signal(rustix::process::Signal::TERM);
    let end = async { while stream.piece().await.unwrap().is_some() {} };
    tokio::time::timeout(HANG, end).await.expect("it ends");
    assert_eq!(device.daemon.wait().code(), Some(0));
}

#[tokio::test]
async fn the_device_tells_its_viewer_something_and_gets_the_reply() {
    let device = device("");
    let uri = device.pair(&["phone"]);
    let heard = Arc::new(PlayedAudio::default());
    let identity = Identity::random().unwrap();
    let id = identity.id().to_string();
    let session = session_with(&uri, identity, Some(heard.clone())).await;
    list(&session).await.unwrap();
    let known = &sessions(&device).await[0];
    assert_eq!(known["name"], "phone");
    assert_eq!(known["endpoint"], id.as_str());
    assert_eq!(known["takes_feedback"], true);
    let name = known["session"].as_str().unwrap().to_owned();
    for message in [
        r#"{"iv_private_cmd":"call_hang_up"}"#,
        r#"{"my":"message"}"#,
    ] {
        let reply = tell(&device, &name, message).await;
        assert_eq!((reply.status, reply.json("status")), (200, "0".to_owned()));
        assert_eq!(heard.all().last().map(String::as_str), Some(message));
    }
    for (session, message, status, word) in [
        ("nobody", r#"{"a":1}"#, 404, "no such session"),
        (&*name, "[]", 400, "JSON object"),
        (
            &*name,
            r#"{"iv_private_cmd":"reboot"}"#,
            400,
            "call_hang_up",
        ),
    ] {
        let reply = tell(&device, session, message).await;
        assert_eq!(reply.status, status, "{}", reply.body);
        assert!(reply.json("reason").contains(word), "{}", reply.body);
    }
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(16 << 10));
    assert_eq!(tell(&device, &name, &long).await.status, 413);
    assert_eq!(heard.all().len(), 2);
    session.close().await;
    device
        .daemon
        .metric_becomes("peercam_access_sessions ", 0.0)
        .await;
    assert_eq!(tell(&device, &name, r#"{"a":1}"#).await.status, 404);
}

#[tokio::test]
async fn a_message_says_which_device_it_is_from() {
    let device = device("[device]\nproduct_id = \"ABCDE12345\"\ndevice_name = \"door-1\"\n");
    let uri = device.pair(&["phone"]);
    let peer = RawPeer::dial(&uri, 1).await;
    peer.get(&uri, 1, "/healthz").await.expect("an answer");
    let name = sessions(&device).await[0]["session"].clone();
    let told = tell(
        &device,
        name.as_str().unwrap(),
        r#"{"my_message":"hello world"}"#,
    );
    let hears = async {
        let mut stream = peer.connection.accept().await.expect("a stream");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("a head"));
        }
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{\"status\":\"7\"}";
        stream.write_all(answer.as_bytes()).await.expect("writes");
        stream.shutdown().await.expect("ends");
        String::from_utf8(head).expect("text")
    };
    let (told, head) = tokio::join!(told, hears);
    let line = "POST /feedback?product_id=ABCDE12345&device_name=door-1 HTTP/1.1\r\n";
    assert!(head.starts_with(line), "{head}");
    // What the viewer says is what the program gets.
    assert_eq!((told.status, told.json("status")), (200, "7".to_owned()));
}

#[tokio::test]
async fn only_viewers_that_may_be_told_something_are() {
    let device = device("");
    let uri = device.pair(&["guest", "--scope", "live"]);
    let session = session(&uri).await;
    live(&session).await.unwrap();
    let known = &sessions(&device).await[0];
    assert_eq!(known["takes_feedback"], false);
    let reply = tell(&device, known["session"].as_str().unwrap(), "{}").await;
    assert_eq!(reply.status, 403, "{}", reply.body);
    // One over TCP is listed, and cannot be told anything.
    let mut by_tcp = peercam_client::tcp::Connection::open(device.pair(&["tablet"]))
        .await
        .unwrap();
    let mut answer = by_tcp.post("/command", LIST).await.unwrap();
    answer.collect(4096).await.unwrap();
    let known = &sessions(&device).await[1];
    assert_eq!(
        (&known["name"], &known["endpoint"]),
        (&"tablet".into(), &serde_json::Value::Null)
    );
    let reply = tell(&device, known["session"].as_str().unwrap(), "{}").await;
    assert!(
        reply.status == 404 && reply.body.contains("TCP"),
        "{}",
        reply.body
    );
}

#[tokio::test]
async fn a_viewer_that_does_not_reply_keeps_nobody_waiting_for_ever() {
    let device = device("");
    let uri = device.pair(&["phone"]);
    let peer = RawPeer::dial(&uri, 1).await;
    assert_eq!(peer.get(&uri, 1, "/healthz").await.unwrap().status, 200);
    let known = sessions(&device).await;
    let name = known[0]["session"].as_str().unwrap();
    // It takes the stream, and says nothing.
    let (reply, stream) = tokio::join!(tell(&device, name, "{}"), peer.connection.accept());
    assert_eq!(reply.status, 504, "{}", reply.body);
    assert!(reply.json("reason").contains("7.5 s"), "{}", reply.body);
    drop(stream);
}

#[tokio::test]
async fn the_fifth_viewer_is_told_why_it_has_to_wait() {
    let device = device("[access]\nmax_sessions = 4\n");
    let mut kept = Vec::new();
    for name in ["a", "b", "c", "d"] {
        let session = session(&device.pair(&[name])).await;
        list(&session).await.unwrap();
        kept.push(session);
    }
    // How many apps are connected, and at how many the next one is refused.
    let status = "action=inner_define&cmd=get_device_st&type=live";
    let request = ClientRequest::post("/command", bytes::Bytes::from_static(status.as_bytes()));
    let mut answer = kept[0].send(request).await.unwrap();
    let told = answer.collect(4096).await.unwrap();
    assert_eq!(
        &told[..],
        br#"[{"status":"0","appConnectNum":"4","maxConnectNum":"4"}]"#
    );
    let fifth = session(&device.pair(&["e"])).await;
    let refused = live(&fifth).await.err();
    assert!(
        matches!(&refused, Some(ClientError::Refused { status: 503, reason }) if reason.contains("4 viewers")),
        "{refused:?}"
    );
    kept.pop().unwrap().close().await;
    device
        .daemon
        .metric_becomes("peercam_access_sessions ", 3.0)
        .await;
    assert!(live(&fifth).await.is_ok());
}

#[tokio::test]
async fn a_credential_for_one_viewer_is_for_that_one() {
    let device = device("");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("viewer");
    let output = program().arg("identity").arg(&path).output().unwrap();
    let id = String::from_utf8(output.stdout).unwrap();
    let uri = device.pair(&["phone", "--peer", id.trim()]);
    let own = session_with(&uri, Identity::in_file(&path).unwrap(), None).await;
    assert!(list(&own).await.is_ok());
    let other = session(&uri).await;
    let refused = list(&other).await.err();
    assert!(
        matches!(&refused, Some(ClientError::Refused { status: 403, reason }) if reason.contains("another viewer")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn access_that_has_ended_ends_what_runs_over_p2p() {
    let device = device("");
    let uri = device.pair(&["guest"]);
    let session = session(&uri).await;
    let mut stream = live(&session).await.unwrap();
    pictures(&mut stream, 1).await;
    device.peercam(&["revoke", "guest"]);
    let broken = async {
        loop {
            match stream.piece().await {
                Ok(Some(_)) => {}
                end => return end,
            }
        }
    };
    let end = tokio::time::timeout(HANG, broken).await.expect("it ends");
    assert!(end.is_err(), "it is cut off, and does not end in order");
    let refused = list(&session).await.err();
    assert!(
        matches!(&refused, Some(ClientError::Refused { status: 403, reason }) if reason.contains("revoked")),
        "{refused:?}"
    );
}

/// A relay of one's own, that wants to see a token.
async fn relay() -> (Server, String) {
    let mut config = ServerConfig::default();
    config.relay = Some(RelayConfig::new(([127, 0, 0, 1], 0)));
    let server = Server::spawn(config).await.unwrap();
    let url = format!("http://{}", server.http_addr().unwrap());
    (server, url)
}

#[tokio::test]
async fn a_relay_is_enough_to_find_the_device() {
    let (server, url) = relay().await;
    let config = format!("[p2p]\nport = 0\nrelays = [{url:?}]\n");
    let device = Device::start(&config);
    let uri = device.pair(&["phone"]);
    assert_eq!(uri.relays, [format!("{url}/")]);
    let uri = PairingUri {
        udp: Vec::new(),
        lan: Vec::new(),
        ..uri
    };
    let session = session(&uri).await;
    assert!(list(&session).await.unwrap().contains("front"));
    pictures(&mut live(&session).await.unwrap(), 5).await;
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_dialled_is_told_with_what_to_do() {
    let device = device("");
    let uri = device.pair(&["phone"]);
    let nowhere = PairingUri {
        udp: Vec::new(),
        lan: Vec::new(),
        ..uri.clone()
    };
    let path = device.daemon.directory().join("uri");
    for (uri, words) in [
        (nowhere, ["names nowhere", "(code -2001)"]),
        (
            PairingUri {
                // Nobody is there.
                udp: vec!["127.0.0.1:9".parse().unwrap()],
                lan: Vec::new(),
                ..uri
            },
            ["is it on", "(code -2403)"],
        ),
    ] {
        std::fs::write(&path, uri.expose()).unwrap();
        let mut command = program();
        command.arg("command").arg(format!("@{}", path.display()));
        let output = command.arg("action=inner_define&cmd=get_nvr_list").output();
        let errors = String::from_utf8(output.unwrap().stderr).unwrap();
        for word in words {
            assert!(errors.contains(word), "{errors}");
        }
    }
}

/// A running `peercam proxy`.
struct Proxy {
    child: Child,
    address: std::net::SocketAddr,
    _output: BufReader<std::process::ChildStdout>,
}

impl Proxy {
    fn start(device: &Device, uri: &PairingUri, listen: &str) -> Self {
        let path = device.daemon.directory().join("proxy-uri");
        std::fs::write(&path, uri.expose()).unwrap();
        let mut child = program()
            .args(["proxy", "--listen", listen])
            .arg(format!("@{}", path.display()))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let address = line
            .trim()
            .strip_prefix("peercam proxy is listening on http://")
            .and_then(|rest| rest.strip_suffix("/ipc.p2p.com"))
            .unwrap_or_else(|| panic!("{line:?}"));
        Self {
            address: address.parse().unwrap(),
            child,
            _output: output,
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_killed_viewer_that_comes_back_has_its_place_at_once() {
    let device = device("[access]\nmax_sessions = 1\n");
    let uri = device.pair(&["phone"]);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = free.local_addr().unwrap().to_string();
    drop(free);
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..4 {
        // Dropping the last one killed it: no word to the device.
        let proxy = Proxy::start(&device, &uri, &listen);
        let target = format!("/command?{}", std::str::from_utf8(LIST).unwrap());
        let answer = request(proxy.address, "POST", &target, "").await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        names.insert(sessions(&device).await[0]["session"].to_string());
    }
    assert_eq!(names.len(), 1, "{names:?}");
}

#[tokio::test]
async fn a_proxy_adds_tokens_and_keeps_its_rules() {
    let device = device("");
    let uri = device.pair(&["phone"]);
    let proxy = Proxy::start(&device, &uri, "127.0.0.1:0");
    let ask = async |method: &str, target: &str, headers: &str| {
        let host = match headers.contains("Host:") {
            true => "",
            false => "Host: 127.0.0.1\r\n",
        };
        let text =
            format!("{method} {target} HTTP/1.1\r\n{host}{headers}Connection: close\r\n\r\n");
        let answer = crate::support::raw(proxy.address, text.as_bytes()).await;
        crate::support::Answer::parse(&answer).unwrap()
    };
    let command = format!(
        "/ipc.p2p.com/command?{}",
        std::str::from_utf8(LIST).unwrap()
    );
    let wrong_token = format!("{command}&_token=1.local.0.e30.1.-.AAAA");
    for target in [&command, &wrong_token] {
        let answer = ask("POST", target, "").await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    let absolute = format!("http://XP2Pabc%250.1.xnet{command}");
    let answer = ask("POST", &absolute, "Host: ipc.p2p.com\r\n").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let live = ask("HEAD", LIVE, "").await;
    assert_eq!(live.status, 200);
    for header in [
        "content-type: video/x-flv",
        "x-content-type-options: nosniff",
        "content-security-policy: default-src 'none'; sandbox",
    ] {
        assert!(live.head.contains(header), "{}", live.head);
    }
    for method in ["GET", "HEAD"] {
        let still = ask(method, "/ipc.p2p.com/snapshot.jpg?channel=0", "").await;
        assert_eq!(still.status, 200, "{}", still.head);
        for header in ["content-type: image/jpeg", "content-length: ", "no-store"] {
            assert!(still.head.contains(header), "{}", still.head);
        }
    }
    let refused = ask("GET", "/ipc.flv?action=live&channel=9", "").await;
    assert!(
        refused.status == 404 && refused.head.contains("peercam-code: -2402"),
        "{}",
        refused.head
    );
    for (method, target, headers, status) in [
        ("GET", &*command, "", 405),
        ("POST", "/ipc.flv?action=live", "", 405),
        ("GET", "/metrics", "", 404),
        ("GET", "/sessions", "", 404),
        ("POST", "/forward/x/feedback", "", 404),
        ("POST", &*command, "Origin: http://evil.example\r\n", 403),
        ("POST", &*command, "Origin: null\r\n", 403),
        ("POST", &*command, "Sec-Fetch-Site: cross-site\r\n", 403),
        ("POST", &*command, "Host: evil.example\r\n", 403),
        ("POST", &*command, "X-Forwarded-For: 1.2.3.4\r\n", 403),
        ("GET", "/events", "Origin: http://evil.example\r\n", 403),
        ("POST", &*command, "Host: ipc.p2p.com\r\n", 403),
        ("GET", "/events", "Host: evil.xnet\r\n", 403),
        (
            "POST",
            &*absolute,
            "Host: ipc.p2p.com\r\nAccept-Language: en\r\n",
            403,
        ),
        (
            "POST",
            &*absolute,
            "Host: ipc.p2p.com\r\nUser-Agent: Mozilla/5.0\r\n",
            403,
        ),
    ] {
        let answer = ask(method, target, headers).await;
        assert_eq!(
            answer.status, status,
            "{method} {target} {headers}: {}",
            answer.body
        );
        assert!(!answer.json("reason").is_empty(), "{}", answer.body);
    }
    let health = ask("GET", "/healthz", "").await;
    assert!(health.body.contains("direct, IPv"), "{}", health.body);
}

#[tokio::test]
async fn a_proxy_of_a_device_that_is_off_says_so_and_recovers() {
    let device = device("");
    let uri = device.pair(&["phone"]);
    let proxy = Proxy::start(&device, &uri, "127.0.0.1:0");
    let target = format!("/command?{}", std::str::from_utf8(LIST).unwrap());
    assert_eq!(
        request(proxy.address, "POST", &target, "").await.status,
        200
    );
    let port = uri.udp[0].port();
    let directory = device.daemon.stop();
    let answer = request(proxy.address, "POST", &target, "").await;
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert!(answer.body.contains("\"code\":-2403"), "{}", answer.body);
    let config = format!("{}[p2p]\nport = {port}\n", crate::paired::config(""));
    let _daemon = Daemon::start_in(directory, &config);
    let recovered =
        async { while request(proxy.address, "POST", &target, "").await.status != 200 {} };
    tokio::time::timeout(HANG, recovered)
        .await
        .expect("it dials again");
}

#[test]
fn a_proxy_is_for_this_machine() {
    let device = Device::start("[p2p]\nport = 0\n");
    let path = device.daemon.directory().join("uri");
    std::fs::write(&path, device.pair(&["phone"]).expose()).unwrap();
    for listen in ["0.0.0.0:0", "[::]:0", "[::ffff:0.0.0.0]:0"] {
        let mut command = program();
        command.args(["proxy", "--listen", listen]);
        let output = command
            .arg(format!("@{}", path.display()))
            .output()
            .unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && errors.contains("loopback"),
            "{listen}: {errors}"
        );
    }
}

fn doctor(arguments: &[&str]) -> (bool, String) {
    let output = program().arg("doctor").args(arguments).output().unwrap();
    (
        output.status.success(),
        String::from_utf8(output.stdout).unwrap(),
    )
}

#[tokio::test]
async fn the_doctor_says_what_works_and_what_does_not() {
    let (server, url) = relay().await;
    let device = Device::start(&format!("[p2p]\nport = 0\nrelays = [{url:?}]\n"));
    let config = device.daemon.directory().join("camera.toml");
    let config = config.to_str().unwrap();
    let at_device = || doctor(&["--config", config]);
    let (is_well, text) = tokio::task::spawn_blocking({
        let config = config.to_owned();
        move || doctor(&["--config", &config])
    })
    .await
    .unwrap();
    assert!(is_well, "{text}");
    for words in [
        "configuration is right",
        "clock is set",
        "MiB are free",
        "the daemon runs (process",
        "is open to every program of this machine",
        "is for viewers that were paired",
        "is reached",
    ] {
        assert!(text.contains(words), "{words} in {text}");
    }
    let uri = device.daemon.directory().join("uri");
    std::fs::write(&uri, device.pair(&["phone"]).expose()).unwrap();
    let uri = format!("@{}", uri.display());
    let (is_well, text) = tokio::task::spawn_blocking({
        let uri = uri.clone();
        move || doctor(&[&uri])
    })
    .await
    .unwrap();
    assert!(is_well, "{text}");
    for words in [
        "was dialled in",
        "lets this viewer in",
        "clocks agree",
        "the path is direct",
    ] {
        assert!(text.contains(words), "{words} in {text}");
    }
    server.shutdown().await.unwrap();
    device.peercam(&["revoke", "phone"]);
    let (is_well, text) = doctor(&[&uri]);
    assert!(!is_well && text.contains("was revoked"), "{text}");
    let (is_well, text) = at_device();
    assert!(!is_well && text.contains("no relay is reached"), "{text}");
}
