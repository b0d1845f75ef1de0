//! Declaration of a body's format by its request: parameters and `Content-Type`.
//!
//! It decides only where the first bytes do not: plain signatures ([`super::signature`]) count for
//! more.

use super::not_taken;
use crate::{error::Error, query::Query};

/// Format that a request declares for its body. The body's own first bytes count for more, where they
/// are plain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    form: Form,
    /// Samples per second and channel.
    sample_rate: Option<u32>,
    /// 1 or 2, interleaved.
    channels: Option<u8>,
    /// Set if the body was recorded before, and is read as it sounds.
    is_recorded: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Form {
    /// No declaration.
    #[default]
    Open,
    /// Bare PCM.
    Bare(ByteOrder),
    /// Any other format, by name. The body is taken only if its first bytes have a signature.
    Other(String),
}

/// Byte order of 16-bit samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByteOrder {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
    /// The one that makes the smoother sound. `audio/L16` is big-endian (RFC 2586), and half of those
    /// who send it do not know.
    Either,
}

/// Upper bound of a name that is quoted in a refusal, in characters.
const LONGEST_NAME: usize = 60;
/// Samples per second that bare PCM may have.
pub const SAMPLE_RATES: [u32; 8] = [
    8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000,
];

impl Declared {
    /// Parses the parameters `format`, `sample_rate` (or `rate`), `channels` and `recorded`, and, without
    /// a `format`, the `Content-Type`, whose rate and channels take precedence over the parameters.
    ///
    /// # Errors
    /// [`Error::bad_request`] for a rate or a number of channels that cannot be.
    pub fn from_request(query: &Query<'_>, content_type: Option<&str>) -> Result<Self, Error> {
        let format = query.value("format")?;
        let said = match (format, content_type) {
            (None, Some(text)) => Self::from_content_type(text)?,
            (None, None) => Self::default(),
            (Some(format), _) => {
                let form = match format.to_ascii_lowercase().as_str() {
                    "s16le" | "pcm" => Form::Bare(ByteOrder::Little),
                    "s16be" => Form::Bare(ByteOrder::Big),
                    "l16" => Form::Bare(ByteOrder::Either),
                    _ => Form::Other(shown(format)),
                };
                Self {
                    form,
                    ..Self::default()
                }
            }
        };
        let rate = query.value_of_any(&["sample_rate", "rate"])?;
        let rate = rate.map(sample_rate).transpose()?;
        let channels = query.value("channels")?.map(number_of_channels);
        let channels = channels.transpose()?;
        Ok(Self {
            form: said.form,
            sample_rate: said.sample_rate.or(rate),
            channels: said.channels.or(channels),
            is_recorded: query.value("recorded")? == Some("1"),
        })
    }

    fn from_content_type(text: &str) -> Result<Self, Error> {
        let mut parts = text.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let order = match name.as_str() {
            "audio/l16" => ByteOrder::Either,
            "audio/pcm" | "audio/x-pcm" => ByteOrder::Little,
            // What programs say that were told nothing.
            "" | "*/*" | "application/octet-stream" | "application/x-www-form-urlencoded" => {
                return Ok(Self::default());
            }
            other => {
                return Ok(Self {
                    form: Form::Other(shown(other)),
                    ..Self::default()
                });
            }
        };
        let mut said = Self {
            form: Form::Bare(order),
            ..Self::default()
        };
        for (key, value) in parts.filter_map(|part| part.split_once('=')) {
            let value = value.trim().trim_matches('"');
            match key.trim().to_ascii_lowercase().as_str() {
                "rate" => said.sample_rate = Some(sample_rate(value)?),
                "channels" => said.channels = Some(number_of_channels(value)?),
                "endianness" if value.eq_ignore_ascii_case("little-endian") => {
                    said.form = Form::Bare(ByteOrder::Little);
                }
                "endianness" if value.eq_ignore_ascii_case("big-endian") => {
                    said.form = Form::Bare(ByteOrder::Big);
                }
                _ => {}
            }
        }
        Ok(said)
    }

    /// Returns whether the body is declared to have been recorded before.
    pub fn is_recorded(&self) -> bool {
        self.is_recorded
    }

    /// Samples per second, if declared.
    pub(crate) fn sample_rate(&self) -> Option<u32> {
        self.sample_rate
    }

    /// Number of channels; 1 if not declared.
    pub(super) fn channels(&self) -> u8 {
        self.channels.unwrap_or(1)
    }

    /// Returns whether the body is declared as bare PCM.
    pub(super) fn is_bare(&self) -> bool {
        matches!(self.form, Form::Bare(_))
    }

    /// Byte order of a body that has no signature, and is therefore bare PCM.
    ///
    /// # Errors
    /// Refusal of a body that was declared as something else.
    pub(super) fn order(&self) -> Result<ByteOrder, Error> {
        match &self.form {
            Form::Open => Ok(ByteOrder::Little),
            Form::Bare(order) => Ok(*order),
            Form::Other(name) => Err(not_taken(format!(
                "the request says {name}, and the body does not begin as a format that is taken"
            ))),
        }
    }
}

fn sample_rate(text: &str) -> Result<u32, Error> {
    let rate = text.parse().ok();
    let rate = rate.filter(|rate| SAMPLE_RATES.contains(rate));
    rate.ok_or_else(|| {
        let rates = SAMPLE_RATES.map(|rate| rate.to_string()).join(", ");
        Error::bad_request(format!("the sample rate of bare PCM is one of {rates}"))
    })
}

fn number_of_channels(text: &str) -> Result<u8, Error> {
    let channels = text.parse().ok();
    let channels = channels.filter(|channels| (1..=2).contains(channels));
    channels.ok_or_else(|| Error::bad_request("channels is 1 or 2"))
}

/// The name as it may be quoted: graphic ASCII of bounded length.
fn shown(name: &str) -> String {
    let printable = name.chars().filter(char::is_ascii_graphic);
    printable.take(LONGEST_NAME).collect()
}
