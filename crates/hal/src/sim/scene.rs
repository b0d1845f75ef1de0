//! The scene before the simulated camera: drawn on a grid of flat cells, 4×4 pixels each.

/// A picture of flat cells, in whole macroblocks (4×4 luma cells, 2×2 cells of each chroma).
#[derive(Clone)]
pub(super) struct Canvas {
    /// Luma cells per line.
    width: usize,
    luma: Vec<u8>,
    chroma: [Vec<u8>; 2],
}

/// Video levels.
const BLACK: u8 = 16;
const WHITE: u8 = 235;
const NO_COLOUR: u8 = 128;

impl Canvas {
    /// A black picture of at least `width` × `height` pixels.
    pub(super) fn new(width: usize, height: usize) -> Self {
        let (columns, rows) = (width.div_ceil(16), height.div_ceil(16));
        let chroma = vec![NO_COLOUR; columns * rows * 4];
        Self {
            width: columns * 4,
            luma: vec![BLACK; columns * rows * 16],
            chroma: [chroma.clone(), chroma],
        }
    }

    /// The four cells of macroblock column `column` in cell line `y`.
    pub(super) fn luma_line(&self, column: usize, y: usize) -> &[u8] {
        let start = y * self.width + column * 4;
        &self.luma[start..start + 4]
    }

    /// Like [`Canvas::luma_line`].
    pub(super) fn luma_line_mut(&mut self, column: usize, y: usize) -> &mut [u8] {
        let start = y * self.width + column * 4;
        &mut self.luma[start..start + 4]
    }

    /// The two cells of macroblock column `column` in chroma line `y`; plane 0 is Cb, 1 is Cr.
    pub(super) fn chroma_line(&self, plane: usize, column: usize, y: usize) -> &[u8] {
        let start = y * self.width / 2 + column * 2;
        &self.chroma[plane][start..start + 2]
    }

    /// Like [`Canvas::chroma_line`].
    pub(super) fn chroma_line_mut(&mut self, plane: usize, column: usize, y: usize) -> &mut [u8] {
        let start = y * self.width / 2 + column * 2;
        &mut self.chroma[plane][start..start + 2]
    }

    /// Luma, Cb and Cr at a pixel, in video levels.
    pub(super) fn pixel(&self, x: usize, y: usize) -> (u8, u8, u8) {
        let chroma = y / 8 * (self.width / 2) + x / 8;
        (
            self.luma[y / 4 * self.width + x / 4],
            self.chroma[0][chroma],
            self.chroma[1][chroma],
        )
    }

    /// Turns the picture by 180°.
    fn turn(&mut self) {
        self.luma.reverse();
        for plane in &mut self.chroma {
            plane.reverse();
        }
    }

    fn lines(&self) -> usize {
        self.luma.len() / self.width
    }

    fn fill_rectangle(&mut self, x: std::ops::Range<usize>, y: std::ops::Range<usize>, luma: u8) {
        for line in y {
            let start = line * self.width;
            self.luma[start + x.start..start + x.end].fill(luma);
        }
    }

    fn bleach_rectangle(&mut self, x: std::ops::Range<usize>, y: std::ops::Range<usize>) {
        let width = self.width / 2;
        for plane in &mut self.chroma {
            for line in y.start / 2..y.end.div_ceil(2) {
                plane[line * width + x.start / 2..line * width + x.end.div_ceil(2)].fill(NO_COLOUR);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn fill(&mut self, luma: impl Fn(usize, usize) -> u8) {
        for (index, cell) in self.luma.iter_mut().enumerate() {
            *cell = luma(index % self.width, index / self.width);
        }
    }

    #[cfg(test)]
    pub(super) fn greatest_difference(&self, other: &Self) -> u8 {
        self.luma
            .iter()
            .zip(&other.luma)
            .map(|(&a, &b)| a.abs_diff(b))
            .max()
            .unwrap_or(0)
    }
}

/// Contents of one picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    /// Number of the picture; goes up by one every 40 ms, seen or not.
    pub(super) frame: u64,
    /// Wall clock at capture, ms since 1970-01-01 UTC.
    pub(super) wall_millis: i64,
    /// Direction of the camera, in cells.
    pub(super) pan: (i32, i32),
    /// Way that the checkered band has moved, in cells.
    pub(super) band: u64,
    /// Set if the picture is turned by 180°.
    pub(super) flipped: bool,
}

/// Colour bars as (luma, Cb, Cr): white, yellow, cyan, green, magenta, red, blue, black.
#[rustfmt::skip]
const BARS: [(u8, u8, u8); 8] = [
    (180, 128, 128), (162, 44, 142), (131, 156, 44), (112, 72, 58),
    (84, 184, 198), (65, 100, 212), (35, 212, 114), (16, 128, 128),
];

/// Draws a picture: time code on top, clock, colour bars, a ramp, a walking box, a moving band.
pub(super) fn draw(canvas: &mut Canvas, view: &View) {
    draw_background(canvas, view);
    draw_box(canvas, view.frame);
    if view.flipped {
        canvas.turn();
    }
    draw_clock(canvas, view.wall_millis);
    draw_time_code(canvas, view);
}

fn draw_background(canvas: &mut Canvas, view: &View) {
    let (width, height) = (canvas.width, canvas.lines());
    let shift = |at: usize, by: i32, size: usize| {
        (at as i64 + i64::from(by)).rem_euclid(size as i64) as usize
    };
    let bar_at = |x: usize| BARS[shift(x, view.pan.0, width) * BARS.len() / width];
    for y in 0..height {
        let seen_y = shift(y, -view.pan.1, height);
        let line = &mut canvas.luma[y * width..(y + 1) * width];
        for (x, cell) in line.iter_mut().enumerate() {
            *cell = if seen_y < height * 5 / 8 {
                bar_at(x).0
            } else if seen_y < height * 3 / 4 {
                BLACK + (shift(x, view.pan.0, width) * usize::from(WHITE - BLACK) / width) as u8
            } else if (shift(x, view.pan.0, width) + view.band as usize / 2) / 4 % 2
                == seen_y / 4 % 2
            {
                60
            } else {
                180
            };
        }
    }
    for y in 0..height / 2 {
        let coloured = shift(y * 2, -view.pan.1, height) < height * 5 / 8;
        for x in 0..width / 2 {
            let (_, cb, cr) = if coloured {
                bar_at(x * 2)
            } else {
                (0, NO_COLOUR, NO_COLOUR)
            };
            canvas.chroma[0][y * width / 2 + x] = cb;
            canvas.chroma[1][y * width / 2 + x] = cr;
        }
    }
}

fn draw_box(canvas: &mut Canvas, frame: u64) {
    let size = canvas.lines() / 8;
    let x = frame as usize % (canvas.width - size);
    let y = canvas.lines() / 2 - size / 2;
    canvas.fill_rectangle(x..x + size, y..y + size, WHITE);
}

/// Digits, then colon, point and Z: 5×7 dots, one byte a line, the leftmost dot in bit 4.
#[rustfmt::skip]
const GLYPHS: [[u8; 7]; 13] = [
    [14, 17, 19, 21, 25, 17, 14], [4, 12, 4, 4, 4, 4, 14], [14, 17, 1, 2, 4, 8, 31],
    [31, 2, 4, 2, 1, 17, 14], [2, 6, 10, 18, 31, 2, 2], [31, 16, 30, 1, 1, 17, 14],
    [6, 8, 16, 30, 17, 17, 14], [31, 1, 2, 4, 8, 8, 8], [14, 17, 17, 14, 17, 17, 14],
    [14, 17, 17, 15, 1, 2, 12], [0, 4, 4, 0, 4, 4, 0], [0, 0, 0, 0, 0, 4, 4],
    [31, 1, 2, 4, 8, 16, 31],
];
const COLON: usize = 10;
const POINT: usize = 11;
const ZULU: usize = 12;

/// The wall clock in UTC, to the hundredth of a second: `12:34:56.78Z`.
fn draw_clock(canvas: &mut Canvas, wall_millis: i64) {
    let scale = (canvas.lines() / 90).max(1);
    let hundredths = wall_millis.rem_euclid(86_400_000) as usize / 10;
    const HOUR: usize = 360_000;
    const MINUTE: usize = 6_000;
    const SECOND: usize = 100;
    let digit = |unit: usize, base: usize| hundredths / unit % base;
    let text = [
        digit(HOUR, 24) / 10,
        digit(HOUR, 24) % 10,
        COLON,
        digit(10 * MINUTE, 6),
        digit(MINUTE, 10),
        COLON,
        digit(10 * SECOND, 6),
        digit(SECOND, 10),
        POINT,
        digit(10, 10),
        digit(1, 10),
        ZULU,
    ];
    let text = text.map(|glyph| GLYPHS[glyph]);
    let top = TIME_CODE_CELLS + 2 * scale;
    let (width, height) = ((text.len() * 6 + 1) * scale, 9 * scale);
    canvas.fill_rectangle(scale..scale + width, top..top + height, BLACK);
    canvas.bleach_rectangle(scale..scale + width, top..top + height);
    for (index, glyph) in text.iter().enumerate() {
        for (row, dots) in glyph.iter().enumerate() {
            for column in (0..5).filter(|column| dots >> (4 - column) & 1 == 1) {
                let x = scale * (2 + index * 6 + column);
                let y = top + scale * (1 + row);
                canvas.fill_rectangle(x..x + scale, y..y + scale, WHITE);
            }
        }
    }
}

/// Height of the time code: two rows of macroblocks.
const TIME_CODE_CELLS: usize = 8;
/// Bits in one row of the time code, one macroblock (16×16 pixels) each.
const TIME_CODE_BITS: usize = 40;

/// Two rows of 40 black or white squares of 16×16 pixels in the top left corner, most significant
/// bit first: a 32-bit number and its CRC-8. The upper number is the frame's, the lower one the
/// wall clock at capture in milliseconds modulo 2^32.
fn draw_time_code(canvas: &mut Canvas, view: &View) {
    let width = canvas.width;
    canvas.fill_rectangle(0..width, 0..TIME_CODE_CELLS, BLACK);
    canvas.bleach_rectangle(0..width, 0..TIME_CODE_CELLS);
    for (row, number) in [view.frame as u32, view.wall_millis as u32]
        .into_iter()
        .enumerate()
    {
        let code = u64::from(number) << 8 | u64::from(crc8(number));
        for bit in (0..TIME_CODE_BITS).filter(|bit| code >> (TIME_CODE_BITS - 1 - bit) & 1 == 1) {
            canvas.fill_rectangle(bit * 4..bit * 4 + 4, row * 4..row * 4 + 4, WHITE);
        }
    }
}

/// CRC-8 with polynomial 0x07, over the big-endian bytes.
fn crc8(number: u32) -> u8 {
    number.to_be_bytes().into_iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ byte, |crc: u8, _| {
            crc << 1 ^ if crc & 0x80 == 0 { 0 } else { 0x07 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a row of the time code back from pixels, as a judge of the decoded picture would.
    fn read_row(canvas: &Canvas, row: usize) -> Option<u32> {
        let code = (0..TIME_CODE_BITS).fold(0_u64, |code, bit| {
            code << 1 | u64::from(canvas.pixel(bit * 16 + 8, row * 16 + 8).0 > 128)
        });
        let number = (code >> 8) as u32;
        (crc8(number) == code as u8).then_some(number)
    }

    #[test]
    fn the_time_code_can_be_read_back_in_every_size() {
        for (width, height) in [(640, 360), (1280, 720), (1920, 1080)] {
            let mut canvas = Canvas::new(width, height);
            let view = View {
                frame: 0x8765_4321,
                wall_millis: 1_795_000_123_456,
                pan: (9, -4),
                band: 3,
                flipped: true,
            };
            draw(&mut canvas, &view);
            assert_eq!(read_row(&canvas, 0), Some(0x8765_4321), "{width}");
            assert_eq!(
                read_row(&canvas, 1),
                Some(1_795_000_123_456_i64 as u32),
                "{width}"
            );
        }
    }

    #[test]
    fn the_clock_shows_the_time_of_day() {
        let mut canvas = Canvas::new(640, 360);
        const NOON_AND_A_BIT: i64 = ((23 * 60 + 45) * 60 + 6) * 1000 + 789;
        draw_clock(&mut canvas, 20_000 * 86_400_000 + NOON_AND_A_BIT);
        let shown: Vec<usize> = (0..12)
            .map(|index| {
                let rows: [u8; 7] = std::array::from_fn(|row| {
                    (0..5).fold(0, |dots, column| {
                        let (x, y) = (2 + index * 6 + column, TIME_CODE_CELLS + 2 + 1 + row);
                        dots << 1 | u8::from(canvas.pixel(x * 4, y * 4).0 == WHITE)
                    })
                });
                GLYPHS
                    .iter()
                    .position(|glyph| *glyph == rows)
                    .expect("a glyph")
            })
            .collect();
        assert_eq!(shown, [2, 3, COLON, 4, 5, COLON, 0, 6, POINT, 7, 8, ZULU]);
    }

    #[test]
    fn crc8_matches_the_published_check_value_of_its_polynomial() {
        // "123456789" has 0xF4; the first four bytes of it, computed with an independent tool: 0xC2.
        assert_eq!(crc8(u32::from_be_bytes(*b"1234")), 0xc2);
    }

    #[test]
    fn panning_moves_the_picture_but_not_the_time_code() {
        let picture = |pan| {
            let mut canvas = Canvas::new(640, 360);
            draw(
                &mut canvas,
                &View {
                    frame: 77,
                    pan,
                    ..View::default()
                },
            );
            canvas
        };
        let (still, right, up) = (picture((0, 0)), picture((10, 0)), picture((0, 20)));
        assert_eq!(read_row(&right, 0), Some(77));
        // A point of the bars, away from clock and box, moves 10 cells to the left.
        let y = 100;
        assert!((80..600).all(|x| right.pixel(x - 40, y) == still.pixel(x, y)));
        assert_ne!(up.pixel(300, 235), still.pixel(300, 235));
    }
}
