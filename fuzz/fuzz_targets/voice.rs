//! What talkers send: no body panics, none makes it hold more than its bound, and no block is without
//! sound.
#![no_main]

use libfuzzer_sys::fuzz_target;
use peercam_proto::{
    query::Query,
    voice::{Declared, Upload},
};

/// Takes what there is; `false` if it is damaged.
fn take(upload: &mut Upload) -> bool {
    loop {
        let next = upload.next_block();
        assert!(upload.buffered() <= Upload::BOUND);
        match next {
            Ok(Some(block)) => assert!(!block.data.is_empty() && block.micros >= 0),
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((size, body)) = bytes.split_first() else {
        return;
    };
    let said = ["", "format=l16&channels=2", "format=mp3"][usize::from(*size) % 3];
    let said = Query::parse(said).and_then(|query| Declared::from_request(&query, None));
    let mut upload = Upload::new(16_000, said.unwrap_or_default());
    for piece in body.chunks(usize::from(*size).max(1)) {
        upload.feed(piece.to_vec().into());
        if !take(&mut upload) {
            return;
        }
    }
    if upload.finish().is_ok() {
        take(&mut upload);
    }
});
