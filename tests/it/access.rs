//! The attacks that an access-controlled device has to stand, from outside. Each test is named after
//! what failed elsewhere.

use std::{collections::BTreeSet, os::unix::fs::PermissionsExt, time::SystemTime};

use peercam_proto::{
    credential::BodyKind,
    sealed::{Record, Sealer},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    hostile::scaled,
    paired::{Device, RawViewer, Reply, read_whole},
    support::{Answer, Daemon, raw, request},
};

const LIST: &[u8] = b"action=inner_define&cmd=get_nvr_list";
const LIVE: &str = "/ipc.flv?action=live&channel=0&quality=standard";

#[tokio::test]
async fn without_a_credential_nothing_comes_out_of_any_door() {
    let device = Device::start("");
    let id = device.pair(&["owner"]).device.to_string();
    let mut answers = BTreeSet::new();
    for method in [
        "GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "FOO",
    ] {
        for target in [
            "/",
            "/ipc.flv",
            LIVE,
            "/ipc.p2p.com/ipc.flv?action=live",
            "/ipc.flv?action=live&channel=99",
            "/ipc.flv?action=live&_crypto=off",
            "/ipc.flv?_token=x",
            "/ipc.flv?_token=&action=live",
            "/voice",
            "/command?action=inner_define&cmd=get_device_st",
            "/command",
            "/feedback",
            "/forward/0/x/feedback",
            "/ipc.p2p.com/forward/0/proxy.sample.server/feedback?x=1",
            "/metrics",
            "/healthz/",
            "/healthz?_token=x",
            "/endpoint.json",
            "/../access/access.key",
            "http://127.0.0.1/ipc.flv?action=live",
            "//ipc.flv?action=live",
            "*",
        ] {
            let text = format!(
                "{method} {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\nRange: bytes=0-\r\nConnection: close\r\n\r\n"
            );
            let answer = raw(device.address, text.as_bytes()).await;
            let text = String::from_utf8_lossy(&answer).into_owned();
            for word in [
                "FLV",
                "front",
                "back",
                id.as_str(),
                "peercam_",
                "date:",
                "server:",
                "allow",
            ] {
                assert!(!text.contains(word), "{method} {target}: {text}");
            }
            answers.insert((method == "HEAD", without_keys(&text)));
        }
    }
    assert_eq!(
        answers.len(),
        2,
        "one answer, and the same without its body: {answers:#?}"
    );
    let health = request(device.address, "GET", "/healthz", "").await;
    assert_eq!(
        (health.status, health.body.as_str()),
        (200, "{\"status\":\"ok\"}")
    );
    assert_eq!(device.daemon.metric("peercam_live_viewers").await, 0.0);
    assert_eq!(
        device
            .daemon
            .metric("peercam_http_requests_total{route=\"ipc.flv\"")
            .await,
        0.0
    );
}

/// An answer without what is fresh in it.
fn without_keys(text: &str) -> String {
    let fresh = ["www-authenticate: ", "peercam-cookie: "];
    let keyed = |line: &str| {
        let lower = line.to_ascii_lowercase();
        match fresh.iter().find_map(|name| lower.strip_prefix(name)) {
            Some(keys) => format!("{} characters that are fresh", keys.len()),
            None => line.to_owned(),
        }
    };
    text.lines().map(keyed).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn every_cause_has_the_same_401() {
    let device = Device::start("");
    let uri = device.pair(&["phone"]);
    let other = Device::start("");
    let stranger = other.pair(&["phone"]);
    let mut answers = BTreeSet::new();
    for cause in 0..12 {
        let mut viewer = RawViewer::open(device.address, &uri).await;
        if cause == 0 {
            viewer.uri.credential = stranger.credential.clone();
        }
        let (bytes, keys) = match cause {
            1 => viewer.request("GET", "/ipc.flv?action=live&channel=9", None),
            2 => viewer.request("GET", "/nowhere", None),
            _ => viewer.request("GET", LIVE, None),
        };
        let text = String::from_utf8(bytes).expect("ASCII");
        let text = match cause {
            1 => text.replace("channel=9", "channel=8"),
            2 => text.replace("/nowhere", "/nowhere2"),
            3 => text.replace("1.local.", "1.shop."),
            4 => text.replace("1.local.0", "1.local.1"),
            5 => text.replace("1.local", "2.local"),
            6 => text.replace("GET", "POST"),
            7 => text.replace("Host: x", "Host: x\r\nRange: bytes=1-"),
            8 => text.replace("Host: x", "Host: x\r\nRange: bytes=1-\r\nRange: bytes=1-"),
            9 => text.replace("Host: x", "Host: x\r\nTransfer-Encoding: chunked") + "0\r\n\r\n",
            10 => text.replace("?_token", "?%5Ftoken"),
            11 => text.replace("&action", "&_token=x&action"),
            _ => text,
        };
        let reply = viewer.exchange_bytes(text.as_bytes(), keys).await;
        let Reply::Clear(answer) = reply else {
            panic!("cause {cause}: {reply:?}");
        };
        assert_eq!(answer.status, 401, "cause {cause}");
        answers.insert(without_keys(&format!("{}\n{}", answer.head, answer.body)));
    }
    assert_eq!(answers.len(), 1, "{answers:#?}");
}

#[tokio::test]
async fn a_replayed_request_is_nothing_on_its_own_connection_on_another_and_after_a_restart() {
    let device = Device::start("");
    let uri = device.pair(&["phone"]);
    let mut viewer = RawViewer::open(device.address, &uri).await;
    let (bytes, keys) = viewer.request("POST", "/command", Some(LIST));
    let (status, body) = viewer.exchange_bytes(&bytes, keys).await.sealed();
    assert_eq!(status, 200, "{body}");
    // Pipelined with a good one, so that the connection is as it was.
    let (_, keys) = viewer.request("POST", "/command", Some(LIST));
    assert!(viewer.exchange_bytes(&bytes, keys).await.is_401());
    let mut other = RawViewer::open(device.address, &uri).await;
    let (_, keys) = other.request("POST", "/command", Some(LIST));
    assert!(other.exchange_bytes(&bytes, keys).await.is_401());

    let device = Device::of(Daemon::start_in(
        device.daemon.stop(),
        &crate::paired::config(""),
    ));
    let mut again = RawViewer::open(device.address, &uri).await;
    let (_, keys) = again.request("POST", "/command", Some(LIST));
    assert!(again.exchange_bytes(&bytes, keys).await.is_401());
    assert_eq!(
        again.ask("POST", "/command", Some(LIST)).await.sealed().0,
        200
    );
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_each_with_its_own_keys() {
    let device = Device::start("");
    let uri = device.pair(&["phone"]);
    let mut viewer = RawViewer::open(device.address, &uri).await;
    let requests: Vec<_> = (0..5)
        .map(|_| viewer.request("POST", "/command", Some(LIST)))
        .collect();
    let all: Vec<u8> = requests
        .iter()
        .flat_map(|(bytes, _)| bytes.clone())
        .collect();
    viewer.stream.write_all(&all).await.unwrap();
    let mut rest = Vec::new();
    for (_, keys) in requests {
        // They may come together: cut at the end of each answer.
        loop {
            const END: &[u8] = b"\r\n0\r\n\r\n";
            if let Some(at) = rest.windows(END.len()).position(|window| window == END) {
                let answer: Vec<u8> = rest.drain(..at + END.len()).collect();
                assert_eq!(crate::paired::opened(&answer, keys).sealed().0, 200);
                break;
            }
            rest.extend(read_whole(&mut viewer.stream).await.expect("more"));
        }
    }
}

#[tokio::test]
async fn refusals_after_the_proof_are_precise_and_sealed() {
    let device = Device::start("");
    let narrow = device.pair(&["guest", "--scope", "live", "--channel", "1"]);
    let wide = device.pair(&["owner", "--scope", "all"]);
    let no_body = None;
    for (uri, method, target, body, status, words) in [
        (&narrow, "GET", "/nowhere", no_body, 404, "no such path"),
        (
            &narrow,
            "GET",
            "/ipc.flv?action=live",
            no_body,
            404,
            "this device has 1",
        ),
        (
            &narrow,
            "GET",
            "/ipc.flv?action=live&channel=0",
            no_body,
            404,
            "this device has 1",
        ),
        (
            &narrow,
            "GET",
            "/ipc.flv?action=live&channel=9",
            no_body,
            404,
            "this device has 1",
        ),
        (
            &narrow,
            "GET",
            "/ipc.flv?action=fly&channel=1",
            no_body,
            400,
            "live, playback, download",
        ),
        (
            &narrow,
            "GET",
            "/ipc.flv?action=live&channel=1&channel=1",
            no_body,
            400,
            "twice",
        ),
        (
            &narrow,
            "GET",
            "/ipc.flv?action=live&channel=1&x=%zz",
            no_body,
            400,
            "hex",
        ),
        (
            &narrow,
            "GET",
            "/ipc.flv?action=live&channel=1&_crypto=off",
            no_body,
            403,
            "allow_clear_media",
        ),
        (
            &narrow,
            "GET",
            "/ipc.flv?action=live&channel=1&crypto=false",
            no_body,
            403,
            "allow_clear_media",
        ),
        (&narrow, "GET", "/metrics", no_body, 403, "scope metrics"),
        (&narrow, "POST", "/metrics", Some(&b""[..]), 405, "GET"),
        (&narrow, "GET", "/command", no_body, 405, "POST"),
        (
            &narrow,
            "POST",
            "/command?action=inner_define&cmd=get_nvr_list",
            no_body,
            400,
            "sealed body",
        ),
        (&narrow, "POST", "/command", no_body, 400, "cmd"),
        (
            &narrow,
            "POST",
            "/command",
            Some(&[b'x'; 16385][..]),
            413,
            "16384",
        ),
        (
            &narrow,
            "POST",
            "/forward/0/x/feedback",
            Some(LIST),
            404,
            "no such path",
        ),
        (
            &narrow,
            "POST",
            "/ipc.p2p.com/forward/0/proxy.sample.server/feedback",
            Some(LIST),
            404,
            "no such path",
        ),
        (
            &wide,
            "GET",
            "/ipc.flv?action=live&channel=9",
            no_body,
            404,
            "this device has 0, 1",
        ),
    ] {
        let mut viewer = RawViewer::open(device.address, uri).await;
        let (found, text) = viewer.ask(method, target, body).await.sealed();
        assert_eq!(found, status, "{method} {target}: {text}");
        assert!(text.contains(words), "{method} {target}: {text}");
    }
    let mut viewer = RawViewer::open(device.address, &narrow).await;
    let (_, list) = viewer.ask("POST", "/command", Some(LIST)).await.sealed();
    assert_eq!(
        list,
        r#"[{"DeviceName":"back","Channel":"1","Online":"1"}]"#
    );
    let ask = b"action=inner_define&cmd=get_device_st&type=live&channel=0";
    let (_, state) = viewer.ask("POST", "/command", Some(ask)).await.sealed();
    assert!(
        state.contains(r#""status":"404""#)
            && !state.contains('0'.to_string().as_str().repeat(2).as_str()),
        "{state}"
    );
    let (_, health) = viewer.ask("GET", "/healthz", None).await.sealed();
    assert!(
        health.contains("back") && !health.contains("front"),
        "{health}"
    );
    let mut viewer = RawViewer::open(device.address, &wide).await;
    let (status, metrics) = viewer.ask("GET", "/metrics", None).await.sealed();
    assert!(
        status == 200 && metrics.contains("peercam_access_proven_total"),
        "{metrics}"
    );
    let head = viewer.ask("HEAD", LIVE, None).await;
    assert!(matches!(head, Reply::Clear(answer) if answer.status == 405 && answer.body.is_empty()));
}

#[tokio::test]
async fn claims_that_are_not_in_order_let_nobody_in_whoever_minted_them() {
    let device = Device::start("");
    let good = r#"{"v":1,"id":"AAECAwQFBgcICQoLDA0ODw","name":"phone","scopes":["live"],"ch":[0],"exp":0}"#;
    let peer = format!(
        "{},\"peer\":\"{}\"}}",
        &good[..good.len() - 1],
        "ab".repeat(32)
    );
    for (claims, status, words) in [
        (good.to_owned(), 200, ""),
        (
            good.replace("\"v\":1", "\"v\":1,\"w\":1"),
            403,
            "unknown field",
        ),
        (
            good.replace("\"v\":1", "\"v\":1,\"v\":1"),
            403,
            "duplicate field",
        ),
        (good.replace(",\"ch\":[0]", ""), 403, "missing field"),
        (good.replace("\"exp\":0", "\"exp\":1e3"), 403, "claims"),
        (good.replace("\"exp\":0", "\"exp\":1"), 403, "has ended"),
        (peer, 403, "one viewer's key"),
        ("not JSON".to_owned(), 403, "not a JSON object"),
    ] {
        let uri = device.mint(&claims);
        let mut viewer = RawViewer::open(device.address, &uri).await;
        let (found, text) = viewer.ask("POST", "/command", Some(LIST)).await.sealed();
        assert_eq!(found, status, "{claims}: {text}");
        assert!(text.contains(words), "{claims}: {text}");
    }
}

#[tokio::test]
async fn a_command_whose_body_was_changed_is_not_done() {
    let device = Device::start("");
    let uri = device.pair(&["phone"]);
    for change in 0..7 {
        let mut viewer = RawViewer::open(device.address, &uri).await;
        let (mut bytes, keys) = viewer.request("POST", "/command", Some(LIST));
        let body_at = bytes
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap()
            + 4;
        let (other, _) = viewer.request("POST", "/command", Some(LIST));
        let reply = match change {
            // A flipped bit.
            0 => {
                bytes[body_at + 6] ^= 1;
                viewer.exchange_bytes(&bytes, keys).await
            }
            // The body of another request.
            1 => {
                let at = other
                    .windows(4)
                    .position(|four| four == b"\r\n\r\n")
                    .unwrap()
                    + 4;
                bytes.splice(body_at.., other[at..].iter().copied());
                viewer.exchange_bytes(&bytes, keys).await
            }
            // Stripped.
            2 => {
                let text = String::from_utf8_lossy(&bytes[..body_at]).into_owned();
                let text = text.replace(
                    &format!("Content-Length: {}", bytes.len() - body_at),
                    "Content-Length: 0",
                );
                let reply = viewer.exchange_bytes(text.as_bytes(), keys).await;
                assert!(reply.is_401(), "{reply:?}");
                continue;
            }
            // In clear.
            3 => {
                let body = LIST.to_vec();
                let text = String::from_utf8_lossy(&bytes[..body_at]).into_owned();
                let text = text.replace(
                    &format!("Content-Length: {}", bytes.len() - body_at),
                    &format!("Content-Length: {}", body.len()),
                );
                viewer
                    .exchange_bytes(&[text.into_bytes(), body].concat(), keys)
                    .await
            }
            // The last record became data, and nothing follows.
            4 => {
                bytes[body_at] = 2;
                viewer.exchange_bytes(&bytes, keys).await
            }
            // Something follows.
            5 => {
                let length = bytes.len() - body_at;
                let text = String::from_utf8_lossy(&bytes[..body_at]).into_owned();
                let text = text.replace(
                    &format!("Content-Length: {length}"),
                    &format!("Content-Length: {}", length + 1),
                );
                let bytes = [text.into_bytes(), bytes[body_at..].to_vec(), b"\0".to_vec()].concat();
                viewer.exchange_bytes(&bytes, keys).await
            }
            // Records of the other direction.
            _ => {
                let credential = viewer.uri.credential.clone();
                let signed = viewer.sign("POST", "/command", BodyKind::Records);
                let (token, transcript) = (signed.token(&credential), signed.transcript());
                let wrong = Sealer::new(viewer.keys(&transcript).response).last(&mut &LIST[..]);
                let head = format!(
                    "POST /command?_token={token} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
                    wrong.len()
                );
                let keys = viewer.keys(&transcript);
                viewer
                    .exchange_bytes(&[head.as_bytes(), &wrong].concat(), keys)
                    .await
            }
        };
        let (status, text) = reply.sealed();
        assert_eq!(status, 400, "change {change}: {text}");
        assert!(text.contains("nothing was done"), "change {change}: {text}");
    }
    let mut viewer = RawViewer::open(device.address, &uri).await;
    viewer.ask("POST", "/command", Some(LIST)).await.sealed();
    device.daemon.logs("command=ChannelList");
    let done = device.daemon.log().matches("command=ChannelList").count();
    assert_eq!(done, 1, "the last one alone");
}

#[tokio::test]
async fn only_media_can_be_had_in_clear_and_only_where_the_owner_allows_it() {
    let directory = tempfile::tempdir().unwrap();
    let config = crate::paired::config("").replace(
        "access = \"token\"",
        "access = \"token\"\nallow_clear_media = true",
    );
    let device = Device::of(Daemon::start_in(directory, &config));
    let uri = device.pair(&["owner", "--scope", "all"]);
    for target in [
        "/healthz?_crypto=off",
        "/metrics?_crypto=off",
        "/metrics?crypto=false",
        "/nowhere?_crypto=off",
        "/ipc.flv?_crypto=off",
        "/ipc.flv?action=live&channel=9&_crypto=off",
        "/ipc.flv?action=live&_crypto=off&_crypto=off",
    ] {
        let mut viewer = RawViewer::open(device.address, &uri).await;
        let reply = viewer.ask("GET", target, None).await;
        assert!(matches!(reply, Reply::Sealed(..)), "{target}: {reply:?}");
    }
    let mut viewer = RawViewer::open(device.address, &uri).await;
    let body = b"action=inner_define&cmd=get_nvr_list&_crypto=off";
    let reply = viewer.ask("POST", "/command", Some(body)).await;
    assert!(matches!(reply, Reply::Sealed(..)), "{reply:?}");
    let (bytes, _) = viewer.request("GET", "/ipc.flv?action=live&_crypto=off", None);
    viewer.stream.write_all(&bytes).await.unwrap();
    let mut answer = Vec::new();
    while !answer.windows(4).any(|four| four == b"FLV\x01") {
        let count = viewer.stream.read_buf(&mut answer).await.unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&answer));
    }
    assert!(String::from_utf8_lossy(&answer).contains("content-type: video/x-flv"));
}

/// More than a second of pictures and sound, at twice the bar.
const TWO_SECONDS_OF_RECORDS: usize = 2 * 25 * 2;

#[tokio::test]
async fn access_that_has_ended_ends_what_runs() {
    for way in [
        "name",
        "id",
        "all",
        "issuer",
        "deleted",
        "damaged",
        "readable by others",
    ] {
        let device = Device::start("");
        let uri = device.pair(&["phone"]);
        let _kept = device.pair(&["other"]);
        let mut viewer = RawViewer::open(device.address, &uri).await;
        let mut idle = RawViewer::open(device.address, &uri).await;
        idle.ask("POST", "/command", Some(LIST)).await.sealed();
        let mut live = viewer.live("quality=standard").await;
        let list = device.file("revoked.json");
        match way {
            "name" => drop(device.peercam(&["revoke", "phone"])),
            "id" => {
                let text = device.peercam(&["pair", "--list"]);
                let id = text.split_once("id ").expect("an id").1;
                device.peercam(&["revoke", "--id", &id[..22]]);
            }
            "all" => drop(device.peercam(&["revoke", "--all"])),
            "issuer" => drop(device.peercam(&["revoke", "--all", "--issuer", "local"])),
            "deleted" => std::fs::remove_file(&list).unwrap(),
            "damaged" => std::fs::write(&list, b"{}").unwrap(),
            _ => std::fs::set_permissions(&list, std::fs::Permissions::from_mode(0o644)).unwrap(),
        }
        let still = live.cut_off().await;
        assert!(
            still <= TWO_SECONDS_OF_RECORDS,
            "{way}: {still} records came"
        );
        assert_eq!(
            device.daemon.metric("peercam_access_sessions ").await,
            0.0,
            "{way}"
        );
        assert!(
            matches!(
                idle.ask("POST", "/command", Some(LIST)).await,
                Reply::Closed
            ),
            "{way}"
        );
        let mut again = RawViewer::open(device.address, &uri).await;
        let reply = again.ask("POST", "/command", Some(LIST)).await;
        match way {
            "all" | "issuer" => assert!(reply.is_401(), "{way}"),
            "name" | "id" => {
                let (status, text) = reply.sealed();
                assert!(
                    status == 403 && text.contains("was revoked"),
                    "{way}: {text}"
                );
                let renewed = device.pair(&["phone"]);
                let mut renewed = RawViewer::open(device.address, &renewed).await;
                assert_eq!(
                    renewed.ask("POST", "/command", Some(LIST)).await.sealed().0,
                    200
                );
            }
            _ => {
                let (status, text) = reply.sealed();
                assert!(
                    status == 403 && text.contains("lets nobody in"),
                    "{way}: {text}"
                );
                device.daemon.logs("revoked.json");
            }
        }
    }
}

#[tokio::test]
async fn whoever_is_refused_gets_little_room_though_it_proves_itself() {
    let device = Device::start("");
    let uri = device.pair(&["guest"]);
    device.peercam(&["revoke", "guest"]);
    let mut refused = Vec::new();
    while refused.len() < 40 {
        let mut viewer = RawViewer::open(device.address, &uri).await;
        // The device hears of it within a second.
        if viewer.ask("POST", "/command", Some(LIST)).await.sealed().0 == 403 {
            refused.push(viewer);
        }
    }
    let open = device.daemon.metric("peercam_connections ").await;
    assert!(open <= 32.0 + 1.0, "{open} connections are open");
}

#[tokio::test]
async fn one_guest_cannot_take_all_places_of_viewers() {
    let device = Device::start("[http]\nmax_viewers = 8\n");
    let (guest, owner) = (
        device.pair(&["guest"]),
        device.pair(&["owner", "--scope", "all"]),
    );
    let mut guests = Vec::new();
    for _ in 0..20 {
        let mut viewer = RawViewer::open(device.address, &guest).await;
        let (bytes, _) = viewer.request("GET", LIVE, None);
        viewer.stream.write_all(&bytes).await.unwrap();
        let mut byte = [0];
        viewer
            .stream
            .read_exact(&mut byte)
            .await
            .expect("an answer");
        guests.push(viewer);
    }
    let mut owner = RawViewer::open(device.address, &owner).await;
    owner.live("quality=standard").await;
}

#[tokio::test]
async fn a_credential_with_the_id_of_another_is_judged_for_itself() {
    let device = Device::start("");
    let own = device.pair(&["phone"]);
    let id = device.peercam(&["pair", "--list"]);
    let id = &id.split_once("id ").unwrap().1[..22];
    let minted = device.mint(&format!(
        r#"{{"v":1,"id":"{id}","name":"x","scopes":["live"],"ch":"*","exp":0}}"#
    ));
    let mut first = RawViewer::open(device.address, &own).await;
    first.ask("POST", "/command", Some(LIST)).await.sealed();
    let mut second = RawViewer::open(device.address, &minted).await;
    let mut live = second.live("quality=standard").await;
    device.peercam(&["revoke", "--all", "--issuer", "shop"]);
    live.cut_off().await;
    assert_eq!(
        first.ask("POST", "/command", Some(LIST)).await.sealed().0,
        200
    );
}

#[tokio::test]
async fn a_sealed_stream_ends_in_order_when_the_device_stops() {
    let mut device = Device::start("");
    let uri = device.pair(&["phone"]);
    let mut viewer = RawViewer::open(device.address, &uri).await;
    let mut live = viewer.live("quality=standard").await;
    device.daemon.signal(rustix::process::Signal::TERM);
    loop {
        match live.record().await {
            Some(Record::Data(_)) => {}
            Some(Record::Last(_)) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(device.daemon.wait().code(), Some(0));
}

#[tokio::test]
async fn what_is_no_http_tells_nothing_either() {
    let device = Device::start("");
    for text in [
        "GARBAGE\r\n\r\n".to_owned(),
        "GET /ipc.flv?cmd={\"a\": 1} HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(9000)),
        format!(
            "GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
            "x".repeat(9000)
        ),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "CONNECT x:80 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\n\r\n"
            .to_owned(),
        "GET / HTTP/1.0\r\n\r\n".to_owned(),
    ] {
        let answer = String::from_utf8(raw(device.address, text.as_bytes()).await).unwrap();
        let lower = answer.to_ascii_lowercase();
        assert!(
            answer.is_empty()
                || [
                    "http/1.1 400",
                    "http/1.1 431",
                    "http/1.1 401",
                    "http/1.0 401",
                    "http/1.1 414"
                ]
                .iter()
                .any(|status| lower.starts_with(status)),
            "{text:?}: {answer}"
        );
        assert!(
            !lower.contains("date:") && !lower.contains("server:"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_credential_ends_when_it_says_so() {
    let device = Device::start("");
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    let ends = now.as_secs() + 3;
    let uri = device.mint(&format!(
        r#"{{"v":1,"id":"AAECAwQFBgcICQoLDA0ODw","name":"guest","scopes":["live"],"ch":"*","exp":{ends}}}"#
    ));
    let mut viewer = RawViewer::open(device.address, &uri).await;
    viewer.live("quality=standard").await.cut_off().await;
    device.daemon.logs("reason=\"expired\"");
    let mut again = RawViewer::open(device.address, &uri).await;
    let (status, text) = again.ask("GET", LIVE, None).await.sealed();
    assert!(status == 403 && text.contains("has ended"), "{text}");
}

#[tokio::test]
async fn nobody_can_shut_the_owner_out() {
    let device = Device::start("[http]\nmax_connections = 512\n");
    let owner = device.pair(&["owner", "--scope", "all"]);
    // Guests hold all places.
    let mut guests = Vec::new();
    for number in 0..4 {
        let uri = device.pair(&[&format!("guest {number}")]);
        let mut guest = RawViewer::open(device.address, &uri).await;
        guest.ask("POST", "/command", Some(LIST)).await.sealed();
        guests.push(guest);
    }
    // Bad tokens and half-open requests from the owner's own address.
    let before = device.daemon.resident_kib();
    let mut half_open = Vec::new();
    for round in 0..scaled(10_000) {
        let mut stream = TcpStream::connect(device.address).await.expect("connects");
        let text = format!("GET /ipc.flv?_token=1.local.0.e30.{round}.-.x HTTP/1.1\r\nHost: x\r\n");
        let _ = stream.write_all(text.as_bytes()).await;
        if round % 10 == 0 {
            half_open.push(stream);
        } else {
            let _ = stream.write_all(b"Connection: close\r\n\r\n").await;
            let _ = read_whole(&mut stream).await;
        }
    }
    assert!(
        device.daemon.resident_kib() < before + 8 * 1024,
        "memory is bounded"
    );
    let mut viewer = RawViewer::open(device.address, &owner).await;
    viewer.live("quality=standard").await;
    // The newest guest had to go, and is told why when it comes again.
    let mut newest = RawViewer::open(device.address, &guests.pop().unwrap().uri).await;
    let (status, text) = newest.ask("POST", "/command", Some(LIST)).await.sealed();
    assert!(status == 503 && text.contains("owner"), "{text}");
    let stranger = device.pair(&["late"]);
    let mut late = RawViewer::open(device.address, &stranger).await;
    let (status, text) = late.ask("POST", "/command", Some(LIST)).await.sealed();
    assert!(status == 503 && text.contains("4 viewers"), "{text}");
    drop((half_open, guests));
}

#[tokio::test]
async fn one_credential_has_one_place_however_often_it_comes() {
    let device = Device::start("[access]\nmax_sessions = 1\n");
    let uri = device.pair(&["phone"]);
    let mut ghosts = Vec::new();
    for _ in 0..20 {
        let mut viewer = RawViewer::open(device.address, &uri).await;
        viewer.ask("POST", "/command", Some(LIST)).await.sealed();
        ghosts.push(viewer);
    }
    assert_eq!(device.daemon.metric("peercam_access_sessions ").await, 1.0);
    let status = "action=inner_define&cmd=get_device_st&type=live";
    let last = ghosts.last_mut().unwrap();
    let (_, text) = last
        .ask("POST", "/command", Some(status.as_bytes()))
        .await
        .sealed();
    let counted = r#""appConnectNum":"1","maxConnectNum":"1""#;
    assert!(text.contains(counted), "{text}");
    drop(ghosts);
    device
        .daemon
        .metric_becomes("peercam_access_sessions ", 0.0)
        .await;
}

#[tokio::test]
async fn a_connection_that_fails_four_times_is_answered_no_more() {
    let device = Device::start("");
    let text = "GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(9);
    let answers = raw(device.address, text.as_bytes()).await;
    let answers = String::from_utf8_lossy(&answers).into_owned();
    assert_eq!(answers.matches("HTTP/1.1 401").count(), 4);
}

#[tokio::test]
async fn bodies_without_proof_are_not_read() {
    let device = Device::start("");
    let mut stream = TcpStream::connect(device.address).await.unwrap();
    let head = "POST /command HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = read_whole(&mut stream).await.expect("an answer");
    let answer = Answer::parse(&answer).expect("HTTP");
    assert_eq!(answer.status, 401, "and not 100: {}", answer.head);
}

#[tokio::test]
async fn a_listener_that_is_open_to_the_network_needs_a_decision() {
    for address in [
        "0.0.0.0:0",
        "[::]:0",
        "[::ffff:0.0.0.0]:0",
        "camera.local:80",
        "localhost:0",
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("camera.toml");
        let text = crate::support::sim_config("").replace("127.0.0.1:0", address);
        std::fs::write(&path, text).unwrap();
        let output = crate::support::run(&["run", "--config", &path.to_string_lossy()]);
        assert_eq!(output.status.code(), Some(1), "{address}");
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(errors.contains("addr:"), "{errors}");
    }
}
