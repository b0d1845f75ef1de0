//! H.264 and H.265 elementary streams: NAL units (ITU-T H.264 7.3.1 and Annex B, H.265 7.3.1.1) of
//! any encoder, brought to the one form that frames have: 4-byte lengths, parameter sets apart.

mod split;
mod track;

use bytes::{Bytes, BytesMut};

pub use split::{Framing, units};
pub use track::NalError;

use self::track::ParameterSets;
use crate::media::{Frame, MediaTime, TrackKind, VideoCodec, VideoTrack};

/// Purpose of a NAL unit, by its `nal_unit_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A parameter set, and its index in [`ParameterSets`].
    Parameters(usize),
    /// Part of a picture.
    Slice {
        /// Set if decoding can start with the picture.
        key: bool,
        /// See [`Picture::needs_earlier`].
        needs_earlier: bool,
    },
    /// Access unit delimiters, filler data, ends of sequence and stream: decoders need none of them.
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
    // H.264 and H.265, table 7-1 each.
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
            // RASL_N, RASL_R.
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

/// Properties of a picture, by the first of its slices that is present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstSlice {
    /// Set if decoding can start with the picture: IDR; in H.265 any IRAP picture, including a CRA,
    /// which is all that encoders with open groups of pictures have.
    pub key: bool,
    /// Set if it is the first slice of its picture. Not set if that one was lost on the way.
    pub begins: bool,
    /// See [`Picture::needs_earlier`].
    pub needs_earlier: bool,
}

impl FirstSlice {
    /// Finds the first slice among NAL units behind 4-byte lengths; `None` if there is none.
    pub fn parse(codec: VideoCodec, data: &[u8]) -> Option<Self> {
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

/// An access unit of an encoder, normalized.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// Its NAL units behind 4-byte lengths, without parameter sets.
    pub data: Bytes,
    /// Set if decoding can start here.
    pub key: bool,
    /// Set for a leading picture that refers to pictures before the key picture that it follows (RASL,
    /// H.265 3.115): a viewer who starts at that key picture cannot decode it.
    pub needs_earlier: bool,
    /// New decoder configuration, if it differs from that of the picture before.
    pub new_track: Option<VideoTrack>,
}

impl Picture {
    /// The picture as a frame captured at `time`, of an encoder that reorders none.
    pub fn frame(&self, time: MediaTime) -> Frame {
        Frame {
            track: TrackKind::Video,
            key: self.key,
            time,
            composition_micros: 0,
            data: self.data.clone(),
        }
    }
}

/// Parser of one encoder's access units, with the parameter sets that are in force.
#[derive(Clone, Debug)]
pub struct Pictures {
    codec: VideoCodec,
    frame_rate: f64,
    sets: ParameterSets,
    is_known: bool,
}

impl Pictures {
    /// Creates a parser for pictures of `codec`, `frame_rate` per second (0 if unknown), whose
    /// parameter sets come in band.
    pub fn new(codec: VideoCodec, frame_rate: f64) -> Self {
        Self {
            codec,
            frame_rate,
            sets: ParameterSets::default(),
            is_known: false,
        }
    }

    /// Parses an access unit; `None` if it has no slice, only parameter sets, say.
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
        // An encoder that is set anew sends other parameter sets: its next key picture begins
        // another track.
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
