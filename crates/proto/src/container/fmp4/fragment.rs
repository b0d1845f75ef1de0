//! Movie fragments (`moof`, ISO/IEC 14496-12, 8.8) and the seals behind them.
//!
//! A fragment has one `traf` with one `trun` for each track that has samples, and every sample has
//! its own duration, size and flags. A parser holds foreign files to the same form, which bounds what
//! it allocates by the bytes that there are.

use shiguredo_mp4::{
    Decode, Encode, SampleFlags,
    boxes::{MfhdBox, MoofBox, TfdtBox, TfhdBox, TrafBox, TrunBox, TrunSample},
};

use super::{BOX_HEAD, Damaged, boxes, kind_of, micros, ticks, timescale, track_id};
use crate::media::{Frame, MediaTime, TrackKind, Tracks};

/// Upper bound of a `moof`, in bytes: some thousand samples, where two seconds have some hundred.
pub const MAX_INDEX: usize = 64 << 10;

/// Bytes of a seal.
pub const SEAL: usize = 16;
/// Head of a `free` box, which every reader skips, and the mark `crc3` of ours.
const SEAL_HEAD: [u8; 12] = *b"\0\0\0\x10freecrc3";

/// Box that follows a fragment, with the CRC-32 of all its bytes. A fragment without one is
/// incomplete.
pub fn seal(sum: u32) -> [u8; SEAL] {
    let mut seal = [0; SEAL];
    seal[..12].copy_from_slice(&SEAL_HEAD);
    seal[12..].copy_from_slice(&sum.to_be_bytes());
    seal
}

/// Returns the CRC-32 in a seal; `None` if it is another box.
pub fn read_seal(seal: &[u8; SEAL]) -> Option<u32> {
    let sum = seal.strip_prefix(&SEAL_HEAD)?.first_chunk()?;
    Some(u32::from_be_bytes(*sum))
}

/// Flags of a sync sample: `sample_depends_on` = 2, it depends on no other (ISO/IEC 14496-12, 8.8.3.1).
const KEY: SampleFlags = SampleFlags::new(0x0200_0000);
/// Flags of any other sample: `sample_depends_on` = 1, and `sample_is_non_sync_sample`.
const NO_KEY: SampleFlags = SampleFlags::new(0x0101_0000);

/// Writes the `moof` and the head of the `mdat` of a fragment, to be followed by its frames in the
/// order of [`payload`]: pictures, then sound. `origin` is the time of the file's first frame, `end`
/// the time of the first picture behind the fragment, if known; `number` counts fragments from 1.
///
/// [`payload`]: Fragment::payload
///
/// # Errors
/// [`Damaged`] if the index has more than [`MAX_INDEX`] bytes, or the data more than 4 GiB.
pub fn fragment(
    tracks: &Tracks,
    frames: &[Frame],
    origin: MediaTime,
    end: Option<MediaTime>,
    number: u32,
) -> Result<Vec<u8>, Damaged> {
    let kinds = [TrackKind::Video, TrackKind::Audio];
    let runs = kinds.map(|kind| Run::of(tracks, frames, kind, origin, end));
    let payload: usize = frames.iter().map(|frame| frame.data.len()).sum();
    let cannot = |_| Damaged("a fragment has too much in it");
    let mut moof = MoofBox {
        mfhd_box: MfhdBox {
            sequence_number: number,
        },
        traf_boxes: runs.into_iter().flatten().map(Run::into_box).collect(),
        unknown_boxes: Vec::new(),
    };
    let mdat_size =
        u32::try_from(BOX_HEAD + payload).map_err(|_| Damaged("a fragment has too much in it"))?;
    // Where the data begin is written in a fixed number of bytes, so that the size is right.
    let size = moof.encode_to_vec().map_err(cannot)?.len();
    if size > MAX_INDEX {
        return Err(Damaged("a fragment has too much in it"));
    }
    let mut offset = size + BOX_HEAD;
    for run in moof
        .traf_boxes
        .iter_mut()
        .flat_map(|traf| &mut traf.trun_boxes)
    {
        run.data_offset = Some(i32::try_from(offset).unwrap_or(i32::MAX));
        let sizes = run.samples.iter().filter_map(|sample| sample.size);
        offset += sizes.map(|size| size as usize).sum::<usize>();
    }
    let mut text = moof.encode_to_vec().map_err(cannot)?;
    text.extend_from_slice(&mdat_size.to_be_bytes());
    text.extend_from_slice(b"mdat");
    Ok(text)
}

/// The samples of one track in a fragment (`trun`).
struct Run {
    kind: TrackKind,
    start: u64,
    samples: Vec<TrunSample>,
}

impl Run {
    fn of(
        tracks: &Tracks,
        frames: &[Frame],
        kind: TrackKind,
        origin: MediaTime,
        end: Option<MediaTime>,
    ) -> Option<Self> {
        let scale = timescale(kind, tracks.audio.as_ref());
        let at = |time: MediaTime| ticks(time.micros_since(origin).max(0), scale);
        let own: Vec<&Frame> = frames.iter().filter(|frame| frame.track == kind).collect();
        let reorders = own.iter().any(|frame| frame.composition_micros != 0);
        let starts: Vec<i64> = own.iter().map(|frame| at(frame.time)).collect();
        let samples = own.iter().enumerate().map(|(index, frame)| {
            let duration = match starts.get(index + 1) {
                Some(next) => next - starts[index],
                None => last_duration(kind, tracks, frame, &starts, end.map(at)),
            };
            TrunSample {
                duration: Some(u32::try_from(duration).unwrap_or(0)),
                size: Some(u32::try_from(frame.data.len()).unwrap_or(u32::MAX)),
                flags: Some(if frame.key { KEY } else { NO_KEY }),
                composition_time_offset: reorders
                    .then(|| ticks(i64::from(frame.composition_micros), scale)),
            }
        });
        Some(Self {
            kind,
            start: u64::try_from(*starts.first()?).unwrap_or(0),
            samples: samples.collect(),
        })
    }

    fn into_box(self) -> TrafBox {
        TrafBox {
            tfhd_box: TfhdBox {
                track_id: track_id(self.kind),
                base_data_offset: None,
                sample_description_index: None,
                default_sample_duration: None,
                default_sample_size: None,
                default_sample_flags: None,
                duration_is_empty: false,
                // Offsets count from the `moof` (8.8.7): a fragment reads the same wherever it stands.
                default_base_is_moof: true,
            },
            tfdt_box: Some(TfdtBox {
                // 64 bits: at 90 kHz, 32 are enough for 13 hours.
                version: 1,
                base_media_decode_time: self.start,
            }),
            trun_boxes: vec![TrunBox {
                data_offset: Some(0),
                first_sample_flags: None,
                samples: self.samples,
            }],
            unknown_boxes: Vec::new(),
        }
    }
}

/// Duration of the last sample of a run, in the track's units. Sound has its own length; a picture
/// lasts until the next one (`end`), or, if that is not known, as long as the one before.
fn last_duration(
    kind: TrackKind,
    tracks: &Tracks,
    frame: &Frame,
    starts: &[i64],
    end: Option<i64>,
) -> i64 {
    use crate::media::AudioCodec;

    const SAMPLES_OF_AAC: i64 = 1024;
    // At 90 kHz; a picture of 25 per second.
    const FORTY_MILLIS: i64 = 3600;
    if let (TrackKind::Audio, Some(audio)) = (kind, &tracks.audio) {
        return match audio.codec {
            AudioCodec::Aac => SAMPLES_OF_AAC,
            // One byte per sample and channel.
            AudioCodec::PcmA | AudioCodec::PcmU => {
                frame.data.len() as i64 / i64::from(audio.channels.max(1))
            }
        };
    }
    match (end, starts) {
        (Some(end), [.., last]) if end > *last => end - last,
        (_, [.., before, last]) if last > before => last - before,
        _ => FORTY_MILLIS,
    }
}

/// Location, timing and flags of one access unit in a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Its track.
    pub track: TrackKind,
    /// Set if decoding can start here (sync sample).
    pub key: bool,
    /// Decoding time, in microseconds since the file's first frame.
    pub micros: i64,
    /// Duration, in microseconds.
    pub duration_micros: i64,
    /// Presentation time minus decoding time, in microseconds.
    pub composition_micros: i32,
    /// Offset of its first byte from that of the fragment.
    pub offset: usize,
    /// Size in bytes.
    pub size: usize,
}

/// Parsed index of a fragment: its samples in decoding order, across tracks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fragment {
    /// The samples.
    pub samples: Vec<Sample>,
    /// Set if the file has no video track, so that sound alone is complete.
    is_sound: bool,
}

/// Presentation interval of a fragment. Times are since the file's first frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PresentationInterval {
    /// Earliest presentation time, in microseconds.
    pub start_micros: i64,
    /// Decoding time of the next fragment, in microseconds. Pictures that are reordered are shown until
    /// a little later; those of a following file begin that much later too.
    pub end_micros: i64,
    /// Set if decoding can start with it.
    pub is_key: bool,
}

impl Fragment {
    /// Iterates over the frames of a fragment in the order in which they are written.
    pub fn payload(frames: &[Frame]) -> impl Iterator<Item = &Frame> {
        let of = |kind| frames.iter().filter(move |frame| frame.track == kind);
        of(TrackKind::Video).chain(of(TrackKind::Audio))
    }

    /// Parses the index (`moof`) of a fragment of `size` bytes in all; `index` are its first bytes, up
    /// to the `mdat`.
    ///
    /// # Errors
    /// [`Damaged`] if it is not one of ours, or if a sample lies outside the fragment.
    pub fn parse(index: &[u8], tracks: &Tracks, size: usize) -> Result<Self, Damaged> {
        check_runs(index)?;
        let (moof, _) =
            MoofBox::decode(index).map_err(|_| Damaged("the index of a fragment is no such"))?;
        let mut samples = Vec::new();
        for traf in &moof.traf_boxes {
            let kind = kind_of(traf.tfhd_box.track_id).ok_or(Damaged("an unknown track"))?;
            let [run] = &traf.trun_boxes[..] else {
                return Err(Damaged("a track has not one run"));
            };
            read_run(kind, traf, run, tracks, size, &mut samples)?;
        }
        // Stable: samples of one track with equal times stay in the order of their run.
        samples.sort_by_key(|sample: &Sample| sample.micros);
        Ok(Self {
            samples,
            is_sound: tracks.video.is_none(),
        })
    }

    /// Decoding time of its first picture, or of its first sound if it has none.
    pub fn start_micros(&self) -> Option<i64> {
        let mut pictures = self.of(TrackKind::Video);
        let first = pictures.next().or(self.samples.first());
        first.map(|sample| sample.micros)
    }

    /// End of its last picture, or of its last sound if it has none.
    pub fn end_micros(&self) -> Option<i64> {
        let last = self.of(TrackKind::Video).last().or(self.samples.last());
        last.map(|sample| sample.micros + sample.duration_micros)
    }

    /// Presentation interval of its pictures, or of its sound if the file has no video track. `None` if
    /// it has no sample of that track.
    pub fn shown(&self) -> Option<PresentationInterval> {
        let kind = if self.is_sound {
            TrackKind::Audio
        } else {
            TrackKind::Video
        };
        let shown = |sample: &Sample| sample.micros + i64::from(sample.composition_micros);
        Some(PresentationInterval {
            start_micros: self.of(kind).map(shown).min()?,
            end_micros: self.end_micros()?,
            is_key: self.is_key(),
        })
    }

    /// Returns whether decoding can start with its first picture.
    pub fn is_key(&self) -> bool {
        match self.of(TrackKind::Video).next() {
            Some(picture) => picture.key,
            None => self.is_sound && !self.samples.is_empty(),
        }
    }

    pub(super) fn of(&self, kind: TrackKind) -> impl Iterator<Item = &Sample> {
        self.samples
            .iter()
            .filter(move |sample| sample.track == kind)
    }
}

/// Checks that every `trun` has its own duration, size and flags for each sample: without them the
/// decoder would allocate as many samples as a foreign file claims, however few bytes it has.
fn check_runs(index: &[u8]) -> Result<(), Damaged> {
    // `tr_flags` for sample duration, size and flags (8.8.8.1), and the bytes of the three.
    const EACH: u32 = 0x0000_0700;
    const EACH_SIZE: usize = 12;
    // The outer boxes are those inside the `moof`; of them only a `traf` is looked into.
    for (kind, traf) in boxes(index, BOX_HEAD..index.len()) {
        for (kind, run) in boxes(index, traf).filter(|_| kind == *b"traf") {
            if kind != *b"trun" {
                continue;
            }
            let run = &index[run];
            // A FullBox (4.2): one byte of version and three of flags, then `sample_count`.
            let (Some([_, f0, f1, f2]), Some(count)) = (
                run.first_chunk(),
                run.get(4..).and_then(<[u8]>::first_chunk),
            ) else {
                return Err(Damaged("a run is cut off"));
            };
            let flags = u32::from_be_bytes([0, *f0, *f1, *f2]);
            let count = u32::from_be_bytes(*count) as usize;
            if flags & EACH != EACH || count > run.len() / EACH_SIZE {
                return Err(Damaged("a run does not describe its samples"));
            }
        }
    }
    Ok(())
}

/// Appends the samples of a run, each of which lies within the fragment's `size` bytes.
fn read_run(
    kind: TrackKind,
    traf: &TrafBox,
    run: &TrunBox,
    tracks: &Tracks,
    size: usize,
    samples: &mut Vec<Sample>,
) -> Result<(), Damaged> {
    let outside = Damaged("a sample lies outside its fragment");
    let scale = timescale(kind, tracks.audio.as_ref());
    let start = traf.tfdt_box.as_ref().ok_or(Damaged("a run has no time"))?;
    let mut at = i64::try_from(start.base_media_decode_time).map_err(|_| outside)?;
    // A run without an offset would begin where the one before it ends (ISO/IEC 14496-12, 8.8.8):
    // none of ours does.
    let mut offset = usize::try_from(run.data_offset.unwrap_or(-1)).map_err(|_| outside)?;
    for sample in &run.samples {
        let (Some(duration), Some(bytes), Some(flags)) =
            (sample.duration, sample.size, sample.flags)
        else {
            return Err(Damaged("a sample is not described"));
        };
        let end = offset.checked_add(bytes as usize).ok_or(outside)?;
        if end > size {
            return Err(outside);
        }
        let next = at.checked_add(i64::from(duration)).ok_or(outside)?;
        let composition = micros(sample.composition_time_offset.unwrap_or(0), scale);
        let start_micros = micros(at, scale);
        samples.push(Sample {
            track: kind,
            key: !flags.sample_is_non_sync_sample(),
            micros: start_micros,
            // A difference of rounded times, not a rounded difference: samples abut without drift.
            duration_micros: micros(next, scale) - start_micros,
            composition_micros: i32::try_from(composition).map_err(|_| outside)?,
            offset,
            size: bytes as usize,
        });
        (at, offset) = (next, end);
    }
    Ok(())
}
