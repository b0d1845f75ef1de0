//! FLV in any pieces: no input panics, and the pieces do not change what is read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use peercam_proto::flv::{Reader, Tag};

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Tag> {
    let mut reader = Reader::new();
    let mut tags = Vec::new();
    for piece in pieces {
        reader.feed(piece);
        loop {
            match reader.next_tag() {
                Ok(Some(tag)) => tags.push(tag),
                Ok(None) => break,
                Err(_) => return tags,
            }
        }
    }
    tags
}

fuzz_target!(|input: (u8, &[u8])| {
    let (size, data) = input;
    let whole = read(std::iter::once(data));
    assert_eq!(read(data.chunks(usize::from(size).max(1))), whole);
});
