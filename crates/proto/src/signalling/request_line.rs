//! Repairs the first request line of a connection so that an HTTP parser takes it.
//!
//! Stock app panels append raw JSON to the target (`POST /command?…&cmd={"topic":"ptz"} HTTP/1.1`)
//! and some clients send the absolute form (`GET http://ipc.p2p.com/ipc.flv?… HTTP/1.1`). HTTP
//! parsers refuse the first outright and keep the placeholder host of the second. This rewrites
//! both, and leaves every line that a parser takes anyway untouched to the byte.

use std::{borrow::Cow, cell::Cell};

use http::HeaderValue;
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

/// The longest first line that is looked at, in bytes. A longer one is left to the HTTP parser,
/// whose head limit refuses it.
pub const MAX_REQUEST_LINE: usize = 12 * 1024;

/// Characters that `http::Uri` refuses in a path or query, plus `#`, which it silently cuts at: a
/// client never sends a fragment, but JSON may hold the character.
const REFUSED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'#');

/// Form of a request target (RFC 9112 §3.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Origin form: a path, as sent to a server; the `Host` header alone names the server.
    #[default]
    Origin,
    /// Absolute form: a whole URL, as sent to a proxy. No page can have a browser write this to a
    /// server. Holds the authority of the URL, which counts where there is no `Host` header.
    Absolute(Option<HeaderValue>),
}

impl Form {
    /// Returns the form of a line before [`rewrite`], which takes the difference away.
    pub fn from_line(line: &[u8]) -> Self {
        match split(line).and_then(|parts| after_scheme(parts.target)) {
            Some(rest) => Self::absolute(authority(rest)),
            None => Self::Origin,
        }
    }

    /// Returns the form of a request whose line was not rewritten.
    fn from_uri(uri: &http::Uri) -> Self {
        match uri.scheme() {
            Some(_) => Self::absolute(uri.authority().map_or("", |name| name.as_str()).as_bytes()),
            None => Self::Origin,
        }
    }

    fn absolute(authority: &[u8]) -> Self {
        let named = Some(authority).filter(|name| !name.is_empty());
        Self::Absolute(named.and_then(|name| HeaderValue::from_bytes(name).ok()))
    }

    /// Returns the authority that counts where there is no `Host` header.
    pub(super) fn host(&self) -> Option<&HeaderValue> {
        match self {
            Self::Absolute(host) => host.as_ref(),
            Self::Origin => None,
        }
    }
}

/// The forms of the requests of one connection, of which the first was read before the HTTP parser
/// could.
pub struct Forms(Cell<Form>);

impl Forms {
    /// Starts a connection whose first line has this form.
    pub fn beginning_with(first: Form) -> Self {
        Self(Cell::new(first))
    }

    /// Returns the form of the next request, which the parser took to be for `uri`.
    pub fn next(&self, uri: &http::Uri) -> Form {
        match self.0.take() {
            Form::Origin => Form::from_uri(uri),
            // Only the first line was rewritten; from then on `take` leaves `Origin`.
            absolute => absolute,
        }
    }
}

/// The line as an HTTP parser takes it: borrowed if it already was, owned if it was rewritten.
///
/// `line` is one whole line with its line feed. What is no request line at all comes back
/// unchanged: the HTTP parser is the one to refuse it.
pub fn rewrite(line: &[u8]) -> Cow<'_, [u8]> {
    let Some(parts) = split(line) else {
        return Cow::Borrowed(line);
    };
    let target = origin_form(parts.target);
    let encoded: Cow<'_, str> = percent_encode(target, REFUSED).into();
    let length_as_is = parts.method.len() + encoded.len() + parts.version_and_end.len() + 2;
    let keeps_as_is = target.len() == parts.target.len() && encoded.len() == target.len();
    // It is longer with spaces around the target, which parsers refuse too.
    if keeps_as_is && line.len() == length_as_is {
        return Cow::Borrowed(line);
    }
    let mut out = Vec::with_capacity(encoded.len() + line.len() - parts.target.len() + 1);
    out.extend_from_slice(parts.method);
    out.push(b' ');
    if !encoded.starts_with('/') {
        out.push(b'/');
    }
    out.extend_from_slice(encoded.as_bytes());
    out.push(b' ');
    out.extend_from_slice(parts.version_and_end);
    Cow::Owned(out)
}

struct RequestLine<'a> {
    method: &'a [u8],
    target: &'a [u8],
    version_and_end: &'a [u8],
}

/// Splits at the first and the last space. RFC 9112 §3 allows two in all, but panels leave spaces in
/// their JSON, and these survive.
fn split(line: &[u8]) -> Option<RequestLine<'_>> {
    let first = line.iter().position(|&byte| byte == b' ')?;
    let last = line.iter().rposition(|&byte| byte == b' ')?;
    let method = &line[..first];
    let version_and_end = &line[last + 1..];
    if method.is_empty()
        || !method.iter().all(u8::is_ascii_uppercase)
        || !matches!(version_and_end.trim_ascii_end(), b"HTTP/1.0" | b"HTTP/1.1")
    {
        return None;
    }
    let target = line.get(first + 1..last)?.trim_ascii();
    let routable = target.starts_with(b"/") || after_scheme(target).is_some();
    routable.then_some(RequestLine {
        method,
        target,
        version_and_end,
    })
}

/// Cuts scheme and authority off an absolute-form target.
fn origin_form(target: &[u8]) -> &[u8] {
    let Some(rest) = after_scheme(target) else {
        return target;
    };
    // An empty path is sent as `/` (RFC 9112 §3.2.1); a query without a path gets its slash later.
    match &rest[authority(rest).len()..] {
        [] => b"/",
        target => target,
    }
}

/// The authority at the start of what stands behind a scheme.
fn authority(rest: &[u8]) -> &[u8] {
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?'));
    end.map_or(rest, |end| &rest[..end])
}

fn after_scheme(target: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"http://";
    let (scheme, rest) = target.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then_some(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rewritten(line: &str) -> String {
        String::from_utf8(rewrite(line.as_bytes()).into_owned()).expect("ASCII line")
    }

    #[test]
    fn lines_that_parsers_take_are_untouched() {
        for line in [
            "GET /ipc.flv?action=live&channel=0 HTTP/1.1\r\n",
            "POST /command?cmd={a} HTTP/1.0\n",
            "GET /x%20y?a=%zz HTTP/1.1\r\n",
            "OPTIONS * HTTP/1.1\r\n",
            "CONNECT host:80 HTTP/1.1\r\n",
            "PRI * HTTP/2.0\r\n",
            "garbage\r\n",
            "\r\n",
            " \n",
            "GET /only-two\r\n",
            "GET /a b HTTP/1.x\r\n",
        ] {
            assert!(
                matches!(rewrite(line.as_bytes()), Cow::Borrowed(_)),
                "{line:?}"
            );
        }
    }

    #[test]
    fn raw_json_is_percent_encoded() {
        assert_eq!(
            rewritten("POST /command?cmd={\"topic\":\"a b#<\u{e9}>\"} HTTP/1.1\r\n"),
            "POST /command?cmd={%22topic%22:%22a%20b%23%3C%C3%A9%3E%22} HTTP/1.1\r\n"
        );
        assert_eq!(
            rewritten("GET  /healthz  HTTP/1.1\r\n"),
            "GET /healthz HTTP/1.1\r\n"
        );
    }

    #[test]
    fn absolute_form_becomes_origin_form() {
        for (line, expected) in [
            (
                "GET http://ipc.p2p.com/ipc.flv?action=live HTTP/1.1\r\n",
                "GET /ipc.flv?action=live HTTP/1.1\r\n",
            ),
            ("GET HTTP://h:1/ HTTP/1.1\r\n", "GET / HTTP/1.1\r\n"),
            ("GET http://h HTTP/1.1\r\n", "GET / HTTP/1.1\r\n"),
            ("GET http://h?x=1 HTTP/1.1\r\n", "GET /?x=1 HTTP/1.1\r\n"),
        ] {
            assert_eq!(rewritten(line), expected);
        }
    }

    #[test]
    fn the_form_outlives_the_rewriting_for_one_request() {
        let absolute = |host: &str| Form::Absolute(Some(host.parse().expect(host)));
        for (line, form) in [
            (
                "GET http://ipc.p2p.com/ipc.flv HTTP/1.1\r\n",
                absolute("ipc.p2p.com"),
            ),
            ("GET  HTTP://h:80?x=\"1\" HTTP/1.0\n", absolute("h:80")),
            ("GET http://h HTTP/1.1\r\n", absolute("h")),
            ("GET http:///x HTTP/1.1\r\n", Form::Absolute(None)),
            ("GET http://a\u{1}b/x HTTP/1.1\r\n", Form::Absolute(None)),
            ("GET /ipc.flv HTTP/1.1\r\n", Form::Origin),
            ("GET /http://ipc.p2p.com/ HTTP/1.1\r\n", Form::Origin),
            ("GET //ipc.p2p.com/ HTTP/1.1\r\n", Form::Origin),
            ("GET /x?http://h HTTP/1.1\r\n", Form::Origin),
            ("\r\n", Form::Origin),
        ] {
            assert_eq!(Form::from_line(line.as_bytes()), form, "{line:?}");
        }
        let uri = |text: &str| text.parse::<http::Uri>().expect(text);
        let forms = Forms::beginning_with(absolute("x"));
        assert_eq!(forms.next(&uri("/ipc.flv")), absolute("x"), "rewritten");
        assert_eq!(forms.next(&uri("/ipc.flv")), Form::Origin, "the second");
        assert_eq!(
            forms.next(&uri("http://h:1/")),
            absolute("h:1"),
            "not rewritten"
        );
        assert_eq!(forms.next(&uri("h:80")), Form::Origin, "as of CONNECT");
    }

    proptest! {
        #[test]
        fn any_target_becomes_one_that_the_uri_parser_takes(target in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut line = b"POST /command?cmd=".to_vec();
            line.extend(target.iter().filter(|byte| **byte != b'\n'));
            line.extend_from_slice(b" HTTP/1.1\r\n");
            let rewritten = rewrite(&line);
            let text = std::str::from_utf8(&rewritten).expect("rewritten line is ASCII");
            let target = text.split(' ').nth(1).expect("three parts");
            prop_assert_eq!(text.split(' ').count(), 3);
            prop_assert!(target.parse::<http::Uri>().is_ok(), "{}", target);
        }

        #[test]
        fn never_panics_and_is_idempotent(line in proptest::collection::vec(any::<u8>(), 0..100)) {
            let once = rewrite(&line).into_owned();
            prop_assert_eq!(rewrite(&once).into_owned(), once.clone());
        }
    }
}
