//! A TOML document, read table by table and key by key.
//!
//! Whoever reads a table asks for its keys, and gets a value or nothing. A value that is missing or
//! wrong becomes a [`Mistake`], and reading goes on with what the reader has in its place, so that
//! one run tells all mistakes. Keys for which nobody asked are mistakes too.
//!
//! Belongs here: what all tables have in common: types, bounds, units, words, what was probably
//! meant. Does not belong here: any key.

mod mistake;
mod nearest;
mod syntax;
mod table;
mod units;
mod value;

pub(crate) use mistake::Mistake;
pub(crate) use table::Table;
pub use units::duration;
pub(crate) use value::Value;

use mistake::Mistakes;

/// Reads a document. Of one that is no TOML, the first mistake is told.
pub(crate) fn read<T>(
    text: &str,
    read: impl FnOnce(&mut Table<'_>) -> T,
) -> Result<T, Vec<Mistake>> {
    let document = syntax::parse(text)?;
    let mistakes = Mistakes::default();
    let mut root = Table::root(document.get_ref(), &mistakes);
    let value = read(&mut root);
    // It tells the keys that nobody asked for.
    drop(root);
    match mistakes.sorted(text) {
        told if told.is_empty() => Ok(value),
        told => Err(told),
    }
}
