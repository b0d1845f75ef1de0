//! MP4 files (ISO/IEC 14496-12), not fragmented, as a reader of access units in the order of their
//! decoding times.
//!
//! Sample tables are read once, samples when they are due; of edit lists, the two kinds that
//! encoders write.

use std::{fs::File, num::NonZeroU32, os::unix::fs::FileExt};

use bytes::{Bytes, BytesMut};
use peercam_proto::{
    flv::MAX_TAG,
    media::{AudioCodec, AudioTrack, Frame, MediaTime, TrackKind, Tracks, VideoCodec},
};
use shiguredo_mp4::{
    BaseBox, BoxHeader, BoxType, Decode, Encode,
    aux::SampleTableAccessor,
    boxes::{ElstEntry, HdlrBox, MoovBox, SampleEntry, StblBox, TrakBox},
};

use super::{
    Problem,
    codec::{self, VideoConfig},
};
use crate::tracks;

/// A non-fragmented MP4 file, read sample by sample in decoding order.
#[derive(Debug)]
pub(super) struct Mp4File {
    file: File,
    tracks: Vec<Track>,
}

#[derive(Debug)]
struct Track {
    kind: TrackKind,
    table: SampleTableAccessor<StblBox>,
    timescale: i64,
    /// Added to media times so that both tracks share the presentation's time line.
    shift_micros: i64,
    /// Present for video.
    video: Option<VideoConfig>,
    /// Bytes of G.711 in one block; `None` where a sample is an access unit.
    block: Option<u32>,
    /// Index of the next sample, from 1.
    next: u32,
}

/// Place of one access unit in the file.
#[derive(Clone, Copy, Debug)]
struct SampleLocation {
    micros: i64,
    composition_micros: i32,
    key: bool,
    offset: u64,
    size: u32,
    samples: u32,
}

impl Mp4File {
    /// Opens a file and reads its index.
    pub(super) fn open(file: File) -> Result<(Self, Tracks), Problem> {
        let moov = read_moov(&file)?;
        if moov.mvex_box.is_some() {
            return Err(Problem::Fragmented);
        }
        let movie_timescale = i64::from(moov.mvhd_box.timescale.get());
        let mut described = Tracks::default();
        let mut tracks = Vec::new();
        for trak in moov.trak_boxes {
            let kind = match trak.mdia_box.hdlr_box.handler_type {
                HdlrBox::HANDLER_TYPE_VIDE if described.video.is_none() => TrackKind::Video,
                HdlrBox::HANDLER_TYPE_SOUN if described.audio.is_none() => TrackKind::Audio,
                _ => continue,
            };
            tracks.push(Track::new(kind, trak, movie_timescale, &mut described)?);
        }
        let file = Self { file, tracks };
        file.check_extent()?;
        Ok((file, described))
    }

    /// Goes back to the first sample of every track.
    pub(super) fn rewind(&mut self) {
        for track in &mut self.tracks {
            track.next = 1;
        }
    }

    /// The next access unit, the earliest over all tracks.
    pub(super) fn next_frame(&mut self) -> Result<Option<Frame>, Problem> {
        let mut earliest: Option<(SampleLocation, &mut Track)> = None;
        for track in &mut self.tracks {
            let Some(place) = track.peek()? else { continue };
            if earliest
                .as_ref()
                .is_none_or(|(known, _)| place.micros < known.micros)
            {
                earliest = Some((place, track));
            }
        }
        let Some((place, track)) = earliest else {
            return Ok(None);
        };
        track.next += place.samples;
        let mut data = BytesMut::zeroed(place.size as usize);
        self.file.read_exact_at(&mut data, place.offset)?;
        let data: Bytes = data.freeze();
        let data = match &track.video {
            None => data,
            Some(config) => config.normalize(data).ok_or_else(|| {
                Problem::Damaged(format!("in the picture at {} ms", place.micros / 1000))
            })?,
        };
        Ok(Some(Frame {
            track: track.kind,
            key: place.key,
            time: MediaTime::from_micros(place.micros),
            composition_micros: place.composition_micros,
            data,
        }))
    }

    /// Every sample must lie inside the file, and all of them together cannot be larger: a copy
    /// that was cut short and an index that makes no sense are refused at once.
    fn check_extent(&self) -> Result<(), Problem> {
        let length = self.file.metadata()?.len();
        for track in &self.tracks {
            let mut sum = 0_u64;
            for sample in track.table.samples() {
                let size = u64::from(sample.data_size());
                sum = sum.saturating_add(size);
                let end = sample.data_offset().checked_add(size);
                if end.is_none_or(|end| end > length) || sum > length {
                    return Err(Problem::Damaged(format!(
                        "or cut short: {} sample {} lies behind the end of the file",
                        track.kind,
                        sample.index()
                    )));
                }
                if size > MAX_TAG as u64 {
                    let what = format!(
                        "in its index: {} sample {} has {size} bytes",
                        track.kind,
                        sample.index()
                    );
                    return Err(Problem::Damaged(what));
                }
            }
        }
        Ok(())
    }
}

impl Track {
    fn new(
        kind: TrackKind,
        trak: TrakBox,
        movie_timescale: i64,
        described: &mut Tracks,
    ) -> Result<Self, Problem> {
        let timescale = i64::from(trak.mdia_box.mdhd_box.timescale.get());
        let edits = trak
            .edts_box
            .and_then(|edits| edits.elst_box)
            .map(|list| list.entries)
            .unwrap_or_default();
        let table = SampleTableAccessor::new(trak.mdia_box.minf_box.stbl_box).map_err(|error| {
            Problem::Damaged(format!("in the sample table of the {kind} track: {error}"))
        })?;
        let entry = match table.stbl_box().stsd_box.entries.as_slice() {
            [entry] => entry,
            entries => {
                let codec = format!("described by {} sample entries", entries.len());
                return Err(Problem::UnsupportedCodec { track: kind, codec });
            }
        };
        let (mut video, mut block) = (None, None);
        match kind {
            TrackKind::Video => {
                let config = video_config(entry)?;
                described.video = Some(config.track.clone());
                video = Some(config);
            }
            TrackKind::Audio => {
                let track = audio_track(entry)?;
                block = (track.codec != AudioCodec::Aac).then(|| {
                    track.sample_rate * u32::from(track.channels) / G711_BLOCKS_PER_SECOND
                });
                described.audio = Some(track);
            }
        }
        let shift_micros = shift(&edits, movie_timescale, timescale)?;
        Ok(Self {
            kind,
            table,
            timescale,
            shift_micros,
            video,
            block,
            next: 1,
        })
    }

    /// The next access unit, without taking it.
    fn peek(&self) -> Result<Option<SampleLocation>, Problem> {
        let sample = |index| NonZeroU32::new(index).and_then(|index| self.table.get_sample(index));
        let Some(first) = sample(self.next) else {
            return Ok(None);
        };
        let composition = first.composition_time_offset().unwrap_or(0);
        let mut place = SampleLocation {
            micros: in_range(
                self.micros(first.timestamp().into()) + i128::from(self.shift_micros),
            )?,
            composition_micros: i32::try_from(self.micros(composition.into()))
                .map_err(|_| absurd_time())?,
            key: self.kind == TrackKind::Audio || first.is_sync_sample(),
            offset: first.data_offset(),
            size: first.data_size(),
            samples: 1,
        };
        // In MP4 a sample of G.711 may be a single byte: neighbours are joined.
        while let Some(next) = sample(self.next + place.samples)
            && self
                .block
                .is_some_and(|block| place.size + next.data_size() <= block)
            && next.data_offset() == place.offset + u64::from(place.size)
        {
            place.size += next.data_size();
            place.samples += 1;
        }
        Ok(Some(place))
    }

    fn micros(&self, units: i128) -> i128 {
        units * 1_000_000 / i128::from(self.timescale)
    }
}

/// G.711 is sent in blocks of 40 ms.
const G711_BLOCKS_PER_SECOND: u32 = 25;

/// An edit list of the usual two kinds: a pause in front, and a start in mid-media.
fn shift(edits: &[ElstEntry], movie_timescale: i64, timescale: i64) -> Result<i64, Problem> {
    let scaled = |value: i128, scale: i64| value * 1_000_000 / i128::from(scale);
    let mut pause = 0;
    for edit in edits {
        if edit.media_time >= 0 {
            return in_range(pause - scaled(edit.media_time.into(), timescale));
        }
        pause += scaled(edit.edit_duration.into(), movie_timescale);
    }
    in_range(pause)
}

/// Times beyond ten years are damage. What is left can be added up without a thought.
fn in_range(micros: i128) -> Result<i64, Problem> {
    const TEN_YEARS: i128 = 10 * 366 * 86_400 * 1_000_000;
    match i64::try_from(micros) {
        Ok(micros) if i128::from(micros).abs() <= TEN_YEARS => Ok(micros),
        _ => Err(absurd_time()),
    }
}

fn absurd_time() -> Problem {
    Problem::Damaged("in its index: it has times beyond ten years".to_owned())
}

/// Finds and decodes the `moov` box.
fn read_moov(file: &File) -> Result<MoovBox, Problem> {
    const LARGEST_MOOV: u64 = 64 << 20;
    let damaged = |what: &str| Problem::Damaged(what.to_owned());
    let length = file.metadata()?.len();
    let mut offset = 0;
    while offset < length {
        let mut head = [0; BoxHeader::MAX_SIZE];
        let readable =
            usize::try_from(length - offset).map_or(head.len(), |rest| rest.min(head.len()));
        file.read_exact_at(&mut head[..readable], offset)?;
        let (header, _) = BoxHeader::decode(&head[..readable])
            .map_err(|error| Problem::Damaged(format!("in the box at byte {offset}: {error}")))?;
        let size = match header.box_size.get() {
            0 => length - offset,
            size => size,
        };
        if size < 8 || size > length - offset {
            return Err(Problem::Damaged(format!(
                "or cut short in the box at byte {offset}"
            )));
        }
        if header.box_type == BoxType::Normal(*b"moof") {
            return Err(Problem::Fragmented);
        }
        if header.box_type == MoovBox::TYPE {
            if size > LARGEST_MOOV {
                return Err(damaged("in its index: it has more than 64 MiB"));
            }
            let mut bytes = vec![0; size as usize];
            file.read_exact_at(&mut bytes, offset)?;
            let (moov, _) = MoovBox::decode(&bytes)
                .map_err(|error| Problem::Damaged(format!("in its index: {error}")))?;
            return Ok(moov);
        }
        offset += size;
    }
    Err(damaged("or was never finished: it has no index (moov box)"))
}

fn video_config(entry: &SampleEntry) -> Result<VideoConfig, Problem> {
    let (codec, record) = match entry {
        SampleEntry::Avc1(entry) => (VideoCodec::H264, entry.avcc_box.encode_to_vec()),
        SampleEntry::Hvc1(entry) => (VideoCodec::H265, entry.hvcc_box.encode_to_vec()),
        SampleEntry::Hev1(entry) => (VideoCodec::H265, entry.hvcc_box.encode_to_vec()),
        other => return Err(unsupported(TrackKind::Video, other)),
    };
    const BOX_HEADER: usize = 8;
    match record.as_deref().map(|record| record.get(BOX_HEADER..)) {
        Ok(Some(record)) => VideoConfig::parse(codec, record),
        _ => Err(Problem::Damaged(
            "in the decoder configuration of the video track".to_owned(),
        )),
    }
}

fn audio_track(entry: &SampleEntry) -> Result<AudioTrack, Problem> {
    match entry {
        SampleEntry::Mp4a(entry) => {
            let config = &entry.esds_box.es.dec_config_descr;
            const MPEG4_AUDIO: u8 = 0x40;
            if config.object_type_indication != MPEG4_AUDIO {
                let codec = format!(
                    "mp4a with object type {:#04x}",
                    config.object_type_indication
                );
                return Err(Problem::UnsupportedCodec {
                    track: TrackKind::Audio,
                    codec,
                });
            }
            codec::aac_track(
                config
                    .dec_specific_info
                    .as_ref()
                    .map_or(&[], |info| info.payload.as_slice()),
            )
        }
        SampleEntry::Unknown(entry) if entry.box_type == BoxType::Normal(*b"alaw") => {
            g711(AudioCodec::PcmA, &entry.payload)
        }
        SampleEntry::Unknown(entry) if entry.box_type == BoxType::Normal(*b"ulaw") => {
            g711(AudioCodec::PcmU, &entry.payload)
        }
        other => Err(unsupported(TrackKind::Audio, other)),
    }
}

/// Reads the fields of an `AudioSampleEntry` (ISO/IEC 14496-12, 12.2.3).
fn g711(codec: AudioCodec, payload: &[u8]) -> Result<AudioTrack, Problem> {
    let field = |at: usize| {
        payload
            .get(at..at + 2)
            .map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    };
    match (field(16), field(24)) {
        (Some(channels @ 1..=2), Some(8_000)) => {
            let refused = |error: tracks::G711Error| Problem::UnsupportedCodec {
                track: TrackKind::Audio,
                codec: error.to_string(),
            };
            tracks::g711(codec, 8_000, channels).map_err(refused)
        }
        (Some(channels), Some(rate)) => Err(Problem::UnsupportedCodec {
            track: TrackKind::Audio,
            codec: format!(
                "G.711 with {channels} channels at {rate} Hz (only 8000 Hz fits into FLV)"
            ),
        }),
        _ => Err(Problem::Damaged(
            "in the sample entry of the audio track".to_owned(),
        )),
    }
}

fn unsupported(track: TrackKind, entry: &SampleEntry) -> Problem {
    let codec = entry.box_type().as_bytes().escape_ascii().to_string();
    Problem::UnsupportedCodec { track, codec }
}
