//! What a viewer's commands say: whether the device is there, who answers in its place, and that
//! access has ended.

use std::{
    fs::Permissions,
    io::{BufRead, BufReader, Read},
    net::{TcpListener, UdpSocket},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio},
};

use peercam_proto::credential::PairingUri;

use crate::{
    dialled::{device, device_endpoint},
    support::{program, says_twice},
};

/// A viewer's command for a URI, which is in a file.
struct ViewerCommand {
    directory: tempfile::TempDir,
}

impl ViewerCommand {
    fn new(uri: &PairingUri) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("uri");
        std::fs::write(&path, uri.expose()).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn program(&self, command: &str, arguments: &[&str]) -> Command {
        let mut program = program();
        program
            .arg(command)
            .arg(format!("@{}", self.path("uri").display()))
            .args(arguments)
            .env_remove("PEERCAM_LOG");
        program
    }

    fn start(&self, command: &str, arguments: &[&str]) -> Running {
        let mut program = self.program(command, arguments);
        let mut child = program
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Running {
            stdout: child.stdout.take(),
            stderr: BufReader::new(child.stderr.take().unwrap()),
            child,
        }
    }
}

/// A viewer that runs. Dropping it kills it.
struct Running {
    child: Child,
    stdout: Option<ChildStdout>,
    stderr: BufReader<ChildStderr>,
}

impl Running {
    /// The next line on stderr. It is none of a library.
    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.stderr.read_line(&mut line).unwrap() > 0, "it ended");
        assert!(line.starts_with("peercam: "), "{line}");
        line
    }

    /// Waits until there is a picture.
    fn picture(&mut self) {
        let mut picture = [0; 4096];
        self.stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut picture)
            .unwrap();
    }

    /// Reads all that it still says; whether it ended well.
    fn end(mut self) -> (bool, String) {
        let mut rest = Vec::new();
        if let Some(mut stdout) = self.stdout.take() {
            stdout.read_to_end(&mut rest).unwrap();
        }
        let mut errors = String::new();
        self.stderr.read_to_string(&mut errors).unwrap();
        (self.child.wait().unwrap().success(), errors)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn errors(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// One line, of ours, that says nothing twice.
fn is_one_line(errors: &str) -> bool {
    errors.lines().count() == 1 && errors.starts_with("peercam: ") && !says_twice(errors.trim())
}

/// A URI for a device that nobody is, at this address.
fn uri_at(uri: &PairingUri, address: std::net::SocketAddr) -> PairingUri {
    PairingUri {
        udp: vec![address],
        lan: Vec::new(),
        relays: Vec::new(),
        ..uri.clone()
    }
}

#[test]
fn a_player_that_closes_its_pipe_is_no_error() {
    let device = device("");
    let viewer = ViewerCommand::new(&device.pair(&["phone"]));
    let mut pull = viewer.start("pull", &[]);
    pull.picture();
    drop(pull.stdout.take());
    let (is_good, errors) = pull.end();
    assert!(is_good && errors.is_empty(), "{errors}");
    for arguments in [&["pair", "--list"][..], &["pair", "tablet"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut program = program();
        let output = program
            .args(arguments)
            .arg("--config")
            .arg(device.daemon.directory().join("camera.toml"))
            .stdout(writer)
            .stderr(Stdio::piped());
        let output = output.spawn().unwrap().wait_with_output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
}

#[tokio::test]
async fn a_revoked_viewer_reads_that_it_was_revoked() {
    for transport in ["P2P", "TCP"] {
        let device = device("");
        let mut uri = device.pair(&["phone"]);
        if transport == "TCP" {
            uri.udp.clear();
        }
        let viewer = ViewerCommand::new(&uri);
        let mut pull = viewer.start("pull", &["--quality", "standard"]);
        pull.picture();
        let silence = viewer.path("silence.wav");
        std::fs::write(&silence, long_silence()).unwrap();
        let talk = viewer.start("talk", &[&silence.to_string_lossy()]);
        device.daemon.metric_becomes("peercam_talkers", 1.0).await;
        device.peercam(&["revoke", "phone"]);
        for (is_good, said) in [pull.end(), talk.end()] {
            assert!(!is_good, "{transport}");
            let last = said.lines().last().unwrap();
            assert!(last.contains("was revoked"), "{transport}: {said}");
            assert!(
                said.lines().all(|line| line.starts_with("peercam: ")),
                "{said}"
            );
        }
        // Whoever comes later reads it too.
        let output = viewer.program("pull", &[]).output().unwrap();
        let said = errors(&output);
        assert!(is_one_line(&said) && said.contains("was revoked"), "{said}");
    }
}

/// A minute of it, as WAV with 16 bits at 8 kHz.
fn long_silence() -> Vec<u8> {
    const LENGTH: u32 = 60 * 8000 * 2;
    let mut wav = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
    wav[4..8].copy_from_slice(&(LENGTH + 36).to_le_bytes());
    wav.extend(8000_u32.to_le_bytes());
    wav.extend(16_000_u32.to_le_bytes());
    wav.extend(b"\x02\0\x10\0data");
    wav.extend(LENGTH.to_le_bytes());
    wav.resize(44 + LENGTH as usize, 0);
    wav
}

#[tokio::test]
async fn another_device_at_the_address_is_told_as_that() {
    let device = device("");
    let uri = device.pair(&["phone"]);
    let other = device_endpoint(7).await;
    let address = other.hints()[0];
    let answering = tokio::spawn({
        let other = other.clone();
        async move {
            while let Some(incoming) = other.accept().await {
                let _ = incoming.accept().await;
            }
        }
    });
    let viewer = ViewerCommand::new(&uri_at(&uri, address));
    let mut program = viewer.program("command", &["cmd=help"]);
    let output = tokio::task::spawn_blocking(move || program.output().unwrap());
    let said = errors(&output.await.unwrap());
    assert!(is_one_line(&said), "{said}");
    for words in ["another device answers there", "another key", "pair again"] {
        assert!(said.contains(words), "{said}");
    }
    answering.abort();
    other.close().await;
}

#[test]
fn a_proxy_says_at_once_whether_the_device_is_there() {
    let device = device("");
    let uri = device.pair(&["phone"]);
    let viewer = ViewerCommand::new(&uri);
    let mut proxy = viewer.start("proxy", &["--listen", "127.0.0.1:0"]);
    assert!(proxy.line().contains("looking for the device"));
    let connected = proxy.line();
    assert!(
        connected.contains("connected to the device (direct, IPv"),
        "{connected}"
    );
    assert!(connected.contains(" ms)"), "{connected}");
    // One that is off: nothing reads there.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let viewer = ViewerCommand::new(&uri_at(&uri, silent.local_addr().unwrap()));
    let mut proxy = viewer.start("proxy", &["--listen", "127.0.0.1:0"]);
    assert!(proxy.line().contains("looking for the device"));
    let away = proxy.line();
    for words in [
        "cannot be reached",
        "does not answer",
        "trying again, every 5 s",
    ] {
        assert!(away.contains(words), "{away}");
    }
    assert!(is_one_line(&away), "{away}");
    rustix::process::kill_process(
        rustix::process::Pid::from_child(&proxy.child),
        rustix::process::Signal::INT,
    )
    .unwrap();
    let (is_good, rest) = proxy.end();
    assert!(is_good && rest.is_empty(), "{rest}");
    // One that revokes its viewer, while nobody asks for anything.
    let viewer = ViewerCommand::new(&uri);
    let mut proxy = viewer.start("proxy", &["--listen", "127.0.0.1:0"]);
    assert!(proxy.line().contains("looking for the device"));
    assert!(proxy.line().contains("connected to the device"));
    device.peercam(&["revoke", "phone"]);
    let mut line = proxy.line();
    while !line.contains("was revoked") {
        line = proxy.line();
    }
    assert!(is_one_line(&line) && line.contains("every 15 s"), "{line}");
}

#[test]
fn the_port_of_a_proxy_that_is_in_use_is_told() {
    let device = device("");
    let viewer = ViewerCommand::new(&device.pair(&["phone"]));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = viewer.program("proxy", &["--listen", &address]);
    let said = errors(&{ output }.output().unwrap());
    let me = format!("(process {})", std::process::id());
    assert!(is_one_line(&said), "{said}");
    for words in ["in use by", &me, &address, "--listen"] {
        assert!(said.contains(words), "{words}: {said}");
    }
}
