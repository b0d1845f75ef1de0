//! The check of an RTSP camera that nobody reads: what it has is asked for (`DESCRIBE`), with user
//! and password as for a picture. Only the address of the largest picture is asked.

use std::{sync::Arc, time::Duration};

use peercam_proto::media::Quality;
use peercam_task::boundary::Guarded;
use tokio::{sync::Notify, time::Instant};

use super::{
    Config,
    session::{Failure, Session},
};
use crate::{BoxFuture, HalError, HealthCheck, fanout::FrameFanout};

/// A camera that refuses the password is not checked again for so long: many lock the account after some
/// tries, and the lock would never end.
const REFUSED: Duration = Duration::from_mins(10);

/// Check of one camera.
pub(super) struct RtspCheck {
    config: Arc<Config>,
    interval: Duration,
    /// The camera's pictures.
    fanouts: Vec<Arc<FrameFanout>>,
    /// Told when one of them is opened.
    opened: Arc<Notify>,
    refused: Guarded<Option<Refusal>>,
}

/// A refusal of the password, after which the camera is not asked for a while.
struct Refusal {
    /// End of that time.
    until: Instant,
    /// Times that the camera had delivered by then; once more, and it takes the password.
    onlines: u64,
}

impl RtspCheck {
    pub(super) fn new(
        config: Arc<Config>,
        interval: Duration,
        fanouts: Vec<Arc<FrameFanout>>,
        opened: Arc<Notify>,
    ) -> Self {
        Self {
            config,
            interval,
            fanouts,
            opened,
            refused: Guarded::default(),
        }
    }

    async fn describe(&self) -> Result<(), HalError> {
        let config = &*self.config;
        let failed = |failure: Failure| {
            let reason = failure.reason(config.credentials.as_ref());
            HalError::Failed(reason)
        };
        let onlines = self.fanouts.iter().map(|fanout| fanout.onlines()).sum();
        let holds =
            |refusal: &Refusal| refusal.until > Instant::now() && refusal.onlines == onlines;
        if self.refused.lock().as_ref().is_some_and(holds) {
            return Err(failed(Failure::Credentials));
        }
        let url = &config.urls[Quality::Super as usize];
        let checked = Session::check(url, config.credentials.as_ref(), config).await;
        let until = Instant::now() + REFUSED;
        let is_refused = checked == Err(Failure::Credentials);
        *self.refused.lock() = is_refused.then_some(Refusal { until, onlines });
        checked.map_err(failed)
    }
}

impl HealthCheck for RtspCheck {
    fn interval(&self) -> Duration {
        self.interval
    }

    fn check(&self) -> BoxFuture<'_, Result<(), HalError>> {
        Box::pin(async {
            let opened = self.opened.notified();
            // What was read last is still connected for a while: many cameras have few places.
            if self.fanouts.iter().any(|fanout| fanout.is_in_use()) {
                return Err(HalError::Busy);
            }
            tokio::select! {
                biased;
                () = opened => Err(HalError::Busy),
                checked = self.describe() => checked,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use peercam_proto::media::{VideoCodec, VideoTrack};

    use super::*;
    use crate::{
        StreamMemory,
        rtsp::{Transport, parse_url},
    };

    #[tokio::test]
    async fn a_camera_that_was_watched_after_it_refused_the_password_is_asked_again() {
        let url = parse_url("rtsp://127.0.0.1:0/").unwrap();
        let config = Config {
            urls: Quality::ALL.map(|_| url.clone()),
            snapshot: None,
            credentials: None,
            transport: Transport::Tcp,
            always: false,
            linger: Duration::ZERO,
            sound: false,
            check: None,
            memory: StreamMemory::default(),
        };
        let fanout = FrameFanout::new(1 << 10);
        let fanouts = vec![Arc::clone(&fanout)];
        let check = RtspCheck::new(Arc::new(config), REFUSED, fanouts, Arc::default());
        let until = Instant::now() + REFUSED;
        *check.refused.lock() = Some(Refusal { until, onlines: 0 });
        let reason = async || check.check().await.unwrap_err().to_string();
        let refused = reason().await;
        assert_eq!(refused, reason().await, "it is left alone");
        let video = VideoTrack {
            codec: VideoCodec::H264,
            config: bytes::Bytes::from_static(&[1, 66, 0, 30, 255]),
            width: 640,
            height: 360,
            frame_rate: 1.0,
        };
        fanout.online(video.into());
        fanout.reset();
        // Nobody is at that address, so this is no answer from before.
        assert_ne!(reason().await, refused);
        assert!(check.refused.lock().is_none());
    }
}
