//! `peercam probe`: what it says of each kind of source, and what it says when there is none.

use std::{process::Stdio, sync::atomic::Ordering};

use tokio::task::spawn_blocking;

use crate::{
    files::recording,
    firmware::Firmware,
    rtsp_server::{RtspServer, Script},
    support::{Daemon, HANG, program, request, run},
};

/// What it prints, or why it does not.
async fn probed(what: String) -> Result<String, String> {
    let arguments = move || run(&["probe", "--seconds", "1", &what]);
    let output = spawn_blocking(arguments).await.unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).unwrap()),
        false => Err(errors),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_and_a_camera_are_described() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("clip.flv");
    std::fs::write(&path, recording(300_000).await).unwrap();
    let file = probed(path.display().to_string()).await.unwrap();
    for part in [
        "H.264 Baseline",
        "640x360",
        "25.0 a second",
        "AAC-LC, 16000 Hz, mono",
    ] {
        assert!(file.contains(part), "{part:?} in {file}");
    }
    let server = RtspServer::start(Script::default()).await;
    let camera = probed(server.url().to_string()).await.unwrap();
    for part in ["every 0.4 s", "G.711 A-law, 8000 Hz", "AAC, made of"] {
        assert!(camera.contains(part), "{part:?} in {camera}");
    }
    server.script.refuses.store(401, Ordering::SeqCst);
    let refused = probed(server.url().to_string()).await.unwrap_err();
    assert!(
        refused.contains("it asks for a user and a password (401)"),
        "{refused}"
    );
}

/// A camera that names its codec so as to clear the screen, write another line, and turn it around.
const HOSTILE: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\n\
    m=video 0 RTP/AVP 96\r\na=rtpmap:96 EV\x1b[2J\x07\x08\u{9b}31m\u{202e}\u{2028}IL/90000\r\na=control:v\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_camera_s_words_act_on_no_terminal() {
    let description = Some(HOSTILE);
    let server = RtspServer::start(Script {
        description,
        ..Script::default()
    })
    .await;
    let is_fine = |c| c == '\n' || peercam_proto::text::is_printable(c);
    let said = probed(server.url().to_string()).await.unwrap_err();
    assert!(said.contains("ev\\u{1b}[2j\\u{7}"), "{said:?}");
    assert!(said.chars().all(is_fine), "{said:?}");
    let daemon = Daemon::start(&format!(
        "[[listen]]\naddr = \"127.0.0.1:0\"\n[[channel]]\nid = 0\nsource = {{ kind = \"rtsp\", url = \"{}\", pull = \"always\" }}\n",
        server.url()
    ));
    let ask = "/command?action=inner_define&cmd=get_device_st&type=live&channel=0&quality=high";
    let told = async {
        loop {
            let answer = request(daemon.address, "POST", ask, "").await.body;
            if answer.contains("[2j") {
                return answer;
            }
        }
    };
    let told = tokio::time::timeout(HANG, told).await.expect("its words");
    assert!(told.chars().all(is_fine), "{told:?}");
    daemon.logs("[2j");
    let log = daemon.log();
    assert!(log.contains("[2j"), "{log:?}");
    assert!(log.chars().all(is_fine), "{log:?}");
}

#[test]
fn a_user_has_a_password() {
    let mut probe = program();
    probe.args(["probe", "rtsp://127.0.0.1:1/x", "--user", "admin"]);
    let output = probe.env_remove("PEERCAM_CAMERA_PASSWORD").output();
    let said = String::from_utf8(output.unwrap().stderr).unwrap();
    assert!(
        said.contains("PEERCAM_CAMERA_PASSWORD, which is not set"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn firmware_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("camera.sock");
    let probing = program()
        .args(["probe", "--seconds", "1"])
        .arg(&path)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while !path.exists() {
        tokio::task::yield_now().await;
    }
    let second = probed(path.display().to_string()).await.unwrap_err();
    assert!(second.contains("another program listens on it"), "{second}");
    let _firmware = Firmware::start(&path).await;
    let output = spawn_blocking(|| probing.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("and on request"), "{said}");
    assert!(!path.exists(), "it is removed behind it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_is_said() {
    for (what, expected) in [
        ("rtsp://127.0.0.1:1/x", "refused"),
        ("rtsp://admin:word@127.0.0.1/x", "keys of their own"),
        ("http://127.0.0.1/x", "rtsp://HOST"),
        ("missing.mp4", "there is no such file"),
        ("Cargo.toml", "neither FLV nor MP4"),
        ("src", "a directory is no camera"),
        ("192.168.1.64", "cameras are rtsp://HOST/PATH"),
        ("/nowhere/camera", "no directory for a socket"),
    ] {
        let said = probed(what.to_owned()).await.unwrap_err();
        assert!(
            said.to_lowercase().contains(&expected.to_lowercase()),
            "{what}: {said}"
        );
        assert!(!said.contains("word@"), "{said}");
    }
    assert!(!std::path::Path::new("/nowhere").exists());
}

#[test]
fn who_gives_up_waiting_leaves_no_socket() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run/peercam/camera.sock");
    let mut probing = program().arg("probe").arg(&path).spawn().unwrap();
    let until = std::time::Instant::now() + HANG;
    while !path.exists() {
        assert!(std::time::Instant::now() < until, "it does not listen");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    // Signals are listened to before there is a socket.
    let id = rustix::process::Pid::from_child(&probing);
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    probing.wait().unwrap();
    assert!(!path.exists(), "it is removed behind it");
    let made = directory.path().join("run");
    assert!(!made.exists(), "with the directories that were made for it");
}
