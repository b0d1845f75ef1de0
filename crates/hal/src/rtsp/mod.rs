//! A camera that speaks RTSP (RFC 2326), as most IP cameras do: H.264 or H.265 with AAC or G.711,
//! over TCP or UDP.
//!
//! A connection is made when somebody reads the picture, kept a little longer, and made again when
//! it is lost; what viewers get decodes, whatever is lost on the way. Pictures that have the same
//! URL share a connection. RTSP has no way to ask for a key frame: the newest GOP is kept for who
//! comes.

mod check;
mod growth;
mod intake;
mod jpeg;
mod packets;
mod puller;
mod reorder;
mod reorder_depth;
mod session;
mod still;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use peercam_proto::media::Quality;
use peercam_task::boundary::{self, Guarded, Part, restarting};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use url::Url;

pub use jpeg::{JpegCamera, JpegConfig};
pub use still::{parse_jpeg_url, parse_still_url};

use self::{check::RtspCheck, still::HttpStill};
use super::{Camera, Capabilities, HalError, MediaInput, StreamMemory, fanout::FrameFanout};
use crate::clock::Clock;

/// A camera's address and how it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// URL of each quality's picture, without user and password.
    pub urls: [Url; Quality::ALL.len()],
    /// URL of a still, over HTTP at the same host, without user and password.
    pub snapshot: Option<Url>,
    /// User who reads it; `None` if the camera wants none.
    pub credentials: Option<Credentials>,
    /// Transport of RTP.
    pub transport: Transport,
    /// Set if it is read while nobody watches, so that the first picture is there at once.
    pub always: bool,
    /// Time for which it is read after the last viewer has left, who may come back.
    pub linger: Duration,
    /// Set if its sound is read.
    pub sound: bool,
    /// Interval of checks while nobody reads it; `None`: it is left alone then. Of a camera that is read
    /// always there are none.
    pub check: Option<Duration>,
    /// Memory that each URL's picture may take on its way in.
    pub memory: StreamMemory,
}

/// A camera's user, by Digest or Basic, as the camera asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The name.
    pub user: String,
    /// The password.
    pub password: Password,
}

/// A password; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// A password.
    pub fn new(password: String) -> Self {
        Self(password)
    }

    fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Transport of RTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// Interleaved in the RTSP connection (RFC 2326 10.12): nothing is lost, but it may be late.
    #[default]
    Tcp,
    /// Beside it, in UDP.
    Udp,
}

/// A camera that is read over RTSP. Its connections are tasks of the runtime that first calls
/// [`Camera::open`] or [`RtspCamera::keep`].
pub struct RtspCamera {
    clock: Clock,
    config: Arc<Config>,
    /// One for each URL.
    pulls: BTreeMap<Url, Pull>,
    still: Option<Arc<HttpStill>>,
    /// Tells a check that somebody reads it now.
    opened: Arc<Notify>,
    check: Option<Arc<RtspCheck>>,
}

/// The feed of one URL, and the task that looks after it.
struct Pull {
    fanout: Arc<FrameFanout>,
    task: Guarded<Option<boundary::Task>>,
}

impl RtspCamera {
    /// A camera that nobody reads yet.
    pub fn new(clock: Clock, config: Config) -> Self {
        let config = Arc::new(config);
        let pulls = config.urls.iter().map(|url| {
            let pull = Pull {
                fanout: FrameFanout::new(config.memory.gop),
                task: Guarded::default(),
            };
            (url.clone(), pull)
        });
        let pulls: BTreeMap<_, _> = pulls.collect();
        let still = config.snapshot.as_ref().map(|url| {
            let credentials = config.credentials.clone();
            Arc::new(HttpStill::new(
                url.clone(),
                credentials,
                config.memory.picture,
            ))
        });
        let opened = Arc::<Notify>::default();
        let check = config.check.filter(|_| !config.always).map(|interval| {
            let fanouts = pulls.values().map(|pull| Arc::clone(&pull.fanout));
            Arc::new(RtspCheck::new(
                Arc::clone(&config),
                interval,
                fanouts.collect(),
                Arc::clone(&opened),
            ))
        });
        Self {
            clock,
            pulls,
            still,
            opened,
            check,
            config,
        }
    }

    /// Reads it from now on, if it is to be read always.
    pub fn keep(&self) {
        if self.config.always {
            for url in self.pulls.keys() {
                self.pull(url);
            }
        }
    }

    fn pull(&self, url: &Url) -> &Arc<FrameFanout> {
        let pull = &self.pulls[url];
        let mut task = pull.task.lock();
        task.get_or_insert_with(|| {
            let (config, url, fanout) = (
                Arc::clone(&self.config),
                url.clone(),
                Arc::clone(&pull.fanout),
            );
            let (clock, name) = (self.clock, shown(&url));
            let run =
                move || puller::run(Arc::clone(&config), url.clone(), clock, Arc::clone(&fanout));
            let run = {
                let name = name.clone();
                async move { restarting(Part::Camera, name, &CancellationToken::new(), run).await }
            };
            boundary::spawn(Part::Camera, name, run)
        });
        &pull.fanout
    }
}

impl Camera for RtspCamera {
    fn open(&self, quality: Quality) -> Result<MediaInput, HalError> {
        let fanout = self.pull(&self.config.urls[quality as usize]);
        let source = fanout.open();
        self.opened.notify_waiters();
        Ok(source.into())
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            snapshot: self.still.clone().map(|still| still as _),
            health_check: self.check.clone().map(|check| check as _),
            ..Capabilities::default()
        }
    }

    fn offline(&self) -> Option<String> {
        super::fanout::offline(self.pulls.values().map(|pull| &pull.fanout))
    }

    fn remedy(&self) -> &'static str {
        REMEDY
    }
}

/// Sentence on what a person can do about a camera in the network.
const REMEDY: &str = "look whether the camera has power and network, and whether url, user and password of its source are right; peercam probe URL says more";

/// Returns whether a camera that is off for this reason makes what reads it panic: to try again would not
/// help.
pub fn is_fault(reason: &str) -> bool {
    reason == session::FAULT
}

/// Reads the address of a camera.
///
/// # Errors
/// What is wrong with it, as a sentence.
pub fn parse_url(text: &str) -> Result<Url, String> {
    const NEEDED: &str = "\"rtsp://HOST[:PORT]/PATH\" is needed";
    let url = Url::parse(text).map_err(|error| format!("{NEEDED}: {error}"))?;
    if url.scheme() == "rtsps" {
        return Err("RTSP over TLS (rtsps) is not supported; rtsp is".to_owned());
    }
    if url.scheme() != "rtsp" || url.host().is_none() {
        return Err(NEEDED.to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a URL is logged, so user and password belong in keys of their own, user and password; peercam probe takes --user, and the password from PEERCAM_CAMERA_PASSWORD".to_owned());
    }
    Ok(url)
}

/// A URL as it may be shown: some cameras want a password in the query, or in the path.
pub fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(url.query().map(|_| "..."));
    if url.path().to_ascii_lowercase().contains("pass") || url.path().contains('=') {
        shown.set_path("...");
    }
    shown.to_string()
}
