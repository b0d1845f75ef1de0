//! Cameras: one that a running daemon looks after is asked about there; others are connected to.

use std::fmt::Display;

use peercam_hal::{clock::Clock, file::FileCamera};
use peercam_task::boundary::{self, Part};

use super::{Finding, Report, daemon::Running};
use crate::config::{Channel, Config, Source};

/// Looks at every camera.
pub(super) async fn look(config: &Config, running: Option<&Running>, report: &mut Report) {
    if let Some(running) = running
        && let Some(status) = &running.status
    {
        let cameras = status["cameras"].as_array().into_iter().flatten();
        for camera in cameras {
            let (id, name) = (&camera["channel"], camera["name"].as_str());
            let name = name.unwrap_or_default();
            match camera["state"].as_str() {
                Some("on") => report.good(format_args!(
                    "camera {id} ({name}): it delivers, as far as the daemon knows"
                )),
                Some("standby") => report.good(format_args!("camera {id} ({name}): it stands by")),
                _ => {}
            }
        }
        let problems = running.problems().into_iter();
        let its = problems.filter(|problem| problem.part == "camera");
        its.for_each(|problem| report.add(problem.into()));
        return;
    }
    let is_gentle = running.is_some();
    let looks = config.channels.iter().cloned().map(|channel| {
        let name = format!("{}/doctor", channel.id);
        boundary::spawn(Part::Camera, name, async move {
            look_at(&channel, is_gentle).await
        })
    });
    let looks: Vec<_> = looks.collect();
    for (channel, look) in config.channels.iter().zip(looks) {
        let found = look.await.ok().and_then(Result::ok);
        report.add(found.unwrap_or_else(|| {
            let reason = "it makes what reads it fail, which is a fault of this program";
            Finding::failure(Named(channel), reason, "report it with the camera's make")
        }));
    }
}

struct Named<'a>(&'a Channel);

impl Display for Named<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "camera {} ({})", self.0.id, self.0.name)
    }
}

/// Looks at a camera; at one that somebody else may be reading without a session of its own.
#[cfg_attr(not(feature = "rtsp"), expect(unused_variables))]
async fn look_at(channel: &Channel, is_gentle: bool) -> Finding {
    let name = Named(channel);
    match &channel.source {
        #[cfg(feature = "sim")]
        Source::Sim(_) => Finding::Good(format!("{name}: it is simulated")),
        Source::File { path } => match FileCamera::new(Clock::start(), path.clone()) {
            Ok(_) => Finding::Good(format!("{name}: the file can be played")),
            Err(error) => Finding::failure(name, error, "name another file in its source"),
        },
        #[cfg(feature = "rtsp")]
        Source::Rtsp(config) => network::rtsp(&name, config, is_gentle).await,
        #[cfg(feature = "rtsp")]
        Source::Jpeg(config) => network::jpeg(&name, (**config).clone()).await,
        Source::Socket { config } => Finding::Doubt(format!(
            "{name}: whether firmware has come to {} is known to the daemon only, which does not run or cannot be asked",
            config.path.display()
        )),
        Source::Own => Finding::Doubt(format!(
            "{name}: it belongs to the program around the daemon, which alone can look at it"
        )),
    }
}

#[cfg(feature = "rtsp")]
mod network {
    use std::time::{Duration, Instant};

    use peercam_hal::{
        Camera, SourceEvent,
        clock::Clock,
        rtsp::{Config, JpegCamera, JpegConfig, RtspCamera},
    };
    use peercam_proto::{jpeg, media::Quality};
    use tokio::time::timeout;

    use super::{Finding, Named};

    /// Timeout for a camera's first picture.
    const PICTURE_TIME: Duration = Duration::from_secs(8);
    /// Bytes of the largest still.
    const LARGEST: usize = 8 << 20;

    pub(super) async fn rtsp(name: &Named<'_>, config: &Config, is_gentle: bool) -> Finding {
        let config = Config {
            always: false,
            linger: Duration::ZERO,
            check: is_gentle.then_some(PICTURE_TIME),
            ..config.clone()
        };
        let camera = RtspCamera::new(Clock::start(), config);
        let began = Instant::now();
        let seen = async {
            if let Some(check) = camera.capabilities().health_check {
                let checked = check.check().await.map_err(|error| error.to_string());
                return checked.map(|()| "it says what it has");
            }
            let mut source = camera
                .open(Quality::Super)
                .map_err(|error| error.to_string())?
                .source;
            loop {
                match source.next().await {
                    SourceEvent::Frame(_) => return Ok("it delivers"),
                    SourceEvent::Offline(reason) => return Err(reason),
                    SourceEvent::Online(_) | SourceEvent::TracksChanged(_) => {}
                }
            }
        };
        let seen = timeout(PICTURE_TIME, seen).await;
        let seen = seen.unwrap_or_else(|_| Err(late()));
        found(name, began, seen, camera.remedy())
    }

    pub(super) async fn jpeg(name: &Named<'_>, config: JpegConfig) -> Finding {
        let camera = JpegCamera::new(config, LARGEST);
        let began = Instant::now();
        let taken = async {
            let Some(snapshot) = camera.capabilities().snapshot else {
                return Err("it gives no stills".to_owned());
            };
            let still = snapshot.capture().await;
            let still = still.map_err(|error| error.to_string())?;
            let length = jpeg::length(&still);
            length.map_err(|error| format!("what it gives is no JPEG: {error}"))?;
            Ok("it gives stills")
        };
        let taken = timeout(PICTURE_TIME, taken).await;
        let taken = taken.unwrap_or_else(|_| Err(late()));
        found(name, began, taken, camera.remedy())
    }

    fn late() -> String {
        format!("nothing came of it within {} s", PICTURE_TIME.as_secs())
    }

    fn found(
        name: &Named<'_>,
        began: Instant,
        seen: Result<&str, String>,
        remedy: &str,
    ) -> Finding {
        match seen {
            Ok(what) => Finding::Good(format!(
                "{name}: {what} ({} ms)",
                began.elapsed().as_millis()
            )),
            Err(reason) => Finding::failure(name, reason, remedy),
        }
    }
}
