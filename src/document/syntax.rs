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
    text[start..].lines().next().unwrap_or_default().trim()
}

/// The key that a line begins with. The rest of the line might be a secret.
fn key_of(line: &str) -> &str {
    let key = line.split_once('=').map(|(key, _)| key.trim_end());
    key.unwrap_or_default()
}

fn hint(text: &str, line: &str, message: &str) -> Option<&'static str> {
    let value = line.split_once('=').map_or(line, |(_, value)| value);
    let is_escape = value.find('"') < value.find('\\') && value.contains('"');
    if text.trim_start().starts_with('{') {
        Some(
            "this looks like JSON, and a configuration is TOML: key = value, as in config/minimal.toml",
        )
    } else if is_yaml(line) {
        Some(
            "this looks like YAML, and a configuration is TOML: key = value, and [name] above a table, as in config/minimal.toml",
        )
    } else if line.contains(['“', '”', '„', '‘', '’']) {
        Some("quotes of TOML are straight: \"…\" or '…'")
    } else if message.starts_with("duplicate key") && line.starts_with('[') {
        Some(
            "a table is there once; where there may be several, each is written with two brackets, as in [[channel]]",
        )
    } else if is_escape {
        Some(
            "in \"…\" a backslash begins an escape: write such a text in '…', and a path with / or in '…'",
        )
    } else {
        None
    }
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
