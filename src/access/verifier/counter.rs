/// Replay protection: the token counters that a connection has taken.
#[derive(Debug)]
pub(super) enum Counter {
    /// Each one is higher than the last: requests of one connection come one after the other.
    Rising { last: u32 },
    /// Streams overtake each other: none is taken twice, and none that is 64 or more behind
    /// (RFC 4303 §3.4.3).
    Window {
        highest: u32,
        /// Bit `i`: `highest - i` was taken.
        seen: u64,
    },
}

impl Counter {
    /// Takes a number, if it is one to take.
    pub(super) fn accept(&mut self, number: u32) -> bool {
        match self {
            Self::Rising { last } => {
                let is_new = number > *last;
                *last = number.max(*last);
                is_new
            }
            Self::Window { highest, seen } => {
                if number > *highest {
                    let by = number - *highest;
                    // A step of 64 or more leaves nothing of the window.
                    *seen = seen.checked_shl(by).unwrap_or(0) | 1;
                    *highest = number;
                    return true;
                }
                let behind = *highest - number;
                let bit = 1_u64.checked_shl(behind).unwrap_or(0);
                let is_new = bit != 0 && *seen & bit == 0;
                *seen |= bit;
                is_new
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_window_takes_each_number_once_and_none_that_is_old(
            numbers in proptest::collection::vec(1_u32..200, 1..300),
        ) {
            let mut counter = Counter::Window { highest: 0, seen: 0 };
            let (mut taken, mut highest) = (BTreeSet::new(), 0);
            for number in numbers {
                let is_due = number + 64 > highest && !taken.contains(&number);
                prop_assert_eq!(counter.accept(number), is_due);
                if is_due {
                    taken.insert(number);
                    highest = highest.max(number);
                }
            }
        }
    }
}
