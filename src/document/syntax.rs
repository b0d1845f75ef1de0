//! Texts that are no TOML, and what was probably meant.

use toml::{Spanned, de::DeTable};

use super::Mistake;

pub(super) fn parse(text: &str) -> Result<Spanned<DeTable<'_>>, Vec<Mistake>> {
    DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start.min(text.len()));
        let line = line_at(text, at);
        let mut message = error.message().trim().replace('\n', "; ");
        if let Some(hint) = hint(text, line, &message) {
            message = format!("{message}: {hint}");
        }
        vec![Mistake::new(Some(at), key_of(line), message).located(text)]
    })
}

fn line_at(text: &str, at: usize) -> &str {
    let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
    text[start..].lines().next().unwrap_or_default()
}

/// The key that a line begins with. The rest of the line might be a secret.
fn key_of(line: &str) -> &str {
    let key = line.split_once('=').map(|(key, _)| key.trim());
    key.unwrap_or_default()
}

/// Marks that some keyboards give in place of those of TOML.
const FULL_WIDTH: [char; 10] = ['＝', '：', '＂', '＇', '［', '］', '｛', '｝', '，', '＃'];
/// Marks that look like a space, or like nothing.
const UNSEEN: [char; 5] = ['\u{a0}', '\u{3000}', '\u{200b}', '\u{202f}', '\u{feff}'];

/// Hint at what was probably meant: the first that fits.
fn hint(text: &str, line: &str, message: &str) -> Option<&'static str> {
    let (raw, line) = (line, line.trim());
    let value = line.split_once('=').map(|(_, value)| value.trim());
    let has_value = value.is_some();
    let value = value.unwrap_or(line);
    let bare = value.trim_end_matches([',', ';']);
    let starts = |marks: &[&str]| marks.iter().any(|mark| line.starts_with(mark));
    let says = |words: &str| message.starts_with(words);
    let is_unquoted = !value.starts_with(['"', '\'', '[', '{'])
        && value.contains(|c: char| c.is_alphabetic() || matches!(c, '/' | ':'));
    let whole = text.trim_start();
    let hints = [
        (
            text.contains('\0'),
            "this is no text; is it the right file?",
        ),
        (
            whole.starts_with("peercam:"),
            "this is a pairing URI, which viewers have, and no configuration",
        ),
        (
            whole.starts_with('{') || whole.starts_with("[{") || whole.starts_with("[\n"),
            "this looks like JSON, and a configuration is TOML: key = value, as in config/minimal.toml",
        ),
        (
            whole.starts_with('<'),
            "this looks like XML, and a configuration is TOML: key = value, as in config/minimal.toml",
        ),
        (
            starts(&["//", ";", "/*", "--"]) && line != "---",
            "a comment begins with #",
        ),
        (
            is_yaml(line),
            "this looks like YAML, and a configuration is TOML: key = value, and [name] above a table, as in config/minimal.toml",
        ),
        (
            line.contains(['“', '”', '„', '‘', '’', '«', '»']),
            "quotes of TOML are straight: \"…\" or '…'",
        ),
        (
            line.contains(FULL_WIDTH),
            "marks of TOML are those of an English keyboard: = \" [ ] { } , #",
        ),
        (
            raw.contains(UNSEEN),
            "there is a mark in this line that looks like a space or like nothing, as pages and chats have them: write the line anew",
        ),
        (
            says("duplicate key") && line.starts_with('['),
            "a table is there once; where there may be several, each is written with two brackets, as in [[channel]]",
        ),
        (says("duplicate key"), "it is there twice: keep one"),
        (
            line.starts_with('['),
            "a table is [name] on a line of its own, one of several [[name]]",
        ),
        (
            value.find('"') < value.find('\\') && value.contains('"'),
            "in \"…\" a backslash begins an escape: write such a text in '…', and a path with / or in '…'",
        ),
        (
            ["true", "false", "yes", "no", "on", "off"]
                .iter()
                .any(|word| bare.eq_ignore_ascii_case(word)),
            "it is true or false, in small letters and without a mark behind it",
        ),
        (
            says("invalid basic string") || says("invalid literal string"),
            "a text ends on its line, with the quote that it began with",
        ),
        (
            says("unclosed inline table"),
            "the } is missing; a # that is not in quotes begins a comment",
        ),
        (
            says("missing assignment") && value.contains("\":"),
            "a key is followed by =, also in { }",
        ),
        (
            has_value && (is_unquoted || says("string values must be quoted")),
            "a text stands in quotes: key = \"text\"",
        ),
        (
            line.ends_with([',', ';']),
            "a line ends without a comma or semicolon",
        ),
        (
            !has_value,
            "a line is key = value, or [name] above a table, as in config/minimal.toml",
        ),
    ];
    let mut hints = hints.into_iter();
    hints.find_map(|(is_so, hint)| is_so.then_some(hint))
}

/// Returns whether a line is `key: value` or an element of a list.
fn is_yaml(line: &str) -> bool {
    let Some((key, value)) = line.split_once(':') else {
        return line.starts_with("- ") || line == "---";
    };
    let key = key.trim_start_matches("- ");
    let is_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    !key.is_empty() && key.chars().all(is_key) && (value.is_empty() || value.starts_with(' '))
}
