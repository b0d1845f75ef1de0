//! Formats that are taken and refused, by their first bytes and by what the request declares.

use super::*;

#[test]
fn what_is_not_taken_is_refused_before_a_block() {
    let mp3: Vec<u8> = [&[0xff, 0xfb, 0x90, 0x64][..], &[0x55; 413]]
        .concat()
        .repeat(3);
    for (body, word) in [
        (b"ID3\x04\0\0\0\0\0\x12TIT2".to_vec(), "ID3"),
        (mp3.clone(), "MP3"),
        (mp3[..300].to_vec(), "MP3"),
        (b"OggS\0\x02\0\0\0\0\0\0\0\0".to_vec(), "Ogg"),
        (b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\xf7\x81".to_vec(), "WebM"),
        (b"\0\0\0\x1cftypM4A \0\0".to_vec(), "MP4"),
        (b"#!AMR\n<Z".to_vec(), "AMR"),
        (b"fLaC\0\0\0\x22\x10\0\x10\0".to_vec(), "FLAC"),
        (b"FORM\0\0\0\0AIFFCOMM".to_vec(), "AIFF"),
        (b"caff\0\x01\0\0desc".to_vec(), "CAF"),
        (b".snd\0\0\0\x18\0\0\0\0".to_vec(), "AU"),
        (b"RF64\xff\xff\xff\xffWAVE".to_vec(), "RF64"),
        (b"RIFF\0\0\0\0AVI LIST".to_vec(), "RIFF"),
        (b"------WebKitFormBoundaryA\r\n".to_vec(), "text"),
        (b"\xef\xbb\xbf\n {\"audio\":\"...".to_vec(), "text"),
        (b"{}".to_vec(), "text"),
        ("[\"ééééééé\"]".as_bytes().to_vec(), "text"),
        (b"<!DOCTYPE html>".to_vec(), "text"),
    ] {
        for piece in [1, 5, 10_000] {
            let error = blocks(&body, piece).expect_err(word);
            assert_eq!(error.kind(), ErrorKind::UnsupportedMedia, "{error}");
            assert!(error.reason().contains(word), "{error}");
            assert!(error.reason().contains("WAV (PCM of 16 bit"), "{error}");
        }
        // Plain signatures count for more than what is said; others are samples then.
        let said = declared("format=s16le", None).expect("PCM");
        assert_eq!(blocks_of(said, &body, 100).is_ok(), word == "MP3", "{word}");
    }
}

fn declared(query: &str, content_type: Option<&str>) -> Result<Declared, Error> {
    let query = crate::query::Query::parse(query).expect("a query");
    Declared::from_request(&query, content_type)
}

#[test]
fn a_request_may_say_what_its_body_is() {
    let samples = vec![1; 640];
    let as_wav = [wav(1, 1, 32_000, 16, 640), samples.clone()].concat();
    for (query, content_type, rate, channels) in [
        ("", None, 16_000, 1),
        ("", Some("application/octet-stream"), 16_000, 1),
        ("", Some("application/x-www-form-urlencoded"), 16_000, 1),
        ("", Some("audio/L16"), 16_000, 1),
        ("", Some("Audio/l16; rate=44100;channels=2"), 44_100, 2),
        ("", Some("audio/x-pcm;rate=8000"), 8_000, 1),
        (
            "format=s16le&rate=48000&channels=2",
            Some("audio/mpeg"),
            48_000,
            2,
        ),
        ("format=S16LE", None, 16_000, 1),
        ("sample_rate=8000", None, 8_000, 1),
        ("rate=8000&channels=2", None, 8_000, 2),
        ("format=s16be&sample_rate=11025", None, 11_025, 1),
        ("sample_rate=8000", Some("audio/L16;channels=1"), 8_000, 1),
        // Who made the body knows best.
        (
            "sample_rate=8000&channels=1",
            Some("audio/L16;rate=24000;channels=2"),
            24_000,
            2,
        ),
        ("format=pcm", Some("audio/L16;rate=24000"), 16_000, 1),
    ] {
        let said = declared(query, content_type).expect("something");
        let found = blocks_of(said.clone(), &samples, 100).expect("PCM");
        let format = &found[0].format;
        assert_eq!((format.sample_rate, format.channels), (rate, channels));
        let found = blocks_of(said, &as_wav, 100).expect("a WAV");
        assert_eq!(
            found[0].format.sample_rate, 32_000,
            "its head counts for more"
        );
    }
    for (query, content_type) in [
        ("", Some("audio/mpeg")),
        ("", Some("audio/webm;codecs=opus")),
        ("", Some("multipart/form-data; boundary=x")),
        ("", Some("application/json")),
        ("", Some("audio/wav")),
        ("", Some("video/x-unheard-of")),
        ("format=mp3", None),
        ("format=opus", Some("audio/L16")),
    ] {
        let said = declared(query, content_type).expect("something");
        let error = blocks_of(said.clone(), &samples, 100).expect_err("not bare PCM");
        assert_eq!(error.kind(), ErrorKind::UnsupportedMedia, "{error}");
        assert!(blocks_of(said.clone(), &as_wav, 100).is_ok(), "it is a WAV");
        assert_eq!(blocks_of(said, &[], 1), Ok(vec![]), "nothing is no noise");
    }
    for (query, content_type) in [
        ("sample_rate=8001", None),
        ("sample_rate=", None),
        ("rate=192000", None),
        ("format=s16le&rate=1", None),
        ("", Some("audio/L16;rate=loud")),
        ("sample_rate=8000", Some("audio/pcm;rate=12345")),
    ] {
        let error = declared(query, content_type).expect_err("not possible");
        assert_eq!(error.kind(), ErrorKind::BadRequest);
        for rate in SAMPLE_RATES {
            let rate = rate.to_string();
            assert!(error.reason().contains(&rate), "{rate}: {error}");
        }
    }
    for query in ["channels=0", "channels=6", "format=s16le&channels=x"] {
        let error = declared(query, None).expect_err("not possible");
        assert_eq!(error.kind(), ErrorKind::BadRequest);
    }
}

#[test]
fn a_rate_that_is_said_is_no_format() {
    let said = declared("sample_rate=8000&channels=2", None).expect("a rate");
    let found = blocks_of(said.clone(), &adts(&[1; 100]), 50).expect("ADTS");
    assert_eq!(found[0].format.sample_rate, 16_000, "its head says so");
    // FLV has no word for 8 kHz: its lowest one says nothing.
    let header = b"FLV\x01\x04\0\0\0\x09\0\0\0\0".to_vec();
    let body = [header, tag(8, &[vec![0x32], vec![0; 640]].concat())].concat();
    let found = blocks_of(said, &body, 50).expect("FLV");
    assert_eq!(
        (found[0].format.sample_rate, found[0].format.channels),
        (8_000, 1)
    );
}

#[test]
fn l16_is_played_in_the_order_in_which_it_is_smooth() {
    let ramp: Vec<i16> = (0..2_000_i32)
        .map(|n| ((n * 37 % 900 - 450) * 20) as i16)
        .collect();
    let little: Vec<u8> = ramp
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect();
    let big: Vec<u8> = ramp
        .iter()
        .flat_map(|sample| sample.to_be_bytes())
        .collect();
    let silence = vec![0; 1_280];
    for (content_type, body) in [
        ("audio/L16", &little),
        ("audio/L16", &big),
        ("audio/L16;endianness=big-endian", &big),
        ("audio/L16;endianness=little-endian", &little),
        ("audio/pcm", &little),
    ] {
        let said = declared("", Some(content_type)).expect("PCM");
        let body = [&silence, body].map(|part| &part[..]).concat();
        let found = blocks_of(said, &body, 999).expect("PCM");
        assert_eq!(sound(&found)[silence.len()..], little, "{content_type}");
    }
}
