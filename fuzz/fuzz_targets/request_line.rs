//! A rewritten request line is one that a parser takes, and rewriting it again changes nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use peercam_proto::request_line::rewrite;

fuzz_target!(|line: &[u8]| {
    let once = rewrite(line).into_owned();
    assert_eq!(rewrite(&once), &once[..]);
    if once != line {
        let text = std::str::from_utf8(&once).expect("a rewritten line is ASCII");
        assert_eq!(text.split(' ').count(), 3, "{text}");
    }
});
