use std::{fmt, str::FromStr};

/// One camera of the device, counted from 0 (an NVR has several).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId(pub u16);

impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Picture quality that a viewer asks for: the `quality` parameter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quality {
    /// The smallest picture.
    Standard,
    /// The middle one, and the default of requests.
    #[default]
    High,
    /// The largest picture.
    Super,
}

impl Quality {
    /// Every quality, smallest picture first.
    pub const ALL: [Self; 3] = [Self::Standard, Self::High, Self::Super];

    /// Returns the word used in requests, configuration and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::High => "high",
            Self::Super => "super",
        }
    }
}

impl fmt::Display for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Quality {
    type Err = ParseQualityError;

    /// Parses the word in any case.
    fn from_str(word: &str) -> Result<Self, ParseQualityError> {
        Self::ALL
            .into_iter()
            .find(|quality| quality.as_str().eq_ignore_ascii_case(word))
            .ok_or(ParseQualityError)
    }
}

/// Error for a word that is none of the three qualities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("quality is one of standard, high, super")]
pub struct ParseQualityError;

/// One live stream of the device: a channel at a quality.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// The camera.
    pub channel: ChannelId,
    /// Its picture.
    pub quality: Quality,
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.channel, self.quality)
    }
}
