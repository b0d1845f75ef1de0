//! QR codes of pairing URIs: drawn on a terminal, or as a picture in a file.

use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    str::FromStr,
};

use qrcode::{
    Color, EcLevel, QrCode,
    render::{Renderer, svg, unicode::Dense1x2},
};

use rustix::termios::{Winsize, tcgetwinsize};

use super::{CliError, new_file, png};

/// Light modules around a code in a file, as ISO/IEC 18004 has it.
const MARGIN: u32 = 4;
/// Light modules around a code on a terminal, where they cost lines: readers need no more. One is
/// enough for them, and for who has no more columns.
const TERMINAL_MARGINS: [u32; 2] = [2, 1];

/// New file for a QR code; its name says the format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct QrFile {
    path: PathBuf,
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Png,
    Svg,
}

impl FromStr for QrFile {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let path = PathBuf::from(text);
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        let format = match extension.to_str() {
            Some("png") => Format::Png,
            Some("svg") => Format::Svg,
            _ => return Err("the name of the file ends in .png or .svg"),
        };
        Ok(Self { path, format })
    }
}

impl QrFile {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the file, which only its owner can read. Nothing that is there is overwritten.
    pub(super) fn write(&self, text: &str) -> Result<(), CliError> {
        let code = code(text)?;
        let picture = match self.format {
            Format::Png => as_png(&code),
            Format::Svg => as_svg(&code),
        };
        let kept = new_file::keep(&self.path, &picture);
        kept.map_err(CliError::io(self.path.display().to_string()))
    }
}

/// The smallest code of a text.
fn code(text: &str) -> Result<QrCode, CliError> {
    QrCode::with_error_correction_level(text, EcLevel::L)
        .map_err(|error| CliError::Usage(format!("there is no QR code of the URI: {error}")))
}

fn as_png(code: &QrCode) -> Vec<u8> {
    let modules = u32::try_from(code.width()).expect("a QR code is small");
    let is_dark = |x: u32, y: u32| {
        let inside = |at: u32| at.checked_sub(MARGIN).filter(|at| *at < modules);
        let (Some(x), Some(y)) = (inside(x), inside(y)) else {
            return false;
        };
        code[(x as usize, y as usize)] == Color::Dark
    };
    png::encode(modules + 2 * MARGIN, is_dark)
}

fn as_svg(code: &QrCode) -> Vec<u8> {
    let (colors, width) = (code.to_colors(), code.width());
    let renderer = Renderer::<svg::Color<'_>>::new(&colors, width, MARGIN);
    renderer.build().into_bytes()
}

/// Size of the terminal that the output is; `None` if it is none, or does not tell.
pub(super) fn terminal() -> Option<Winsize> {
    let out = io::stdout();
    let size = out.is_terminal().then(|| tcgetwinsize(&out).ok()).flatten();
    size.filter(|size| size.ws_col > 0 && size.ws_row > 0)
}

/// A QR code in characters, each of which is two modules.
pub(super) struct Drawing {
    text: String,
    columns: u32,
    lines: u32,
    terminal: Winsize,
}

impl Drawing {
    /// Draws light modules in the color of the text, for dark terminals.
    pub(super) fn new(text: &str, terminal: Winsize) -> Result<Self, CliError> {
        let code = code(text)?;
        let (colors, width) = (code.to_colors(), code.width());
        let modules = u32::try_from(width).expect("a QR code is small");
        let fits = |margin: &u32| modules + 2 * margin <= terminal.ws_col.into();
        let margin = TERMINAL_MARGINS.into_iter().find(fits).unwrap_or(1);
        let text = Renderer::<Dense1x2>::new(&colors, width, margin)
            .dark_color(Dense1x2::Light)
            .light_color(Dense1x2::Dark)
            .build();
        let columns = modules + 2 * margin;
        Ok(Self {
            text,
            columns,
            lines: columns.div_ceil(2),
            terminal,
        })
    }

    /// The drawing for its terminal, and what the user can do if it does not fit. One that is too wide
    /// would be broken into pieces; one that is too high can be scrolled, or made smaller.
    pub(super) fn fitted(self) -> (Option<String>, Option<String>) {
        let (columns, lines) = (self.terminal.ws_col, self.terminal.ws_row);
        let is_too_wide = self.columns > columns.into();
        // Below it stands the prompt.
        let is_too_high = self.lines >= lines.into();
        let hint = format!(
            "the QR code has {} columns and {} lines, this terminal {columns} and {lines}: make its letters smaller, or revoke and pair again with --qr FILE.png, which writes a picture",
            self.columns, self.lines
        );
        let text = (!is_too_wide).then_some(self.text);
        (text, (is_too_wide || is_too_high).then_some(hint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_file_says_its_format() {
        for (name, format) in [
            ("a.png", Format::Png),
            ("a.b/c.SVG", Format::Svg),
            ("../phone.Png", Format::Png),
        ] {
            assert_eq!(name.parse::<QrFile>().map(|file| file.format), Ok(format));
        }
        for name in ["a", "a.jpg", "png", ".png", "a.png.txt", ""] {
            assert!(name.parse::<QrFile>().is_err(), "{name}");
        }
    }

    #[test]
    fn a_drawing_that_does_not_fit_says_what_to_do() {
        let drawn = |columns, lines| {
            let terminal = Winsize {
                ws_col: columns,
                ws_row: lines,
                ws_xpixel: 0,
                ws_ypixel: 0,
            };
            let drawing = Drawing::new("peercam:1?c=x", terminal);
            drawing.expect("a code").fitted()
        };
        let (text, hint) = drawn(25, 14);
        let text = text.expect("it fits");
        assert_eq!((text.lines().count(), hint), (13, None));
        assert!(text.lines().all(|line| line.chars().count() == 25));
        let (text, hint) = drawn(25, 13);
        assert!(text.is_some() && hint.expect("too high").contains("25 columns and 13 lines"));
        let (text, hint) = drawn(24, 50);
        let text = text.expect("it fits with less around it");
        assert!(text.lines().all(|line| line.chars().count() == 23) && hint.is_none());
        let (text, hint) = drawn(22, 50);
        assert!(text.is_none() && hint.expect("too wide").contains("--qr"));
    }
}
