//! Sample entries (ISO/IEC 14496-12, 8.5.2): codec and decoder configuration of a track.
//!
//! A [`VideoTrack`]'s configuration record is the content of `avcC` or `hvcC` (ISO/IEC 14496-15)
//! without the box's head, so that FLV can carry the same bytes.

use bytes::Bytes;
use shiguredo_mp4::{
    BoxSize, BoxType, Decode, Encode, FixedPointNumber, Uint,
    boxes::{
        AudioSampleEntryFields, Avc1Box, AvccBox, EsdsBox, Hvc1Box, HvccBox, Mp4aBox, SampleEntry,
        UnknownBox, VisualSampleEntryFields,
    },
    descriptors::{DecoderConfigDescriptor, DecoderSpecificInfo, EsDescriptor, SlConfigDescriptor},
};

use super::Damaged;
use crate::media::{AudioCodec, AudioTrack, VideoCodec, VideoTrack};

/// Bytes of size and type in front of a box's content.
const BOX_HEADER: usize = 8;
/// Sample entries of G.711, which ISO has none for: QuickTime and FFmpeg know these.
const ALAW: BoxType = BoxType::Normal(*b"alaw");
const ULAW: BoxType = BoxType::Normal(*b"ulaw");

pub(super) fn of_video(track: &VideoTrack) -> Result<SampleEntry, Damaged> {
    let side = |pixels: u32| u16::try_from(pixels).map_err(|_| Damaged("the picture is too large"));
    let visual = VisualSampleEntryFields {
        data_reference_index: VisualSampleEntryFields::DEFAULT_DATA_REFERENCE_INDEX,
        width: side(track.width)?,
        height: side(track.height)?,
        horizresolution: VisualSampleEntryFields::DEFAULT_HORIZRESOLUTION,
        vertresolution: VisualSampleEntryFields::DEFAULT_VERTRESOLUTION,
        frame_count: VisualSampleEntryFields::DEFAULT_FRAME_COUNT,
        compressorname: VisualSampleEntryFields::NULL_COMPRESSORNAME,
        depth: VisualSampleEntryFields::DEFAULT_DEPTH,
    };
    let unknown_boxes = Vec::new();
    Ok(match track.codec {
        VideoCodec::H264 => SampleEntry::Avc1(Avc1Box {
            visual,
            avcc_box: record(*b"avcC", &track.config)?,
            unknown_boxes,
        }),
        VideoCodec::H265 => SampleEntry::Hvc1(Hvc1Box {
            visual,
            hvcc_box: record(*b"hvcC", &track.config)?,
            unknown_boxes,
        }),
    })
}

/// Parses a decoder configuration record, which is the content of a box of this kind.
fn record<T: Decode>(kind: [u8; 4], config: &[u8]) -> Result<T, Damaged> {
    let mut text = Vec::with_capacity(BOX_HEADER + config.len());
    let size = u32::try_from(BOX_HEADER + config.len()).unwrap_or(u32::MAX);
    text.extend_from_slice(&size.to_be_bytes());
    text.extend_from_slice(&kind);
    text.extend_from_slice(config);
    match T::decode(&text) {
        Ok((record, _)) => Ok(record),
        Err(_) => Err(Damaged("the decoder configuration cannot be read")),
    }
}

pub(super) fn of_audio(track: &AudioTrack) -> Result<SampleEntry, Damaged> {
    // 16.16 fixed point has no rate above 65 535 Hz, such as 96 kHz. As FFmpeg does, 0 is written then;
    // the timescale and the `AudioSpecificConfig` have the rate.
    let rate = u16::try_from(track.sample_rate).unwrap_or(0);
    let audio = AudioSampleEntryFields {
        data_reference_index: AudioSampleEntryFields::DEFAULT_DATA_REFERENCE_INDEX,
        channelcount: u16::from(track.channels),
        samplesize: AudioSampleEntryFields::DEFAULT_SAMPLESIZE,
        samplerate: FixedPointNumber::new(rate, 0),
    };
    let box_type = match track.codec {
        AudioCodec::Aac => return Ok(SampleEntry::Mp4a(aac(audio, &track.config))),
        AudioCodec::PcmA => ALAW,
        AudioCodec::PcmU => ULAW,
    };
    let payload = audio.encode_to_vec();
    let payload = payload.map_err(|_| Damaged("the sound cannot be described"))?;
    Ok(SampleEntry::Unknown(UnknownBox {
        box_type,
        box_size: BoxSize::U32(u32::try_from(BOX_HEADER + payload.len()).unwrap_or(u32::MAX)),
        payload,
    }))
}

fn aac(audio: AudioSampleEntryFields, config: &[u8]) -> Mp4aBox {
    Mp4aBox {
        audio,
        esds_box: EsdsBox {
            es: EsDescriptor {
                es_id: EsDescriptor::MIN_ES_ID,
                stream_priority: EsDescriptor::LOWEST_STREAM_PRIORITY,
                depends_on_es_id: None,
                url_string: None,
                ocr_es_id: None,
                dec_config_descr: DecoderConfigDescriptor {
                    object_type_indication:
                        DecoderConfigDescriptor::OBJECT_TYPE_INDICATION_AUDIO_ISO_IEC_14496_3,
                    stream_type: DecoderConfigDescriptor::STREAM_TYPE_AUDIO,
                    up_stream: DecoderConfigDescriptor::UP_STREAM_FALSE,
                    buffer_size_db: Uint::new(0),
                    max_bitrate: 0,
                    avg_bitrate: 0,
                    dec_specific_info: Some(DecoderSpecificInfo {
                        payload: config.to_vec(),
                    }),
                },
                sl_config_descr: SlConfigDescriptor,
            },
        },
        unknown_boxes: Vec::new(),
    }
}

pub(super) fn video(entry: &SampleEntry) -> Result<VideoTrack, Damaged> {
    let (codec, visual, record) = match entry {
        SampleEntry::Avc1(entry) => (
            VideoCodec::H264,
            &entry.visual,
            encoded::<AvccBox>(&entry.avcc_box)?,
        ),
        SampleEntry::Hvc1(entry) => (
            VideoCodec::H265,
            &entry.visual,
            encoded::<HvccBox>(&entry.hvcc_box)?,
        ),
        _ => return Err(Damaged("its picture has another codec")),
    };
    Ok(VideoTrack {
        codec,
        config: record,
        width: visual.width.into(),
        height: visual.height.into(),
        frame_rate: 0.0,
    })
}

/// The decoder configuration record in a box: its content.
fn encoded<T: Encode>(record: &T) -> Result<Bytes, Damaged> {
    let text = record.encode_to_vec().map(Bytes::from);
    match text {
        Ok(text) if text.len() > BOX_HEADER => Ok(text.slice(BOX_HEADER..)),
        _ => Err(Damaged("its decoder configuration cannot be read")),
    }
}

pub(super) fn audio(entry: &SampleEntry, sample_rate: u32) -> Result<AudioTrack, Damaged> {
    let (codec, channels, config) = match entry {
        SampleEntry::Mp4a(entry) => {
            let info = &entry.esds_box.es.dec_config_descr.dec_specific_info;
            let info = info.as_ref().ok_or(Damaged("its AAC is not described"))?;
            let config = Bytes::copy_from_slice(&info.payload);
            (AudioCodec::Aac, entry.audio.channelcount, config)
        }
        SampleEntry::Unknown(entry) if [ALAW, ULAW].contains(&entry.box_type) => {
            let (fields, _) = AudioSampleEntryFields::decode(&entry.payload)
                .map_err(|_| Damaged("its sound is not described"))?;
            let codec = match entry.box_type {
                ALAW => AudioCodec::PcmA,
                _ => AudioCodec::PcmU,
            };
            (codec, fields.channelcount, Bytes::new())
        }
        _ => return Err(Damaged("its sound has another codec")),
    };
    Ok(AudioTrack {
        codec,
        config,
        sample_rate,
        channels: u8::try_from(channels).unwrap_or(1).max(1),
    })
}
