//! Pictures of encoders: no bytes panic, and what comes out is well-formed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use peercam_proto::{media::VideoCodec, nal::{FirstSlice, Framing, Pictures, units}};

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, data)) = bytes.split_first() else {
        return;
    };
    let codec = [VideoCodec::H264, VideoCodec::H265][usize::from(choice & 1)];
    let framing = [Framing::AnnexB, Framing::Lengths][usize::from(choice >> 1 & 1)];
    let mut pictures = Pictures::new(codec, 25.0);
    for _ in 0..2 {
        if let Ok(Some(picture)) = pictures.read(framing, data) {
            assert!(units(Framing::Lengths, &picture.data).all(|unit| unit.is_ok_and(|unit| !unit.is_empty())));
            let slice = FirstSlice::parse(codec, &picture.data).expect("a picture has slices");
            assert!(picture.key || !slice.key);
            if let Some(track) = picture.new_track {
                assert!(picture.key && track.width > 0 && track.config.len() > 6);
            }
        }
    }
});
