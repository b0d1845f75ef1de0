use std::time::Instant;

/// Values of the keys that were active lately.
///
/// Bound: `max`; for one more the one that was quiet for longest is forgotten.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    known: Vec<Entry<K, V>>,
    max: usize,
}

#[derive(Debug)]
struct Entry<K, V> {
    whose: K,
    last: Instant,
    what: V,
}

impl<K: PartialEq, V: Default> Recent<K, V> {
    pub(super) fn new(max: usize) -> Self {
        Self {
            known: Vec::new(),
            max,
        }
    }

    /// Notes that a key is active now; returns its value.
    pub(super) fn note(&mut self, whose: K, now: Instant) -> &mut V {
        let index = self.known.iter().position(|known| known.whose == whose);
        let index = index.unwrap_or_else(|| {
            if self.known.len() >= self.max {
                let quietest = (0..self.known.len()).min_by_key(|index| self.known[*index].last);
                self.known.swap_remove(quietest.unwrap_or_default());
            }
            self.known.push(Entry {
                whose,
                last: now,
                what: V::default(),
            });
            self.known.len() - 1
        });
        let known = &mut self.known[index];
        known.last = now;
        &mut known.what
    }

    pub(super) fn get(&self, is_it: impl Fn(&K) -> bool) -> Option<&V> {
        let known = self.known.iter().find(|known| is_it(&known.whose));
        known.map(|known| &known.what)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        let known = self.known.iter_mut();
        known.map(|known| (&known.whose, &mut known.what))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn few_are_remembered_and_the_quietest_is_forgotten() {
        let mut recent: Recent<u32, u32> = Recent::new(3);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        for (second, whose) in [(0, 1), (1, 2), (2, 3), (3, 1), (4, 4)] {
            *recent.note(whose, at(second)) += 1;
        }
        let known: Vec<_> = recent
            .iter_mut()
            .map(|(whose, what)| (*whose, *what))
            .collect();
        assert_eq!(known, [(1, 2), (3, 1), (4, 1)]);
        assert_eq!(recent.get(|whose| *whose == 2), None);
    }
}
