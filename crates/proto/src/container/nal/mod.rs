//! H.264 and H.265 as encoders put them out: NAL units (ITU-T H.264 7.3.1 and Annex B, H.265
//! 7.3.1.1), brought to the one form that frames have.

mod split;
mod track;

use bytes::{Bytes, BytesMut};

pub use split::{Framing, units};
pub use track::NalError;

use self::track::ParameterSets;
use crate::media::{VideoCodec, VideoTrack};

/// What a NAL unit is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A parameter set; its place among [`ParameterSets`].
    Parameters(usize),
    /// Part of a picture.
    Slice {
        /// Decoding can start with the picture.
        key: bool,
        /// As [`Picture::needs_earlier`].
        needs_earlier: bool,
    },
    /// Of no use to a decoder: delimiters, filler, ends.
    Padding,
    /// Anything else, such as SEI.
    Other,
}

fn kind(codec: VideoCodec, unit: &[u8]) -> Option<Kind> {
    let head = *unit.first()?;
    let slice = |key| Kind::Slice {
        key,
        needs_earlier: false,
    };
    Some(match codec {
        VideoCodec::H264 => match head & 0x1f {
            1..=4 => slice(false),
            5 => slice(true),
            7 => Kind::Parameters(1),
            8 => Kind::Parameters(2),
            9..=12 => Kind::Padding,
            _ => Kind::Other,
        },
        VideoCodec::H265 => match head >> 1 & 0x3f {
            // RASL.
            8..=9 => Kind::Slice {
                key: false,
                needs_earlier: true,
            },
            // IRAP pictures: BLA, IDR, CRA.
            16..=21 => slice(true),
            0..=31 => slice(false),
            kind @ 32..=34 => Kind::Parameters(usize::from(kind - 32)),
            35..=38 => Kind::Padding,
            _ => Kind::Other,
        },
    })
}

/// What a picture is, by the first of its slices that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstSlice {
    /// Decoding can start with the picture: IDR; in H.265 any IRAP picture, also a CRA, which is all
    /// that encoders with open groups of pictures have.
    pub key: bool,
    /// It is the first one of its picture. What was lost on the way may have been just that.
    pub begins: bool,
    /// As [`Picture::needs_earlier`].
    pub needs_earlier: bool,
}

impl FirstSlice {
    /// Looks for it in units behind 4-byte lengths; `None` if there is no slice.
    pub fn of(codec: VideoCodec, data: &[u8]) -> Option<Self> {
        units(Framing::Lengths, data)
            .map_while(Result::ok)
            .find_map(|unit| {
                let Kind::Slice { key, needs_earlier } = kind(codec, unit)? else {
                    return None;
                };
                // `first_mb_in_slice` is 0, or `first_slice_segment_in_pic_flag` is set: both are a
                // single 1 behind the unit's header.
                let header = match codec {
                    VideoCodec::H264 => 1,
                    VideoCodec::H265 => 2,
                };
                Some(Self {
                    key,
                    begins: unit.get(header).is_some_and(|byte| byte & 0x80 != 0),
                    needs_earlier,
                })
            })
    }
}

/// A picture of an encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// Its NAL units behind 4-byte lengths, without parameter sets.
    pub data: Bytes,
    /// Whether decoding can start here.
    pub key: bool,
    /// Whether it is shown before the key picture that it follows, and can be decoded only by who has
    /// what came before that (RASL, H.265 3.115).
    pub needs_earlier: bool,
    /// What its decoder must know, if that is not what the picture before needed.
    pub new_track: Option<VideoTrack>,
}

/// Reads the pictures of one encoder.
#[derive(Clone, Debug)]
pub struct Pictures {
    codec: VideoCodec,
    frame_rate: f64,
    sets: ParameterSets,
    is_known: bool,
}

impl Pictures {
    /// Pictures of `codec`, `frame_rate` each second (0 if unknown). Their parameter sets come
    /// with them.
    pub fn new(codec: VideoCodec, frame_rate: f64) -> Self {
        Self {
            codec,
            frame_rate,
            sets: ParameterSets::default(),
            is_known: false,
        }
    }

    /// Takes in an access unit; `None` if there is no picture in it, only parameter sets, say.
    ///
    /// # Errors
    /// [`NalError`] if its units cannot be told apart, or its parameter sets cannot be read.
    pub fn read(&mut self, framing: Framing, data: &[u8]) -> Result<Option<Picture>, NalError> {
        let mut out = BytesMut::with_capacity(data.len() + 64);
        let (mut key, mut needs_earlier, mut has_slice) = (false, false, false);
        let mut sets = ParameterSets::default();
        for unit in units(framing, data) {
            let unit = unit?;
            match kind(self.codec, unit) {
                None | Some(Kind::Padding) => continue,
                Some(Kind::Parameters(place)) => {
                    sets.add(place, unit);
                    continue;
                }
                Some(Kind::Slice {
                    key: is_key,
                    needs_earlier: is_leading,
                }) => {
                    key |= is_key;
                    needs_earlier |= is_leading;
                    has_slice = true;
                }
                Some(Kind::Other) => {}
            }
            let length = u32::try_from(unit.len()).map_err(|_| NalError::Damaged)?;
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(unit);
        }
        self.is_known &= !self.sets.replace(sets);
        if !has_slice {
            return Ok(None);
        }
        // New parameter sets hold from a key picture on.
        let new_track = if key && !self.is_known {
            Some(self.sets.track(self.codec, self.frame_rate)?)
        } else {
            None
        };
        self.is_known |= new_track.is_some();
        // A picture is kept for a while. What was left out of it, such as filler, is not.
        let data = if out.len() < out.capacity() / 2 {
            Bytes::copy_from_slice(&out)
        } else {
            out.freeze()
        };
        Ok(Some(Picture {
            data,
            key,
            needs_earlier,
            new_track,
        }))
    }
}

#[cfg(test)]
mod tests;
