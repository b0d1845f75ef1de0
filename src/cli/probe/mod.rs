//! `peercam probe`: what a camera delivers, and what viewers will make of it.

mod observed;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
#[cfg(feature = "rtsp")]
use peercam_hal::rtsp;
use peercam_hal::socket;
use peercam_hal::{
    Camera, ControlOutcome, MediaInput, SourceEvent, clock::Clock, file::FileCamera,
};
use peercam_proto::{media::ChannelId, media::Quality, text::Printable};
use tokio::time::{Instant, timeout_at};

use self::observed::Observed;
use super::{CliError, interrupt::until_interrupted, progress::Progress, run};

/// Timeout for firmware that is to connect.
const FIRMWARE: Duration = Duration::from_secs(60);
/// Timeout for a camera's first frame.
const CAMERA: Duration = Duration::from_secs(15);

/// Examples, for what this build can read.
#[cfg(feature = "rtsp")]
const EXAMPLES: &str = "\
Examples:
  A camera whose password is in PEERCAM_CAMERA_PASSWORD:
    peercam probe rtsp://192.168.1.64/stream1 --user admin
  A file, for ten seconds:
    peercam probe camera.mp4 --seconds 10";
#[cfg(not(feature = "rtsp"))]
const EXAMPLES: &str = "\
Examples:
  Firmware, which connects to the socket:
    peercam probe /run/peercam/camera.sock
  A file, for ten seconds:
    peercam probe camera.mp4 --seconds 10";

/// Options of `peercam probe`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[command(after_help = EXAMPLES)]
pub struct ProbeOptions {
    /// Camera or file: rtsp://HOST/PATH, an FLV or MP4 file, or a socket
    ///
    /// At the path of a socket it waits for firmware of channel 0 of the same user, as the daemon
    /// does. Stop the daemon first.
    #[arg(value_name = "SOURCE")]
    what: String,
    /// User name at an RTSP camera; the password is PEERCAM_CAMERA_PASSWORD
    ///
    /// The password is read from this environment variable, because other users can see arguments.
    #[cfg(feature = "rtsp")]
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Asks an RTSP camera to send by UDP
    #[cfg(feature = "rtsp")]
    #[arg(long)]
    udp: bool,
    /// Seconds to look at it; longer if no second key frame came by then
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
}

impl ProbeOptions {
    pub(super) fn perform(self) -> Result<(), CliError> {
        // Beyond the runtime, with which the socket in them goes.
        let _directories = MadeDirectories::above(&self.what);
        let observed = run(until_interrupted(self.look()))?;
        report(&observed).map_err(CliError::io("the output"))
    }

    /// The source as text, without anything that may be a password.
    fn shown(&self) -> String {
        #[cfg(feature = "rtsp")]
        if let Ok(url) = rtsp::parse_url(&self.what) {
            return rtsp::shown(&url);
        }
        self.what.clone()
    }

    async fn look(&self) -> Result<Observed, CliError> {
        let clock = Clock::start();
        let (camera, patience) = self.camera(clock)?;
        let mut input = camera
            .open(Quality::Super)
            .map_err(|error| CliError::Usage(format!("{}: {error}", self.shown())))?;
        self.observe(&mut input, clock, patience).await
    }

    /// The camera, and how long it may take to deliver.
    fn camera(&self, clock: Clock) -> Result<(Box<dyn Camera>, Duration), CliError> {
        if self.what.contains("://") {
            return Ok((self.rtsp(clock)?, CAMERA));
        }
        let path = Path::new(&self.what);
        if path.is_file() {
            let camera = FileCamera::new(clock, path.to_owned());
            let camera = camera.map_err(|error| CliError::Usage(error.to_string()))?;
            return Ok((Box::new(camera), CAMERA));
        }
        let is_media = |extension| matches!(extension, "flv" | "mp4" | "m4v" | "mov");
        let extension = path.extension().and_then(std::ffi::OsStr::to_str);
        let directory = path.parent().filter(|path| !path.as_os_str().is_empty());
        if path.is_dir() {
            let reason = format!("{}: a directory is no camera", self.what);
            return Err(CliError::Usage(reason));
        }
        // A socket that is made by mistake would be waited at for a minute.
        let may_be_socket = extension == Some("sock") || directory.is_some_and(Path::is_dir);
        if extension.is_some_and(is_media) || !may_be_socket {
            let reason = format!(
                "{}: there is no such file, and no directory for a socket of that name; cameras are rtsp://HOST/PATH, sockets DIRECTORY/NAME (for NAME.sock the directory is made)",
                self.what
            );
            return Err(CliError::Usage(reason));
        }
        self.socket(clock, path)
    }

    #[cfg(feature = "rtsp")]
    fn rtsp(&self, clock: Clock) -> Result<Box<dyn Camera>, CliError> {
        let url = rtsp::parse_url(&self.what).map_err(CliError::Usage)?;
        let credentials = match self.user.clone() {
            None => None,
            Some(user) => {
                let password = std::env::var("PEERCAM_CAMERA_PASSWORD").map_err(|_| {
                    CliError::Usage(format!(
                        "the password of {user:?} is taken from PEERCAM_CAMERA_PASSWORD, which is not set"
                    ))
                })?;
                let password = rtsp::Password::new(password);
                Some(rtsp::Credentials { user, password })
            }
        };
        let transport = if self.udp {
            rtsp::Transport::Udp
        } else {
            rtsp::Transport::Tcp
        };
        let config = rtsp::Config {
            urls: [url.clone(), url.clone(), url],
            snapshot: None,
            credentials,
            transport,
            always: false,
            linger: Duration::ZERO,
            sound: true,
            check: None,
            memory: peercam_hal::StreamMemory::default(),
        };
        Ok(Box::new(rtsp::RtspCamera::new(clock, config)))
    }

    #[cfg(not(feature = "rtsp"))]
    fn rtsp(&self, _clock: Clock) -> Result<Box<dyn Camera>, CliError> {
        let reason = "this program was built without the feature rtsp";
        Err(CliError::Usage(reason.to_owned()))
    }

    fn socket(&self, clock: Clock, path: &Path) -> Result<(Box<dyn Camera>, Duration), CliError> {
        let config = socket::Config {
            path: path.to_owned(),
            mode: 0o600,
            users: Vec::new(),
        };
        let hal = socket::SocketHal::listen(
            clock,
            config,
            socket::Metrics::default(),
            peercam_hal::StreamMemory::default(),
        )
        .map_err(|error| CliError::Usage(error.to_string()))?;
        eprintln!(
            "waiting {} s for firmware to connect to {} (channel 0)",
            FIRMWARE.as_secs(),
            self.what
        );
        let camera = std::sync::Arc::new(hal).camera(ChannelId(0));
        Ok((Box::new(camera), FIRMWARE))
    }

    async fn observe(
        &self,
        input: &mut MediaInput,
        clock: Clock,
        patience: Duration,
    ) -> Result<Observed, CliError> {
        let mut observed = Observed::default();
        let began = clock.now();
        let give_up = Instant::now() + patience;
        let (mut until, mut reason) = (None, "it delivered nothing".to_owned());
        let mut progress = Progress::start(0, None);
        let length = Duration::from_secs(self.seconds);
        loop {
            let deadline = match until {
                None => give_up,
                Some(until) if observed.has_seen_a_gop() => until,
                Some(until) => until + 2 * length,
            };
            match timeout_at(deadline, input.source.next()).await {
                Err(_) if until.is_some() => break,
                Err(_) => return Err(CliError::Usage(format!("{}: {reason}", self.shown()))),
                Ok(SourceEvent::Online(tracks) | SourceEvent::TracksChanged(tracks)) => {
                    observed.take_tracks(tracks);
                }
                // To try again would not help, and might lock the account.
                Ok(SourceEvent::Offline(why)) if why.contains("(401)") || why.contains("(404)") => {
                    let hint = if why.contains("was given none") {
                        "; give it --user, and the password in PEERCAM_CAMERA_PASSWORD"
                    } else {
                        ""
                    };
                    return Err(CliError::Usage(format!("{}: {why}{hint}", self.shown())));
                }
                #[cfg(feature = "rtsp")]
                Ok(SourceEvent::Offline(why)) if rtsp::is_fault(&why) => {
                    return Err(CliError::Usage(format!("{}: {why}", self.shown())));
                }
                Ok(SourceEvent::Offline(why)) => reason = why,
                Ok(SourceEvent::Frame(frame)) => {
                    if until.is_none() {
                        observed.first_micros = clock.now().micros_since(began);
                        until = Some(Instant::now() + length);
                    }
                    observed.take(&frame);
                    progress.add(frame.data.len());
                    if Instant::now() >= deadline {
                        break;
                    }
                }
            }
        }
        progress.end();
        let control = input.control.as_ref();
        observed.forces_keys =
            control.is_some_and(|control| control.request_key_frame() == ControlOutcome::Accepted);
        Ok(observed)
    }
}

/// Directories that are made for a socket, as the daemon would, and go with it; the innermost first.
struct MadeDirectories(Vec<PathBuf>);

impl MadeDirectories {
    /// Directories above a path that are not there yet; none above a URL.
    fn above(what: &str) -> Self {
        let above = Path::new(what).ancestors().skip(1);
        let is_missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
        let missing = above.take_while(|path| !what.contains("://") && is_missing(path));
        Self(missing.map(Path::to_owned).collect())
    }
}

impl Drop for MadeDirectories {
    fn drop(&mut self) {
        for path in &self.0 {
            // What was not made, or has something in it by now, stays as it is.
            let _ = std::fs::remove_dir(path);
        }
    }
}

fn report(observed: &Observed) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in observed.facts() {
        writeln!(out, "{}", Printable(line))?;
    }
    writeln!(out, "\nViewers get:")?;
    for line in observed.viewers() {
        writeln!(out, "  {}", Printable(line))?;
    }
    let advice = observed.advice();
    if advice.is_empty() {
        writeln!(out, "\nNothing needs to be changed in the camera.")?;
    } else {
        writeln!(out, "\nTo be changed in the camera:")?;
    }
    for line in advice {
        writeln!(out, "  {}", Printable(line))?;
    }
    out.flush()
}
