use std::{
    io,
    ops::Range,
    path::{Path, PathBuf},
};

/// First error of a configuration, in one line: `file:line: key: what is wrong and allowed`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {}{message}", path.display(), self.line_suffix(), self.key_prefix())]
pub struct ConfigError {
    path: PathBuf,
    line: Option<usize>,
    key: Option<String>,
    message: String,
}

/// Error at some place of the text.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) span: Option<Range<usize>>,
    pub(super) message: String,
}

impl Problem {
    /// A problem with the value (or key) at `span`.
    pub(super) fn at(span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            span: Some(span),
            message: message.into(),
        }
    }

    /// A problem with the text as a whole.
    pub(super) fn general(message: impl Into<String>) -> Self {
        Self {
            span: None,
            message: message.into(),
        }
    }

    /// Adds file, line and key.
    pub(super) fn locate(self, text: &str, path: &Path) -> ConfigError {
        let span = self.span.filter(|span| span.start <= text.len());
        ConfigError {
            path: path.to_owned(),
            line: span
                .as_ref()
                .map(|span| 1 + text[..span.start].matches('\n').count()),
            key: span.and_then(|span| key_at(text, &span)),
            message: self.message,
        }
    }
}

impl ConfigError {
    pub(super) fn unreadable(path: &Path, error: &io::Error) -> Self {
        Self {
            path: path.to_owned(),
            line: None,
            key: None,
            message: format!("cannot be read: {error}"),
        }
    }

    pub(super) fn from_toml(text: &str, path: &Path, error: &toml::de::Error) -> Self {
        let message = error.message().trim().replace('\n', "; ");
        Problem {
            span: error.span(),
            message,
        }
        .locate(text, path)
    }

    fn line_suffix(&self) -> String {
        self.line.map(|line| format!(":{line}")).unwrap_or_default()
    }

    fn key_prefix(&self) -> String {
        self.key
            .as_ref()
            .map(|key| format!("{key}: "))
            .unwrap_or_default()
    }
}

/// The key whose value (or which itself) stands at `span`. The value is never quoted: it might be
/// a secret.
fn key_at(text: &str, span: &Range<usize>) -> Option<String> {
    let is_key = |word: &str| {
        !word.is_empty()
            && word
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
    };
    let spanned = text.get(span.clone())?;
    let mut before = text[..span.start].trim_end();
    // An element of an array stands for the array's key.
    if before.ends_with(['[', ',']) && !is_key_of_table(spanned, &text[span.end..]) {
        before = before.rsplit_once('[')?.0.trim_end();
    }
    let key = match before.strip_suffix('=') {
        Some(before) => {
            let before = before.trim_end();
            let start = before
                .rfind(|c: char| c.is_whitespace() || matches!(c, '{' | ',' | '"'))
                .map_or(0, |at| at + 1);
            &before[start..]
        }
        None => spanned,
    };
    is_key(key).then(|| key.to_owned())
}

/// Returns whether the text at the span is itself a key: a word with `=` behind it.
fn is_key_of_table(spanned: &str, after: &str) -> bool {
    !spanned.contains(['"', '[', '{']) && after.trim_start().starts_with('=')
}
