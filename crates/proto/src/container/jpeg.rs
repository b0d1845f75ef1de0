//! Recognition of a JPEG (ITU-T T.81) by its markers: a camera may call anything a JPEG, and browsers
//! guess a type from the bytes.

/// The bytes are no whole JPEG.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotJpeg {
    /// No SOI marker with another marker behind it at the start.
    #[error("it does not begin as a JPEG does")]
    Other,
    /// End of the bytes before the EOI marker.
    #[error("it is cut off")]
    CutOff,
    /// No frame or scan before the EOI, or other bytes where a marker has to be.
    #[error("it is a damaged JPEG")]
    Damaged,
}

const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;

/// Returns the length of the JPEG at the start of these bytes, from its SOI to its EOI. Bytes behind
/// that do not belong to it.
///
/// # Errors
/// [`NotJpeg`] if there is no whole JPEG.
pub fn length(bytes: &[u8]) -> Result<usize, NotJpeg> {
    if !bytes.starts_with(&[0xff, SOI, 0xff]) {
        return Err(NotJpeg::Other);
    }
    let (mut at, mut has_frame, mut has_scan) = (2, false, false);
    // Segments are skipped by their length: an Exif thumbnail in APP1 has an EOI of its own. A
    // progressive JPEG has several scans.
    loop {
        let code;
        (code, at) = marker(bytes, at)?;
        match code {
            EOI if has_scan => return Ok(at),
            // TEM and RST have no body.
            0x01 | 0xd0..=0xd7 => {}
            0x00 | SOI | EOI => return Err(NotJpeg::Damaged),
            SOS if !has_frame => return Err(NotJpeg::Damaged),
            _ => {
                at = behind_segment(bytes, at)?;
                // SOF0 to SOF15, among which DHT, JPG and DAC have their codes.
                has_frame |= matches!(code, 0xc0..=0xcf if !matches!(code, 0xc4 | 0xc8 | 0xcc));
                if code == SOS {
                    has_scan = true;
                    at = behind_scan(bytes, at)?;
                }
            }
        }
    }
}

/// The code of the marker at `at`, and the offset behind it. Any number of 0xff fill bytes may precede
/// the code (T.81, B.1.1.2).
fn marker(bytes: &[u8], at: usize) -> Result<(u8, usize), NotJpeg> {
    let rest = bytes.get(at..).unwrap_or_default();
    let fill = rest.iter().take_while(|byte| **byte == 0xff).count();
    match rest.get(fill) {
        None => Err(NotJpeg::CutOff),
        Some(_) if fill == 0 => Err(NotJpeg::Damaged),
        Some(code) => Ok((*code, at + fill + 1)),
    }
}

/// The offset behind a marker segment. Its length counts its own two bytes (T.81, B.1.1.4).
fn behind_segment(bytes: &[u8], at: usize) -> Result<usize, NotJpeg> {
    let rest = bytes.get(at..).unwrap_or_default();
    let (length, _) = rest.split_first_chunk().ok_or(NotJpeg::CutOff)?;
    match usize::from(u16::from_be_bytes(*length)) {
        0 | 1 => Err(NotJpeg::Damaged),
        length => Ok(at + length),
    }
}

/// The offset of the first marker that does not belong to the entropy-coded data.
fn behind_scan(bytes: &[u8], at: usize) -> Result<usize, NotJpeg> {
    let rest = bytes.get(at..).unwrap_or_default();
    // 0xff 0x00 is a coded 0xff, and RST markers divide the data (B.1.1.5).
    let is_end = |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0x00 | 0xd0..=0xd7);
    let end = rest.windows(2).position(is_end);
    end.map(|end| at + end).ok_or(NotJpeg::CutOff)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A picture of one grey block, with a thumbnail's EOI in a segment, an RST and a stuffed 0xff.
    const SMALL: &[u8] = &[
        0xff, 0xd8, 0xff, 0xe1, 0, 6, 0xff, 0xd8, 0xff, 0xd9, 0xff, 0xff, 0xc0, 0, 11, 8, 0, 8, 0,
        8, 1, 1, 0x11, 0, 0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0, 0x12, 0xff, 0x00, 0xff, 0xd0, 0x34,
        0xff, 0xd9,
    ];

    #[test]
    fn it_ends_where_it_ends() {
        assert_eq!(length(SMALL), Ok(SMALL.len()));
        let followed = [SMALL, b"<script>\xff\xd9"].concat();
        assert_eq!(length(&followed), Ok(SMALL.len()));
    }

    #[test]
    fn what_is_none_is_told_from_what_is_cut_off() {
        for other in [
            &b""[..],
            b"GIF89a",
            b"\xff\xd8",
            b"\xff\xd8<html>",
            b"<html>\xff\xd8\xff\xd9",
        ] {
            assert_eq!(length(other), Err(NotJpeg::Other), "{other:?}");
        }
        for end in 3..SMALL.len() {
            let cut = &SMALL[..end];
            assert_eq!(length(cut), Err(NotJpeg::CutOff), "{end}");
        }
        for damaged in [
            // Nothing in it; a scan of nothing; a segment without a length; no marker.
            &b"\xff\xd8\xff\xd9"[..],
            b"\xff\xd8\xff\xda\0\x02\xff\xd9",
            b"\xff\xd8\xff\xe0\0\0\xff\xd9",
            b"\xff\xd8\xff\xe0\0\x02text",
        ] {
            assert_eq!(length(damaged), Err(NotJpeg::Damaged), "{damaged:?}");
        }
    }

    proptest! {
        #[test]
        fn it_is_never_longer_than_what_there_is(bytes in prop::collection::vec(prop_oneof![Just(0xff_u8), Just(0xd8), Just(0xda), any::<u8>()], 0..80)) {
            let bytes = [&[0xff, 0xd8, 0xff, 0xc0][..], &bytes].concat();
            if let Ok(length) = length(&bytes) {
                prop_assert!(length <= bytes.len() && bytes[..length].ends_with(&[0xff, 0xd9]));
            }
        }
    }
}
