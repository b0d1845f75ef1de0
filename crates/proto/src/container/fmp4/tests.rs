//! Heads and fragments, written and read back; damage to each.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::media::{AudioCodec, Frame, MediaTime, Tracks, VideoCodec, VideoTrack};

/// Parameter sets of a picture of 640×360, as the simulated camera makes them.
const AVCC: &[u8] = &[
    1, 0x42, 0xc0, 0x1e, 0xff, 0xe1, 0, 8, 0x67, 0x42, 0xc0, 0x1e, 0xda, 0x02, 0x80, 0xbf, 1, 0, 4,
    0x68, 0xce, 0x3c, 0x80,
];

pub(super) fn tracks(audio: Option<AudioCodec>) -> Tracks {
    Tracks {
        video: Some(VideoTrack {
            codec: VideoCodec::H264,
            config: Bytes::from_static(AVCC),
            width: 640,
            height: 360,
            frame_rate: 0.0,
        }),
        audio: audio.map(|codec| AudioTrack {
            codec,
            config: match codec {
                AudioCodec::Aac => Bytes::from_static(&[0x14, 0x08]),
                AudioCodec::PcmA | AudioCodec::PcmU => Bytes::new(),
            },
            sample_rate: if codec == AudioCodec::Aac {
                16_000
            } else {
                8_000
            },
            channels: 1,
        }),
    }
}

fn frame(track: TrackKind, key: bool, micros: i64, size: usize) -> Frame {
    Frame {
        track,
        key,
        time: MediaTime::from_micros(micros),
        composition_micros: 0,
        data: Bytes::from(vec![micros as u8; size]),
    }
}

#[test]
fn a_head_says_what_it_was_made_of() {
    for audio in [
        None,
        Some(AudioCodec::Aac),
        Some(AudioCodec::PcmA),
        Some(AudioCodec::PcmU),
    ] {
        let tracks = tracks(audio);
        let head = head(&tracks, 1_763_708_400_123).expect("it can be described");
        let read = Head::parse(&head).expect("it is one");
        assert_eq!(read.tracks, tracks);
        assert_eq!(read.size, head.len());
        let described = head
            .windows(4)
            .position(|four| four == b"skip")
            .expect("a box")
            - 4;
        for cut in 0..described {
            assert!(Head::parse(&head[..cut]).is_err(), "{cut}");
        }
        // Behind the first bytes of it there is nothing but room.
        let (near, room) = (described..described + 64, described + 64..head.len());
        for cut in near.chain(room.step_by(97)) {
            let read = Head::parse(&head[..cut]).expect("the tracks are described");
            assert!((described..=cut).contains(&read.size), "{cut}");
        }
    }
}

#[test]
fn a_picture_that_nobody_knows_is_not_described() {
    let mut tracks = tracks(None);
    if let Some(video) = &mut tracks.video {
        video.config = Bytes::from_static(&[1, 2, 3]);
    }
    assert!(head(&tracks, 0).is_err());
}

/// Writes a fragment and reads its index.
fn round(tracks: &Tracks, frames: &[Frame], origin: i64) -> (Vec<u8>, Fragment) {
    let origin = MediaTime::from_micros(origin);
    let mut bytes = fragment(tracks, frames, origin, None, 1).expect("it fits");
    for frame in Fragment::payload(frames) {
        bytes.extend_from_slice(&frame.data);
    }
    let index = BoxHead::parse(*bytes.first_chunk().expect("a box"))
        .expect("a box")
        .size as usize;
    let read = Fragment::parse(&bytes[..index], tracks, bytes.len()).expect("an index");
    (bytes, read)
}

proptest! {
    #[test]
    fn frames_are_where_the_index_says(
        steps in prop::collection::vec((1_i64..200_000, 1_usize..5000, any::<bool>()), 1..40),
        origin in 0_i64..1_000_000_000_000,
        first in 0_i64..60_000_000,
    ) {
        let tracks = tracks(Some(AudioCodec::Aac));
        let mut at = origin + first;
        let frames: Vec<Frame> = steps.iter().enumerate().map(|(index, (step, size, is_video))| {
            at += step;
            let track = if *is_video { TrackKind::Video } else { TrackKind::Audio };
            frame(track, index == 0 || track == TrackKind::Audio, at, *size)
        }).collect();
        let (bytes, read) = round(&tracks, &frames, origin);
        prop_assert_eq!(read.samples.len(), frames.len());
        for kind in [TrackKind::Video, TrackKind::Audio] {
            let scale = timescale(kind, tracks.audio.as_ref());
            let written = frames.iter().filter(|frame| frame.track == kind);
            for (frame, sample) in written.zip(read.of(kind)) {
                prop_assert_eq!(&bytes[sample.offset..sample.offset + sample.size], &frame.data[..]);
                prop_assert_eq!(sample.key, frame.key);
                // Less than one unit of the track's time is lost.
                let micros = frame.time.as_micros() - origin;
                prop_assert!((micros - sample.micros).abs() <= 1_000_000 / i64::from(scale) + 1);
            }
        }
        prop_assert!(read.samples.is_sorted_by_key(|sample| sample.micros));
    }

    #[test]
    fn times_are_the_same_there_and_back(ticks_before in 0_i64..1 << 40, scale in prop::sample::select(vec![8_000_u32, 16_000, 44_100, 48_000, 90_000])) {
        prop_assert_eq!(ticks(micros(ticks_before, scale), scale), ticks_before);
    }

    #[test]
    fn damage_is_no_panic(at in 0_usize..400, byte: u8) {
        let tracks = tracks(Some(AudioCodec::Aac));
        let frames = [frame(TrackKind::Video, true, 0, 100), frame(TrackKind::Audio, true, 10, 100)];
        let (mut bytes, _) = round(&tracks, &frames, 0);
        let index = at % bytes.len();
        bytes[index] = byte;
        if let Ok(read) = Fragment::parse(&bytes, &tracks, bytes.len()) {
            for sample in read.samples {
                prop_assert!(sample.offset + sample.size <= bytes.len());
            }
        }
        let mut text = head(&tracks, 0).expect("it can be described");
        let index = at % text.len();
        text[index] = byte;
        let _ = Head::parse(&text);
    }
}

#[test]
fn pictures_that_are_shown_in_another_order_are_told_so() {
    let tracks = tracks(None);
    let mut frames = [
        frame(TrackKind::Video, true, 0, 10),
        frame(TrackKind::Video, false, 40_000, 10),
        frame(TrackKind::Video, false, 80_000, 10),
    ];
    for (frame, offset) in frames.iter_mut().zip([80_000, 120_000, -40_000]) {
        frame.composition_micros = offset;
    }
    let (_, read) = round(&tracks, &frames, 0);
    let offsets: Vec<_> = read
        .samples
        .iter()
        .map(|sample| sample.composition_micros)
        .collect();
    assert_eq!(offsets, [80_000, 120_000, -40_000]);
}

#[test]
fn a_fragment_ends_when_the_next_picture_comes() {
    let tracks = tracks(None);
    let frames = [
        frame(TrackKind::Video, true, 0, 10),
        frame(TrackKind::Video, false, 40_000, 10),
    ];
    let (_, read) = round(&tracks, &frames, 0);
    assert_eq!(read.end_micros(), Some(80_000), "as long as the one before");
    let end = Some(MediaTime::from_micros(140_000));
    let bytes = fragment(&tracks, &frames, MediaTime::default(), end, 1).expect("it fits");
    let read =
        Fragment::parse(&bytes[..bytes.len() - 8], &tracks, bytes.len() + 20).expect("an index");
    assert_eq!(read.end_micros(), Some(140_000));
    assert!(read.is_key() && read.start_micros() == Some(0));
}

#[test]
fn a_seal_is_pinned() {
    assert_eq!(seal(0x0102_0304), *b"\0\0\0\x10freecrc3\x01\x02\x03\x04");
    assert_eq!(read_seal(&seal(7)), Some(7));
    assert_eq!(read_seal(b"\0\0\0\x10freexxxx\x01\x02\x03\x04"), None);
}
