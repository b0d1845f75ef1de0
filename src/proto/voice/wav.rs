use super::damaged;
use crate::{
    error::Error,
    media::{SoundCoding, SoundFormat},
};

/// Where the sound of a WAV is (RIFF WAVE, Microsoft and IBM 1991).
pub(super) struct Wav {
    pub(super) format: SoundFormat,
    /// Its first byte.
    pub(super) sound_at: usize,
    /// How many bytes it has; `None` if the file does not know, as that of a pipe.
    pub(super) length: Option<u64>,
}

/// Sound begins within so many bytes of a file.
const MAX_HEAD: usize = 64 << 10;
const PCM: u16 = 1;
const ALAW: u16 = 6;
const ULAW: u16 = 7;
/// The format stands farther behind.
const EXTENSIBLE: u16 = 0xfffe;

/// Reads a file's head; `None` if more of it is needed.
///
/// # Errors
/// [`Error::bad_request`] for sound that is not played.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Wav>, Error> {
    let (mut at, mut format) = (12, None);
    loop {
        if at > MAX_HEAD {
            return Err(damaged("the WAV has no sound in its first 64 KiB"));
        }
        let Some(head) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) else {
            return Ok(None);
        };
        let [k0, k1, k2, k3, s0, s1, s2, s3] = *head;
        let size = u32::from_le_bytes([s0, s1, s2, s3]);
        at += 8;
        match &[k0, k1, k2, k3] {
            b"data" => {
                let format = format.ok_or_else(|| damaged("the WAV does not say what it is"))?;
                let length = (!matches!(size, 0 | u32::MAX)).then_some(u64::from(size));
                return Ok(Some(Wav {
                    format,
                    sound_at: at,
                    length,
                }));
            }
            b"fmt " => {
                let Some(chunk) = bytes.get(at..at + size as usize) else {
                    return Ok(None);
                };
                format = Some(format_of(chunk)?);
            }
            _ => {}
        }
        // Chunks begin at even bytes.
        at = at.saturating_add(size as usize + (size & 1) as usize);
    }
}

fn format_of(chunk: &[u8]) -> Result<SoundFormat, Error> {
    let word = |at: usize| match chunk.get(at..at + 2) {
        Some(two) => Ok(u16::from_le_bytes([two[0], two[1]])),
        None => Err(damaged("the WAV is damaged: its format is too short")),
    };
    let tag = match word(0)? {
        EXTENSIBLE => word(24)?,
        tag => tag,
    };
    let sample_rate = u32::from(word(4)?) | u32::from(word(6)?) << 16;
    let channels = word(2)?;
    let coding = match (tag, word(14)?) {
        (PCM, 16) => SoundCoding::Pcm,
        (ALAW, 8) => SoundCoding::PcmA,
        (ULAW, 8) => SoundCoding::PcmU,
        (tag, bits) => {
            return Err(damaged(format!(
                "the WAV has format {tag} with {bits} bits; PCM with 16 and G.711 are played"
            )));
        }
    };
    if !(1..=2).contains(&channels) || !(4_000..=192_000).contains(&sample_rate) {
        return Err(damaged(format!(
            "the WAV has {channels} channels at {sample_rate} Hz; 1 or 2 at 4 to 192 kHz are played"
        )));
    }
    Ok(SoundFormat {
        coding,
        sample_rate,
        channels: channels as u8,
    })
}
