//! Bodies of every format in pieces of every size, and what they make a parser hold.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{
    flv::{HevcForm, Muxer},
    media::{AudioCodec, AudioTrack, Frame, MediaTime, TrackKind, Tracks},
};

mod formats;

/// Every block of a body that comes in pieces of this size.
fn blocks(body: &[u8], piece: usize) -> Result<Vec<AudioBlock>, Error> {
    blocks_of(Declared::default(), body, piece)
}

fn blocks_of(declared: Declared, body: &[u8], piece: usize) -> Result<Vec<AudioBlock>, Error> {
    let mut upload = Upload::new(16_000, declared);
    let mut found = Vec::new();
    for piece in body.chunks(piece.max(1)) {
        upload.feed(Bytes::copy_from_slice(piece));
        while let Some(block) = upload.next_block()? {
            found.push(block);
        }
    }
    upload.finish()?;
    while let Some(block) = upload.next_block()? {
        found.push(block);
    }
    Ok(found)
}

fn micros(blocks: &[AudioBlock]) -> i64 {
    blocks.iter().map(|block| block.micros).sum()
}

fn sound(blocks: &[AudioBlock]) -> Vec<u8> {
    blocks
        .iter()
        .flat_map(|block| block.data.to_vec())
        .collect()
}

/// An ADTS frame of AAC-LC, 16 kHz, mono, as `ffmpeg -f adts` writes it.
fn adts(payload: &[u8]) -> Vec<u8> {
    let length = payload.len() + 7;
    let head = [
        0xff,
        0xf1,
        0x60,
        0x40 | (length >> 11) as u8,
        (length >> 3) as u8,
        (length << 5) as u8 | 0x1f,
        0xfc,
    ];
    [&head[..], payload].concat()
}

#[test]
fn adts_is_told_by_its_head() {
    let body = [adts(&[1; 100]), adts(&[2; 200])].concat();
    for piece in [1, 7, 64, 1000] {
        let found = blocks(&body, piece).expect("ADTS");
        assert_eq!(found.len(), 2);
        assert_eq!(found[1].data, Bytes::from(vec![2; 200]));
        assert_eq!(found[0].micros, 64_000);
        let format = &found[0].format;
        assert_eq!((format.sample_rate, format.channels), (16_000, 1));
        // Object type 2, index 8, one channel.
        let config = Bytes::from_static(&[0x14, 0x08]);
        assert_eq!(format.coding, AudioCoding::Aac(config));
    }
    let broken = [adts(&[1; 100]), vec![0; 20]].concat();
    let error = blocks(&broken, 50).expect_err("garbage behind a frame");
    assert!(error.reason().contains("ADTS"), "{error}");
}

#[test]
fn bare_samples_are_cut_into_blocks() {
    let body: Vec<u8> = (0..3201_u16).flat_map(|n| (n + 1).to_le_bytes()).collect();
    for piece in [1, 13, 10_000] {
        let found = blocks(&body, piece).expect("PCM");
        assert_eq!(sound(&found), body);
        assert_eq!(found.len(), 11, "ten blocks of 20 ms and a rest");
        assert!((200_000..200_100).contains(&micros(&found)));
        assert_eq!(found[0].format.coding, AudioCoding::Pcm);
    }
    assert_eq!(blocks(&[7], 1), Ok(vec![]), "half a sample is none");
    assert_eq!(sound(&blocks(&[1, 2, 3, 4], 1).expect("PCM")), [1, 2, 3, 4]);
}

/// A WAV file's head: `fmt ` and `data` behind a chunk of an odd length.
fn wav(tag: u16, channels: u16, rate: u32, bits: u16, length: u32) -> Vec<u8> {
    let mut head = b"RIFF\0\0\0\0WAVELIST\x03\0\0\0abc\0fmt ".to_vec();
    head.extend(16_u32.to_le_bytes());
    head.extend(tag.to_le_bytes());
    head.extend(channels.to_le_bytes());
    head.extend(rate.to_le_bytes());
    head.extend([0; 6]);
    head.extend(bits.to_le_bytes());
    head.extend(b"data");
    head.extend(length.to_le_bytes());
    head
}

#[test]
fn wav_files_say_what_they_are() {
    for (tag, bits, coding, size) in [
        (1, 16, AudioCoding::Pcm, 4),
        (6, 8, AudioCoding::PcmA, 2),
        (7, 8, AudioCoding::PcmU, 2),
    ] {
        let samples = vec![5; 800 * size];
        let trailer = b"LIST\0\0\0\0".to_vec();
        let head = wav(tag, 2, 8000, bits, samples.len() as u32);
        let body = [head, samples.clone(), trailer].concat();
        for piece in [1, 100, 10_000] {
            let found = blocks(&body, piece).expect("a WAV");
            assert_eq!(sound(&found), samples, "what is behind the sound is none");
            assert_eq!(micros(&found), 100_000);
            let format = &found[0].format;
            assert_eq!(format.coding, coding);
            assert_eq!((format.sample_rate, format.channels), (8_000, 2));
        }
    }
    // A pipe does not know its length.
    let endless = [wav(1, 1, 16_000, 16, u32::MAX), vec![1; 640]].concat();
    assert_eq!(sound(&blocks(&endless, 64).expect("a WAV")).len(), 640);
    for bad in [
        wav(3, 1, 16_000, 32, 100),
        wav(1, 6, 16_000, 16, 100),
        wav(1, 1, 1, 16, 100),
        [b"RIFF\0\0\0\0WAVELIST\0\0\x02\0".to_vec(), vec![0; 5000]].concat(),
    ] {
        let error = blocks(&bad, 64).expect_err("not played");
        assert!(error.reason().contains("WAV"), "{error}");
    }
    for cut in [&wav(1, 1, 8_000, 16, 9)[..20], b"FLV\x01\x04"] {
        let error = blocks(cut, 64).expect_err("no sound");
        assert!(error.reason().contains("before its sound"), "{error}");
    }
}

fn flv(codec: AudioCodec, config: &'static [u8], payloads: &[&[u8]]) -> Vec<u8> {
    let tracks = Tracks {
        video: None,
        audio: Some(AudioTrack {
            codec,
            config: Bytes::from_static(config),
            sample_rate: 16_000,
            channels: 1,
        }),
    };
    let muxer = Muxer::new(&tracks, HevcForm::default());
    let mut out = muxer.preamble(&tracks).to_vec();
    for payload in payloads {
        let frame = Frame {
            track: TrackKind::Audio,
            key: true,
            time: MediaTime::default(),
            composition_micros: 0,
            data: Bytes::copy_from_slice(payload),
        };
        let head = muxer.head(&frame, 0, 0);
        out.extend_from_slice(head.as_slice());
        out.extend_from_slice(&frame.data);
        out.extend_from_slice(&head.trailer());
    }
    out
}

/// A tag as an app writes it, behind what is there.
fn tag(kind: u8, payload: &[u8]) -> Vec<u8> {
    let size = payload.len() as u32;
    let mut tag = vec![kind];
    tag.extend(&size.to_be_bytes()[1..]);
    tag.extend([0; 7]);
    tag.extend(payload);
    tag.extend((size + 11).to_be_bytes());
    tag
}

#[test]
fn flv_brings_aac_g711_and_pcm() {
    let aac = flv(AudioCodec::Aac, &[0x14, 0x08], &[&[1; 50], &[2; 60]]);
    let found = blocks(&aac, 10).expect("FLV");
    assert_eq!((found.len(), micros(&found)), (2, 128_000));
    let ulaw = flv(AudioCodec::PcmU, &[], &[&[0xff; 160]]);
    let found = blocks(&ulaw, 10).expect("FLV");
    assert_eq!(found[0].format.coding, AudioCoding::PcmU);
    assert_eq!(
        (found[0].format.sample_rate, micros(&found)),
        (8_000, 20_000)
    );
    let header = b"FLV\x01\x05\0\0\0\x09\0\0\0\0".to_vec();
    for (flags, rate) in [(0x32, 16_000), (0x36, 11_025), (0x3e, 44_100)] {
        // An odd byte belongs to no sample; 882 are more than one block, or less.
        let picture = tag(9, &[0x17, 1, 0, 0, 0, 1, 2, 3]);
        let pcm = tag(8, &[vec![flags], vec![0; 4001]].concat());
        let body = [header.clone(), picture, pcm].concat();
        let mut upload = Upload::new(16_000, Declared::default());
        upload.feed(body.into());
        let block = upload.next_block().expect("FLV").expect("a block");
        assert!(
            block.micros <= 20_000 && block.data.len().is_multiple_of(2),
            "{}",
            block.micros
        );
        assert_eq!(block.format.coding, AudioCoding::Pcm);
        assert_eq!(block.format.sample_rate, rate);
        assert_eq!(upload.skipped_pictures(), 1);
    }
    for (body, word) in [
        (
            [header.clone(), tag(8, &[0x2e, 1])].concat(),
            "SoundFormat 2",
        ),
        (
            [header.clone(), tag(8, &[0xaf, 1, 1, 2])].concat(),
            "without its configuration",
        ),
        (
            [header.clone(), tag(8, &[0xaf, 0, 0x2b, 0x08])].concat(),
            "object type 5",
        ),
        ([header, vec![0x55; 20]].concat(), "damaged"),
    ] {
        let error = blocks(&body, 100).expect_err(word);
        assert!(error.reason().contains(word), "{error}");
    }
}

#[test]
fn a_format_that_keeps_changing_is_damaged_sound() {
    let header = b"FLV\x01\x05\0\0\0\x09\0\0\0\0".to_vec();
    // AAC-LC, mono, of 16 kHz and of 48 kHz.
    let configs = [[0x14, 0x08], [0x11, 0x88]];
    let talk = |changes: usize, units: usize| {
        let units = [&[0xaf, 1, 7][..]].repeat(units);
        let part = |change: usize| {
            let config = tag(8, &[&[0xaf, 0], &configs[change % 2][..]].concat());
            let units = units.iter().map(|unit| tag(8, unit));
            [config, units.collect::<Vec<_>>().concat()].concat()
        };
        let parts: Vec<_> = (0..changes).map(part).collect();
        [header.clone(), parts.concat()].concat()
    };
    let error = blocks(&talk(20, 1), 100).expect_err("changes at each unit");
    assert!(error.reason().contains("format changes"), "{error}");
    // Some at once, or now and then, are what it is to change headsets.
    assert_eq!(blocks(&talk(8, 1), 100).expect("few").len(), 8);
    assert!(blocks(&talk(40, 50), 100).is_ok());
}

proptest! {
    #[test]
    fn never_panics_and_pieces_make_no_difference(
        start in prop_oneof![
            Just(b"FLV\x01\x04\0\0\0\x09\0\0\0\0".to_vec()),
            Just(adts(&[1; 9])),
            Just(wav(1, 1, 8000, 16, 64)),
            Just(vec![]),
        ],
        rest in prop::collection::vec(any::<u8>(), 0..400),
        piece in 1_usize..50,
    ) {
        let body = [start, rest].concat();
        flood(&body, &Bytes::from(body.clone()), 1 << 20);
        let whole = blocks(&body, body.len());
        let pieces = blocks(&body, piece);
        prop_assert_eq!(whole.is_ok(), pieces.is_ok());
        if let (Ok(whole), Ok(pieces)) = (whole, pieces) {
            prop_assert_eq!(sound(&whole), sound(&pieces));
        }
    }
}

/// Bytes of a flood: some seconds of a guest's uplink.
const FLOOD: usize = 100 << 20;
/// Upper bound of a block, in bytes: 20 ms of the fastest PCM.
const LONGEST_BLOCK: usize = 16 << 10;

/// Feeds `start`, and `filler` again and again; returns whether all of it was taken.
fn flood(start: &[u8], filler: &Bytes, total: usize) -> bool {
    let mut upload = Upload::new(16_000, Declared::default());
    let mut fed = 0;
    while fed < total {
        let piece = match fed {
            0 => Bytes::copy_from_slice(start),
            _ => filler.clone(),
        };
        fed += piece.len().max(1);
        upload.feed(piece);
        loop {
            let next = upload.next_block();
            let held = upload.buffered();
            assert!(held <= Upload::BOUND, "{held} bytes held of {start:02x?}");
            match next {
                Ok(Some(block)) => assert!(block.data.len() <= LONGEST_BLOCK),
                Ok(None) => break,
                Err(_) => return false,
            }
        }
    }
    true
}

#[test]
fn no_head_makes_it_hold_more_than_its_bound() {
    let riff = |rest: &[u8]| [b"RIFF\xff\xff\xff\x7fWAVE", rest].concat();
    let flv = |rest: &[u8]| [b"FLV\x01\x05\0\0\0\x09\0\0\0\0", rest].concat();
    let zeros = || vec![0; 100_000];
    let head_of_tag = |kind: u8, size: u32| {
        let size = size.to_be_bytes();
        vec![kind, size[1], size[2], size[3], 0, 0, 0, 0, 0, 0, 0]
    };
    let cases: Vec<(&str, Vec<u8>, Vec<u8>, bool)> = vec![
        ("bare samples", zeros(), zeros(), true),
        ("noise", vec![0x81; 12], vec![0x81; 77_777], true),
        ("a long fmt", riff(b"fmt \0\xff\xff\x7f"), zeros(), false),
        ("a long LIST", riff(b"LIST\0\xff\xff\x7f"), zeros(), false),
        ("empty chunks", riff(b""), zeros(), false),
        (
            "an endless WAV",
            wav(1, 2, 192_000, 16, u32::MAX),
            zeros(),
            true,
        ),
        (
            "sound and what is behind it",
            wav(1, 1, 8_000, 16, 64),
            zeros(),
            true,
        ),
        (
            "tags of pictures",
            flv(b""),
            tag(9, &vec![1; 4 << 20]),
            true,
        ),
        (
            "a large script",
            flv(&head_of_tag(18, 4 << 20)),
            vec![0x12; 99],
            true,
        ),
        (
            "a large picture",
            flv(&head_of_tag(9, 0xff_ffff)),
            zeros(),
            false,
        ),
        (
            "a large sound",
            flv(&head_of_tag(8, 0xff_ffff)),
            zeros(),
            false,
        ),
        (
            "tags of PCM",
            flv(b""),
            tag(8, &[vec![0x3e], vec![0; 65_000]].concat()),
            true,
        ),
        (
            "PCM that changes",
            flv(b""),
            [tag(8, &[0x32; 641]), tag(8, &[0x36; 641])].concat(),
            false,
        ),
        (
            "a large unit",
            flv(&tag(8, &[0xaf, 0, 0x14, 0x08])),
            tag(8, &[&[0xaf, 1][..], &[1; 9000]].concat()),
            false,
        ),
        (
            "a long header",
            b"FLV\x01\x05\xff\xff\xff\xff\0\0\0\0".to_vec(),
            zeros(),
            false,
        ),
        (
            "long frames of ADTS",
            adts(&[1; 8184]),
            adts(&[1; 8184]),
            true,
        ),
        (
            "one head of ADTS",
            adts(&[1; 8184])[..12].to_vec(),
            zeros(),
            false,
        ),
        (
            "a head of MP3",
            vec![0xff, 0xfb, 0x90, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            zeros(),
            true,
        ),
    ];
    for (what, start, filler, all) in cases {
        assert_eq!(flood(&start, &filler.into(), FLOOD), all, "{what}");
    }
}
