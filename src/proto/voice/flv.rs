use std::sync::Arc;

use bytes::Bytes;

use super::{aac::AacConfig, damaged, pcm::micros};
use crate::{
    error::Error,
    media::{AudioCodec, SoundBlock, SoundCoding, SoundFormat},
    proto::flv::{AudioPacket, Reader, TagBody},
};

/// The sound of an FLV stream.
#[derive(Debug)]
pub(super) struct FlvSound {
    reader: Reader,
    /// PCM whose rate the stream does not tell has this one.
    sample_rate: u32,
    format: Option<Arc<SoundFormat>>,
    aac: Option<AacConfig>,
    skipped_pictures: u64,
}

/// The rate of G.711 in FLV, whatever the tag says (FLV 10.1, E.4.2.1).
const G711_RATE: u32 = 8_000;

impl FlvSound {
    pub(super) fn new(sample_rate: u32) -> Self {
        Self {
            reader: Reader::new(),
            sample_rate,
            format: None,
            aac: None,
            skipped_pictures: 0,
        }
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.reader.feed(bytes);
    }

    pub(super) fn skipped_pictures(&self) -> u64 {
        self.skipped_pictures
    }

    pub(super) fn next_block(&mut self) -> Result<Option<SoundBlock>, Error> {
        loop {
            let tag = self.reader.next_tag();
            let tag = tag.map_err(|error| damaged(format!("the FLV is damaged {error}")))?;
            let Some(tag) = tag else { return Ok(None) };
            let block = match tag.body {
                TagBody::Script => None,
                TagBody::Video(..) | TagBody::OtherVideo(_) => {
                    self.skipped_pictures += 1;
                    None
                }
                TagBody::OtherAudio(name) => {
                    let reason = format!("{name} is not played; AAC, G.711 and PCM are");
                    return Err(damaged(reason));
                }
                TagBody::Audio(AudioCodec::Aac, AudioPacket::Config(config)) => {
                    let aac = AacConfig::parse(&config);
                    let aac = aac.map_err(|error| damaged(error.to_string()))?;
                    self.aac = Some(aac);
                    self.become_format(aac.format(config));
                    None
                }
                TagBody::Audio(AudioCodec::Aac, AudioPacket::Frame { data, .. }) => {
                    let (Some(aac), Some(format)) = (self.aac, &self.format) else {
                        return Err(damaged("AAC comes without its configuration"));
                    };
                    Some(SoundBlock {
                        format: Arc::clone(format),
                        data,
                        micros: aac.unit_micros(),
                    })
                }
                TagBody::Audio(codec, AudioPacket::Frame { stereo, data }) => {
                    let coding = match codec {
                        AudioCodec::PcmA => SoundCoding::PcmA,
                        AudioCodec::PcmU | AudioCodec::Aac => SoundCoding::PcmU,
                    };
                    Some(self.samples(coding, G711_RATE, stereo, data))
                }
                TagBody::Audio(_, AudioPacket::Config(_)) => None,
                TagBody::Pcm {
                    sample_rate,
                    stereo,
                    data,
                } => {
                    let rate = sample_rate.unwrap_or(self.sample_rate);
                    Some(self.samples(SoundCoding::Pcm, rate, stereo, data))
                }
            };
            if let Some(block) = block.filter(|block| !block.data.is_empty()) {
                return Ok(Some(block));
            }
        }
    }

    fn samples(&mut self, coding: SoundCoding, rate: u32, stereo: bool, data: Bytes) -> SoundBlock {
        let format = self.become_format(SoundFormat {
            coding,
            sample_rate: rate,
            channels: 1 + u8::from(stereo),
        });
        let micros = micros(&format, data.len());
        SoundBlock {
            format,
            data,
            micros,
        }
    }

    fn become_format(&mut self, format: SoundFormat) -> Arc<SoundFormat> {
        let known = self.format.take().filter(|known| **known == format);
        let known = known.unwrap_or_else(|| Arc::new(format));
        Arc::clone(self.format.insert(known))
    }
}
