//! Tables whose entries last as long as whoever holds them.

use std::sync::Arc;

use crate::boundary::Guarded;

/// Table of what is there now, oldest first. Copies are the same table.
///
/// Bound: each entry has an owner, so what bounds the owners bounds the table.
#[derive(Debug)]
pub struct Registry<V>(Arc<Guarded<Table<V>>>);

#[derive(Debug)]
struct Table<V> {
    /// Numbers of the entries, by which they are told apart.
    numbers: Vec<u64>,
    values: Vec<V>,
}

/// Entry of a [`Registry`]. Dropping it takes it out.
#[derive(Debug)]
pub struct Entry<V> {
    registry: Registry<V>,
    number: u64,
}

impl<V> Registry<V> {
    /// Puts an entry in, until what is returned is dropped.
    #[must_use = "an entry that nobody holds is gone at once"]
    pub fn insert(&self, value: V) -> Entry<V> {
        let mut table = self.0.lock();
        // Higher than all that are held: none of them has it.
        let number = table.numbers.last().map_or(0, |last| last + 1);
        table.numbers.push(number);
        table.values.push(value);
        Entry {
            registry: self.clone(),
            number,
        }
    }

    /// Looks at all entries.
    pub fn read<T>(&self, look: impl FnOnce(&[V]) -> T) -> T {
        look(&self.0.lock().values)
    }
}

impl<V> Clone for Registry<V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<V> Default for Registry<V> {
    fn default() -> Self {
        let (numbers, values) = (Vec::new(), Vec::new());
        // Entries are put in and taken out whole, and looks change none.
        Self(Arc::new(Guarded::whole(Table { numbers, values })))
    }
}

impl<V> Drop for Entry<V> {
    fn drop(&mut self) {
        let mut table = self.registry.0.lock();
        if let Ok(index) = table.numbers.binary_search(&self.number) {
            table.numbers.remove(index);
            // Dropped with the lock released: that may take locks of its own.
            let value = table.values.remove(index);
            drop(table);
            drop(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_entry_takes_out_itself_and_no_other() {
        let registry = Registry::default();
        let held = ["a", "b", "c"].map(|value| registry.insert(value));
        let [a, b, c] = held;
        drop(b);
        assert_eq!(registry.read(<[_]>::to_vec), ["a", "c"]);
        drop(c);
        let again = registry.insert("d");
        assert_eq!(registry.read(<[_]>::to_vec), ["a", "d"]);
        drop(a);
        assert_eq!(registry.read(<[_]>::to_vec), ["d"]);
        drop(again);
        assert!(registry.read(<[_]>::is_empty));
    }
}
