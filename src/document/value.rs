//! Values: each is what is asked for, or nothing and a mistake.
//!
//! A message never shows what is written there, numbers with a unit excepted: it might be a secret.

use std::{fmt::Display, ops::RangeInclusive, path::PathBuf, time::Duration};

use toml::{Spanned, de::DeValue};

use super::{
    mistake::Mistakes,
    nearest::nearest,
    units::{DURATION, Quantity, SIZE},
};

/// The value of a key. If the key is not there, whatever it is asked for it has none, and that is no
/// mistake.
#[derive(Clone, Copy)]
pub(crate) struct Value<'a> {
    pub(super) key: &'static str,
    pub(super) found: Option<&'a Spanned<DeValue<'a>>>,
    pub(super) mistakes: &'a Mistakes,
}

impl<'a> Value<'a> {
    pub(crate) fn is_there(self) -> bool {
        self.found.is_some()
    }

    /// Returns whether nothing is listed: it is not there, or an empty list.
    pub(crate) fn is_empty(self) -> bool {
        self.inner()
            .is_none_or(|value| value.as_array().is_some_and(|list| list.is_empty()))
    }

    /// Returns whether it is this text.
    pub(crate) fn is(self, text: &str) -> bool {
        self.inner()
            .is_some_and(|value| value.as_str() == Some(text))
    }

    /// Notes a mistake in it, if it is there.
    pub(crate) fn refuse(self, message: impl Into<String>) {
        if let Some(found) = self.found {
            let at = Some(found.span().start);
            self.mistakes.add(at, self.key, message.into());
        }
    }

    /// Returns what was made of it, or notes a mistake.
    pub(crate) fn accept<T, E: Display>(self, made: Result<T, E>) -> Option<T> {
        made.map_err(|error| self.refuse(error.to_string())).ok()
    }

    pub(super) fn inner(self) -> Option<&'a DeValue<'a>> {
        self.found.map(Spanned::get_ref)
    }

    /// Returns what was found in it, or notes that it is of another type than `what`.
    pub(super) fn typed<T>(self, found: Option<T>, what: &str) -> Option<T> {
        if let (None, Some(value)) = (&found, self.inner()) {
            let name = value.type_str();
            let article = if name.starts_with(['a', 'i']) {
                "an"
            } else {
                "a"
            };
            self.refuse(format!("{what} is needed, not {article} {name}"));
        }
        found
    }

    pub(crate) fn string(self) -> Option<&'a str> {
        self.typed(self.inner()?.as_str(), "a string in quotes")
    }

    pub(crate) fn flag(self) -> Option<bool> {
        self.typed(self.inner()?.as_bool(), "true or false without quotes")
    }

    /// Its elements.
    pub(crate) fn list(self) -> Option<impl Iterator<Item = Self>> {
        let values = self.inner()?.as_array();
        let values = self.typed(values, "a list such as [\"…\", \"…\"]")?;
        let element = move |value| Self {
            found: Some(value),
            ..self
        };
        Some(values.iter().map(element))
    }

    pub(crate) fn number<N: TryFrom<u64>>(self, bounds: RangeInclusive<u64>) -> Option<N> {
        let (least, most) = (bounds.start(), bounds.end());
        let number = match self.inner()? {
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            DeValue::String(text) if text.parse::<u64>().is_ok() => {
                self.refuse(format!(
                    "a number from {least} to {most} is needed, without quotes"
                ));
                return None;
            }
            _ => return self.typed(None, &format!("a number from {least} to {most}")),
        };
        let within = number.filter(|number| bounds.contains(number));
        let number = within.and_then(|number| N::try_from(number).ok());
        self.accept(number.ok_or_else(|| format!("{least} to {most} are allowed")))
    }

    pub(crate) fn duration(self, bounds: RangeInclusive<Duration>) -> Option<Duration> {
        let millis = |duration: &Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let bounds = millis(bounds.start())..=millis(bounds.end());
        self.quantity(&DURATION, &bounds).map(Duration::from_millis)
    }

    /// A size in bytes.
    pub(crate) fn size<N: TryFrom<u64>>(self, bounds: RangeInclusive<u64>) -> Option<N> {
        let size = N::try_from(self.quantity(&SIZE, &bounds)?);
        self.accept(size.map_err(|_| SIZE.allowed(&bounds)))
    }

    fn quantity(self, quantity: &Quantity, bounds: &RangeInclusive<u64>) -> Option<u64> {
        let (text, amount) = match self.inner()? {
            DeValue::String(text) => (&**text, quantity.parse(text)),
            DeValue::Integer(number) => (number.as_str(), None),
            _ => ("", None),
        };
        let allowed = quantity.allowed(bounds);
        let form = || {
            let meant = quantity.meant(text, bounds);
            format!("{}, such as \"{meant}\"; {allowed}", quantity.form)
        };
        let amount = self.accept(amount.ok_or_else(form))?;
        self.accept(
            Some(amount)
                .filter(|amount| bounds.contains(amount))
                .ok_or(allowed),
        )
    }

    /// The meaning of a word, which must be one of these.
    pub(crate) fn word<T: Copy>(self, words: &[(&str, T)]) -> Option<T> {
        let text = self.string()?;
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            self.refuse(unknown_word(text, &words));
        }
        found.map(|(_, meaning)| *meaning)
    }

    /// A path that is not empty.
    pub(crate) fn directory(self) -> Option<PathBuf> {
        let path = Some(self.path()?).filter(|path| !path.is_empty());
        self.accept(path.map(PathBuf::from).ok_or("a directory is needed"))
    }

    /// A path, in which nothing is replaced as a shell does.
    pub(crate) fn path(self) -> Option<&'a str> {
        let path = self.string()?;
        let is_for_shell = path == "~" || path.starts_with("~/") || path.starts_with('$');
        let message = "no shell reads this: write the whole path in place of ~ or a variable";
        self.accept((!is_for_shell).then_some(path).ok_or(message))
    }
}

fn unknown_word(text: &str, words: &[&str]) -> String {
    let meant = match nearest(text, words) {
        Some(word) => format!("did you mean \"{word}\"? "),
        None => String::new(),
    };
    let words = words.join(", ");
    let words = match words.rsplit_once(", ") {
        Some((others, last)) => format!("{others} or {last}"),
        None => words,
    };
    format!("unknown variant; {meant}{words} is needed")
}
