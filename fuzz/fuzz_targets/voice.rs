//! What talkers send: no body panics, and no block is without sound.
#![no_main]

use libfuzzer_sys::fuzz_target;
use peercam::proto::voice::Upload;

/// Takes what there is; `false` if it is damaged.
fn take(upload: &mut Upload) -> bool {
    loop {
        match upload.next_block() {
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
    let mut upload = Upload::new(16_000);
    for piece in body.chunks(usize::from(*size).max(1)) {
        upload.feed(piece);
        if !take(&mut upload) {
            return;
        }
    }
    if upload.finish().is_ok() {
        take(&mut upload);
    }
});
