//! The built daemon as a child process, and a small HTTP-FLV client.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::Duration,
};

use peercam_proto::flv::{Reader, Tag, TagBody, VideoPacket};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Nothing in these tests takes this long unless it hangs.
pub(crate) const HANG: Duration = Duration::from_secs(30);

/// A simulated camera on a free port, with `extra` keys in its source.
pub(crate) fn sim_config(extra: &str) -> String {
    format!(
        "[p2p]\nenabled = false\n[[listen]]\naddr = \"127.0.0.1:0\"\nallow_origins = [\"http://console.test\"]\n\
         [[channel]]\nid = 0\nname = \"front\"\nsource = {{ kind = \"sim\", every_picture = true{extra} }}\n"
    )
}

/// The built program.
pub(crate) fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_peercam"))
}

/// Runs the program to its end. Whatever it says, it says no part of it twice.
pub(crate) fn run(arguments: &[&str]) -> Output {
    let output = program()
        .args(arguments)
        .env_remove("PEERCAM_LOG")
        .output()
        .expect("the program starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    let twice = errors.lines().find(|line| says_twice(line));
    assert_eq!(twice, None, "{arguments:?}");
    output
}

/// Whether parts of a line, between colons, are there again behind themselves.
pub(crate) fn says_twice(line: &str) -> bool {
    let parts: Vec<_> = line.split(": ").collect();
    let is_repeated = |length: usize| {
        let mut pairs = parts.windows(2 * length);
        pairs.any(|pair| pair[..length] == pair[length..])
    };
    (1..=parts.len() / 2).any(is_repeated)
}

#[test]
fn repeated_parts_are_seen() {
    for line in ["a: b: b", "data_dir: x: y: x: y", "x: x"] {
        assert!(says_twice(line), "{line}");
    }
    for line in ["a: b", "a: b: a: c", "a", ""] {
        assert!(!says_twice(line), "{line}");
    }
}

/// A running daemon. Dropping it kills it.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) address: SocketAddr,
    directory: tempfile::TempDir,
}

impl Daemon {
    /// Starts a daemon with this configuration.
    pub(crate) fn start(config: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Self::start_in(directory, config)
    }

    /// As [`Daemon::start`]; relative paths in the configuration are relative to `directory`.
    pub(crate) fn start_in(directory: tempfile::TempDir, config: &str) -> Self {
        let path = directory.path().join("camera.toml");
        // Tests run side by side, and most of them are not about P2P.
        let config = match config.contains("[p2p]") {
            true => config.to_owned(),
            false => format!("{config}\n[p2p]\nenabled = false\n"),
        };
        // Others may be reading it meanwhile.
        let written = directory.path().join("camera.toml.new");
        std::fs::write(&written, config).expect("the configuration is written");
        std::fs::rename(&written, &path).expect("the configuration is in place");
        let log = std::fs::File::create(directory.path().join("log")).expect("a log file");
        Self::start_logging_to(directory, &path, log.into())
    }

    /// A daemon whose log nobody reads, until somebody takes it.
    pub(crate) fn start_unread(config: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("camera.toml");
        std::fs::write(&path, config).expect("the configuration is written");
        Self::start_logging_to(directory, &path, Stdio::piped())
    }

    fn start_logging_to(directory: tempfile::TempDir, path: &Path, log: Stdio) -> Self {
        let mut child = program()
            .args(["run", "--log", "trace", "--config"])
            .arg(path)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the program starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("piped");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("a line of output");
        let address = line
            .trim()
            .strip_prefix("peercam is listening on http://")
            .unwrap_or_else(|| panic!("{line:?}; log: {}", read(&directory.path().join("log"))))
            .parse()
            .expect("an address");
        Self {
            child,
            address,
            directory,
        }
    }

    /// Where its configuration, its data and its log are.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Stops it in order and gives its directory, to start it again.
    pub(crate) fn stop(mut self) -> tempfile::TempDir {
        self.signal(Signal::TERM);
        assert_eq!(self.wait().code(), Some(0));
        self.take_directory()
    }

    /// Its directory, once it has ended.
    pub(crate) fn take_directory(&mut self) -> tempfile::TempDir {
        let other = tempfile::tempdir().expect("a temporary directory");
        std::mem::replace(&mut self.directory, other)
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        read(&self.directory.path().join("log"))
    }

    /// Waits until it has logged this: a thread of its own writes the log.
    pub(crate) fn logs(&self, text: &str) {
        let began = std::time::Instant::now();
        while !self.log().contains(text) {
            assert!(began.elapsed() < HANG, "{text:?} in {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// All that it logs from here on, of one that was started unread.
    pub(crate) fn take_log(&mut self) -> std::process::ChildStderr {
        self.child.stderr.take().expect("piped")
    }

    /// Waits until it has logged this so often.
    pub(crate) fn logs_times(&self, text: &str, times: usize) {
        let began = std::time::Instant::now();
        while self.log().matches(text).count() < times {
            assert!(began.elapsed() < HANG, "{text:?} in {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Threads of its process.
    pub(crate) fn threads(&self) -> usize {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id()));
        tasks.expect("/proc").count()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the daemon is there");
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("the daemon was started by us")
    }

    /// Resident memory in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = read(&PathBuf::from(format!("/proc/{}/status", self.child.id())));
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .expect("VmRSS");
        line.trim()
            .trim_end_matches(" kB")
            .parse()
            .expect("a number")
    }

    /// Open file descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id()))
            .expect("/proc")
            .count()
    }

    /// Waits until no more than this many descriptors are open.
    pub(crate) async fn descriptors_fall_to(&self, count: usize) {
        let waited = tokio::time::timeout(HANG, async {
            while self.descriptors() > count {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        assert!(
            waited.await.is_ok(),
            "{} descriptors, not {count}",
            self.descriptors()
        );
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.child
            .try_wait()
            .expect("the daemon was started by us")
            .is_none()
    }

    /// A number of the metrics, summed over its labels.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let metrics = request(self.address, "GET", "/metrics", "").await.body;
        let lines = metrics
            .lines()
            .filter(|line| line.starts_with(name) && !line.starts_with('#'));
        lines
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Waits until a metric has this value.
    pub(crate) async fn metric_becomes(&self, name: &str, value: f64) {
        let waited = tokio::time::timeout(HANG, async {
            while self.metric(name).await != value {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        assert!(
            waited.await.is_ok(),
            "{name} is {} and not {value}",
            self.metric(name).await
        );
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("log of the daemon:\n{}", self.log());
        }
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// Splits the bytes of one whole answer.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
        let head = head.to_ascii_lowercase();
        let is_list = head.contains("chunked") && head.contains("application/json");
        let whole = is_list.then(|| unchunked(body)).flatten();
        Some(Self {
            status,
            head,
            body: whole.unwrap_or_else(|| body.to_owned()),
        })
    }

    /// A field of the JSON body.
    pub(crate) fn json(&self, field: &str) -> String {
        let value: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        value[field].as_str().unwrap_or_default().to_owned()
    }
}

/// A body that came in chunks, if it is whole.
fn unchunked(mut rest: &str) -> Option<String> {
    let mut whole = String::new();
    loop {
        let (length, after) = rest.split_once("\r\n")?;
        let length = usize::from_str_radix(length, 16).ok()?;
        if length == 0 {
            return Some(whole);
        }
        whole.push_str(after.get(..length)?);
        rest = after.get(length..)?.strip_prefix("\r\n")?;
    }
}

/// Sends one request with `Connection: close` and reads the whole answer.
pub(crate) async fn request(address: SocketAddr, method: &str, target: &str, body: &str) -> Answer {
    let text = format!(
        "{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = raw(address, text.as_bytes()).await;
    Answer::parse(&answer)
        .unwrap_or_else(|| panic!("{target}: {:?}", String::from_utf8_lossy(&answer)))
}

/// Sends bytes and reads until the other side closes.
pub(crate) async fn raw(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    // The daemon may answer and close before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(HANG, stream.read_to_end(&mut answer)).await;
    assert!(
        read.is_ok(),
        "no end after {:?}",
        String::from_utf8_lossy(&answer)
    );
    answer
}

/// A viewer of a live stream.
pub(crate) struct Viewer {
    stream: TcpStream,
    head: Vec<u8>,
    chunks: Vec<u8>,
    reader: Reader,
    /// The chunked terminator has come.
    pub(crate) ended_in_order: bool,
}

impl Viewer {
    /// Asks for a live stream and reads the head of the answer.
    pub(crate) async fn open(address: SocketAddr, parameters: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.expect("connects");
        let text =
            format!("GET /ipc.flv?action=live&{parameters} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        stream.write_all(text.as_bytes()).await.expect("sends");
        let mut viewer = Self {
            stream,
            head: Vec::new(),
            chunks: Vec::new(),
            reader: Reader::new(),
            ended_in_order: false,
        };
        while !viewer.head.ends_with(b"\r\n\r\n") {
            let byte = viewer.stream.read_u8().await.expect("an answer");
            viewer.head.push(byte);
        }
        assert!(
            viewer.head.starts_with(b"HTTP/1.1 200"),
            "{}",
            String::from_utf8_lossy(&viewer.head)
        );
        viewer
    }

    /// The next tag; `None` when the body ends or breaks off.
    pub(crate) async fn tag(&mut self) -> Option<Tag> {
        loop {
            if let Some(tag) = self.reader.next_tag().expect("FLV") {
                return Some(tag);
            }
            if self.ended_in_order {
                return None;
            }
            let mut piece = vec![0; 64 * 1024];
            let read = tokio::time::timeout(HANG, self.stream.read(&mut piece)).await;
            match read.expect("the stream does not hang") {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.chunks.extend_from_slice(&piece[..count]),
            }
            self.take_chunks();
        }
    }

    /// The next picture's timestamp and whether it is a key frame.
    pub(crate) async fn picture(&mut self) -> Option<(u32, bool)> {
        loop {
            let tag = self.tag().await?;
            if let TagBody::Video(_, VideoPacket::Frame { key, .. }) = tag.body {
                return Some((tag.timestamp, key));
            }
        }
    }

    fn take_chunks(&mut self) {
        while let Some(end) = self.chunks.windows(2).position(|pair| pair == b"\r\n") {
            let size = std::str::from_utf8(&self.chunks[..end]).expect("a chunk size");
            let size = usize::from_str_radix(size, 16).expect("a chunk size");
            let whole = end + 2 + size + 2;
            if self.chunks.len() < whole {
                return;
            }
            self.reader.feed(&self.chunks[end + 2..whole - 2]);
            self.chunks.drain(..whole);
            self.ended_in_order |= size == 0;
        }
    }
}
