//! What the device says of itself: `/healthz`, and that all who tell of a camera tell the same.

use std::{sync::atomic::Ordering, time::Duration};

use peercam::{config::Config, daemon::Daemon as Running};
use peercam_hal::{
    Camera, HalError, HealthCheck, StreamMemory,
    clock::Clock,
    rtsp::{self, RtspCamera},
};
use peercam_proto::media::Quality;
use serde_json::Value;
use std::sync::Arc;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UnixListener},
    sync::oneshot,
};

use crate::{
    paired::{Device, RawViewer},
    rtsp_server::{RtspServer, Script},
    support::{Answer, Daemon, HANG, request, sim_config},
};

async fn healthz(daemon: &Daemon) -> (u16, Value) {
    of(&request(daemon.address, "GET", "/healthz", "").await)
}

fn of(answer: &Answer) -> (u16, Value) {
    let text = serde_json::from_str(&answer.body).expect("JSON");
    (answer.status, text)
}

/// Waits until the health is like this.
async fn health_is(daemon: &Daemon, is_wanted: impl Fn(&Value) -> bool) -> Value {
    let wanted = async {
        loop {
            let (_, health) = healthz(daemon).await;
            if is_wanted(&health) {
                return health;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(HANG, wanted)
        .await
        .expect("it becomes so")
}

/// Whether the camera is there, as each of those says who tell of it.
async fn all_say(daemon: &Daemon) -> [bool; 5] {
    let ask = async |cmd: &str| {
        let target = format!("/command?action=inner_define&cmd={cmd}");
        request(daemon.address, "POST", &target, "").await.body
    };
    let (status, health) = healthz(daemon).await;
    assert_eq!(status, 200);
    let strict = request(daemon.address, "GET", "/healthz?strict=1", "").await;
    let list = ask("get_nvr_list").await;
    let state = ask("get_device_st&type=live&quality=super").await;
    [
        health["channels"][0]["online"] == true && health["status"] == "ok",
        strict.status == 200,
        list.contains(r#""Online":"1""#),
        state.contains(r#""status":"0""#),
        daemon.metric("peercam_camera_up{channel=\"0\"}").await > 0.5,
    ]
}

fn rtsp_config(address: impl std::fmt::Display) -> rtsp::Config {
    let url = url::Url::parse(&format!("rtsp://{address}/main")).unwrap();
    rtsp::Config {
        urls: [url.clone(), url.clone(), url],
        snapshot: None,
        credentials: None,
        transport: rtsp::Transport::Tcp,
        always: false,
        linger: Duration::ZERO,
        sound: true,
        check: Some(Duration::from_secs(30)),
        memory: StreamMemory::default(),
    }
}

fn check_of(camera: &RtspCamera) -> Arc<dyn HealthCheck> {
    camera.capabilities().health_check.expect("it is checked")
}

#[tokio::test]
async fn that_a_camera_is_off_is_known_before_somebody_watches_and_all_say_the_same() {
    let server = RtspServer::start(Script::default()).await;
    let source = format!(
        "kind = \"rtsp\", url = \"{}\", check = \"1s\"",
        server.url()
    );
    let text = sim_config("").replace("kind = \"sim\", every_picture = true", &source);
    let daemon = Daemon::start(&text);
    assert_eq!(all_say(&daemon).await, [true; 5]);
    server.script.is_off.store(true, Ordering::SeqCst);
    let health = health_is(&daemon, |health| health["status"] != "ok").await;
    assert_eq!(all_say(&daemon).await, [false; 5]);
    let problem = &health["problems"][0];
    assert_eq!(health["status"], "degraded");
    assert_eq!(problem["part"], "camera");
    assert_eq!(
        (&problem["channel"], &problem["name"]),
        (&0.into(), &"front".into())
    );
    assert_eq!(problem["what"], health["channels"][0]["reason"]);
    assert!(
        problem["do"].as_str().unwrap().contains("has power"),
        "{problem}"
    );
    let (since, clock) = (problem["since"].as_u64(), health["clock"].as_u64());
    assert!(since.unwrap() <= clock.unwrap() && problem["seconds"].as_u64() < Some(30));
    daemon.logs("camera off");
    server.script.is_off.store(false, Ordering::SeqCst);
    let health = health_is(&daemon, |health| health["status"] == "ok").await;
    assert_eq!(health["problems"], Value::Array(Vec::new()));
    assert_eq!(all_say(&daemon).await, [true; 5]);
    assert_eq!(
        server.script.played.load(Ordering::SeqCst),
        0,
        "no picture was asked for"
    );
}

#[tokio::test]
async fn a_check_asks_what_there_is_and_gives_way_to_who_reads() {
    let server = RtspServer::start(Script::default()).await;
    let camera = RtspCamera::new(Clock::start(), rtsp_config(server.address));
    let check = check_of(&camera);
    assert_eq!(check.check().await, Ok(()));
    let counts = || {
        let script = &server.script;
        (
            script.described.load(Ordering::SeqCst),
            script.played.load(Ordering::SeqCst),
        )
    };
    assert_eq!(counts(), (1, 0));
    // Who refuses a password is not asked for long: most lock the account at some time.
    server.script.refuses.store(401, Ordering::SeqCst);
    for _ in 0..2 {
        let reason = check.check().await.expect_err("refused").to_string();
        assert!(reason.contains("401"), "{reason}");
    }
    assert_eq!(counts(), (2, 0));
    server.script.refuses.store(0, Ordering::SeqCst);
    let input = camera.open(Quality::Super).unwrap();
    assert_eq!(check.check().await, Err(HalError::Busy));
    drop(input);

    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let camera = RtspCamera::new(Clock::start(), rtsp_config(silent.local_addr().unwrap()));
    let check = check_of(&camera);
    let far = async {
        let (mut stream, _) = silent.accept().await.unwrap();
        let mut asked = [0; 64];
        assert!(stream.read(&mut asked).await.unwrap() > 0);
        let input = camera.open(Quality::Super).unwrap();
        // The connection of the check ends: there may be room for one only.
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        input
    };
    let both = async { tokio::join!(check.check(), far) };
    let (checked, _input) = tokio::time::timeout(HANG, both)
        .await
        .expect("it gives way");
    assert_eq!(checked, Err(HalError::Busy));
}

#[tokio::test]
async fn what_sleeps_or_is_read_always_is_not_checked() {
    let config = || rtsp_config("127.0.0.1:9");
    for config in [
        rtsp::Config {
            check: None,
            ..config()
        },
        rtsp::Config {
            always: true,
            ..config()
        },
    ] {
        let camera = RtspCamera::new(Clock::start(), config);
        assert!(camera.capabilities().health_check.is_none());
    }
}

#[tokio::test]
async fn a_program_that_is_not_there_is_a_problem_until_it_is_used() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("light.sock");
    let handler = format!(
        "[[user_define.handler]]\nname = \"light\"\nurl = \"unix:{}\"\n",
        path.display()
    );
    let daemon = Daemon::start(&format!("{}{handler}", sim_config("")));
    let health = health_is(&daemon, |health| health["status"] != "ok").await;
    let problem = &health["problems"][0];
    assert_eq!(
        (&problem["part"], &problem["name"]),
        (&"handler".into(), &"light".into())
    );
    let what = problem["what"].as_str().unwrap();
    assert!(
        what.contains(path.to_str().unwrap()) && what.contains("No such file"),
        "{what}"
    );
    let strict = request(daemon.address, "GET", "/healthz?strict=1", "").await;
    assert_eq!(strict.status, 503);
    let refused = request(daemon.address, "GET", "/healthz?strict=yes", "").await;
    assert_eq!(refused.status, 400, "{refused:?}");
    // A command is done, and so it is known that the program is there.
    let listener = UnixListener::bind(&path).unwrap();
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = [0; 4096];
        assert!(
            stream.read(&mut asked).await.unwrap() > 0,
            "no empty connection"
        );
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\non";
        stream.write_all(answer).await.unwrap();
    };
    let target = "/command?action=user_define&cmd=light";
    let (answer, ()) = tokio::join!(request(daemon.address, "POST", target, ""), serve);
    assert_eq!(answer.body, "on");
    let (_, health) = healthz(&daemon).await;
    assert_eq!(health["status"], "ok", "{health}");
}

#[tokio::test]
async fn guests_hear_of_their_cameras_and_not_of_the_device() {
    let handler = "[[user_define.handler]]\nname = \"light\"\nurl = \"unix:/nowhere/light.sock\"\n\
        [p2p]\nenabled = false\n";
    let device = Device::start(handler);
    health_is(&device.daemon, |health| health["status"] == "degraded").await;
    let guest = device.pair(&["guest", "--channel", "1"]);
    let monitor = device.pair(&["monitor", "--scope", "metrics"]);
    let owner = device.pair(&["owner", "--scope", "all"]);
    for (uri, status, hears, is_told_where) in [
        (guest, "ok", false, false),
        (monitor, "degraded", true, false),
        (owner, "degraded", true, true),
    ] {
        let mut viewer = RawViewer::open(device.address, &uri).await;
        let (_, text) = viewer.ask("GET", "/healthz", None).await.sealed();
        let health: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(health["status"], status, "{text}");
        assert_eq!(text.contains("light"), hears, "{text}");
        assert_eq!(text.contains("/nowhere"), is_told_where, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_ends_says_that_it_serves_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("camera.toml");
    std::fs::write(&path, sim_config("")).unwrap();
    let daemon = Running::start(Config::load(&path).unwrap()).await.unwrap();
    let (address, hub) = (daemon.addresses()[0], daemon.hub().clone());
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(daemon.run(async move {
        let _ = stopped.await;
    }));
    assert_eq!(
        request(address, "GET", "/healthz?strict=1", "")
            .await
            .status,
        200
    );
    hub.close();
    let (status, health) = of(&request(address, "GET", "/healthz", "").await);
    assert_eq!((status, &health["status"]), (503, &"unavailable".into()));
    stop.send(()).unwrap();
    running.await.unwrap();
}
