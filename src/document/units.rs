//! Durations and sizes as people write them: `"10s"`, `"8GiB"`.

use std::{cmp::Reverse, ops::RangeInclusive, time::Duration};

/// A quantity with units. In a text it is a whole number and a unit.
pub(super) struct Quantity {
    /// The sentence that tells a person how it is written.
    pub(super) form: &'static str,
    /// Every unit, the likeliest first.
    units: &'static [(&'static str, u64)],
}

/// Durations, in milliseconds.
pub(super) const DURATION: Quantity = Quantity {
    form: "a duration is a number with ms, s, m, h or d in quotes",
    units: &[
        ("s", 1000),
        ("m", 60_000),
        ("ms", 1),
        ("h", 3_600_000),
        ("d", 86_400_000),
    ],
};

/// Sizes, in bytes.
pub(super) const SIZE: Quantity = Quantity {
    form: "a size is a number with B, KiB, MiB or GiB in quotes",
    units: &[
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("KiB", 1 << 10),
        ("B", 1),
    ],
};

/// Reads a duration as people write it, such as `10s` or `30d`.
pub fn duration(text: &str) -> Option<Duration> {
    DURATION.parse(text).map(Duration::from_millis)
}

impl Quantity {
    pub(super) fn parse(&self, text: &str) -> Option<u64> {
        let (number, unit) = split(text);
        let (_, factor) = self.units.iter().find(|(name, _)| *name == unit)?;
        number.parse::<u64>().ok()?.checked_mul(*factor)
    }

    /// Writes it in the largest unit that makes it a whole number.
    pub(super) fn write(&self, amount: u64) -> String {
        let whole = self.units.iter().filter(|(_, factor)| {
            amount.is_multiple_of(*factor) && (amount > 0 || matches!(factor, 1 | 1000))
        });
        let (unit, factor) = whole.max_by_key(|(_, factor)| *factor).unwrap_or(&("", 1));
        format!("{}{unit}", amount / factor)
    }

    pub(super) fn allowed(&self, bounds: &RangeInclusive<u64>) -> String {
        let (least, most) = (self.write(*bounds.start()), self.write(*bounds.end()));
        format!("{least} to {most} are allowed")
    }

    /// Text that was probably meant: the same number with the likeliest unit with which it is within
    /// bounds, or else the least that is.
    pub(super) fn meant(&self, text: &str, bounds: &RangeInclusive<u64>) -> String {
        let (number, unit) = split(text);
        let amount = number.parse::<u64>().ok();
        let fits = |factor: &u64| {
            let amount = amount.and_then(|amount| amount.checked_mul(*factor));
            amount.is_some_and(|amount| bounds.contains(&amount))
        };
        let units = self.units.iter().filter(|(_, factor)| fits(factor));
        match units.min_by_key(|(name, _)| Reverse(in_common(name, unit))) {
            Some((name, _)) => format!("{number}{name}"),
            None => self.write(*bounds.start()),
        }
    }
}

/// The number at the beginning of a text, and what stands behind it.
fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    (number, unit.trim_start())
}

/// Number of letters with which both begin.
fn in_common(one: &str, other: &str) -> usize {
    let pairs = one.bytes().zip(other.bytes());
    pairs.take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities() {
        for (text, expected) in [
            ("10s", Some(10_000)),
            ("10 s", Some(10_000)),
            ("250ms", Some(250)),
            ("0s", Some(0)),
            ("2m", Some(120_000)),
            ("10", None),
            ("s", None),
            ("-1s", None),
            ("+1s", None),
            ("1.5s", None),
            ("1s ", None),
            ("99999999999999999999s", None),
            ("18446744073709551615s", None),
        ] {
            assert_eq!(DURATION.parse(text), expected, "{text:?}");
        }
        assert_eq!(SIZE.parse("3KiB"), Some(3072));
    }

    #[test]
    fn bounds_are_written_as_people_write_them() {
        for (amount, text) in [(0, "0s"), (40, "40ms"), (60_000, "1m"), (90_000, "90s")] {
            assert_eq!(DURATION.write(amount), text);
        }
        for (amount, text) in [(0, "0B"), (1 << 20, "1MiB"), (1 << 40, "1024GiB")] {
            assert_eq!(SIZE.write(amount), text);
        }
    }

    #[test]
    fn the_unit_that_was_meant_is_guessed() {
        for (text, least, most, meant) in [
            ("60", 5_000, 3_600_000, "60s"),
            ("5min", 5_000, 3_600_000, "5m"),
            ("500msec", 100, 7_000, "500ms"),
            ("soon", 1_000, 3_000, "1s"),
        ] {
            assert_eq!(DURATION.meant(text, &(least..=most)), meant, "{text}");
        }
        for (text, meant) in [("28", "28GiB"), ("128GB", "128GiB"), ("128mb", "128MiB")] {
            assert_eq!(SIZE.meant(text, &(64 << 20..=1 << 50)), meant, "{text}");
        }
    }
}
