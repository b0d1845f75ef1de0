//! ADTS: AAC with a head before each access unit (ISO/IEC 14496-3, 1.A.2.2).

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};

use super::{
    aac::{AacConfig, config_of_adts},
    damaged,
};
use crate::{
    error::Error,
    media::{AudioBlock, AudioCoding, AudioFormat},
};

/// Bytes of a head without CRC.
const HEAD: usize = 7;

/// Incremental parser of an ADTS stream.
#[derive(Debug, Default)]
pub(super) struct Adts {
    buffer: BytesMut,
    /// Format of the last head, and the duration of a unit of it.
    known: Option<(Arc<AudioFormat>, i64)>,
}

struct AdtsHead {
    profile: u8,
    rate_index: u8,
    channels: u8,
    /// Bytes of the head.
    size: usize,
    /// Bytes of head and access units (`aac_frame_length`).
    frame: usize,
    /// Access units behind the head.
    units: u8,
}

impl AdtsHead {
    fn parse(bytes: &[u8; HEAD]) -> Option<Self> {
        let [sync, flags, kind, length_high, length, length_low, rest] = *bytes;
        // 12 bits of sync word and 2 of layer, which is 0. MPEG-2 or 4, with or without CRC.
        if sync != 0xff || flags & 0xf6 != 0xf0 {
            return None;
        }
        // `profile` 2 bits, `sampling_frequency_index` 4, `private_bit`, `channel_configuration` 3
        // over two bytes; 4 bits of copyright and the like; `aac_frame_length` 13 over three bytes,
        // fullness 11, units less one 2.
        let head = Self {
            profile: kind >> 6,
            rate_index: kind >> 2 & 0xf,
            channels: (kind & 1) << 2 | length_high >> 6,
            size: if flags & 1 == 1 { HEAD } else { HEAD + 2 },
            frame: usize::from(length_high & 3) << 11
                | usize::from(length) << 3
                | usize::from(length_low >> 5),
            units: (rest & 3) + 1,
        };
        (head.frame > head.size && head.rate_index < 13).then_some(head)
    }
}

/// Returns whether these bytes begin with a plausible ADTS head.
pub(super) fn is_adts(bytes: &[u8]) -> bool {
    bytes.first_chunk().and_then(AdtsHead::parse).is_some()
}

/// Returns the `AudioSpecificConfig` that the ADTS head of an access unit stands for, and the offset
/// of the unit behind it; `None` if it has no head.
pub fn adts_unit(unit: &[u8]) -> Option<(Bytes, usize)> {
    let head = AdtsHead::parse(unit.first_chunk()?)?;
    let config = config_of_adts(head.profile, head.rate_index, head.channels);
    // A bare unit may begin like a head; it does not have its own length there too.
    (head.frame == unit.len()).then_some((config, head.size))
}

impl Adts {
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    pub(super) fn buffered(&self) -> usize {
        self.buffer.len()
    }

    pub(super) fn next_block(&mut self) -> Result<Option<AudioBlock>, Error> {
        let Some(bytes) = self.buffer.first_chunk::<HEAD>() else {
            return Ok(None);
        };
        let head = AdtsHead::parse(bytes)
            .ok_or_else(|| damaged("the AAC is damaged: no ADTS head where one should be"))?;
        if head.units != 1 {
            return Err(damaged(
                "ADTS with several access units behind one head is not played",
            ));
        }
        if self.buffer.len() < head.frame {
            return Ok(None);
        }
        self.buffer.advance(head.size);
        let unit = head.frame - head.size;
        // A copy: a block that waits must not hold what came with it.
        let data = Bytes::copy_from_slice(&self.buffer[..unit]);
        self.buffer.advance(unit);
        let config = config_of_adts(head.profile, head.rate_index, head.channels);
        let is_known = |(format, _): &&(Arc<AudioFormat>, i64)| {
            format.coding == AudioCoding::Aac(config.clone())
        };
        let (format, micros) = match self.known.as_ref().filter(is_known) {
            Some(known) => known.clone(),
            None => {
                let parsed =
                    AacConfig::parse(&config).map_err(|error| damaged(error.to_string()))?;
                let format = Arc::new(parsed.format(config)?);
                self.known.insert((format, parsed.unit_micros())).clone()
            }
        };
        Ok(Some(AudioBlock {
            format,
            data,
            micros,
        }))
    }
}
