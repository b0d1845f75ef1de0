//! A camera that hands over JPEGs by HTTP, and no moving picture.

use std::sync::Arc;

use peercam_proto::media::Quality;
use url::Url;

use super::{Credentials, still::HttpStill};
use crate::{Camera, Capabilities, HalError, MediaInput};

/// Address of a camera's JPEGs, and the user who asks for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JpegConfig {
    /// URL of a still, without user and password.
    pub url: Url,
    /// User who asks; `None` if the camera wants none.
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

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            snapshot: Some(Arc::clone(&self.0) as _),
            stills_only: true,
            ..Capabilities::default()
        }
    }
}
