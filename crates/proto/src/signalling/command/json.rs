//! JSON that goes on to others: read strictly and written anew.
//!
//! Programs and firmware read JSON with parsers of their own, which take the first of two keys or
//! the last, compare them without case, end a text at a NUL, and pass over what follows. A text of
//! which two readers could understand two things is refused, and what goes on is never the text
//! that came. RFC 8259 §4 leaves it open which of two keys counts.

use std::{borrow::Cow, collections::BTreeSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::reply::to_json;

/// Nesting limit of objects and lists.
const MAX_DEPTH: usize = 32;
/// Keys that are compared with each other one by one; more of them are looked up.
const FEW_KEYS: usize = 16;
/// The longest key, and the longest name of a topic.
pub(super) const MAX_NAME: usize = 64;

/// Returns whether a parser may skip `c` before JSON, or between a word and its neighbours.
pub(super) fn is_skipped(c: char) -> bool {
    c <= ' ' || c == '\u{feff}' || c.is_whitespace()
}

/// Returns whether some parser could take this for JSON; some pass over comments.
pub(super) fn begins_as_json(text: &str) -> bool {
    let rest = text.trim_start_matches(is_skipped);
    rest.starts_with(['{', '[', '"', '#']) || rest.starts_with("/*") || rest.starts_with("//")
}

/// Writes JSON anew, numbers as they came. `hear` is told every key and text in it, and `take` every
/// member of the outermost object.
///
/// # Errors
/// What stands in the way.
pub(super) fn rewrite<'a>(
    text: &'a str,
    hear: impl FnMut(&str),
    take: impl FnMut(&str, &'a RawValue),
) -> Result<String, &'static str> {
    // Each part is checked where it is read, and nothing is read twice.
    let whole = text.trim_matches([' ', '\t', '\r', '\n']);
    let mut writer = Writer {
        out: String::with_capacity(text.len()),
        hear,
        take,
    };
    writer.write(whole, 0)?;
    Ok(writer.out)
}

struct Writer<H, T> {
    out: String,
    hear: H,
    take: T,
}

impl<'a, H: FnMut(&str), T: FnMut(&str, &'a RawValue)> Writer<H, T> {
    /// Writes a value; one that is not the whole is known to be JSON, but for what escapes stand for.
    fn write(&mut self, text: &'a str, depth: usize) -> Result<(), &'static str> {
        if depth > MAX_DEPTH {
            return Err("it is too deep");
        }
        match text.as_bytes().first() {
            Some(b'{') => self.object(&parse::<Members<'a>>(text)?.0, depth),
            Some(b'[') => {
                self.out.push('[');
                for (place, item) in parse::<Vec<&'a RawValue>>(text)?.into_iter().enumerate() {
                    self.comma(place);
                    self.write(item.get(), depth + 1)?;
                }
                self.out.push(']');
                Ok(())
            }
            Some(b'"') => self.text(&parse::<Text<'_>>(text)?.0),
            // A number, true, false or null has one spelling that counts: its own.
            _ => {
                if depth == 0 {
                    parse::<IgnoredAny>(text)?;
                }
                self.out.push_str(text);
                Ok(())
            }
        }
    }

    fn object(
        &mut self,
        members: &[(Text<'a>, &'a RawValue)],
        depth: usize,
    ) -> Result<(), &'static str> {
        let mut seen = BTreeSet::new();
        let has_few = members.len() <= FEW_KEYS;
        self.out.push('{');
        for (place, (Text(key), value)) in members.iter().enumerate() {
            let is_key = match depth {
                0 => is_plain(key),
                _ => !key.is_empty() && key.bytes().all(|byte| matches!(byte, b' '..=b'~')),
            };
            if !is_key || key.len() > MAX_NAME {
                return Err(
                    "a key is not 1 to 64 characters of ASCII; those at the top are lower-case letters, digits and _",
                );
            }
            let is_twice = if has_few {
                let mut before = members[..place].iter();
                before.any(|(Text(before), _)| before.eq_ignore_ascii_case(key))
            } else {
                !seen.insert(key.to_ascii_lowercase())
            };
            if is_twice {
                return Err("a key is there twice");
            }
            self.comma(place);
            self.text(key)?;
            self.out.push(':');
            self.write(value.get(), depth + 1)?;
            if depth == 0 {
                (self.take)(key, value);
            }
        }
        self.out.push('}');
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), &'static str> {
        if text.contains('\0') {
            return Err("a text has a NUL in it");
        }
        (self.hear)(text);
        let is_itself = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
        if text.bytes().all(is_itself) {
            self.out.push('"');
            self.out.push_str(text);
            self.out.push('"');
        } else {
            self.out.push_str(&to_json(&text));
        }
        Ok(())
    }

    fn comma(&mut self, place: usize) {
        if place > 0 {
            self.out.push(',');
        }
    }
}

/// A key as panels have them.
fn is_plain(key: &str) -> bool {
    let is_plain = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
    !key.is_empty() && key.bytes().all(is_plain)
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, &'static str> {
    serde_json::from_str(text).map_err(|_| "it is no JSON; is it cut off or escaped twice?")
}

/// A text as it is meant: what came, unless something in it was escaped.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The members of an object as they came, each of them: `serde_json::Map` would keep the last of two
/// keys, and so hide that there are two.
struct Members<'a>(Vec<(Text<'a>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;

        impl<'de> Visitor<'de> for Each {
            type Value = Vec<(Text<'de>, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(Each).map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anew(text: &str) -> Result<String, &'static str> {
        rewrite(text, |_| (), |_, _| ())
    }

    #[test]
    fn what_one_reader_understands_as_another_is_written_anew() {
        for (text, expected) in [
            (" {\"topic\" : \"x\"}\r\n", r#"{"topic":"x"}"#),
            (r#"{"t":"\u0041\/\u00e9\n"}"#, "{\"t\":\"A/é\\n\"}"),
            (
                r#"{"a":[1,-0.0,1e400,12345678901234567890123,true,null,{"B c":[]}]}"#,
                r#"{"a":[1,-0.0,1e400,12345678901234567890123,true,null,{"B c":[]}]}"#,
            ),
        ] {
            assert_eq!(anew(text).as_deref(), Ok(expected), "{text}");
            assert_eq!(anew(expected).as_deref(), Ok(expected));
        }
        let mut heard = Vec::new();
        let told = |word: &str| heard.push(word.to_owned());
        let text = r#"{"a":{"b":["\u0063",1]}}"#;
        rewrite(text, told, |_, _| ()).expect("it is fine");
        assert_eq!(heard, ["a", "b", "c"]);
    }

    #[test]
    fn what_two_readers_could_understand_differently_is_refused() {
        let deep = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let long = |length| format!("{{\"{}\":1}}", "k".repeat(length));
        assert!(anew(&deep(MAX_DEPTH + 1)).is_ok());
        assert!(anew(&long(MAX_NAME)).is_ok());
        for text in [
            "",
            r#"{"topic":"x""#,
            r#"{"topic":"x",}"#,
            r#"{"topic":"x"} ,"#,
            r#"{"topic":"x"}{"topic":"y"}"#,
            "{\"topic\":\"x\"}\u{b}",
            "\u{feff}{\"topic\":\"x\"}",
            r#"{'topic':'x'}"#,
            r#"{topic:"x"}"#,
            r#"{"topic":"x"/**/}"#,
            r#"{"a":01}"#,
            r#"{"a":+1}"#,
            r#"{"a":NaN}"#,
            r#"{"a":"\ud800"}"#,
            "{\"a\":\"\t\"}",
            r#"{"a":"\u0000"}"#,
            r#"{"a\u0000":1}"#,
            r#"{"a":{"b\u0000":1}}"#,
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":1}"#,
            r#"{"a":{"b":1,"B":1}}"#,
            r#"{"a":[{"b":1,"b":1}]}"#,
            r#"{"Topic":"x"}"#,
            r#"{"":1}"#,
            r#"{"a":{"":1}}"#,
            r#"{"\u017ftatus":1}"#,
            r#"{"\u212a":1}"#,
            r#"{"a":{"\u017ftatus":1}}"#,
            &deep(MAX_DEPTH + 2),
            &"[".repeat(16_000),
            &long(MAX_NAME + 1),
        ] {
            assert!(anew(text).is_err(), "{text}");
        }
    }

    #[test]
    fn whatever_may_be_taken_for_json_begins_as_json() {
        for text in ["{", " \r\n\t{}", "\u{feff}[", "\u{1}\u{b}\"x\"", "\u{a0}{"] {
            assert!(begins_as_json(text), "{text:?}");
        }
        for text in ["", " ", "x{", "7b7d", "'{'"] {
            assert!(!begins_as_json(text), "{text:?}");
        }
    }
}
