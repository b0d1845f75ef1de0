//! `peercam doctor` on the device's side: what it finds, and the exit status that says so.

use std::{
    fs::Permissions,
    io::ErrorKind,
    net::TcpListener,
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::Path,
    sync::atomic::Ordering,
};

use crate::{
    rtsp_server::{RtspServer, Script},
    support::{Daemon, HANG, program, request, sim_config},
};

/// Runs the doctor beside what the test serves; gives whether all is well, and its lines.
async fn doctor(config: &Path) -> (bool, String) {
    let config = config.to_owned();
    let run = move || {
        let mut command = program();
        command.arg("doctor").arg("--config").arg(config);
        command.output().expect("the program starts")
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let text = String::from_utf8(output.stdout).expect("text");
    (output.status.success(), text)
}

fn config(source: &str, record: &str, handler: &str) -> String {
    let camera = sim_config("").replace("kind = \"sim\", every_picture = true", source);
    let handler = format!("[[user_define.handler]]\nname = \"light\"\nurl = \"unix:{handler}\"\n");
    format!("{camera}[record]\n{record}\n{handler}")
}

fn assert_has(text: &str, lines: &[(&str, &[&str])]) {
    for (mark, words) in lines {
        let mut found = text.lines().filter(|line| line.starts_with(mark));
        let has_all = |line: &str| words.iter().all(|word| line.contains(word));
        assert!(found.any(has_all), "{mark} {words:?} in {text}");
    }
}

#[tokio::test]
async fn what_is_missing_is_found_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("camera.toml");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    // Nobody listens there any more.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let source = format!(
        "kind = \"rtsp\", url = \"rtsp://{}/main\"",
        gone.local_addr().unwrap()
    );
    drop(gone);
    let card = directory.path().join("card");
    let record = format!("mount = {card:?}\npath = {:?}", card.join("recordings"));
    let text = config(&source, &record, "/nowhere/light.sock");
    let address = taken.local_addr().unwrap().to_string();
    std::fs::write(&path, text.replace("127.0.0.1:0", &address)).unwrap();
    let (is_well, text) = doctor(&path).await;
    assert!(!is_well, "{text}");
    assert_has(
        &text,
        &[
            ("ok", &["the configuration is right"]),
            ("ok", &["MiB are free"]),
            ("warn", &["no daemon runs"]),
            ("FAIL", &["listener", &address, "end the program"]),
            (
                "FAIL",
                &["camera 0 (front)", "refused", "power and network"],
            ),
            ("FAIL", &["card", "no card is mounted", "insert and mount"]),
            (
                "FAIL",
                &["handler light", "/nowhere/light.sock", "start it"],
            ),
        ],
    );
    assert!(
        !directory.path().join("peercam-data").exists(),
        "it makes nothing"
    );
}

#[tokio::test]
async fn all_well_is_status_0() {
    let server = RtspServer::start(Script::default()).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("camera.toml");
    let socket = directory.path().join("light.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    listener.set_nonblocking(true).unwrap();
    let source = format!("kind = \"rtsp\", url = \"{}\"", server.url());
    std::fs::write(&path, config(&source, "", socket.to_str().unwrap())).unwrap();
    let (is_well, text) = doctor(&path).await;
    assert!(is_well && !text.contains("FAIL"), "{text}");
    assert_has(
        &text,
        &[
            ("ok", &["camera 0 (front)", "it delivers"]),
            ("ok", &["card", "can be written to"]),
            ("ok", &["handler light"]),
        ],
    );
    assert_eq!(server.script.played.load(Ordering::SeqCst), 1);
    let connected = listener.accept().expect_err("small programs take it amiss");
    assert_eq!(connected.kind(), ErrorKind::WouldBlock);
}

#[tokio::test]
async fn a_daemon_that_runs_is_asked_about_its_cameras_and_its_card() {
    let server = RtspServer::start(Script::default()).await;
    server.script.is_off.store(true, Ordering::SeqCst);
    let source = format!(
        "kind = \"rtsp\", url = \"{}\", check = \"1s\"",
        server.url()
    );
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("light.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    let text = config(&source, "mode = \"off\"", socket.to_str().unwrap());
    let daemon = Daemon::start(&text);
    let is_off = async {
        let health = async || request(daemon.address, "GET", "/healthz", "").await.body;
        while !health().await.contains("\"part\":\"camera\"") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(HANG, is_off).await.expect("it is off");
    let path = daemon.directory().join("camera.toml");
    let (is_well, text) = doctor(&path).await;
    assert!(!is_well, "{text}");
    assert_has(
        &text,
        &[
            ("ok", &["the daemon runs (process"]),
            ("FAIL", &["camera 0 (front)", ", for ", "peercam probe"]),
            ("ok", &["card", "the daemon writes to"]),
            ("ok", &["handler light"]),
        ],
    );
    assert_eq!(text.matches("FAIL").count(), 1, "{text}");
}

#[tokio::test]
async fn a_daemon_is_found_although_its_directory_is_refused() {
    let sim = "kind = \"sim\"";
    let text = config(sim, "", "/nowhere/light.sock").replace("[record]\n", "");
    let daemon = Daemon::start(&text);
    let is_known = async {
        let health = async || request(daemon.address, "GET", "/healthz", "").await.body;
        while !health().await.contains("\"part\":\"handler\"") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(HANG, is_known)
        .await
        .expect("it looks");
    let path = daemon.directory().join("camera.toml");
    let address = daemon.address.to_string();
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text.replace("127.0.0.1:0", &address) + "[record]\n";
    std::fs::write(&path, text).unwrap();
    // Another user's is refused in the same way.
    let data_dir = daemon.directory().join("peercam-data");
    std::fs::set_permissions(&data_dir, Permissions::from_mode(0o770)).unwrap();
    let (_, text) = doctor(&path).await;
    assert_has(
        &text,
        &[
            ("FAIL", &["data_dir", "others may get at it"]),
            ("ok", &["the daemon runs (process"]),
            ("ok", &["camera 0 (front)", "as far as the daemon knows"]),
            ("warn", &["card", "records nothing", "--no-record"]),
            ("FAIL", &["handler (light)", ", for ", "/nowhere"]),
        ],
    );
    assert!(!text.contains("in use"), "{text}");
    let directory = daemon.stop();
    let taken = TcpListener::bind(&address).unwrap();
    let (_, text) = doctor(&directory.path().join("camera.toml")).await;
    assert_has(&text, &[("warn", &["not known whether a daemon runs"])]);
    assert!(!text.contains("in use"), "{text}");
    drop(taken);
}
