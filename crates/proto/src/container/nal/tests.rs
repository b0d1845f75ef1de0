//! Access units of x264 and x265, and damaged ones.

use super::*;

/// Parameter sets that x264 wrote for 320×240, and x265 for 322×242.
const SPS: &str = "6764000dacd94141fb011000000300100000030320f1429960";
const PPS: &str = "68ebe3cb22c0";
const HEVC: [&str; 3] = [
    "40010c01ffff01600000030090000003000003003c959809",
    "42010101600000030090000003000003003ca00a480f9c9265959a4932bc05a02000000300200000030321",
    "4401c172b46240",
];

fn hex(text: &str) -> Vec<u8> {
    base16ct::lower::decode_vec(text).expect("hexadecimal")
}

fn annex_b(units: &[&[u8]]) -> Vec<u8> {
    let coded = units.iter().enumerate().flat_map(|(index, unit)| {
        // Both kinds of start code, and zeros after a unit.
        let code: &[u8] = if index % 2 == 0 {
            &[0, 0, 0, 1]
        } else {
            &[0, 0, 1]
        };
        [code, unit, &[0][..index % 2]].concat()
    });
    coded.collect()
}

fn lengths(units: &[&[u8]]) -> Vec<u8> {
    let coded = units
        .iter()
        .flat_map(|unit| [&(unit.len() as u32).to_be_bytes()[..], unit].concat());
    coded.collect()
}

#[test]
fn a_key_picture_brings_its_parameters_and_loses_its_padding() {
    let (sps, pps) = (hex(SPS), hex(PPS));
    let units: [&[u8]; 6] = [
        &[9, 0x10],
        &sps,
        &pps,
        &[6, 5, 1],
        &[0x65, 0x88, 0],
        &[12, 0xff],
    ];
    let mut pictures = Pictures::new(VideoCodec::H264, 25.0);
    let picture = pictures
        .read(Framing::AnnexB, &annex_b(&units))
        .expect("well-formed")
        .expect("a picture");
    assert!(picture.key);
    assert_eq!(
        picture.data,
        lengths(&[&[6, 5, 1], &[0x65, 0x88]]),
        "trailing zeros are padding"
    );
    let track = picture.new_track.expect("the first one");
    assert_eq!(
        (track.width, track.height, track.frame_rate),
        (320, 240, 25.0)
    );
    assert_eq!(track.config[..4], [1, 0x64, 0, 0x0d]);
    assert_eq!(track.config[4] & 3, 3, "lengths of 4 bytes");
    assert!(track.config.windows(sps.len()).any(|part| part == sps));
    // The same in the other framing brings nothing new.
    let again = pictures
        .read(Framing::Lengths, &lengths(&units))
        .expect("well-formed");
    assert!(again.is_some_and(|picture| picture.new_track.is_none()));
    let mut other = sps.clone();
    other[3] = 0x1e;
    let units: [&[u8]; 3] = [&other, &pps, &[0x65, 0x88]];
    let changed = pictures
        .read(Framing::Lengths, &lengths(&units))
        .expect("well-formed");
    assert!(
        changed.is_some_and(|picture| picture.new_track.is_some()),
        "another level"
    );
}

#[test]
fn h265_as_x265_writes_it() {
    let sets = HEVC.map(hex);
    let slice: &[u8] = &[0x28, 1, 0xaf, 0x1d];
    let units = [&sets[0][..], &sets[1], &sets[2], slice];
    let mut pictures = Pictures::new(VideoCodec::H265, 0.0);
    let picture = pictures
        .read(Framing::AnnexB, &annex_b(&units))
        .expect("well-formed")
        .expect("a picture");
    let track = picture.new_track.expect("the first one");
    assert_eq!((track.width, track.height), (322, 242));
    assert_eq!(picture.data, lengths(&[slice]));
    let slice = FirstSlice::parse(VideoCodec::H265, &picture.data);
    assert!(slice.is_some_and(|slice| slice.key && slice.begins));
    let other = pictures
        .read(Framing::AnnexB, &annex_b(&[&[2, 1, 0xd0]]))
        .expect("well-formed");
    assert_eq!(
        other.map(|picture| (picture.key, picture.new_track)),
        Some((false, None))
    );
}

#[test]
fn several_sets_of_one_kind_stay_together() {
    let (sps, pps) = (hex(SPS), hex(PPS));
    let mut second = pps.clone();
    second[1] = 0x6b;
    let units: [&[u8]; 4] = [&sps, &pps, &second, &[0x65, 0x88]];
    let mut pictures = Pictures::new(VideoCodec::H264, 0.0);
    for is_new in [true, false, false] {
        let read = pictures
            .read(Framing::AnnexB, &annex_b(&units))
            .expect("well-formed");
        let track = read.expect("a picture").new_track;
        assert_eq!(track.is_some(), is_new);
        assert!(track.is_none_or(|track| track.config.windows(6).any(|part| part == second)));
    }
}

#[test]
fn what_is_no_picture_is_told_apart() {
    let mut pictures = Pictures::new(VideoCodec::H264, 0.0);
    let missing = pictures.read(Framing::AnnexB, &annex_b(&[&[0x65, 0x88]]));
    assert!(matches!(missing, Err(NalError::Missing(_))));
    let sets = annex_b(&[&hex(SPS), &hex(PPS)]);
    assert_eq!(
        pictures.read(Framing::AnnexB, &sets),
        Ok(None),
        "sets alone"
    );
    let known = pictures
        .read(Framing::AnnexB, &annex_b(&[&[0x65, 0x88]]))
        .expect("well-formed");
    assert!(
        known.is_some_and(|picture| picture.new_track.is_some()),
        "they hold from here"
    );
    for damaged in [&[][..], &[0, 0, 0, 9, 1], &[0, 0], &[5; 40]] {
        let read = pictures.read(Framing::Lengths, damaged);
        assert_eq!(read, Err(NalError::Damaged), "{damaged:?}");
    }
    assert_eq!(
        pictures.read(Framing::AnnexB, &[5; 40]),
        Err(NalError::Damaged),
        "no start code"
    );
}

#[test]
fn a_picture_whose_beginning_is_missing_is_seen() {
    for (first, begins) in [(0x88, true), (0x42, false)] {
        let data = lengths(&[&[6, 5], &[0x65, first]]);
        let slice = FirstSlice::parse(VideoCodec::H264, &data);
        assert_eq!(slice.map(|slice| slice.begins), Some(begins));
    }
    assert_eq!(FirstSlice::parse(VideoCodec::H264, &[]), None);
    assert_eq!(
        FirstSlice::parse(VideoCodec::H264, &lengths(&[&[6, 5]])),
        None
    );
    let cut = FirstSlice::parse(VideoCodec::H264, &lengths(&[&[0x65]]));
    assert!(cut.is_some_and(|slice| !slice.begins));
}

#[test]
fn h265_has_several_kinds_of_key_pictures() {
    for (kind, key, needs_earlier) in [
        (1, false, false),
        (7, false, false),
        (8, false, true),
        (9, false, true),
        (16, true, false),
        (19, true, false),
        (20, true, false),
        (21, true, false),
    ] {
        let expected = FirstSlice {
            key,
            begins: true,
            needs_earlier,
        };
        let data = lengths(&[&[39 << 1, 1, 5], &[kind << 1, 1, 0x80]]);
        assert_eq!(
            FirstSlice::parse(VideoCodec::H265, &data),
            Some(expected),
            "{kind}"
        );
    }
}

#[test]
fn a_picture_holds_no_more_than_twice_its_bytes() {
    let (sps, pps, filler) = (hex(SPS), hex(PPS), vec![0x0c; 200_000]);
    let units: [&[u8]; 4] = [&sps, &pps, &[0x65, 0x88], &filler];
    let mut pictures = Pictures::new(VideoCodec::H264, 25.0);
    let read = pictures.read(Framing::AnnexB, &annex_b(&units));
    let picture = read.expect("readable").expect("a picture");
    assert_eq!(picture.data, lengths(&[&[0x65, 0x88]]));
    let room = picture.data.try_into_mut().expect("its own").capacity();
    assert!(room <= 2 * 6, "{room} bytes for 6");
}
