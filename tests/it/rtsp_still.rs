//! The still that an RTSP camera gives over HTTP: a camera that answers as a test tells it, and what it
//! is told in turn.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use peercam_hal::{
    Camera, HalError, Snapshot, StreamMemory,
    clock::Clock,
    rtsp::{
        Config, Credentials, JpegCamera, JpegConfig, Password, RtspCamera, Transport,
        parse_still_url,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{
    paired::{self, Device, RawViewer},
    stills::{jpeg_with, still},
    support::{Daemon, HANG, request, sim_config},
};

const DIGEST: &str =
    "WWW-Authenticate: Digest realm=\"cam\", qop=\"auth\", nonce=\"abc\", algorithm=MD5\r\n";
const BASIC: &str = "WWW-Authenticate: Basic realm=\"cam\"\r\n";
const UNKNOWN: &str =
    "WWW-Authenticate: Digest realm=\"cam\", qop=\"auth\", nonce=\"abc\", algorithm=MD6\r\n";

/// A web server that gives one answer after the other, each on its own connection, and notes heads of
/// requests.
struct Web {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    _task: JoinSet<()>,
}

impl Web {
    async fn start(answers: Vec<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let mut task = JoinSet::new();
        let noted = Arc::clone(&heads);
        task.spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                noted.lock().unwrap().push(String::from_utf8(head).unwrap());
                // It may have heard enough.
                let _ = stream.write_all(&answer).await;
            }
        });
        Self {
            address,
            heads,
            _task: task,
        }
    }

    fn still(&self, host: &str) -> Arc<dyn Snapshot> {
        let rtsp = url::Url::parse(&format!("rtsp://{host}/main")).unwrap();
        let still = format!("http://{host}:{}/still.jpg?ch=1", self.address.port());
        let config = Config {
            urls: [(); 3].map(|()| rtsp.clone()),
            snapshot: Some(parse_still_url(&still, &rtsp).unwrap()),
            credentials: Some(Credentials {
                user: "admin".to_owned(),
                password: Password::new("hunter2".to_owned()),
            }),
            transport: Transport::Tcp,
            always: false,
            linger: Duration::ZERO,
            sound: true,
            check: None,
            memory: StreamMemory {
                picture: 5000,
                ..StreamMemory::default()
            },
        };
        let camera = RtspCamera::new(Clock::start(), config);
        camera.capabilities().snapshot.expect("stills")
    }

    async fn capture(&self) -> Result<Bytes, HalError> {
        self.still("127.0.0.1").capture().await
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn whole() -> Vec<u8> {
    answer("200 OK", "", &jpeg_with(b"it"))
}

#[tokio::test]
async fn a_camera_s_password_goes_to_its_own_host_and_never_in_clear_where_digest_is_offered() {
    let both = format!("{BASIC}{DIGEST}");
    let in_one = "WWW-Authenticate: Basic realm=\"cam\", Digest realm=\"cam\", nonce=\"abc\", qop=\"auth\"\r\n";
    for (asks, shown) in [
        (DIGEST, "authorization: Digest username=\"admin\""),
        (&both, "authorization: Digest username=\"admin\""),
        (in_one, "authorization: Digest username=\"admin\""),
        // The camera is on this machine.
        (BASIC, "authorization: Basic YWRtaW46aHVudGVyMg=="),
    ] {
        let asked = answer("401 Unauthorized", asks, b"who?");
        let web = Web::start(vec![asked, whole()]).await;
        assert_eq!(web.capture().await, Ok(jpeg_with(b"it").into()), "{asks}");
        let heads = web.heads();
        assert!(
            !heads[0].to_lowercase().contains("authorization"),
            "{heads:?}"
        );
        assert!(heads[1].contains(shown), "{heads:?}");
        assert!(
            heads[0].starts_with("GET /still.jpg?ch=1 HTTP/1.1\r\n"),
            "{heads:?}"
        );
    }
    // Digest in a way that nobody knows is no reason to say it in clear.
    for asks in [
        UNKNOWN.to_owned(),
        format!("{UNKNOWN}{BASIC}"),
        format!("{BASIC}{UNKNOWN}"),
    ] {
        let web = Web::start(vec![answer("401 Unauthorized", &asks, b""), whole()]).await;
        let error = web.capture().await.expect_err("not known");
        assert!(
            error.to_string().contains("(Digest) is not known"),
            "{error}"
        );
        assert_eq!(web.heads().len(), 1);
    }
}

#[tokio::test]
async fn who_ever_offered_digest_gets_no_password_in_clear() {
    const HEAD: &str = "WWW-Authenticate: ";
    for (offer, words) in [
        // In Latin-1 and in UTF-8.
        (
            &b"Digest realm=\"caf\xe9\", nonce=\"abc\""[..],
            "not plain ASCII",
        ),
        (
            "Digest realm=\"café\", nonce=\"abc\"".as_bytes(),
            "not plain ASCII",
        ),
        (
            b"dIGEST realm=\"cam\" nonce=\"abc\"",
            "(Digest) is not known",
        ),
        (b"Digest realm=\"cam\"", "(Digest) is not known"),
        (
            b"Basic realm=\"cam\" Digest nonce=\"abc\"",
            "(Digest) is not known",
        ),
    ] {
        let offer = [HEAD.as_bytes(), offer, b"\r\n"].concat();
        for offers in [
            [&offer[..], BASIC.as_bytes()].concat(),
            [BASIC.as_bytes(), &offer].concat(),
        ] {
            let start = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n";
            let asks = [&start[..], &offers, b"\r\n"].concat();
            let later = answer("401 Unauthorized", BASIC, b"");
            let web = Web::start(vec![asks, later, whole()]).await;
            let still = web.still("127.0.0.1");
            for words in [words, "asked by Digest before"] {
                let error = still.capture().await.expect_err(words).to_string();
                assert!(error.contains(words), "{words}: {error}");
            }
            let heads = web.heads().concat().to_lowercase();
            assert!(!heads.contains("authorization"), "{heads}");
        }
    }
    // One that gave its still by Digest before.
    let [digest, basic] = [DIGEST, BASIC].map(|offer| answer("401 Unauthorized", offer, b""));
    let web = Web::start(vec![digest, whole(), basic, whole()]).await;
    let still = web.still("127.0.0.1");
    assert!(still.capture().await.is_ok());
    let error = still.capture().await.expect_err("Basic").to_string();
    assert!(error.contains("asked by Digest before"), "{error}");
    assert!(web.heads().len() == 3 && !web.heads()[2].contains("authorization"));
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_viewers_do_not_hear_where_to() {
    let other = Web::start(vec![whole()]).await;
    let to = format!("Location: http://{}/?secret=1\r\n", other.address);
    let web = Web::start(vec![answer("302 Found", &to, b"")]).await;
    let error = web.capture().await.expect_err("it leads away").to_string();
    assert!(
        error.contains("it redirects (302), which is not followed"),
        "{error}"
    );
    for secret in ["secret", &other.address.port().to_string()] {
        assert!(!error.contains(secret), "{error}");
    }
    assert!(other.heads().is_empty());
}

#[tokio::test]
async fn a_password_that_is_refused_is_not_tried_again_at_once() {
    let refused = answer("401 Unauthorized", DIGEST, b"");
    let web = Web::start(vec![refused.clone(), refused.clone(), refused]).await;
    let still = web.still("127.0.0.1");
    for words in [
        "refuses user and password (401)",
        "asked again in 60 s",
        "asked again in",
    ] {
        let error = still.capture().await.expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    assert_eq!(web.heads().len(), 2, "the account is not to be locked");
}

#[tokio::test]
async fn whatever_a_camera_answers_is_bounded_and_said() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let endless = [
        head.as_bytes(),
        &b"3e8\r\n"
            .iter()
            .chain(&[b'x'; 1000])
            .chain(b"\r\n")
            .copied()
            .collect::<Vec<_>>()
            .repeat(9),
    ]
    .concat();
    let long_head = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(40_000));
    for (given, words) in [
        (
            answer("404 Not Found", "", b"no"),
            "path of its URL is wrong",
        ),
        (answer("500 Oops", "", b"no"), "refuses the request (500)"),
        (
            answer("401 Unauthorized", "", b""),
            "in a way that is not known",
        ),
        (
            answer("200 OK", "", &[b'x'; 5001]),
            "does not end after 5000",
        ),
        (endless, "does not end after 5000"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf".to_vec(),
            "broke off",
        ),
        (long_head.into_bytes(), "broke off"),
        (b"RTSP/1.0 400 Bad Request\r\n\r\n".to_vec(), "broke off"),
        (Vec::new(), "broke off"),
    ] {
        let web = Web::start(vec![given]).await;
        let error = web.capture().await.expect_err(words).to_string();
        assert!(error.contains(words), "{words}: {error}");
    }
    // No length: it ends with the connection.
    let bare = [&b"HTTP/1.0 200 OK\r\n\r\n"[..], &jpeg_with(b"old")].concat();
    let web = Web::start(vec![bare]).await;
    assert_eq!(web.capture().await, Ok(jpeg_with(b"old").into()));
}

#[test]
fn a_still_is_where_its_camera_is() {
    let camera = url::Url::parse("rtsp://Camera.lan:8554/main?x=1").unwrap();
    for fine in [
        "http://camera.lan/still.jpg",
        "http://camera.lan:8080/a?b=c",
    ] {
        assert!(parse_still_url(fine, &camera).is_ok(), "{fine}");
    }
    for (text, words) in [
        ("https://camera.lan/", "TLS"),
        ("rtsp://camera.lan/", "http://HOST"),
        ("still.jpg", "http://HOST"),
        ("http://other.lan/still.jpg", "host of url"),
        ("http://camera.lan.evil/still.jpg", "host of url"),
        ("http://admin:hunter2@camera.lan/", "keys of their own"),
    ] {
        let error = parse_still_url(text, &camera).expect_err(text);
        assert!(
            error.contains(words) && !error.contains("hunter2"),
            "{text}: {error}"
        );
    }
}

#[tokio::test]
async fn a_still_that_nobody_reads_is_given_up_when_the_owner_needs_its_place() {
    // More than the kernel takes for one connection with so little memory.
    let small = jpeg_with(&[7; 60_000]);
    let (start, comment, end) = (&small[..2], &small[2..60_006], &small[60_006..]);
    let large = [start, &comment.repeat(6), end].concat();
    let whole = answer("200 OK", "", &large);
    let web = Web::start(vec![whole.clone(), whole]).await;
    // Longer than this test may take.
    let text = paired::config(
        "[http]\nmax_viewers = 2\nwrite_timeout = \"1h\"\n[runtime]\nmemory = \"12MiB\"\n",
    );
    let camera = format!(
        "kind = \"rtsp\", url = \"rtsp://127.0.0.1:1/\", snapshot_url = \"http://{}/\"",
        web.address
    );
    let text = text.replacen("kind = \"sim\"", &camera, 1);
    let device = Device::of(Daemon::start_in(tempfile::tempdir().unwrap(), &text));
    let still = "/snapshot.jpg?channel=0";
    let mut byte = [0];
    let mut nobody = TcpStream::connect(device.daemon.address).await.unwrap();
    let head = format!("GET {still} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    nobody.write_all(head.as_bytes()).await.unwrap();
    nobody.read_exact(&mut byte).await.unwrap();
    let mut guest = RawViewer::open(device.address, &device.pair(&["guest"])).await;
    let (head, _keys) = guest.request("GET", still, None);
    guest.stream.write_all(&head).await.unwrap();
    guest.stream.read_exact(&mut byte).await.unwrap();

    let uri = device.pair(&["owner", "--scope", "all"]);
    let mut owner = [(); 2].map(|()| None);
    for live in &mut owner {
        let mut viewer = RawViewer::open(device.address, &uri).await;
        viewer.live("channel=1&quality=standard").await;
        *live = Some(viewer);
    }
    let ended = r#"peercam_connections_ended_total{reason="displaced"}"#;
    device.daemon.metric_becomes(ended, 2.0).await;
}

#[tokio::test]
async fn what_a_camera_does_not_have_is_refused_beside_what_there_is() {
    let bare = "kind = \"rtsp\", url = \"rtsp://127.0.0.1:1/\"";
    let text = paired::config("").replacen("kind = \"sim\"", bare, 1);
    let device = Device::of(Daemon::start_in(tempfile::tempdir().unwrap(), &text));
    let still = "/snapshot.jpg?channel=0";
    for (method, target) in [("POST", "/voice?channel=0"), ("GET", still)] {
        let answer = request(device.daemon.address, method, target, "").await;
        assert_eq!(answer.status, 501, "{target}: {answer:?}");
        assert_eq!(answer.json("status"), "406", "{target}");
        let reason = answer.json("reason");
        for offered in [
            "GET /snapshot.jpg",
            "POST /voice",
            "get_device_st",
            "ptz_left",
        ] {
            assert!(reason.contains(offered), "{target}, {offered}: {reason}");
        }
    }
    // No more than the caller may do.
    let guest = device.pair(&["guest", "--scope", "live"]);
    let mut guest = RawViewer::open(device.address, &guest).await;
    let (status, text) = guest.ask("GET", still, None).await.sealed();
    assert!(
        status == 501 && text.contains("GET /snapshot.jpg"),
        "{text}"
    );
    assert!(
        !text.contains("voice") && !text.contains("ptz_left"),
        "{text}"
    );
}

#[tokio::test]
async fn a_camera_of_single_pictures_is_asked_for_a_still_until_one_was_fine() {
    let page = answer("200 OK", "", b"<html>");
    let web = Web::start(vec![
        answer("404 Not Found", "", b""),
        page,
        answer("200 OK", "", &[7; 6000]),
        whole(),
        whole(),
    ])
    .await;
    let url = url::Url::parse(&format!("http://{}/now.jpg", web.address)).unwrap();
    let config = JpegConfig {
        url,
        credentials: None,
        check: Some(Duration::from_secs(30)),
    };
    let camera = JpegCamera::new(config, 5000);
    let check = camera.capabilities().health_check.expect("it is checked");
    for words in ["(404)", "no JPEG", "does not end after 5000"] {
        let reason = check.check().await.expect_err(words).to_string();
        assert!(reason.contains(words), "{reason}");
    }
    for _ in 0..2 {
        assert_eq!(check.check().await, Ok(()));
    }
    // The second time it was connected to, and asked for nothing: the server takes that ill.
    assert_eq!(web.heads().len(), 4);
    let gone = async { while check.check().await.is_ok() {} };
    tokio::time::timeout(HANG, gone).await.expect("it is gone");
    let reason = check.check().await.expect_err("gone").to_string();
    assert!(reason.contains("cannot be reached"), "{reason}");
}

#[tokio::test]
async fn a_camera_of_single_pictures_has_stills_and_nothing_else() {
    let gone = answer("404 Not Found", "", b"");
    let web = Web::start(vec![gone, answer("401 Unauthorized", DIGEST, b""), whole()]).await;
    let camera = format!(
        "kind = \"jpeg\", url = \"http://{}/now.jpg\", user = \"admin\", password = \"hunter2\", check = \"off\"",
        web.address
    );
    let text = sim_config("").replace("kind = \"sim\", every_picture = true", &camera);
    let daemon = Daemon::start(&format!("[record]\n{text}"));
    daemon.logs("nothing is recorded of it");
    let ask = async |cmd: &str| {
        let target = format!("/command?action=inner_define&cmd={cmd}");
        request(daemon.address, "POST", &target, "").await.body
    };
    let health = async || request(daemon.address, "GET", "/healthz", "").await.body;
    let is_said = async |online: bool, reason: &str| {
        let (health, channels) = (health().await, ask("get_nvr_list").await);
        let status = if online { "ok" } else { "degraded" };
        for words in [
            format!("\"{status}\""),
            format!("\"online\":{online}"),
            reason.to_owned(),
        ] {
            assert!(health.contains(&words), "{words}: {health}");
        }
        let online = format!("\"Online\":\"{}\"", u8::from(online));
        assert!(channels.contains(&online), "{channels}");
    };
    // Until it knows its card, a daemon that records is degraded.
    let known = async { while health().await.contains("is being looked at") {} };
    tokio::time::timeout(HANG, known)
        .await
        .expect("the card is known");
    is_said(true, "").await;
    assert!(web.heads().is_empty(), "it is not asked for this");
    let (head, _) = still(daemon.address, "GET", "").await;
    assert!(head.starts_with("http/1.1 502"), "{head}");
    is_said(false, "no such still (404)").await;
    // It is asked again whatever came of it before.
    let (head, body) = still(daemon.address, "GET", "").await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert_eq!(body, jpeg_with(b"it"));
    assert!(web.heads()[2].contains("authorization: Digest"));
    is_said(true, "").await;
    assert!(!health().await.contains("reason"));

    let live = request(daemon.address, "GET", "/ipc.flv?action=live", "").await;
    assert_eq!(live.status, 501, "{live:?}");
    for words in ["single pictures only", "GET /snapshot.jpg"] {
        assert!(live.json("reason").contains(words), "{live:?}");
    }
    let status = ask("get_device_st&type=live").await;
    assert!(status.contains("\"status\":\"406\""), "{status}");
    let help = ask("help").await;
    assert!(
        help.contains("snapshot.jpg") && !help.contains("action=live"),
        "{help}"
    );
    let event = request(daemon.address, "POST", "/event?type=1", "").await;
    assert_ne!(event.status, 200, "{event:?}");
}
