//! Sealed bodies: bytes that were not sealed never give a record, and those that were give the same
//! plaintext however they are cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use peercam_proto::{
    credential::Secret,
    sealed::{Keys, Opener, Record, Sealer},
};

fn keys() -> Keys {
    Keys::derive(&Secret::new([1; 32]), &[2; 32], &[3; 32])
}

fuzz_target!(|input: (usize, bool, &[u8])| {
    let (step, is_sealed, bytes) = input;
    let sealed = match is_sealed {
        true => {
            let mut sealer = Sealer::new(keys().request);
            let mut rest = bytes;
            let first = sealer.data(&mut rest, step % 100_000);
            [first, sealer.last(&mut rest)].concat()
        }
        false => bytes.to_vec(),
    };
    let (mut opener, mut plain) = (Opener::request(keys().request), Vec::new());
    for piece in sealed.chunks(step % 5000 + 1) {
        opener.feed(piece);
        while let Ok(Some(record)) = opener.next_record() {
            assert!(is_sealed, "a record out of nothing");
            if let Record::Data(data) | Record::Last(data) = record {
                plain.extend_from_slice(&data);
            }
        }
    }
    assert_eq!(opener.finish().is_ok(), is_sealed);
    assert!(!is_sealed || plain == bytes);
});
