use std::{cell::RefCell, fmt};

/// Mistake in a document, in one line: `:LINE: KEY: what is wrong and what is allowed`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// Its place in the text; `None` if it is one of the whole.
    at: Option<usize>,
    line: Option<usize>,
    /// The key; empty if there is none to tell.
    key: String,
    message: String,
    /// The table that does not know this key.
    unknown_to: Option<String>,
}

impl Mistake {
    /// A key that is no plain word is not told: it might be anything, such as a secret in a wrong
    /// place.
    pub(super) fn new(at: Option<usize>, key: &str, message: String) -> Self {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let key = if key.chars().all(is_plain) { key } else { "" };
        Self {
            at,
            line: None,
            key: key.to_owned(),
            message,
            unknown_to: None,
        }
    }

    /// A mistake of the whole.
    pub(crate) fn general(message: String) -> Self {
        Self::new(None, "", message)
    }

    /// Finds its line.
    pub(super) fn located(self, text: &str) -> Self {
        let before = self.at.and_then(|at| text.get(..at));
        let line = before.map(|before| 1 + before.matches('\n').count());
        Self { line, ..self }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        f.write_str(": ")?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// Mistakes found so far, and the keys that tables have.
#[derive(Default)]
pub(super) struct Mistakes {
    found: RefCell<Vec<Mistake>>,
    known: RefCell<Vec<KnownKeys>>,
}

/// Keys of a table.
struct KnownKeys {
    table: String,
    keys: Vec<&'static str>,
}

impl Mistakes {
    pub(super) fn add(&self, at: Option<usize>, key: &str, message: String) {
        let mistake = Mistake::new(at, key, message);
        self.found.borrow_mut().push(mistake);
    }

    /// Adds a key that this table does not know.
    pub(super) fn add_unknown(&self, at: usize, key: &str, message: String, table: &str) {
        let mistake = Mistake::new(Some(at), key, message);
        let unknown_to = Some(table.to_owned());
        self.found.borrow_mut().push(Mistake {
            unknown_to,
            ..mistake
        });
    }

    /// Notes the keys that a table has, for those that stand in another one.
    pub(super) fn know(&self, table: String, keys: Vec<&'static str>) {
        self.known.borrow_mut().push(KnownKeys { table, keys });
    }

    /// Mistakes as they come in the text; those of the whole at the end.
    pub(super) fn sorted(self, text: &str) -> Vec<Mistake> {
        let known = self.known.into_inner();
        let mut found = self.found.into_inner();
        found.sort_by_key(|mistake| mistake.at.unwrap_or(usize::MAX));
        for mistake in &mut found {
            if let Some(here) = &mistake.unknown_to {
                let has_it = |other: &&KnownKeys| {
                    other.table != *here && other.keys.contains(&mistake.key.as_str())
                };
                match known.iter().find(has_it).map(|other| &other.table) {
                    None => {}
                    Some(root) if root.is_empty() => {
                        mistake.message += "; it belongs above the first [table]";
                    }
                    Some(table) => mistake.message += &format!("; [{table}] has such a key"),
                }
            }
        }
        let mistakes = found.into_iter();
        mistakes.map(|mistake| mistake.located(text)).collect()
    }
}
