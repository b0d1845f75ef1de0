//! Head of a recording: `ftyp`, `moov`, and the room for the index.
//!
//! It has the same size whether the file grows or is finished, so that it can be completed in place
//! ([`super::seek`]). A parser takes what recordings of ours have, and no other MP4.

use std::{num::NonZeroU32, time::Duration};

use shiguredo_mp4::{
    Decode, Either, Encode, FixedPointNumber, LanguageCode, Mp4FileTime, SampleFlags,
    boxes::{
        Brand, DinfBox, FtypBox, HdlrBox, MdhdBox, MdiaBox, MediaHeader, MehdBox, MinfBox, MoovBox,
        MvexBox, MvhdBox, SampleEntry, SmhdBox, StblBox, StcoBox, StscBox, StsdBox, StszBox,
        SttsBox, TkhdBox, TrakBox, TrexBox, VmhdBox,
    },
};

use super::{
    Damaged, VIDEO_TIMESCALE, boxes, entry, kind_of,
    seek::{ALIGNED, Blanks, FREE, ROOM, SKIP},
    timescale, track_id,
};
use crate::media::{TrackKind, Tracks};

/// Upper bound of the boxes in front of the first fragment together, in bytes.
pub const MAX_HEAD: usize = MAX_DESCRIPTION + 2 * BOX_HEAD + ROOM;
/// Upper bound of `ftyp` and `moov` together, in bytes.
const MAX_DESCRIPTION: usize = 16 << 10;
/// Bytes of size and type in front of a box's content.
pub const BOX_HEAD: usize = 8;

/// Size and type of a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoxHead {
    /// Bytes of the whole box, this head included.
    pub size: u64,
    /// Its four-character code.
    pub kind: [u8; 4],
}

impl BoxHead {
    /// Parses one. Sizes of 64 bits, and boxes that reach to the end of their file (size 0), are not
    /// written by us, and not read.
    ///
    /// # Errors
    /// [`Damaged`] if the box is smaller than its own head.
    pub fn parse(bytes: [u8; BOX_HEAD]) -> Result<Self, Damaged> {
        let [s0, s1, s2, s3, k0, k1, k2, k3] = bytes;
        let size = u64::from(u32::from_be_bytes([s0, s1, s2, s3]));
        if size < BOX_HEAD as u64 {
            return Err(Damaged("a box is smaller than its head"));
        }
        Ok(Self {
            size,
            kind: [k0, k1, k2, k3],
        })
    }
}

/// Writes the boxes in front of the first fragment, with [`Blanks`]. `start_millis` (Unix time) becomes
/// the creation time, for people.
///
/// # Errors
/// [`Damaged`] if the tracks cannot be described: a fault of the encoder that announced them.
pub fn head(tracks: &Tracks, start_millis: i64) -> Result<Vec<u8>, Damaged> {
    let since_1970 = Duration::from_millis(u64::try_from(start_millis).unwrap_or(0));
    let time = Mp4FileTime::from_unix_time(since_1970);
    let mut traks = Vec::new();
    // `iso5` stands for default-base-is-moof, `iso6` for `tfdt`.
    let mut brands = vec![Brand::ISOM, Brand::ISO5, Brand::ISO6, Brand::MP41];
    if let Some(video) = &tracks.video {
        let entry = entry::of_video(video)?;
        brands.push(match entry {
            SampleEntry::Hvc1(_) => Brand::HVC1,
            _ => Brand::AVC1,
        });
        let size = [video.width, video.height].map(|side| u16::try_from(side).unwrap_or(u16::MAX));
        traks.push(trak(TrackKind::Video, entry, tracks, time, size));
    }
    if let Some(audio) = &tracks.audio {
        let entry = entry::of_audio(audio)?;
        traks.push(trak(TrackKind::Audio, entry, tracks, time, [0, 0]));
    }
    // A box that fragments need (8.8.3). Its defaults are not used: every run describes its
    // samples.
    let trex = |trak: &TrakBox| TrexBox {
        track_id: trak.tkhd_box.track_id,
        default_sample_description_index: 1,
        default_sample_duration: 0,
        default_sample_size: 0,
        default_sample_flags: SampleFlags::empty(),
    };
    let ftyp = FtypBox {
        major_brand: Brand::ISO5,
        minor_version: 0,
        compatible_brands: brands,
    };
    let moov = MoovBox {
        mvhd_box: MvhdBox {
            creation_time: time,
            modification_time: time,
            timescale: MILLISECONDS,
            duration: 0,
            rate: MvhdBox::DEFAULT_RATE,
            volume: MvhdBox::DEFAULT_VOLUME,
            matrix: MvhdBox::DEFAULT_MATRIX,
            next_track_id: 3,
        },
        mvex_box: Some(MvexBox {
            mehd_box: Some(MehdBox {
                fragment_duration: 0,
            }),
            trex_boxes: traks.iter().map(trex).collect(),
            unknown_boxes: Vec::new(),
        }),
        trak_boxes: traks,
        unknown_boxes: Vec::new(),
    };
    let cannot = |_| Damaged("the tracks cannot be described");
    let mut text = ftyp.encode_to_vec().map_err(cannot)?;
    text.extend(moov.encode_to_vec().map_err(cannot)?);
    if text.len() > MAX_DESCRIPTION {
        return Err(Damaged("the tracks take too much to describe"));
    }
    Blanks::find(&text).clear(&mut text);
    // A `skip` box of 8 to 15 bytes aligns the room behind it.
    let behind = text.len() + BOX_HEAD;
    pass_over(&mut text, SKIP, behind.next_multiple_of(ALIGNED));
    let room = text.len() + ROOM;
    pass_over(&mut text, FREE, room);
    Ok(text)
}

/// Appends a box filled with zeros, up to the byte `end`.
fn pass_over(text: &mut Vec<u8>, kind: [u8; 4], end: usize) {
    let size = u32::try_from(end - text.len()).unwrap_or(u32::MAX);
    text.extend_from_slice(&size.to_be_bytes());
    text.extend_from_slice(&kind);
    text.resize(end, 0);
}

const MILLISECONDS: NonZeroU32 = NonZeroU32::new(1000).unwrap();

fn trak(
    kind: TrackKind,
    entry: SampleEntry,
    tracks: &Tracks,
    time: Mp4FileTime,
    [width, height]: [u16; 2],
) -> TrakBox {
    let scale = timescale(kind, tracks.audio.as_ref());
    let (volume, handler_type, media_header) = match kind {
        TrackKind::Video => (
            TkhdBox::DEFAULT_VIDEO_VOLUME,
            HdlrBox::HANDLER_TYPE_VIDE,
            MediaHeader::Vmhd(VmhdBox::default()),
        ),
        TrackKind::Audio => (
            TkhdBox::DEFAULT_AUDIO_VOLUME,
            HdlrBox::HANDLER_TYPE_SOUN,
            MediaHeader::Smhd(SmhdBox::default()),
        ),
    };
    TrakBox {
        tkhd_box: TkhdBox {
            flag_track_enabled: true,
            flag_track_in_movie: true,
            flag_track_in_preview: false,
            flag_track_size_is_aspect_ratio: false,
            creation_time: time,
            modification_time: time,
            track_id: track_id(kind),
            duration: 0,
            layer: TkhdBox::DEFAULT_LAYER,
            alternate_group: TkhdBox::DEFAULT_ALTERNATE_GROUP,
            volume,
            matrix: TkhdBox::DEFAULT_MATRIX,
            // 16.16 without a sign in the box (8.3.2); the bits are the same.
            width: FixedPointNumber::new(width as i16, 0),
            height: FixedPointNumber::new(height as i16, 0),
        },
        edts_box: None,
        mdia_box: MdiaBox {
            mdhd_box: MdhdBox {
                creation_time: time,
                modification_time: time,
                timescale: NonZeroU32::new(scale).unwrap_or(MILLISECONDS),
                duration: 0,
                language: LanguageCode::UNDEFINED,
            },
            hdlr_box: HdlrBox {
                handler_type,
                name: vec![0],
            },
            minf_box: MinfBox {
                media_header: Some(media_header),
                dinf_box: DinfBox::LOCAL_FILE,
                stbl_box: no_samples(entry),
                unknown_boxes: Vec::new(),
            },
            unknown_boxes: Vec::new(),
        },
        unknown_boxes: Vec::new(),
    }
}

/// A sample table without samples: those are described by the fragments.
fn no_samples(entry: SampleEntry) -> StblBox {
    StblBox {
        stsd_box: StsdBox {
            entries: vec![entry],
        },
        stts_box: SttsBox {
            entries: Vec::new(),
        },
        ctts_box: None,
        cslg_box: None,
        stsc_box: StscBox {
            entries: Vec::new(),
        },
        stsz_box: StszBox::Variable {
            entry_sizes: Vec::new(),
        },
        stco_or_co64_box: Either::A(StcoBox {
            chunk_offsets: Vec::new(),
        }),
        stss_box: None,
        sdtp_box: None,
        unknown_boxes: Vec::new(),
    }
}

/// Parsed head of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// The tracks; the picture's frame rate is not known.
    pub tracks: Tracks,
    /// Offset of the first fragment.
    pub size: usize,
    /// Ranges that are filled in when the file is complete.
    pub blanks: Blanks,
}

impl Head {
    /// Parses the head of a file from its first bytes: [`MAX_HEAD`] of them, or all if it is shorter.
    ///
    /// # Errors
    /// [`Damaged`] if they are not the head of a recording of ours.
    pub fn parse(bytes: &[u8]) -> Result<Self, Damaged> {
        let (moov, size) = find_moov(bytes)?;
        let size = behind_index(bytes, size);
        let mut tracks = Tracks::default();
        for trak in &moov.trak_boxes {
            let [entry] = &trak.mdia_box.minf_box.stbl_box.stsd_box.entries[..] else {
                return Err(Damaged("a track has not one description"));
            };
            let scale = trak.mdia_box.mdhd_box.timescale.get();
            match kind_of(trak.tkhd_box.track_id) {
                Some(TrackKind::Video) if scale == VIDEO_TIMESCALE => {
                    tracks.video = Some(entry::video(entry)?);
                }
                Some(TrackKind::Video) => {
                    return Err(Damaged("its times are not counted as ours"));
                }
                // Sound counts in samples, so that the timescale is the rate; the entry has 0 for
                // one above 65 535.
                Some(TrackKind::Audio) => tracks.audio = Some(entry::audio(entry, scale)?),
                None => return Err(Damaged("it has more tracks than a recording")),
            }
        }
        if tracks == Tracks::default() {
            return Err(Damaged("it has no track"));
        }
        Ok(Self {
            tracks,
            size,
            blanks: Blanks::find(&bytes[..size]),
        })
    }
}

/// Offset of the first fragment. An index for other players may precede it; it is skipped, and not
/// trusted.
fn behind_index(bytes: &[u8], moov_end: usize) -> usize {
    let others = boxes(bytes, moov_end..bytes.len());
    let others = others.take_while(|(kind, _)| [FREE, SKIP, *b"sidx"].contains(kind));
    others.last().map_or(moov_end, |(_, content)| content.end)
}

/// Finds and decodes the `moov` box; returns it with the offset behind it.
fn find_moov(bytes: &[u8]) -> Result<(MoovBox, usize), Damaged> {
    let mut offset = 0;
    while let Some(rest) = bytes.get(offset..)
        && let Some(head) = rest.first_chunk()
    {
        let head = BoxHead::parse(*head)?;
        let size = usize::try_from(head.size).map_err(|_| Damaged("a box is too large"))?;
        let Some(content) = rest.get(..size) else {
            break;
        };
        offset += size;
        if head.kind == *b"moov" {
            let moov = MoovBox::decode(content);
            let (moov, _) = moov.map_err(|_| Damaged("its head cannot be read"))?;
            return Ok((moov, offset));
        }
    }
    Err(Damaged("it has no head"))
}
