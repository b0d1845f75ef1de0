use super::not_taken;
use crate::{error::Error, proto::query::Query};

/// What a request says its body is. What the body begins as counts for more, where that is plain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Declared {
    /// Nothing.
    #[default]
    Nothing,
    /// Bare PCM.
    Bare {
        /// Samples per second and channel; `None` if it does not say.
        sample_rate: Option<u32>,
        /// 1 or 2, interleaved.
        channels: u8,
        /// The order of a sample's bytes.
        order: ByteOrder,
    },
    /// A format that its first bytes have to show, or one that is not taken: its name.
    Other(String),
}

/// The order of a sample's two bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteOrder {
    /// The lower one first.
    Little,
    /// The higher one first.
    Big,
    /// Whichever of both makes the smoother sound. `audio/L16` is big-endian (RFC 2586), and half of
    /// those who send it do not know.
    Either,
}

/// A name that is told back is cut here.
const LONGEST_NAME: usize = 60;

impl Declared {
    /// Reads the parameters `format`, `rate` and `channels`, and if there is no `format` the
    /// `Content-Type`, if that counts.
    ///
    /// # Errors
    /// [`Error::bad_request`] for a rate or a number of channels that cannot be.
    pub fn of(query: &Query<'_>, content_type: Option<&str>) -> Result<Self, Error> {
        match query.value("format")? {
            Some(format) => {
                let order = match format.to_ascii_lowercase().as_str() {
                    "s16le" | "pcm" => ByteOrder::Little,
                    "s16be" => ByteOrder::Big,
                    "l16" => ByteOrder::Either,
                    _ => return Ok(Self::Other(shown(format))),
                };
                Self::bare(order, query.value("rate")?, query.value("channels")?)
            }
            None => content_type.map_or(Ok(Self::Nothing), Self::of_type),
        }
    }

    fn of_type(text: &str) -> Result<Self, Error> {
        let mut parts = text.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let (mut rate, mut channels, mut order) = (None, None, None);
        for (key, value) in parts.filter_map(|part| part.split_once('=')) {
            let value = value.trim().trim_matches('"');
            match key.trim().to_ascii_lowercase().as_str() {
                "rate" => rate = Some(value),
                "channels" => channels = Some(value),
                "endianness" if value.eq_ignore_ascii_case("little-endian") => {
                    order = Some(ByteOrder::Little);
                }
                "endianness" if value.eq_ignore_ascii_case("big-endian") => {
                    order = Some(ByteOrder::Big);
                }
                _ => {}
            }
        }
        match name.as_str() {
            // What programs say that were told nothing.
            "" | "*/*" | "application/octet-stream" | "application/x-www-form-urlencoded" => {
                Ok(Self::Nothing)
            }
            "audio/l16" => Self::bare(order.unwrap_or(ByteOrder::Either), rate, channels),
            "audio/pcm" | "audio/x-pcm" => {
                Self::bare(order.unwrap_or(ByteOrder::Little), rate, channels)
            }
            other => Ok(Self::Other(shown(other))),
        }
    }

    fn bare(order: ByteOrder, rate: Option<&str>, channels: Option<&str>) -> Result<Self, Error> {
        let sample_rate = match rate.map(str::parse) {
            None => None,
            Some(Ok(rate)) if (4_000..=192_000).contains(&rate) => Some(rate),
            Some(_) => {
                return Err(Error::bad_request(
                    "rate is 4000 to 192000 samples a second",
                ));
            }
        };
        let channels = match channels.map(str::parse) {
            None => 1,
            Some(Ok(channels)) if (1..=2).contains(&channels) => channels,
            Some(_) => return Err(Error::bad_request("channels is 1 or 2")),
        };
        Ok(Self::Bare {
            sample_rate,
            channels,
            order,
        })
    }

    /// Refuses what does not begin as anything that is taken, if it was said to be something else
    /// than bare PCM.
    pub(super) fn check_bare(&self) -> Result<(), Error> {
        match self {
            Self::Nothing | Self::Bare { .. } => Ok(()),
            Self::Other(name) => Err(not_taken(format!(
                "the request says {name}, and the body does not begin as a format that is taken"
            ))),
        }
    }
}

fn shown(name: &str) -> String {
    let printable = name.chars().filter(char::is_ascii_graphic);
    printable.take(LONGEST_NAME).collect()
}
