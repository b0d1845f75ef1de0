//! The attacks that a device and a viewer have to stand over P2P. Each test is named after what
//! failed elsewhere.

use std::{collections::BTreeSet, sync::Arc};

use peercam_client::p2p::Identity;
use peercam_net::p2p::{CloseReason, Connection, Endpoint};
use peercam_proto::credential::{BodyKind, PairingUri};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    dialled::{PlayedAudio, RawPeer, device, endpoint, session_with},
    hostile::scaled,
    paired::RawViewer,
    support::{Answer, HANG},
};

async fn closed(connection: &Connection) -> CloseReason {
    let closed = tokio::time::timeout(HANG, connection.closed()).await;
    closed.expect("it does not hang")
}

#[tokio::test]
async fn a_token_is_good_on_its_own_connection_and_once() {
    let device = device("");
    let uri = device.pair(&["phone"]);
    let peer = RawPeer::dial(&uri, 1).await;
    let target = peer.signed(&uri, 1, ("GET", "/healthz"), BodyKind::None);
    let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    let status = |answer: Option<Answer>| answer.map(|answer| answer.status);
    assert_eq!(status(peer.raw(&request).await), Some(200));
    assert_eq!(status(peer.raw(&request).await), Some(401), "replayed");
    let same_viewer = RawPeer::dial(&uri, 1).await;
    assert_eq!(same_viewer.id, peer.id);
    assert_eq!(
        status(same_viewer.raw(&request).await),
        Some(401),
        "elsewhere"
    );
    let other_viewer = RawPeer::dial(&uri, 2).await;
    assert_eq!(status(other_viewer.raw(&request).await), Some(401));
    // Streams may overtake each other, by as many as the window is wide.
    let fresh = RawPeer::dial(&uri, 3).await;
    for counter in (37..=100).rev() {
        let answer = fresh.get(&uri, counter, "/healthz").await;
        assert_eq!(status(answer), Some(200), "{counter}");
    }
    for counter in [36, 100, 50, 0] {
        let answer = fresh.get(&uri, counter, "/healthz").await;
        assert_eq!(status(answer), Some(401), "{counter}");
    }
    // That was the fourth that proved nothing.
    let spent = fresh.get(&uri, 101, "/healthz").await;
    assert!(matches!(status(spent), Some(200) | None));
}

#[tokio::test]
async fn a_body_or_a_range_that_was_not_signed_is_nothing() {
    let device = device("");
    let uri = device.pair(&["phone"]);
    let peer = RawPeer::dial(&uri, 1).await;
    let list = "action=inner_define&cmd=get_nvr_list";
    let signed = |counter, kind| peer.signed(&uri, counter, ("POST", "/command"), kind);
    let post = |target: &str, body: &str| {
        format!(
            "POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    for (target, body, status) in [
        (signed(1, BodyKind::Plain), list, 200),
        (signed(2, BodyKind::None), list, 401),
        (signed(3, BodyKind::Records), list, 401),
        (signed(4, BodyKind::Plain), "", 401),
    ] {
        let answer = peer.raw(&post(&target, body)).await.unwrap();
        assert_eq!(answer.status, status, "{}", answer.body);
    }
    let target = peer.signed(&uri, 5, ("GET", "/healthz"), BodyKind::None);
    let ranged = format!("GET {target} HTTP/1.1\r\nHost: x\r\nRange: bytes=1-\r\n\r\n");
    assert_eq!(peer.raw(&ranged).await.unwrap().status, 401);
}

#[tokio::test]
async fn a_peer_without_proof_gets_one_answer_for_everything_and_few_of_them() {
    let device = device("");
    let uri = device.pair(&["phone"]);
    let mut answers = BTreeSet::new();
    let targets = [
        "/",
        "/ipc.flv?action=live",
        "/command",
        "/metrics",
        "/sessions",
        "/forward/x/feedback",
        "/ipc.flv?_token=x",
        "/ipc.flv?action=live&_crypto=off",
    ];
    for (index, targets) in targets.chunks(2).enumerate() {
        let peer = RawPeer::dial(&uri, 10 + u8::try_from(index).unwrap()).await;
        for (target, method) in targets
            .iter()
            .flat_map(|target| [(target, "GET"), (target, "POST")])
        {
            let request = format!("{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n");
            let answer = peer.raw(&request).await.unwrap();
            assert_eq!(answer.status, 401, "{method} {target}");
            answers.insert(answer.head + &answer.body);
        }
        // Those were four; a fifth is not answered.
        assert!(
            peer.raw("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                .await
                .is_none()
        );
        let lost = closed(&peer.connection).await;
        assert!(
            matches!(&lost, CloseReason::Closed(reason) if reason.contains("no proof")),
            "{lost}"
        );
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
}

#[tokio::test]
async fn a_peer_without_proof_has_one_stream_and_little_time() {
    let device = device("");
    let uri = device.pair(&["phone"]);
    let peer = RawPeer::dial(&uri, 1).await;
    let mut first = peer.connection.open().await.unwrap();
    first.write_all(b"GET / HTTP").await.unwrap();
    let mut second = std::pin::pin!(peer.connection.open());
    assert!(
        std::future::poll_fn(|context| std::task::Poll::Ready(second.as_mut().poll(context)))
            .await
            .is_pending()
    );
    // Neither does it get more by asking for long: the device closes the connection by itself.
    let waited = tokio::time::timeout(HANG, second).await;
    assert!(waited.expect("it does not hang").is_err());
    closed(&peer.connection).await;
    // What a peer may send unread is bounded.
    let peer = RawPeer::dial(&uri, 2).await;
    let mut stream = peer.connection.open().await.unwrap();
    let much = vec![b'a'; 1 << 20];
    let written = tokio::time::timeout(HANG, stream.write_all(&much)).await;
    assert!(written.expect("it does not hang").is_err());
}

#[tokio::test]
async fn strangers_cannot_shut_the_owner_out_over_p2p() {
    let device = device("[access]\nmax_sessions = 4\n");
    let uri = device.pair(&["owner"]);
    let resident = device.daemon.resident_kib();
    let mut strangers = Vec::new();
    for key in 0..u8::try_from(scaled(200).min(200)).unwrap() {
        let endpoint = endpoint(key + 1).await;
        // Whether it gets in makes no difference.
        let dialled = RawPeer::dial_from(&endpoint, &uri).await;
        strangers.push((endpoint, dialled));
    }
    let owner = crate::dialled::session(&uri).await;
    let live = "/ipc.flv?action=live&channel=0&quality=standard";
    let answer = owner
        .send(peercam_client::p2p::ClientRequest::get(live))
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    let open = device.daemon.metric("peercam_p2p_connections ").await;
    let most = peercam::budget::P2P_STRANGERS + 1;
    assert!(open <= most as f64, "{open}");
    let grown = device.daemon.resident_kib().saturating_sub(resident);
    assert!(grown < 16 << 10, "{grown} KiB");
}

#[tokio::test]
async fn one_guest_with_many_endpoints_has_two_places() {
    let device = device("[access]\nmax_sessions = 4\n");
    let (guest, owner) = (device.pair(&["guest"]), device.pair(&["owner"]));
    let mut kept = Vec::new();
    let mut statuses = Vec::new();
    for key in 0..u8::try_from(scaled(50).clamp(4, 50)).unwrap() {
        let peer = RawPeer::dial(&guest, key + 1).await;
        statuses.push(peer.get(&guest, 1, "/healthz").await.unwrap().status);
        kept.push(peer);
    }
    assert_eq!(
        statuses.iter().filter(|status| **status == 200).count(),
        2,
        "{statuses:?}"
    );
    let peer = RawPeer::dial(&owner, 100).await;
    assert_eq!(peer.get(&owner, 1, "/healthz").await.unwrap().status, 200);
}

#[tokio::test]
async fn nobody_tells_viewers_something_from_outside() {
    let device = device("");
    let uri = device.pair(&["a", "--scope", "all"]);
    let victim = device.pair(&["b"]);
    let heard = Arc::new(PlayedAudio::default());
    let identity = Identity::random().unwrap();
    let session = session_with(&victim, identity, Some(heard.clone())).await;
    let request = peercam_client::p2p::ClientRequest::get("/healthz");
    assert_eq!(session.send(request).await.unwrap().status(), 200);
    let listed = crate::support::request(device.daemon.address, "GET", "/sessions", "").await;
    let listed: serde_json::Value = serde_json::from_str(&listed.body).unwrap();
    let id = listed["sessions"][0]["session"].as_str().unwrap();
    let peer = RawPeer::dial(&uri, 1).await;
    let mut by_tcp = RawViewer::open(device.address, &uri).await;
    for (index, path) in [
        format!("/forward/{id}/feedback"),
        format!("/ipc.p2p.com/forward/{id}/proxy.sample.server/feedback"),
        format!("//x/forward/{id}/x/feedback"),
        "/feedback".to_owned(),
        format!("/feedback?_peername={id}"),
        "/sessions".to_owned(),
    ]
    .into_iter()
    .enumerate()
    {
        for method in ["POST", "GET"] {
            let counter = 1 + 2 * u32::try_from(index).unwrap() + u32::from(method == "GET");
            let target = peer.signed(&uri, counter, (method, &path), BodyKind::None);
            let answer = peer
                .raw(&format!("{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n"))
                .await;
            assert_eq!(answer.unwrap().status, 404, "{method} {path}");
            let body = (method == "POST").then_some(b"{}".as_slice());
            let (status, text) = by_tcp.ask(method, &path, body).await.sealed();
            assert_eq!(status, 404, "{method} {path}: {text}");
        }
    }
    assert!(heard.all().is_empty());
}

/// A device that does as it likes, and a viewer's session with it.
async fn evil_device(uri: &PairingUri) -> (Endpoint, PairingUri) {
    let endpoint = crate::dialled::device_endpoint(77).await;
    let uri = PairingUri {
        device: endpoint.id(),
        udp: endpoint.hints(),
        lan: Vec::new(),
        ..uri.clone()
    };
    (endpoint, uri)
}

#[tokio::test]
async fn a_device_can_tell_its_viewer_something_and_nothing_else() {
    let device = device("");
    let (evil, uri) = evil_device(&device.pair(&["phone"])).await;
    let heard = Arc::new(PlayedAudio::default());
    let identity = Identity::random().unwrap();
    let accept = async { evil.accept().await.unwrap().accept().await.unwrap() };
    let (connection, _session) =
        tokio::join!(accept, session_with(&uri, identity, Some(heard.clone())));
    let ask = async |text: String| {
        let mut stream = connection.open().await.unwrap();
        // It may answer before it has read everything.
        let _ = stream.write_all(text.as_bytes()).await;
        let mut answer = Vec::new();
        let read = tokio::time::timeout(HANG, stream.read_to_end(&mut answer)).await;
        let _ = read.expect("it does not hang");
        Answer::parse(&answer).map(|answer| answer.status)
    };
    let post = |path: &str, body: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    for (text, expected) in [
        (post("/feedback?product_id=a", "{}"), Some(200)),
        (post("/feedback", "[]"), Some(400)),
        (post("/feedback", r#"{"iv_private_cmd":"x"}"#), Some(400)),
        (
            post(
                "/feedback",
                &format!("{{\"a\":\"{}\"}}", "x".repeat(16 << 10)),
            ),
            Some(413),
        ),
        (post("/command", "{}"), Some(404)),
        (post("/x/feedback", "{}"), Some(404)),
        (
            "GET /feedback HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            Some(405),
        ),
        ("garbage\r\n\r\n".to_owned(), Some(400)),
    ] {
        assert_eq!(ask(text.clone()).await, expected, "{text:.80}");
    }
    assert_eq!(heard.all(), ["{}"]);
}

#[tokio::test]
async fn nobody_dials_a_viewer() {
    let viewer = endpoint(1).await;
    let other = endpoint(2).await;
    let hints = peercam_net::p2p::Hints {
        relays: Vec::new(),
        addresses: viewer.hints(),
    };
    let dialled = other.dial(viewer.id(), &hints).await;
    assert!(dialled.is_err(), "a viewer speaks no protocol of a device");
}

#[tokio::test]
async fn a_device_with_another_key_is_not_the_device() {
    let device = device("");
    let (evil, uri) = evil_device(&device.pair(&["phone"])).await;
    let wrong = PairingUri {
        // The real one's id, at the address of the other.
        device: device.id,
        ..uri
    };
    let dialler = endpoint(3).await;
    let (dialled, _accepted) = tokio::join!(RawPeer::dial_from(&dialler, &wrong), async {
        let accepted = tokio::time::timeout(std::time::Duration::from_secs(1), evil.accept()).await;
        match accepted {
            Ok(Some(incoming)) => incoming.accept().await.is_ok(),
            _ => false,
        }
    });
    assert!(dialled.is_err());
}

#[tokio::test]
async fn one_guest_cannot_take_all_places_of_viewers_over_p2p() {
    let device = device("[access]\nmax_sessions = 4\n[http]\nmax_viewers = 32\n");
    let guest = crate::dialled::session(&device.pair(&["guest"])).await;
    let owner = crate::dialled::session(&device.pair(&["owner"])).await;
    let live = || peercam_client::p2p::ClientRequest::get("/ipc.flv?action=live&quality=standard");
    let mut kept = Vec::new();
    for _ in 0..32 / 4 {
        let answer = guest.send(live()).await.unwrap();
        kept.push(answer.checked().await.unwrap());
    }
    let refused = guest.send(live()).await.unwrap().checked().await.err();
    assert!(
        matches!(&refused, Some(peercam_client::ClientError::Refused { status: 503, reason }) if reason.contains("its share")),
        "{refused:?}"
    );
    assert_eq!(owner.send(live()).await.unwrap().status(), 200);
    kept.pop();
    device
        .daemon
        .metric_becomes("peercam_live_viewers", 7.0)
        .await;
    assert_eq!(guest.send(live()).await.unwrap().status(), 200);
}
