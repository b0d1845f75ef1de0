//! Tables: keys that are asked for, and those that nobody asks for.
//!
//! Whoever reads a table asks for all of its keys before it goes on with one of them: a key that is
//! not asked for is unknown.

use std::mem::take;

use toml::de::{DeTable, DeValue};

use super::{Value, mistake::Mistakes, nearest::nearest};

/// A table, of which each key is asked for once. Dropping it makes mistakes of the keys that nobody
/// asked for.
pub(crate) struct Table<'a> {
    /// Its name, as in its header; empty for the document.
    name: String,
    /// Its beginning; `None` for the document, and for a table that is not there.
    at: Option<usize>,
    entries: Option<&'a DeTable<'a>>,
    known: Vec<&'static str>,
    /// Keys that were asked for and are not allowed.
    forbidden: Vec<&'static str>,
    /// Name for a key that is not known.
    unknown: &'static str,
    mistakes: &'a Mistakes,
}

/// Usual name for a key that is not known.
const UNKNOWN: &str = "unknown field";

impl<'a> Table<'a> {
    pub(super) fn root(document: &'a DeTable<'a>, mistakes: &'a Mistakes) -> Self {
        let entries = Some(document);
        Self::new(String::new(), None, entries, mistakes)
    }

    fn new(
        name: String,
        at: Option<usize>,
        entries: Option<&'a DeTable<'a>>,
        mistakes: &'a Mistakes,
    ) -> Self {
        Self {
            name,
            at,
            entries,
            known: Vec::new(),
            forbidden: Vec::new(),
            unknown: UNKNOWN,
            mistakes,
        }
    }

    /// Has keys that are not known called so.
    pub(crate) fn call_unknown(&mut self, unknown: &'static str) {
        self.unknown = unknown;
    }

    /// Reads no more of it: what may be in it is not known.
    pub(crate) fn leave(&mut self) {
        self.entries = None;
    }

    /// Notes a mistake of the whole table.
    pub(crate) fn refuse(&self, message: &str) {
        self.mistakes.add(self.at, &self.name, message.to_owned());
    }

    /// The value of a key.
    pub(crate) fn get(&mut self, key: &'static str) -> Value<'a> {
        self.known.push(key);
        self.peek(key)
    }

    /// The value of a key that is not asked for here.
    pub(crate) fn peek(&self, key: &'static str) -> Value<'a> {
        Value {
            key,
            found: self.entries.and_then(|entries| entries.get(key)),
            mistakes: self.mistakes,
        }
    }

    /// The value of a key that must be there, and of what kind it is.
    pub(crate) fn require(&mut self, key: &'static str, what: &str) -> Value<'a> {
        let value = self.get(key);
        if !value.is_there() {
            self.mistakes
                .add(self.at, key, format!("is missing: {what}"));
        }
        value
    }

    /// Makes a mistake of a key that is not allowed in this kind of table.
    pub(crate) fn forbid(&mut self, key: &'static str, message: &str) {
        self.forbidden.push(key);
        self.peek(key).refuse(message);
    }

    /// The table `[key]`; an empty one if it is not there.
    pub(crate) fn table(&mut self, key: &'static str) -> Self {
        let found = self.find(key);
        found.unwrap_or_else(|| Self::new(self.path(key), None, None, self.mistakes))
    }

    /// The table `[key]`, if it is there.
    pub(crate) fn find(&mut self, key: &'static str) -> Option<Self> {
        let value = self.get(key);
        self.open(value, &format!("[{}]", self.path(key)))
    }

    /// The table that a value of this table is. The example is what it may look like.
    pub(crate) fn open(&self, value: Value<'a>, example: &str) -> Option<Self> {
        let found = value.inner()?;
        let first = found.as_array().and_then(|tables| tables.first());
        let first = first.and_then(|table| table.get_ref().as_table());
        if found.is_array() && first.is_some() {
            value.refuse(format!("is there once at most: write it as {example}"));
        }
        let entries = value.typed(
            found.as_table().or(first),
            &format!("a table such as {example}"),
        )?;
        let at = value.found.map(|found| found.span().start);
        let name = self.path(value.key);
        Some(Self::new(name, at, Some(entries), self.mistakes))
    }

    /// The tables `[[key]]`; `None` if nothing is said of them.
    pub(crate) fn tables(&mut self, key: &'static str) -> Option<Vec<Self>> {
        let value = self.get(key);
        let form = format!("[[{}]]", self.path(key));
        let open = |value| self.open(value, &form);
        if let DeValue::Array(_) = value.inner()? {
            return Some(value.list()?.filter_map(open).collect());
        }
        if value.inner()?.is_table() {
            value.refuse(format!("write it as {form}: there may be several"));
        }
        // It is read all the same, so that the other mistakes in it are told at once.
        Some(open(value).into_iter().collect())
    }

    fn path(&self, key: &str) -> String {
        if self.name.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.name)
        }
    }
}

impl Drop for Table<'_> {
    fn drop(&mut self) {
        for key in self.entries.into_iter().flat_map(DeTable::keys) {
            let (name, at) = (&**key.get_ref(), key.span().start);
            if self.known.contains(&name) || self.forbidden.contains(&name) {
                continue;
            }
            let meant = match nearest(name, &self.known) {
                Some(word) => format!("did you mean {word}? Known are"),
                None => "known are".to_owned(),
            };
            let message = format!("{}; {meant} {}", self.unknown, self.known.join(", "));
            if self.unknown == UNKNOWN {
                self.mistakes.add_unknown(at, name, message, &self.name);
            } else {
                // It is of another kind of this table, not of another table.
                self.mistakes.add(Some(at), name, message);
            }
        }
        let (name, known) = (take(&mut self.name), take(&mut self.known));
        self.mistakes.know(name, known);
    }
}
