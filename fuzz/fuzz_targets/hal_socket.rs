//! What firmware says: no message panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use peercam_proto::hal_socket::{FromFirmware, HEAD, Head};

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    while let Some((head, after)) = rest.split_first_chunk::<HEAD>() {
        let Ok(head) = Head::parse(head) else { return };
        let Some((body, after)) = after.split_at_checked(head.length) else {
            return;
        };
        // Whatever it is, it is read or refused.
        let _ = FromFirmware::parse(head, body.to_vec().into());
        rest = after;
    }
});
