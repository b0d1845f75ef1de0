//! 9.2: residual blocks in CAVLC. Only DC blocks occur, so `nC` is 0 for luma and -1 for chroma.

use super::{
    bits::BitWriter,
    tables::{CHROMA_COEFF_TOKEN, CHROMA_TOTAL_ZEROS, COEFF_TOKEN, Code, RUN_BEFORE, TOTAL_ZEROS},
};

/// Intra16x16DCLevel: 16 levels in zig-zag order.
pub(super) fn luma_dc(bits: &mut BitWriter, levels: &[i32; 16]) {
    residual_block(bits, levels, &COEFF_TOKEN, &TOTAL_ZEROS);
}

/// ChromaDCLevel: 4 levels in raster order.
pub(super) fn chroma_dc(bits: &mut BitWriter, levels: &[i32; 4]) {
    residual_block(bits, levels, &CHROMA_COEFF_TOKEN, &CHROMA_TOTAL_ZEROS);
}

fn residual_block(
    bits: &mut BitWriter,
    levels: &[i32],
    coeff_token: &[[Code; 4]],
    total_zeros: &[&[Code]],
) {
    let mut positions = [0; 16];
    let mut total = 0;
    for (position, _) in levels.iter().enumerate().filter(|(_, level)| **level != 0) {
        positions[total] = position;
        total += 1;
    }
    let positions = &positions[..total];
    let trailing_ones = positions
        .iter()
        .rev()
        .take(3)
        .take_while(|&&position| levels[position].abs() == 1)
        .count();
    put(bits, coeff_token[total][trailing_ones]);
    let Some(&last) = positions.last() else {
        return;
    };

    for &position in positions.iter().rev().take(trailing_ones) {
        bits.put(u32::from(levels[position] < 0), 1);
    }
    let rest = positions
        .iter()
        .rev()
        .skip(trailing_ones)
        .map(|&position| levels[position]);
    put_levels(bits, rest, total, trailing_ones);

    let mut zeros_left = last + 1 - total;
    if total < levels.len() {
        put(bits, total_zeros[total - 1][zeros_left]);
    }
    for pair in positions.windows(2).rev() {
        if zeros_left == 0 {
            break;
        }
        let run = pair[1] - pair[0] - 1;
        put(bits, RUN_BEFORE[zeros_left.min(7) - 1][run]);
        zeros_left -= run;
    }
}

/// 9.2.2.1, the other way round.
fn put_levels(
    bits: &mut BitWriter,
    levels: impl Iterator<Item = i32>,
    total: usize,
    trailing_ones: usize,
) {
    const ESCAPE_BITS: u32 = 12;
    let mut suffix_length = u32::from(total > 10 && trailing_ones < 3);
    for (index, level) in levels.enumerate() {
        let mut code = level.unsigned_abs() * 2 - if level > 0 { 2 } else { 1 };
        if index == 0 && trailing_ones < 3 {
            code -= 2;
        }
        if suffix_length == 0 && code < 14 {
            bits.put(1, code + 1);
        } else if suffix_length == 0 && code < 30 {
            bits.put(1, 15);
            bits.put(code - 14, 4);
        } else if suffix_length > 0 && code < 15 << suffix_length {
            bits.put(1, (code >> suffix_length) + 1);
            bits.put(code & ((1 << suffix_length) - 1), suffix_length);
        } else {
            let escaped = code
                - if suffix_length == 0 {
                    30
                } else {
                    15 << suffix_length
                };
            assert!(
                escaped < 1 << ESCAPE_BITS,
                "flat 8-bit cells have small levels at this QP"
            );
            bits.put(1, 16);
            bits.put(escaped, ESCAPE_BITS);
        }
        suffix_length = suffix_length.max(1);
        if level.unsigned_abs() > 3 << (suffix_length - 1) && suffix_length < 6 {
            suffix_length += 1;
        }
    }
}

fn put(bits: &mut BitWriter, (code, length): Code) {
    bits.put(u32::from(code), u32::from(length));
}
