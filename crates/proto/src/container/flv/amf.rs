//! The part of AMF 0 that script tags need (FLV 10.1, E.4.4).

/// A value in a script tag.
pub(super) enum Value<'a> {
    Number(f64),
    Bool(bool),
    Text(&'a str),
}

/// `onMetaData` with an ECMA array of `entries`, as the payload of a script tag.
pub(super) fn on_metadata(entries: &[(&str, Value<'_>)]) -> Vec<u8> {
    script("onMetaData", entries)
}

/// `onStatus` with an ECMA array of `entries`.
pub(super) fn on_status(entries: &[(&str, Value<'_>)]) -> Vec<u8> {
    script("onStatus", entries)
}

fn script(name: &str, entries: &[(&str, Value<'_>)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    out.push(0x02);
    put_text(&mut out, name);
    out.push(0x08);
    out.extend_from_slice(&u32::try_from(entries.len()).unwrap_or(0).to_be_bytes());
    for (key, value) in entries {
        put_text(&mut out, key);
        match value {
            Value::Number(number) => {
                out.push(0x00);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Value::Bool(flag) => out.extend_from_slice(&[0x01, u8::from(*flag)]),
            Value::Text(text) => {
                out.push(0x02);
                put_text(&mut out, text);
            }
        }
    }
    out.extend_from_slice(&[0x00, 0x00, 0x09]);
    out
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).expect("metadata keys and values are short constants");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}
