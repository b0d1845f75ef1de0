//! peercam with the clip as its camera.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use peercam::config::Config;
use peercam_hal::{
    BoxFuture, Camera, HalError, MediaInput, MediaSource, SourceEvent, clock::Clock,
};
use peercam_proto::media::{MediaTime, Quality};
use tokio::time::Instant;

use super::{
    clip::{Clip, tracks},
    process,
};

/// Serves until it is killed; prints its ports: that of the open listener, and of the one that wants
/// tokens.
pub(crate) fn run() {
    process::pin(0);
    let text = format!(
        "data_dir = {:?}\n[p2p]\nenabled = false\n[[listen]]\naddr = \"127.0.0.1:0\"\n\
         [[listen]]\naddr = \"127.0.0.1:0\"\naccess = \"token\"\n\
         [http]\nmax_connections = 20000\nmax_viewers = 20000\n\
         [[channel]]\nid = 0\nsource = {{ kind = \"sim\" }}\n",
        super::data_dir()
    );
    let config = Config::parse(&text, "bench".as_ref()).expect("a valid configuration");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let daemon = peercam::daemon::Daemon::with_cameras(config, |clock, _| {
            Ok(Arc::new(ClipCamera { clock }))
        })
        .await
        .expect("a free port");
        let ports = daemon.addresses().into_iter().map(|address| address.port());
        println!(
            "{}",
            ports
                .map(|port| port.to_string())
                .collect::<Vec<_>>()
                .join(" ")
        );
        std::io::stdout().flush().expect("a reader");
        daemon.run(std::future::pending()).await;
    });
}

/// A camera that delivers the clip, from its start for whoever comes first.
pub(crate) struct ClipCamera {
    pub(crate) clock: Clock,
}

impl Camera for ClipCamera {
    fn open(&self, _quality: Quality) -> Result<MediaInput, HalError> {
        let source = ClipSource {
            clip: Clip::default(),
            start: (Instant::now(), self.clock.now()),
            pending: None,
            announced: false,
        };
        Ok(MediaInput {
            source: Box::new(source),
            control: None,
        })
    }
}

struct ClipSource {
    clip: Clip,
    start: (Instant, MediaTime),
    pending: Option<(Duration, peercam_proto::media::Frame)>,
    announced: bool,
}

impl MediaSource for ClipSource {
    fn next(&mut self) -> BoxFuture<'_, SourceEvent> {
        Box::pin(async {
            if !std::mem::replace(&mut self.announced, true) {
                return SourceEvent::Online(tracks());
            }
            let due = self.pending.get_or_insert_with(|| self.clip.next()).0;
            tokio::time::sleep_until(self.start.0 + due).await;
            let (due, mut frame) = self.pending.take().expect("just put there");
            frame.time = self.start.1.plus_micros(due.as_micros() as i64);
            SourceEvent::Frame(Clip::stamp(frame))
        })
    }
}

/// A server as a process of its own. Dropping it kills it.
pub(crate) struct Server {
    child: Child,
    /// The ports that it printed.
    pub(crate) ports: Vec<u16>,
}

impl Server {
    /// Starts this very program in another role.
    pub(crate) fn start(role: &str) -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut child = Command::new(program)
            .arg(role)
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped"))
            .read_line(&mut line)
            .expect("ports");
        let ports = line
            .split_whitespace()
            .map(|port| port.parse().expect("a port"));
        Self {
            ports: ports.collect(),
            child,
        }
    }

    /// The process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(super::data_dir_of(self.id()));
    }
}
