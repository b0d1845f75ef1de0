use bytes::{BufMut, BytesMut};
use peercam_proto::{
    error::{Error, ErrorKind},
    media::{AudioCoding, AudioFormat},
};

/// Reason that a block is not played.
#[cfg_attr(
    not(feature = "aac"),
    expect(dead_code, reason = "PCM and G.711 cannot be damaged")
)]
pub(super) enum DecodeError {
    /// Damaged block: a sentence for the log.
    Damaged(String),
    /// Coding other than the head says, such as HE-AAC.
    Other,
}

/// Makes PCM of blocks that a speaker does not take as they are.
pub(super) enum Decoder {
    /// The speaker takes them.
    Nothing,
    G711(fn(u8) -> i16),
    #[cfg(feature = "aac")]
    Aac {
        decoder: Box<syom::Decoder>,
        /// Samples per second by the head, and its channels.
        sample_rate: u32,
        channels: u8,
    },
}

impl Decoder {
    /// A decoder of this format.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if this program has none.
    pub(super) fn new(format: &AudioFormat) -> Result<Self, Error> {
        match &format.coding {
            AudioCoding::Pcm => Ok(Self::Nothing),
            AudioCoding::PcmA => Ok(Self::G711(audio_codec_algorithms::decode_alaw)),
            AudioCoding::PcmU => Ok(Self::G711(audio_codec_algorithms::decode_ulaw)),
            AudioCoding::Aac(config) => Self::aac(config, format),
        }
    }

    #[cfg(feature = "aac")]
    fn aac(config: &[u8], format: &AudioFormat) -> Result<Self, Error> {
        let mut options = syom::DecodeOptions::audio();
        // A talk has no length; its end is its own.
        options.max_duration_secs = f64::from(u32::MAX);
        let decoder = syom::Decoder::from_asc(config, options);
        let decoder =
            decoder.map_err(|error| unsupported(format!("this AAC is not played: {error}")))?;
        Ok(Self::Aac {
            decoder: Box::new(decoder),
            sample_rate: format.sample_rate,
            channels: format.channels,
        })
    }

    #[cfg(not(feature = "aac"))]
    fn aac(_: &[u8], _: &AudioFormat) -> Result<Self, Error> {
        let reason = "the speaker takes no AAC, and this program was built without the feature aac; send G.711 or PCM";
        Err(unsupported(reason.to_owned()))
    }

    /// The samples of a block, after those in `pcm`.
    ///
    /// # Errors
    /// [`DecodeError`]
    pub(super) fn decode(&mut self, block: &[u8], pcm: &mut BytesMut) -> Result<(), DecodeError> {
        match self {
            Self::Nothing => pcm.extend_from_slice(block),
            Self::G711(decode) => {
                for byte in block {
                    pcm.put_i16_le(decode(*byte));
                }
            }
            #[cfg(feature = "aac")]
            Self::Aac {
                decoder,
                sample_rate,
                channels,
            } => {
                let (rate, planes) = (*sample_rate, usize::from(*channels));
                let mut is_other = false;
                let decoded = decoder.decode_au(block, |frame| {
                    // HE-AAC that does not say so.
                    is_other = frame.sample_rate != rate || frame.planar.len() != planes;
                    if is_other {
                        return Ok(());
                    }
                    for index in 0..frame.samples {
                        for plane in frame.planar {
                            let sample = plane.get(index).copied().unwrap_or(0.0);
                            pcm.put_i16_le((sample * 32_767.0).clamp(-32_768.0, 32_767.0) as i16);
                        }
                    }
                    Ok(())
                });
                decoded.map_err(|error| DecodeError::Damaged(error.to_string()))?;
                if is_other {
                    return Err(DecodeError::Other);
                }
            }
        }
        Ok(())
    }
}

fn unsupported(reason: String) -> Error {
    Error::new(ErrorKind::Unsupported, reason)
}
