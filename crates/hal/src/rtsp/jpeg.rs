//! A camera that hands over JPEGs by HTTP, and no moving picture.

use std::{sync::Arc, time::Duration};

use peercam_proto::media::Quality;
use url::Url;

use super::{Credentials, still::HttpStill};
use crate::{BoxFuture, Camera, Capabilities, HalError, HealthCheck, MediaInput};

/// Address of a camera's JPEGs, and the user who asks for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JpegConfig {
    /// URL of a still, without user and password.
    pub url: Url,
    /// User who asks; `None` if the camera wants none.
    pub credentials: Option<Credentials>,
    /// Interval of checks while nobody asks for a still; `None`: it is left alone then.
    pub check: Option<Duration>,
}

/// A camera of single pictures.
pub struct JpegCamera {
    still: Arc<HttpStill>,
    check: Option<Duration>,
}

/// Check of a camera of single pictures.
struct JpegCheck {
    still: Arc<HttpStill>,
    interval: Duration,
}

impl JpegCamera {
    /// A camera whose pictures have at most so many bytes.
    pub fn new(config: JpegConfig, largest: usize) -> Self {
        let JpegConfig {
            url,
            credentials,
            check,
        } = config;
        Self {
            still: Arc::new(HttpStill::new(url, credentials, largest)),
            check,
        }
    }
}

impl Camera for JpegCamera {
    fn open(&self, _quality: Quality) -> Result<MediaInput, HalError> {
        Err(HalError::Unsupported("moving pictures".to_owned()))
    }

    fn capabilities(&self) -> Capabilities {
        let check = self.check.map(|interval| JpegCheck {
            still: Arc::clone(&self.still),
            interval,
        });
        Capabilities {
            snapshot: Some(Arc::clone(&self.still) as _),
            health_check: check.map(|check| Arc::new(check) as _),
            stills_only: true,
            ..Capabilities::default()
        }
    }

    fn remedy(&self) -> &'static str {
        super::REMEDY
    }
}

impl HealthCheck for JpegCheck {
    fn interval(&self) -> Duration {
        self.interval
    }

    fn check(&self) -> BoxFuture<'_, Result<(), HalError>> {
        Box::pin(self.still.check())
    }
}
