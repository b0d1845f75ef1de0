//! Untrusted text, made safe for a terminal, a log line and a page.
//!
//! Cameras, devices, viewers and cards name things and give reasons. Printed as they come, such
//! texts can clear a screen, forge lines, and show letters in another order than they have. Every
//! place that shows one, or takes one in to show it later, uses this.

use std::fmt::{self, Write};

/// Returns whether a character is visible and has no effect of its own. Not printable are controls
/// (C0, C1 and DEL), format characters (directions, joiners and all that has no width), line
/// separators, code points that Unicode has not assigned or never will, and blanks that look like
/// others.
pub fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    // The standard library has the table, and shows it here only. At the beginning of a text it
    // escapes combining marks too, which are letters' parts in many languages.
    let mut text = [b'x', 0, 0, 0, 0];
    let length = 1 + c.encode_utf8(&mut text[1..]).len();
    let text = std::str::from_utf8(&text[..length]);
    // The blank between Chinese, Japanese and Korean words.
    c == '\u{3000}' || text.is_ok_and(|text| text.escape_debug().nth(1) == Some(c))
}

/// Displays something as one line: printable characters as they are, all others escaped, as in
/// `\u{1b}`.
#[derive(Clone, Copy, Debug)]
pub struct Printable<T>(pub T);

impl<T: fmt::Display> fmt::Display for Printable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f, |_| false), "{}", self.0)
    }
}

/// [`Printable`] that keeps line feeds.
#[derive(Clone, Copy, Debug)]
pub struct Lines<T>(pub T);

impl<T: fmt::Display> fmt::Display for Lines<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f, |c| c == '\n'), "{}", self.0)
    }
}

/// Returns a text that is to be kept as one printable line of at most `max` characters, without the
/// NULs and line ends that C programs leave around it.
pub fn line(text: &str, max: usize) -> String {
    let text = text.trim_matches(|c: char| c == '\0' || c.is_whitespace());
    let printable = Printable(text).to_string();
    // An escape may be cut in half; it is printable all the same.
    match printable.char_indices().nth(max) {
        Some((end, _)) => printable[..end].to_owned(),
        None => printable,
    }
}

/// Displays JSON as one printable line with the same meaning: unprintable characters are escaped as
/// JSON does (RFC 8259, 7).
#[derive(Clone, Copy, Debug)]
pub struct Json<'a>(pub &'a str);

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some((at, c)) = first_unprintable(rest) {
            f.write_str(&rest[..at])?;
            rest = &rest[at + c.len_utf8()..];
            // In JSON these stand between values only.
            if matches!(c, '\t' | '\n' | '\r') {
                f.write_char(' ')?;
                continue;
            }
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(f, "\\u{unit:04x}")?;
            }
        }
        f.write_str(rest)
    }
}

fn first_unprintable(text: &str) -> Option<(usize, char)> {
    text.char_indices().find(|&(_, c)| !is_printable(c))
}

/// Writer that escapes unprintable characters, except those for which the function returns `true`.
struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>, fn(char) -> bool);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let Self(out, excepted) = self;
        let mut rest = text;
        while let Some((at, c)) = first_unprintable(rest) {
            out.write_str(&rest[..at])?;
            if excepted(c) {
                out.write_char(c)?;
            } else {
                write!(out, "{}", c.escape_default())?;
            }
            rest = &rest[at + c.len_utf8()..];
        }
        out.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_terminals_act_on_is_escaped() {
        let hostile = [
            '\0'..='\u{1f}',
            '\u{7f}'..='\u{9f}',
            '\u{ad}'..='\u{ad}',
            '\u{61c}'..='\u{61c}',
            '\u{180e}'..='\u{180e}',
            '\u{200b}'..='\u{200f}',
            '\u{2028}'..='\u{202e}',
            '\u{2060}'..='\u{206f}',
            '\u{feff}'..='\u{feff}',
            '\u{fff9}'..='\u{fffb}',
            '\u{fdd0}'..='\u{fdef}',
            '\u{fffe}'..='\u{ffff}',
            '\u{e000}'..='\u{e000}',
            '\u{1d173}'..='\u{1d17a}',
            '\u{e0001}'..='\u{e007f}',
            '\u{10fffe}'..='\u{10ffff}',
        ];
        for c in hostile.into_iter().flatten() {
            assert!(!is_printable(c), "{c:?}");
            let shown = Printable(c).to_string();
            assert!(shown.starts_with('\\') && shown.is_ascii(), "{shown}");
        }
    }

    #[test]
    fn names_of_all_languages_stay_as_they_are() {
        for text in [
            "front door",
            "a\"b'c\\d",
            "前门　摄像头",
            "Türkçe é e\u{301}",
            "हिन्दी नमस्ते",
            "שלום",
            "مرحبا",
            "\u{1f4f7}",
            "ＡＢ。",
        ] {
            assert_eq!(Printable(text).to_string(), text);
            assert_eq!(line(text, 100), text);
        }
    }

    #[test]
    fn lines() {
        let hostile = "a\x1b[2J\r\nb\u{202e}";
        assert_eq!(Printable(hostile).to_string(), r"a\u{1b}[2J\r\nb\u{202e}");
        assert_eq!(Lines(hostile).to_string(), "a\\u{1b}[2J\\r\nb\\u{202e}");
        assert_eq!(line("abcdef\0\0", 4), "abcd");
        assert_eq!(line("T31\n\0", 10), "T31");
        assert_eq!(line("\x1b\x1b", 7), r"\u{1b}\");
    }

    #[test]
    fn json_says_the_same() {
        for text in [
            "{\"a\":\n\t\"b\u{202e}\u{9b}\u{7f}\u{e0001}\"}",
            "\"\\u001b\\n\u{3000}é\"",
        ] {
            let printable = Json(text).to_string();
            assert!(printable.chars().all(is_printable), "{printable}");
            let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
            assert_eq!(value(&printable), value(text));
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_one_printable_line(text in any::<String>()) {
            for shown in [Printable(&text).to_string(), Json(&text).to_string(), line(&text, 50)] {
                prop_assert!(shown.chars().all(is_printable), "{:?}", shown);
            }
        }

        #[test]
        fn all_json_says_the_same(text in any::<String>()) {
            let json = serde_json::Value::from(text).to_string();
            let again: serde_json::Value = serde_json::from_str(&Json(&json).to_string()).expect("JSON");
            prop_assert_eq!(again.to_string(), json);
        }
    }
}
