//! A camera that hands over JPEGs by HTTP, and no moving picture.

use std::sync::Arc;

use peercam_proto::media::Quality;
use url::Url;

use super::{Credentials, still::HttpStill};
use crate::{Camera, HalError, MediaInput, Parts};

/// Where a camera's JPEGs are, and who asks for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JpegConfig {
    /// Where a still is, without user and password.
    pub url: Url,
    /// Who asks; `None` if nobody is asked.
    pub credentials: Option<Credentials>,
}

/// A camera of single pictures.
pub struct JpegCamera(Arc<HttpStill>);

impl JpegCamera {
    /// A camera whose pictures have at most so many bytes.
    pub fn new(config: JpegConfig, largest: usize) -> Self {
        let JpegConfig { url, credentials } = config;
        Self(Arc::new(HttpStill::new(url, credentials, largest)))
    }
}

impl Camera for JpegCamera {
    fn open(&self, _quality: Quality) -> Result<MediaInput, HalError> {
        Err(HalError::Unsupported("moving pictures".to_owned()))
    }

    fn parts(&self) -> Parts {
        Parts {
            snapshot: Some(Arc::clone(&self.0) as _),
            stills_only: true,
            ..Parts::default()
        }
    }
}
