use super::NalError;

/// Delimitation of the NAL units in an access unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Start codes (ITU-T H.264 and H.265, Annex B).
    AnnexB,
    /// A length before each, 4 bytes big-endian (ISO/IEC 14496-15).
    Lengths,
}

/// Iterates over the NAL units of an access unit. An error is the last item; no unit at all is an
/// error.
pub fn units(framing: Framing, data: &[u8]) -> impl Iterator<Item = Result<&[u8], NalError>> {
    let mut rest = match framing {
        Framing::Lengths => data,
        // What is before the first start code belongs to nothing.
        Framing::AnnexB => start_code(data).map_or(&[][..], |(_, after)| &data[after..]),
    };
    let mut is_first = true;
    std::iter::from_fn(move || {
        if std::mem::take(&mut is_first) && rest.is_empty() {
            return Some(Err(NalError::Damaged));
        }
        if rest.is_empty() {
            return None;
        }
        let (unit, after) = match framing {
            Framing::AnnexB => match start_code(rest) {
                Some((end, after)) => (&rest[..end], &rest[after..]),
                None => (rest, &[][..]),
            },
            Framing::Lengths => match length_prefixed(rest) {
                Some(split) => split,
                None => {
                    rest = &[];
                    return Some(Err(NalError::Damaged));
                }
            },
        };
        rest = after;
        Some(Ok(match framing {
            Framing::AnnexB => without_trailing_zeros(unit),
            Framing::Lengths => unit,
        }))
    })
}

fn length_prefixed(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = data.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

/// Offsets of the start and the end of the next `00 00 01`.
fn start_code(data: &[u8]) -> Option<(usize, usize)> {
    // `at` is where a code could end. A byte above 1, or a 1 without zeros before it, belongs to no
    // code, so that the next one ends three bytes later at the earliest. Most bytes are never looked at.
    let mut at = 2;
    while let Some(&byte) = data.get(at) {
        match byte {
            0 => at += 1,
            1 if data[at - 2..at] == [0, 0] => return Some((at - 2, at + 1)),
            _ => at += 3,
        }
    }
    None
}

/// Removes `trailing_zero_8bits` and the first zero of a 4-byte start code (Annex B). A NAL unit itself
/// never ends with a zero (H.264, 7.4.1).
fn without_trailing_zeros(unit: &[u8]) -> &[u8] {
    let end = unit.iter().rposition(|&byte| byte != 0);
    &unit[..end.map_or(0, |last| last + 1)]
}
