//! The query string of the signalling: free order, two spellings of a command's text.
//!
//! A value is percent-decoded strictly and must be UTF-8; `+` stays a plus. `cmd` is special,
//! because stock panels put raw JSON there: a value that begins with `{` runs to the brace that
//! closes it, whatever `&` or `=` it holds, and a stray `%` in it is taken as it stands. Others have
//! it written by an encoder for forms, for which a space is `+`.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use crate::{
    error::{Error, ErrorKind},
    media::{ChannelId, Quality},
};

/// The longest query string, in bytes before decoding.
const MAX_QUERY: usize = 16 * 1024;

/// Parameters in the order they came. Keys are case-sensitive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    /// Reads a query string without its `?`.
    ///
    /// # Errors
    /// [`Error::bad_request`] for broken percent-encoding, bytes that are not UTF-8, a NUL, or a
    /// query beyond 16 KiB.
    pub fn parse(text: &'a str) -> Result<Self, Error> {
        if text.len() > MAX_QUERY {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "the parameters have {} bytes; at most {MAX_QUERY} are read",
                    text.len()
                ),
            ));
        }
        // Commands have a handful.
        let mut parameters = Vec::with_capacity(if text.is_empty() { 0 } else { 8 });
        // Most have nothing that is encoded: seen once for all parts.
        let is_plain = text.bytes().all(is_plain);
        let as_it_is = |part: &'a str| is_plain.then_some(Cow::Borrowed(part)).map(Ok);
        let decode = |part| as_it_is(part).unwrap_or_else(|| decode(part));
        let decode_leniently = |part| as_it_is(part).unwrap_or_else(|| decode_leniently(part));
        let mut rest = text;
        while !rest.is_empty() {
            let (pair, after) = match json_value(rest) {
                Some((key, json, after)) => ((key, decode_leniently(json)?), after),
                None => {
                    let (pair, after) = split(rest, b'&');
                    let (key, value) = split(pair, b'=');
                    let value = if key == "cmd" && is_form_encoded(value) {
                        Cow::Owned(decode_form(value)?)
                    } else {
                        decode(value)?
                    };
                    ((key, value), after)
                }
            };
            let (key, value) = pair;
            if !key.is_empty() {
                parameters.push((decode(key)?, value));
            }
            rest = after;
        }
        Ok(Self(parameters))
    }

    /// The value of `key`.
    ///
    /// # Errors
    /// [`Error::bad_request`] if it stands there twice: which one counts must never be a guess.
    pub fn value(&self, key: &str) -> Result<Option<&str>, Error> {
        #[cfg(test)]
        super::documented::note_read(key);
        let pairs = self.0.iter();
        let mut values = pairs
            .filter(|(name, _)| name.as_ref() == key)
            .map(|(_, value)| value.as_ref());
        let value = values.next();
        if values.next().is_some() {
            return Err(Error::bad_request(format!(
                "the parameter {key} stands there twice"
            )));
        }
        Ok(value)
    }

    /// The value under the first of several spellings that is present.
    ///
    /// # Errors
    /// As [`Query::value`].
    pub fn value_of_any(&self, keys: &[&str]) -> Result<Option<&str>, Error> {
        for key in keys {
            if let Some(value) = self.value(key)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// The parameter `channel`; 0 if it is missing.
    ///
    /// # Errors
    /// [`Error::bad_request`] if it is no number from 0 to 65535.
    pub fn channel(&self) -> Result<ChannelId, Error> {
        match self.value("channel")? {
            None | Some("") => Ok(ChannelId::default()),
            Some(text) => text.parse().map(ChannelId).map_err(|_| {
                Error::bad_request("the parameter channel is a whole number from 0 to 65535")
            }),
        }
    }

    /// The parameter `quality`; high if it is missing. The misspelling `qualtity` is read too,
    /// because a client in the field sends it.
    ///
    /// # Errors
    /// [`Error::bad_request`] if it is none of the three words.
    pub(crate) fn quality(&self) -> Result<Quality, Error> {
        match self.value_of_any(&["quality", "qualtity"])? {
            None | Some("") => Ok(Quality::default()),
            Some(word) => word
                .parse()
                .map_err(|error| Error::bad_request(format!("the parameter {error}"))),
        }
    }
}

/// Splits at the first `mark`, an ASCII byte, which is in neither half. Texts are too short for a
/// search that prepares itself.
fn split(text: &str, mark: u8) -> (&str, &str) {
    match text.bytes().position(|byte| byte == mark) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, ""),
    }
}

/// If `rest` begins with `cmd={…}`, gives key, raw JSON and what follows its `&`.
fn json_value(rest: &str) -> Option<(&'static str, &str, &str)> {
    let value = rest.strip_prefix("cmd=")?;
    if !value.starts_with('{') {
        return None;
    }
    // The closing brace ends the value only if the query or the pair ends there too. Damaged JSON runs
    // to the end of the query: no part of it may be read as a parameter of its own.
    let end =
        end_of_object(value).filter(|&end| matches!(value.as_bytes().get(end), None | Some(b'&')));
    let (json, after) = value.split_at(end.unwrap_or(value.len()));
    Some(("cmd", json, after.strip_prefix('&').unwrap_or(after)))
}

/// Returns the offset just behind the JSON object at the start of `text`.
fn end_of_object(text: &str) -> Option<usize> {
    let mut depth = 0_u32;
    for Mark { byte, end, .. } in marks(text) {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(end);
                }
            }
            _ => {}
        }
    }
    None
}

/// Returns whether a JSON object was written by an encoder for forms, to which `+` is a space and a
/// plus `%2B`. Two signs of it: brace and colons are encoded, where others leave the colons as they
/// are; or a `+` stands between tokens, where a plus cannot.
fn is_form_encoded(value: &str) -> bool {
    let has_encoded_brace = value
        .get(..3)
        .is_some_and(|start| start.eq_ignore_ascii_case("%7B"));
    if !has_encoded_brace || !value.contains('+') {
        return false;
    }
    // A plus between tokens is a number's exponent (`1e+5`, RFC 8259 §6), or it was a space.
    let mut before = [0; 2];
    let stands_between = marks(value).any(|Mark { byte, is_raw, .. }| {
        let is_of_number = matches!(before, [b'0'..=b'9', b'e' | b'E']);
        before = [before[1], byte];
        is_raw && byte == b'+' && !is_of_number
    });
    stands_between || !value.contains(':')
}

/// A byte of JSON that stands outside of its strings.
struct Mark {
    byte: u8,
    /// Set if the byte stands unencoded, for itself.
    is_raw: bool,
    /// Offset behind the byte, or behind its percent-encoded triple.
    end: usize,
}

/// The bytes of JSON but those in strings, be they and the quotes raw or percent-encoded.
fn marks(text: &str) -> impl Iterator<Item = Mark> {
    let bytes = text.as_bytes();
    let (mut in_string, mut at) = (false, 0);
    std::iter::from_fn(move || {
        loop {
            let encoded = || bytes.get(at + 1..at + 3).and_then(hex_pair);
            let (byte, is_raw, width) = match *bytes.get(at)? {
                b'%' => encoded().map_or((b'%', true, 1), |byte| (byte, false, 3)),
                byte => (byte, true, 1),
            };
            at += width;
            // An escaped quote does not end a string; it may itself be percent-encoded (`\%22`).
            match byte {
                b'\\' if in_string => at += escaped_width(&bytes[at..]),
                b'"' => in_string = !in_string,
                _ if in_string => {}
                byte => {
                    return Some(Mark {
                        byte,
                        is_raw,
                        end: at,
                    });
                }
            }
        }
    })
}

fn escaped_width(rest: &[u8]) -> usize {
    match rest.first() {
        Some(b'%') if rest.get(1..3).and_then(hex_pair).is_some() => 3,
        Some(_) => 1,
        None => 0,
    }
}

fn hex_pair(pair: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let [high, low] = pair else { return None };
    u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
}

fn is_plain(byte: u8) -> bool {
    byte != b'%' && byte != 0
}

fn decode(text: &str) -> Result<Cow<'_, str>, Error> {
    if text.bytes().all(is_plain) {
        return Ok(Cow::Borrowed(text));
    }
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|&byte| byte == b'%') {
        if rest.get(at + 1..at + 3).and_then(hex_pair).is_none() {
            return Err(Error::bad_request(
                "a % in the query is not followed by two hex digits",
            ));
        }
        rest = &rest[at + 3..];
    }
    decode_leniently(text)
}

/// Decodes what an encoder for forms has written.
fn decode_form(text: &str) -> Result<String, Error> {
    Ok(decode(&text.replace('+', "%20"))?.into_owned())
}

fn decode_leniently(text: &str) -> Result<Cow<'_, str>, Error> {
    let decoded = percent_decode(text.as_bytes()).decode_utf8();
    let decoded =
        decoded.map_err(|_| Error::bad_request("the query is not UTF-8 after percent-decoding"))?;
    if decoded.contains('\0') {
        return Err(Error::bad_request("the query holds a NUL byte"));
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn order_is_free_and_empty_pairs_vanish() {
        let query = Query::parse("&b=2&&a=%E4%BD%A0+1&flag&=x").expect("valid query");
        assert_eq!(query.value("a"), Ok(Some("你+1")));
        assert_eq!(query.value("b"), Ok(Some("2")));
        assert_eq!(query.value("flag"), Ok(Some("")));
        assert_eq!(query.value("c"), Ok(None));
    }

    #[test]
    fn json_after_cmd_runs_to_its_closing_brace() {
        for (text, cmd, channel) in [
            (
                r#"cmd={"a":"x&y=}","b":{}}&channel=2"#,
                r#"{"a":"x&y=}","b":{}}"#,
                Some("2"),
            ),
            (
                r"channel=1&cmd={%22a%22:%22x&%5C%22}%22}",
                r#"{"a":"x&\"}"}"#,
                Some("1"),
            ),
            (r#"cmd={"p":"50%"}"#, r#"{"p":"50%"}"#, None),
            (
                r#"cmd={"broken":1&channel=3"#,
                r#"{"broken":1&channel=3"#,
                None,
            ),
            (r#"cmd={"a":1}x&channel=3"#, r#"{"a":1}x&channel=3"#, None),
            ("cmd=%7B%22a%22%3A1%7D&channel=4", r#"{"a":1}"#, Some("4")),
        ] {
            let query = Query::parse(text).expect(text);
            assert_eq!(query.value("cmd"), Ok(Some(cmd)), "{text}");
            assert_eq!(query.value("channel"), Ok(channel), "{text}");
        }
    }

    #[test]
    fn a_plus_of_an_encoder_for_forms_is_a_space() {
        let spaced = r#"{"topic": "version", "data": {"text": "a b+c"}}"#;
        let cases = [
            // HTML forms, URLSearchParams, Python's requests.
            (
                "%7B%22topic%22%3A+%22version%22%2C+%22data%22%3A+%7B%22text%22%3A+%22a+b%2Bc%22%7D%7D",
                spaced,
            ),
            // Python's aiohttp leaves some signs as they are.
            (
                "%7B%22topic%22:+%22version%22,+%22data%22:+%7B%22text%22:+%22a+b%2Bc%22%7D%7D",
                spaced,
            ),
            (
                "%7B%22a%22:true+,%22b%22:%22c+d%22%7D",
                r#"{"a":true ,"b":"c d"}"#,
            ),
            ("%7b%22a%22%3a%22b+c%22%7d", r#"{"a":"b c"}"#),
            ("%7B%22a%22%3A1e%2B5%7D", r#"{"a":1e+5}"#),
            ("%7B+%22a+%5C%22%2B%22%3A1%7D", r#"{ "a \"+":1}"#),
            // encodeURI and encodeURIComponent: no space is a plus.
            (
                "%7B%22a%22:%22b+c%22,%22d%22:1e+5%7D",
                r#"{"a":"b+c","d":1e+5}"#,
            ),
            ("%7B%22a%22%3A%22b%2Bc%20d%22%7D", r#"{"a":"b+c d"}"#),
            // Raw JSON, and what is none.
            (r#"{"a":+"b+c"}"#, r#"{"a":+"b+c"}"#),
            ("{%22a%22%3A+%22b+c%22}", r#"{"a":+"b+c"}"#),
            ("a+b", "a+b"),
            ("%61+%7B%7D", "a+{}"),
        ];
        for (cmd, expected) in cases {
            let text = format!("x=+&cmd={cmd}&file_name=a+b");
            let query = Query::parse(&text).expect(cmd);
            assert_eq!(query.value("cmd"), Ok(Some(expected)), "{cmd}");
            assert_eq!(query.value("x"), Ok(Some("+")));
            assert_eq!(query.value("file_name"), Ok(Some("a+b")));
        }
        let broken = Query::parse("cmd=%7B%22a%22%3A+%zz%7D");
        assert!(broken.is_err());
    }

    #[test]
    fn broken_input_is_refused_with_a_reason() {
        for (text, word) in [
            ("a=%", "hex"),
            ("a=%2", "hex"),
            ("a=%zz", "hex"),
            ("a=%ff", "UTF-8"),
            ("a=%00", "NUL"),
        ] {
            let error = Query::parse(text).expect_err(text);
            assert!(error.reason().contains(word), "{text}: {error}");
        }
        let twice = Query::parse("a=1&a=2").expect("parses");
        assert!(twice.value("a").is_err());
        assert!(Query::parse(&"x".repeat(MAX_QUERY + 1)).is_err());
    }

    proptest! {
        #[test]
        fn never_panics(text in any::<String>(), prefix in prop_oneof![Just(""), Just("cmd={")]) {
            let _ = Query::parse(&format!("{prefix}{text}"));
        }

        #[test]
        fn what_is_encoded_comes_back(value in any::<String>().prop_filter("NUL is refused", |v| !v.contains('\0'))) {
            let encoded = percent_encoding::utf8_percent_encode(&value, percent_encoding::NON_ALPHANUMERIC);
            let text = format!("x=1&cmd={encoded}&y=2");
            let query = Query::parse(&text).expect("valid query");
            prop_assert_eq!(query.value("cmd"), Ok(Some(value.as_str())));
            prop_assert_eq!(query.value("y"), Ok(Some("2")));
        }
    }
}
