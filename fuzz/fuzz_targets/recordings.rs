//! What lies on a card: no name and no bytes of a file panic, and no sample reaches out of its
//! fragment.
#![no_main]

use libfuzzer_sys::fuzz_target;
use peercam::{device::parse_file_name, record::name::{FileName, parse_channel_directory, parse_day_directory}};
use peercam_proto::fmp4::{BOX_HEAD, BoxHead, Fragment, Head};

fn walk(bytes: &[u8]) {
    let Ok(head) = Head::parse(bytes) else { return };
    let mut rest = bytes.get(head.size..).expect("the head is within the file");
    while let Some(first) = rest.first_chunk::<BOX_HEAD>() {
        let Ok(index) = BoxHead::parse(*first) else {
            return;
        };
        let size = usize::try_from(index.size).unwrap_or(usize::MAX);
        let Some((index, data)) = rest.split_at_checked(size) else {
            return;
        };
        if let Ok(fragment) = Fragment::parse(index, &head.tracks, rest.len()) {
            for sample in fragment.samples {
                assert!(sample.offset + sample.size <= rest.len());
            }
        }
        rest = data;
    }
}

fuzz_target!(|bytes: &[u8]| {
    walk(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Some(name) = FileName::parse(text) {
        assert_eq!(name.to_string(), text);
    }
    let _ = (parse_file_name(text), parse_day_directory(text), parse_channel_directory(text));
});
