//! The sound of talkers, decoded: a panic in the decoder would end the daemon.
#![no_main]

use libfuzzer_sys::fuzz_target;
use syom::{DecodeOptions, Decoder};

fuzz_target!(|bytes: &[u8]| {
    let Some((size, data)) = bytes.split_first() else {
        return;
    };
    for config in [&[0x14, 0x08][..], &[0x12, 0x10]] {
        let mut options = DecodeOptions::audio();
        options.max_duration_secs = f64::from(u32::MAX);
        let Ok(mut decoder) = Decoder::from_asc(config, options) else {
            return;
        };
        for unit in data.chunks(usize::from(*size).max(1) * 4) {
            let _ = decoder.decode_au(unit, |frame| {
                assert!(frame.planar.iter().all(|plane| plane.len() >= frame.samples));
                Ok(())
            });
        }
    }
});
