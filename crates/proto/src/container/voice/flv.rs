//! Audio of an FLV body.
//!
//! Video and script tags are skipped unread. A block never borrows from a tag: one that waits for the
//! speaker holds its own bytes only.

use std::sync::Arc;

use bytes::Bytes;

use super::{aac::AacConfig, cut_off, damaged, pcm::Pcm};
use crate::{
    error::Error,
    flv::{AudioPacket, Reader, TagBody},
    media::{AudioBlock, AudioCodec, AudioCoding, AudioFormat},
};

/// Incremental parser of the audio tags of an FLV stream.
#[derive(Debug)]
pub(super) struct FlvSound {
    reader: Reader,
    /// Samples per second of PCM whose tags do not say so.
    sample_rate: u32,
    /// Set if the last PCM tag had no code for its rate.
    is_of_presumed_rate: bool,
    /// AAC format, and the duration of an access unit in microseconds.
    aac: Option<(Arc<AudioFormat>, i64)>,
    /// PCM and G.711, cut into blocks regardless of tags.
    samples: Option<Pcm>,
    skipped_pictures: u64,
}

/// Upper bound of an AAC access unit, in bytes: the 13-bit length of an ADTS head.
const LONGEST_UNIT: usize = 0x1fff;
/// Upper bound of an `AudioSpecificConfig`, in bytes.
const LONGEST_CONFIG: usize = 64;
/// The rate of G.711 in FLV, whatever the tag says (FLV 10.1, E.4.2.1).
const G711_RATE: u32 = 8_000;

impl FlvSound {
    pub(super) fn new(sample_rate: u32) -> Self {
        Self {
            reader: Reader::of_audio(),
            sample_rate,
            is_of_presumed_rate: false,
            aac: None,
            samples: None,
            skipped_pictures: 0,
        }
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.reader.feed(bytes);
    }

    pub(super) fn buffered(&self) -> usize {
        self.reader.pending() + self.samples.as_ref().map_or(0, Pcm::buffered)
    }

    /// Ends the body.
    ///
    /// # Errors
    /// [`Error::bad_request`] if it ended within the file header.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        if let Some(samples) = &mut self.samples {
            samples.finish();
        }
        if self.reader.has_begun() {
            Ok(())
        } else {
            Err(cut_off())
        }
    }

    /// Returns whether the sound is PCM whose tags do not say its rate.
    pub(super) fn is_of_presumed_rate(&self) -> bool {
        self.is_of_presumed_rate
    }

    pub(super) fn skipped_pictures(&self) -> u64 {
        self.skipped_pictures
    }

    pub(super) fn next_block(&mut self) -> Result<Option<AudioBlock>, Error> {
        loop {
            if let Some(block) = self.samples.as_mut().and_then(Pcm::next_block) {
                return Ok(Some(block));
            }
            let tag = self.reader.next_tag();
            let tag = tag.map_err(|error| damaged(format!("the FLV is damaged {error}")))?;
            let Some(tag) = tag else { return Ok(None) };
            match tag.body {
                TagBody::LeftOut { is_picture } => self.skipped_pictures += u64::from(is_picture),
                // A reader of sound does not read them.
                TagBody::Script | TagBody::Video(..) | TagBody::OtherVideo(_) => {}
                TagBody::OtherAudio(name) => {
                    let reason = format!("{name} is not played; AAC, G.711 and PCM are");
                    return Err(damaged(reason));
                }
                TagBody::Audio(AudioCodec::Aac, AudioPacket::Config(config)) => {
                    if config.len() > LONGEST_CONFIG {
                        return Err(damaged("the AAC configuration is damaged"));
                    }
                    let config = Bytes::copy_from_slice(&config);
                    let aac = AacConfig::parse(&config);
                    let aac = aac.map_err(|error| damaged(error.to_string()))?;
                    self.aac = Some((Arc::new(aac.format(config)?), aac.unit_micros()));
                }
                TagBody::Audio(AudioCodec::Aac, AudioPacket::Frame { data, .. }) => {
                    let Some((format, micros)) = &self.aac else {
                        return Err(damaged("AAC comes without its configuration"));
                    };
                    if data.len() > LONGEST_UNIT {
                        return Err(damaged(
                            "the AAC is damaged: an access unit of more than 8 KiB",
                        ));
                    }
                    if !data.is_empty() {
                        return Ok(Some(AudioBlock {
                            format: Arc::clone(format),
                            // A copy: a block that waits must not hold what came with it.
                            data: Bytes::copy_from_slice(&data),
                            micros: *micros,
                        }));
                    }
                }
                TagBody::Audio(codec, AudioPacket::Frame { stereo, data }) => {
                    let coding = match codec {
                        AudioCodec::PcmA => AudioCoding::PcmA,
                        AudioCodec::PcmU | AudioCodec::Aac => AudioCoding::PcmU,
                    };
                    self.take(coding, G711_RATE, stereo, &data);
                }
                TagBody::Audio(_, AudioPacket::Config(_)) => {}
                TagBody::Pcm {
                    sample_rate,
                    stereo,
                    data,
                } => {
                    self.is_of_presumed_rate = sample_rate.is_none();
                    let rate = sample_rate.unwrap_or(self.sample_rate);
                    self.take(AudioCoding::Pcm, rate, stereo, &data);
                }
            }
        }
    }

    /// Appends samples. A tag of another format begins anew, without what was short of a block.
    fn take(&mut self, coding: AudioCoding, sample_rate: u32, stereo: bool, data: &Bytes) {
        let format = AudioFormat {
            coding,
            sample_rate,
            channels: 1 + u8::from(stereo),
        };
        let known = self
            .samples
            .take()
            .filter(|known| *known.format() == format);
        let samples = known.unwrap_or_else(|| Pcm::new(format));
        self.samples.insert(samples).feed(data);
    }
}
