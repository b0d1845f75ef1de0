//! 8.3, 8.5: prediction, transform and quantization of macroblocks made of flat cells.
//!
//! A flat 4×4 block has a DC coefficient only, so a macroblock's luma is a 4×4 matrix of DC
//! values and each chroma plane a 2×2 one, Hadamard-transformed once more.

use super::{super::scene::Canvas, QP};

/// `LevelScale4x4(QP % 6, 0, 0)` with flat scaling: 16 × normAdjust.
const LEVEL_SCALE: i32 = 16 * [10, 11, 13, 14, 16, 18][(QP % 6) as usize];
/// Forward quantization factor that belongs to it.
const QUANT: i64 = [13107, 11916, 10082, 9362, 8192, 7282][(QP % 6) as usize];
const QUANT_BITS: i32 = 15 + QP / 6;

/// Zig-zag scan of a 4×4 block as (column, row), figure 8-8.
#[rustfmt::skip]
const ZIG_ZAG: [(usize, usize); 16] = [
    (0, 0), (1, 0), (0, 1), (0, 2), (1, 1), (2, 0), (3, 0), (2, 1),
    (1, 2), (0, 3), (1, 3), (2, 2), (3, 1), (3, 2), (2, 3), (3, 3),
];

type Block = [[i32; 4]; 4];

/// Coded luma of a macroblock.
pub(super) struct Luma {
    /// Quantized DC levels in zig-zag order.
    pub(super) levels: [i32; 16],
    decoded: [[u8; 4]; 4],
}

impl Luma {
    /// Codes macroblock (`column`, `row`) of `picture` with its neighbours in `reference`.
    pub(super) fn code(picture: &Canvas, reference: &Canvas, column: usize, row: usize) -> Self {
        let prediction = predict_luma(reference, column, row);
        let mut dc = Block::default();
        for (y, line) in dc.iter_mut().enumerate() {
            for (value, &cell) in line.iter_mut().zip(picture.luma_line(column, row * 4 + y)) {
                *value = 16 * (i32::from(cell) - prediction);
            }
        }
        let quantized = hadamard(&dc).map(|line| line.map(|value| quantize(value / 2)));
        // 8.5.10 for QP < 36, then 8.5.12 with a DC coefficient alone.
        const SHIFT: i32 = 6 - QP / 6;
        let decoded = hadamard(&quantized).map(|line| {
            line.map(|value| {
                pixel(
                    prediction,
                    (value * LEVEL_SCALE + (1 << (SHIFT - 1))) >> SHIFT,
                )
            })
        });
        Self {
            levels: ZIG_ZAG.map(|(x, y)| quantized[y][x]),
            decoded,
        }
    }

    /// Puts what a decoder shows into `reference`.
    pub(super) fn store(&self, reference: &mut Canvas, column: usize, row: usize) {
        for (y, line) in self.decoded.iter().enumerate() {
            reference
                .luma_line_mut(column, row * 4 + y)
                .copy_from_slice(line);
        }
    }
}

/// Intra_16x16_DC (8.3.3.3): the mean of the pixels above and to the left; each cell has four.
fn predict_luma(reference: &Canvas, column: usize, row: usize) -> i32 {
    let above = (row > 0).then(|| sum(reference.luma_line(column, row * 4 - 1)) * 4);
    let left = (column > 0).then(|| {
        (0..4)
            .map(|y| i32::from(reference.luma_line(column - 1, row * 4 + y)[3]))
            .sum::<i32>()
            * 4
    });
    match (above, left) {
        (Some(above), Some(left)) => (above + left + 16) >> 5,
        (Some(one), None) | (None, Some(one)) => (one + 8) >> 4,
        (None, None) => 128,
    }
}

/// One coded chroma plane of a macroblock.
pub(super) struct Chroma {
    /// Quantized DC levels in raster order.
    pub(super) levels: [i32; 4],
    decoded: [u8; 4],
}

impl Chroma {
    /// Codes plane `plane` (0 = Cb, 1 = Cr) of macroblock (`column`, `row`).
    pub(super) fn code(
        picture: &Canvas,
        reference: &Canvas,
        plane: usize,
        column: usize,
        row: usize,
    ) -> Self {
        let line = |y| picture.chroma_line(plane, column, row * 2 + y);
        let cells = [line(0)[0], line(0)[1], line(1)[0], line(1)[1]];
        let prediction = predict_chroma(reference, plane, column, row);
        let dc = std::array::from_fn(|index| 16 * (i32::from(cells[index]) - prediction[index]));
        let levels = hadamard_2x2(dc).map(quantize);
        // 8.5.11.2; QPc equals QP below 30.
        let scaled = hadamard_2x2(levels).map(|value| ((value * LEVEL_SCALE) << (QP / 6)) >> 5);
        let decoded = std::array::from_fn(|index| pixel(prediction[index], scaled[index]));
        Self { levels, decoded }
    }

    /// Returns whether there is anything to send.
    pub(super) fn is_coded(&self) -> bool {
        self.levels.iter().any(|&level| level != 0)
    }

    /// Puts what a decoder shows into `reference`.
    pub(super) fn store(&self, reference: &mut Canvas, plane: usize, column: usize, row: usize) {
        for (y, line) in self.decoded.chunks(2).enumerate() {
            reference
                .chroma_line_mut(plane, column, row * 2 + y)
                .copy_from_slice(line);
        }
    }
}

/// Intra chroma DC (8.3.4.1-3): each quarter has its own rule.
fn predict_chroma(reference: &Canvas, plane: usize, column: usize, row: usize) -> [i32; 4] {
    let above = |x: usize| {
        (row > 0).then(|| i32::from(reference.chroma_line(plane, column, row * 2 - 1)[x]))
    };
    let left = |y: usize| {
        (column > 0).then(|| i32::from(reference.chroma_line(plane, column - 1, row * 2 + y)[1]))
    };
    let mean = |a: Option<i32>, b: Option<i32>| match (a, b) {
        (Some(a), Some(b)) => (4 * a + 4 * b + 4) >> 3,
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => 128,
    };
    [
        mean(above(0), left(0)),
        above(1).or(left(0)).unwrap_or(128),
        left(1).or(above(0)).unwrap_or(128),
        mean(above(1), left(1)),
    ]
}

fn quantize(value: i32) -> i32 {
    let level = (i64::from(value.abs()) * QUANT + (1 << QUANT_BITS)) >> (QUANT_BITS + 1);
    level as i32 * value.signum()
}

/// Prediction plus a block with nothing but this DC coefficient, 8.5.12.2 and 8.5.14.
fn pixel(prediction: i32, dc: i32) -> u8 {
    (prediction + ((dc + 32) >> 6)).clamp(0, 255) as u8
}

fn hadamard(block: &Block) -> Block {
    transpose(&transpose(&block.map(hadamard_line)).map(hadamard_line))
}

fn hadamard_line([a, b, c, d]: [i32; 4]) -> [i32; 4] {
    [a + b + c + d, a + b - c - d, a - b - c + d, a - b + c - d]
}

fn hadamard_2x2([a, b, c, d]: [i32; 4]) -> [i32; 4] {
    [a + b + c + d, a - b + c - d, a + b - c - d, a - b - c + d]
}

fn transpose(block: &Block) -> Block {
    std::array::from_fn(|y| std::array::from_fn(|x| block[x][y]))
}

fn sum(cells: &[u8]) -> i32 {
    cells.iter().map(|&cell| i32::from(cell)).sum()
}
