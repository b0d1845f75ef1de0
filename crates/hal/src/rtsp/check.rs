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
    /// End of the time in which it is not asked, since it refused the password.
    refused: Guarded<Option<Instant>>,
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
        if self
            .refused
            .lock()
            .is_some_and(|until| until > Instant::now())
        {
            return Err(failed(Failure::Credentials));
        }
        let url = &config.urls[Quality::Super as usize];
        let checked = Session::check(url, config.credentials.as_ref(), config).await;
        let until = Instant::now() + REFUSED;
        let is_refused = checked == Err(Failure::Credentials);
        *self.refused.lock() = is_refused.then_some(until);
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
