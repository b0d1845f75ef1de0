//! The HTTP surface of the running daemon, request by request.

use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::support::{Answer, Daemon, Viewer, raw, request, sim_config};

#[tokio::test]
async fn refusals_are_json_with_a_status_and_a_reason() {
    let daemon = Daemon::start(&sim_config(""));
    for (method, target, body, http, status, word) in [
        ("GET", "/", "", 404, "404", "/ipc.flv"),
        ("GET", "/ipc.flv", "", 400, "404", "action"),
        (
            "GET",
            "/ipc.flv?action=fly",
            "",
            400,
            "404",
            "live, playback, download",
        ),
        (
            "GET",
            "/ipc.flv?action=live&channel=-1",
            "",
            400,
            "404",
            "channel",
        ),
        (
            "GET",
            "/ipc.flv?action=live&channel=99999999999",
            "",
            400,
            "404",
            "channel",
        ),
        (
            "GET",
            "/ipc.flv?action=live&channel=9",
            "",
            404,
            "404",
            "this device has 0",
        ),
        ("HEAD", "/ipc.flv?action=live&channel=9", "", 404, "", ""),
        (
            "GET",
            "/ipc.flv?action=live&quality=best",
            "",
            400,
            "404",
            "quality",
        ),
        ("GET", "/ipc.flv?action=live&x=%zz", "", 400, "404", "hex"),
        (
            "GET",
            "/ipc.flv?action=live&action=live",
            "",
            400,
            "404",
            "twice",
        ),
        ("POST", "/ipc.flv?action=live", "", 405, "404", "GET"),
        (
            "GET",
            "/command?action=inner_define&cmd=get_nvr_list",
            "",
            405,
            "404",
            "POST",
        ),
        ("POST", "/command", "", 400, "404", "cmd"),
        (
            "POST",
            "/command?action=inner_define&cmd=x",
            "action=inner_define&cmd=x",
            400,
            "404",
            "once",
        ),
        ("DELETE", "/healthz", "", 405, "404", "GET"),
    ] {
        let answer = request(daemon.address, method, target, body).await;
        assert_eq!(answer.status, http, "{method} {target}: {answer:?}");
        assert_eq!(answer.json("status"), status, "{method} {target}");
        assert!(
            answer.json("reason").contains(word),
            "{method} {target}: {}",
            answer.body
        );
    }
    let long = format!("/ipc.flv?action=live&requester={}", "x".repeat(65));
    assert!(
        request(daemon.address, "GET", &long, "")
            .await
            .json("reason")
            .contains("requester")
    );
    let huge = "x".repeat((16 << 10) + 1);
    let answer = request(
        daemon.address,
        "POST",
        "/command?action=inner_define&cmd=x",
        &huge,
    )
    .await;
    assert_eq!(
        (answer.status, answer.json("status")),
        (413, "404".to_owned())
    );
    assert!(answer.json("reason").contains("16384"));
    let refused = request(daemon.address, "GET", "/command", "").await;
    assert!(refused.head.contains("\r\nallow: post"), "{}", refused.head);
}

#[tokio::test]
async fn the_head_of_a_live_stream() {
    let daemon = Daemon::start(&sim_config(""));
    let answer = request(
        daemon.address,
        "HEAD",
        "/ipc.p2p.com/ipc.flv?action=live",
        "",
    )
    .await;
    assert_eq!(answer.status, 200);
    assert!(
        answer.head.contains("content-type: video/x-flv"),
        "{}",
        answer.head
    );
    assert!(answer.head.contains("cache-control: no-store"));
    assert_eq!(answer.body, "");
    assert_eq!(
        daemon.metric("peercam_live_viewers").await,
        0.0,
        "HEAD starts no camera"
    );
}

#[tokio::test]
async fn commands() {
    let daemon = Daemon::start(&sim_config(""));
    let post =
        |target: &'static str, body: &'static str| request(daemon.address, "POST", target, body);
    for (target, body, expected) in [
        (
            "/command?action=inner_define&cmd=get_device_st&type=live&quality=high",
            "",
            r#"[{"status":"0","appConnectNum":"0","maxConnectNum":"32"}]"#,
        ),
        (
            "/command?channel=0",
            "action=inner_define&cmd=get_nvr_list",
            r#"[{"DeviceName":"front","Channel":"0","Online":"1"}]"#,
        ),
        (
            "/command?action=user_define&channel=0&cmd=%7B%22topic%22%3A%22intercom%22%7D",
            "",
            r#"{"confirmation_topic":"intercom","result":"0","status":"unused"}"#,
        ),
    ] {
        let answer = post(target, body).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, expected),
            "{target}"
        );
        assert!(answer.head.contains("content-type: application/json"));
    }
    for (query, status) in [
        ("type=live&quality=nice", "404"),
        ("quality=high", "404"),
        ("type=live&channel=5", "404"),
    ] {
        let target = format!("/command?action=inner_define&cmd=get_device_st&{query}");
        let answer = request(daemon.address, "POST", &target, "").await;
        let all: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(all[0]["status"], status, "{query}: {all}");
        assert!(
            all[0]["reason"]
                .as_str()
                .is_some_and(|reason| !reason.is_empty())
        );
        assert_eq!(all.as_array().map(Vec::len), Some(1));
    }
}

#[tokio::test]
async fn counts_are_true_and_places_are_free_again() {
    let config = sim_config("") + "[http]\nmax_viewers = 2\n";
    let daemon = Daemon::start(&config);
    let status = || {
        request(
            daemon.address,
            "POST",
            "/command?action=inner_define&cmd=get_device_st&type=live",
            "",
        )
    };
    let _first = Viewer::open(daemon.address, "").await;
    assert!(
        status()
            .await
            .body
            .contains(r#""status":"0","appConnectNum":"1","maxConnectNum":"2""#)
    );
    let second = Viewer::open(daemon.address, "quality=standard").await;
    assert!(
        status()
            .await
            .body
            .contains(r#""status":"405","appConnectNum":"2""#)
    );
    let third = request(daemon.address, "GET", "/ipc.flv?action=live", "").await;
    assert_eq!(
        (third.status, third.json("status")),
        (503, "405".to_owned())
    );
    assert!(third.json("reason").contains("2 viewers"), "{}", third.body);
    drop(second);
    daemon.metric_becomes("peercam_live_viewers", 1.0).await;
    assert!(
        status()
            .await
            .body
            .contains(r#""status":"0","appConnectNum":"1""#)
    );
    Viewer::open(daemon.address, "").await;
}

#[tokio::test]
async fn raw_json_and_absolute_targets_are_repaired_and_close_the_connection() {
    let daemon = Daemon::start(&sim_config(""));
    for (target, status) in [
        (
            r#"/command?action=user_define&cmd={"topic":"ptz","data":{"cmd":"a b"}}"#,
            "404",
        ),
        (
            "http://ipc.p2p.com/command?action=user_define&cmd=ptz_inwards",
            "406",
        ),
    ] {
        // No `Connection: close` from this side: the daemon has to say it.
        let text =
            format!("POST {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n");
        let answer = Answer::parse(&raw(daemon.address, text.as_bytes()).await).expect(target);
        assert_eq!(
            (answer.status, answer.json("status")),
            (200, status.to_owned()),
            "{target}"
        );
        assert!(answer.head.contains("connection: close"), "{}", answer.head);
    }
}

#[tokio::test]
async fn a_kept_connection_serves_one_request_after_the_other() {
    let daemon = Daemon::start(&sim_config(""));
    let get = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let last = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answers = raw(daemon.address, format!("{get}{get}{last}").as_bytes()).await;
    let answers = String::from_utf8(answers).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 3);
    assert_eq!(answers.matches(r#""status":"ok""#).count(), 3);
}

#[tokio::test]
async fn web_pages_need_an_allowed_origin() {
    let daemon = Daemon::start(&sim_config(""));
    let ask = |method: &str, headers: &str| {
        let text = format!("{method} /healthz HTTP/1.1\r\nConnection: close\r\n{headers}\r\n");
        let address = daemon.address;
        async move { Answer::parse(&raw(address, text.as_bytes()).await).expect("an answer") }
    };
    let allowed = ask(
        "GET",
        "Host: 127.0.0.1\r\nOrigin: http://console.test\r\nSec-Fetch-Site: cross-site\r\n",
    )
    .await;
    assert_eq!(allowed.status, 200);
    assert!(
        allowed
            .head
            .contains("access-control-allow-origin: http://console.test")
    );
    assert!(allowed.head.contains("vary: origin"));
    let preflight = ask(
        "OPTIONS",
        "Host: 127.0.0.1\r\nOrigin: http://console.test\r\nAccess-Control-Request-Private-Network: true\r\n",
    )
    .await;
    assert_eq!(preflight.status, 204);
    assert!(
        preflight
            .head
            .contains("access-control-allow-methods: get, head")
    );
    assert!(
        preflight
            .head
            .contains("access-control-allow-private-network: true")
    );
    for headers in [
        "Host: 127.0.0.1\r\nOrigin: http://evil.test\r\n",
        "Host: 127.0.0.1\r\nOrigin: null\r\n",
        "Host: 127.0.0.1\r\nSec-Fetch-Site: cross-site\r\n",
        "Host: evil.test\r\n",
        "Host: 127.0.0.1\r\nX-Forwarded-For: 203.0.113.9\r\n",
    ] {
        let refused = ask("GET", headers).await;
        assert_eq!(
            (refused.status, refused.json("status")),
            (403, "1".to_owned()),
            "{headers}"
        );
        assert!(!refused.head.contains("access-control"), "{headers}");
        assert!(!refused.json("reason").is_empty());
    }
    assert_eq!(ask("GET", "").await.status, 400, "no Host");
}

#[tokio::test]
async fn names_that_a_resolver_could_point_here_are_for_no_browser() {
    let strict = Daemon::start(&sim_config(""));
    let listen = "allow_placeholder_hosts = true\nallow_origins";
    let lenient = Daemon::start(&sim_config("").replacen("allow_origins", listen, 1));
    // A second request on the connection, so that none lives on what the first was.
    let ask = async |daemon: &Daemon, target: &str, headers: &str| {
        let text = format!(
            "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n\
             GET {target} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n"
        );
        let first = format!("GET {target} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
        let alone = Answer::parse(&raw(daemon.address, first.as_bytes()).await).expect("an answer");
        let both = raw(daemon.address, text.as_bytes()).await;
        let both = String::from_utf8(both).expect("text");
        let second = both.rfind("HTTP/1.1 ").expect("two answers");
        let second = Answer::parse(&both.as_bytes()[second..]).expect("an answer");
        assert_eq!(alone.status, second.status, "{target} {headers}");
        assert!(alone.head.contains("x-content-type-options: nosniff"));
        alone.status
    };
    let path = "/ipc.p2p.com/healthz";
    for host in ["ipc.p2p.com", "evil.xnet:34567"] {
        let plain = format!("Host: {host}\r\nUser-Agent: Lavf/61.7.100\r\nAccept: */*\r\n");
        let whole = format!("http://{host}{path}");
        assert_eq!(ask(&strict, path, &plain).await, 403);
        assert_eq!(ask(&strict, &whole, &plain).await, 200);
        assert_eq!(ask(&lenient, path, &plain).await, 200);
        for told in [
            "Origin: http://console.test",
            "Sec-Fetch-Site: same-origin",
            "Sec-CH-UA-Mobile: ?0",
            "Referer: http://ipc.p2p.com/",
            "Cookie: a",
            "Accept-Language: en",
            "Upgrade-Insecure-Requests: 1",
            "User-Agent: mozilla/5.0",
        ] {
            let headers = format!("Host: {host}\r\n{told}\r\n");
            for daemon in [&strict, &lenient] {
                for target in [path, &whole] {
                    assert_eq!(ask(daemon, target, &headers).await, 403, "{target} {told}");
                }
            }
        }
    }
    assert_eq!(ask(&strict, path, "Host: 127.0.0.1\r\n").await, 200);
}

#[tokio::test]
async fn labels_reach_the_log_and_cannot_forge_lines() {
    let daemon = Daemon::start(&sim_config(""));
    let viewer = Viewer::open(
        daemon.address,
        "requester=app-test&req_id=r-77&_peername=eve%0AINFO+forged&user_args=%E4%BD%A0",
    )
    .await;
    drop(viewer);
    daemon.metric_becomes("peercam_live_viewers", 0.0).await;
    daemon.logs("viewer left");
    let log = daemon.log();
    let joined = log
        .lines()
        .find(|line| line.contains("viewer joined"))
        .expect("a line");
    for part in ["r-77", "app-test", "0/high", "eve\\n"] {
        assert!(joined.contains(part), "{part} in {joined}");
    }
    assert!(
        log.lines()
            .any(|line| line.contains("viewer left") && line.contains("r-77"))
    );
    assert!(!log.lines().any(|line| line.starts_with("INFO")), "{log}");
}

#[tokio::test]
async fn an_http_1_0_player_gets_a_body_that_ends_with_the_connection() {
    let daemon = Daemon::start(&sim_config(""));
    let mut stream = TcpStream::connect(daemon.address).await.unwrap();
    let request = "GET /ipc.flv?action=live HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head
        .windows(16)
        .any(|window| window == b"\r\n\r\nFLV\x01\x05\0\0\0\x09\0\0\0")
    {
        let mut piece = [0; 512];
        let count = tokio::io::AsyncReadExt::read(&mut stream, &mut piece)
            .await
            .unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&head));
        head.extend_from_slice(&piece[..count]);
    }
    assert!(!String::from_utf8_lossy(&head).contains("transfer-encoding"));
}
