//! Who may knock on a listener without access control.
//!
//! Such a listener trusts the machine it runs on, so what must be kept out is everything that
//! reaches it *through* that machine without its owner's will: web pages, rebound names,
//! forwarded requests. `docs/protocol.md`, "Open listeners".

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    str::FromStr,
};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use url::{Host, Url};

use crate::error::{Error, ErrorKind};

/// A web origin in the form in which browsers send it: `https://console.example`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(HeaderValue);

/// The text is no web origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an origin is scheme and host, such as \"https://console.example\" or \"http://localhost:8080\""
)]
pub struct ParseOriginError;

impl FromStr for Origin {
    type Err = ParseOriginError;

    fn from_str(text: &str) -> Result<Self, ParseOriginError> {
        let url = Url::parse(text).map_err(|_| ParseOriginError)?;
        let origin = url.origin().ascii_serialization();
        let is_bare = text.trim_end_matches('/').eq_ignore_ascii_case(&origin);
        if !matches!(url.scheme(), "http" | "https") || !is_bare {
            return Err(ParseOriginError);
        }
        HeaderValue::from_str(&origin)
            .map(Self)
            .map_err(|_| ParseOriginError)
    }
}

/// Lets a request in or not. Gives the origin of the web page that made it, if one did and may.
/// # Errors
/// [`ErrorKind::Forbidden`] or [`ErrorKind::BadRequest`], with the reason.
pub fn check<'a>(
    headers: &HeaderMap,
    allowed: &'a [Origin],
) -> Result<Option<&'a HeaderValue>, Error> {
    let told = Told::of(headers);
    check_host(&told)?;
    if let Some(name) = told.forwarded {
        return Err(forbidden(format!(
            "the request was forwarded (it has {name}); this listener is for programs on this machine only"
        )));
    }
    if let Some(origin) = told.origin {
        return match allowed.iter().find(|Origin(allowed)| allowed == origin) {
            Some(Origin(allowed)) => Ok(Some(allowed)),
            None => Err(forbidden(
                "a web page may not use this listener unless allow_origins names its origin",
            )),
        };
    }
    match told.fetch_site.map(HeaderValue::as_bytes) {
        Some(b"none" | b"same-origin") => Ok(None),
        // Browsers say nothing of the kind to a plain address of the network, but where they come
        // from.
        None if told.referer.is_none_or(|page| is_page_of(page, told.host)) => Ok(None),
        _ => Err(forbidden(
            "a web page of another site may not use this listener",
        )),
    }
}

/// What the headers of a request say about where it comes from; of each the first.
#[derive(Default)]
struct Told<'a> {
    host: Option<&'a HeaderValue>,
    has_more_hosts: bool,
    /// A header that proxies add.
    forwarded: Option<&'a HeaderName>,
    origin: Option<&'a HeaderValue>,
    fetch_site: Option<&'a HeaderValue>,
    referer: Option<&'a HeaderValue>,
}

impl<'a> Told<'a> {
    fn of(headers: &'a HeaderMap) -> Self {
        let mut told = Self::default();
        // Most requests have few: reading them once is less than looking for each of these.
        for (name, value) in headers {
            let told_before = match name.as_str() {
                "host" => {
                    told.has_more_hosts = told.host.is_some();
                    &mut told.host
                }
                "origin" => &mut told.origin,
                "sec-fetch-site" => &mut told.fetch_site,
                "referer" => &mut told.referer,
                "via" | "forwarded" | "x-forwarded-for" | "x-forwarded-host"
                | "x-forwarded-proto" | "x-real-ip" => {
                    told.forwarded = Some(name);
                    continue;
                }
                _ => continue,
            };
            told_before.get_or_insert(value);
        }
        told
    }
}

/// The headers that answer a browser's question whether an allowed page may make a request; these
/// are the methods that it may use.
pub fn preflight(methods: &'static str, asked: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static(methods),
    );
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("Content-Type, Range"),
    );
    headers.insert(
        header::ACCESS_CONTROL_MAX_AGE,
        HeaderValue::from_static("600"),
    );
    if asked.contains_key("access-control-request-private-network") {
        headers.insert(
            "access-control-allow-private-network",
            HeaderValue::from_static("true"),
        );
    }
    headers
}

/// Whether the page that made the request came from this listener.
fn is_page_of(page: &HeaderValue, host: Option<&HeaderValue>) -> bool {
    let authority = |text: &str| Url::parse(text).ok().map(|url| url.origin());
    let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
    page.to_str().ok().and_then(authority) == authority(&format!("http://{host}"))
}

/// A name that somebody's DNS made point here is refused; IP literals and the placeholders that
/// apps use cannot be such names.
fn check_host(told: &Told<'_>) -> Result<(), Error> {
    let (Some(host), false) = (told.host, told.has_more_hosts) else {
        return Err(Error::bad_request(
            "the request needs exactly one Host header",
        ));
    };
    if host.to_str().is_ok_and(is_trusted_host) {
        return Ok(());
    }
    Err(forbidden(
        "the Host header is none that this listener answers to; use an IP address, localhost, ipc.p2p.com or a name under xnet",
    ))
}

fn is_trusted_host(authority: &str) -> bool {
    // What nearly everybody sends needs no parser of names.
    let address = authority.parse::<Ipv4Addr>();
    let with_port = |_| authority.parse().map(|address: SocketAddrV4| *address.ip());
    if let Ok(address) = address.or_else(with_port) {
        return !address.is_unspecified();
    }
    let name = match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => authority,
    };
    match Host::parse(name) {
        Ok(Host::Ipv4(address)) => !address.is_unspecified(),
        Ok(Host::Ipv6(address)) => !address.is_unspecified(),
        Ok(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            matches!(name, "localhost" | "ipc.p2p.com")
                || name.ends_with(".xnet")
                || name.ends_with(".localhost")
        }
        // Peer information in a placeholder host holds characters that no real name has.
        Err(_) => name.to_ascii_lowercase().ends_with(".xnet"),
    }
}

fn forbidden(reason: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Forbidden, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(headers: &[(&'static str, &str)]) -> Result<bool, ErrorKind> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                HeaderName::from_static(name),
                value.parse().expect("valid header"),
            );
        }
        let allowed = ["https://console.example".parse().expect("valid origin")];
        check(&map, &allowed)
            .map(|origin| origin.is_some())
            .map_err(|error| error.kind())
    }

    #[test]
    fn hosts() {
        for host in [
            "127.0.0.1:34567",
            "127.0.0.1",
            "[::1]:80",
            "[::1]",
            "localhost",
            "LOCALHOST:1",
            "localhost.",
            "ipc.p2p.com",
            "peer1.xnet",
            "XP2Pabc%2.4.46.xnet:80",
            "192.168.1.5",
            "camera.localhost",
        ] {
            assert_eq!(verdict(&[("host", host)]), Ok(false), "{host}");
        }
        for host in [
            "0.0.0.0:1",
            "[::]:1",
            "evil.example",
            "localhost.evil.example",
            "xnet",
            "ipc.p2p.com.evil.example",
            "127.0.0.1.evil.example",
        ] {
            assert_eq!(
                verdict(&[("host", host)]),
                Err(ErrorKind::Forbidden),
                "{host}"
            );
        }
        assert_eq!(verdict(&[]), Err(ErrorKind::BadRequest));
        assert_eq!(
            verdict(&[("host", "localhost"), ("host", "localhost")]),
            Err(ErrorKind::BadRequest)
        );
    }

    #[test]
    fn web_pages_stay_out_unless_allowed() {
        let with = |name, value| verdict(&[("host", "127.0.0.1"), (name, value)]);
        assert_eq!(with("origin", "https://console.example"), Ok(true));
        for origin in [
            "https://evil.example",
            "null",
            "http://console.example",
            "https://console.example:444",
        ] {
            assert_eq!(
                with("origin", origin),
                Err(ErrorKind::Forbidden),
                "{origin}"
            );
        }
        assert_eq!(with("referer", "http://127.0.0.1/page"), Ok(false));
        for page in [
            "http://127.0.0.1:8080/page",
            "http://evil.example/",
            "nonsense",
        ] {
            assert_eq!(with("referer", page), Err(ErrorKind::Forbidden), "{page}");
        }
        assert_eq!(with("sec-fetch-site", "none"), Ok(false));
        assert_eq!(with("sec-fetch-site", "same-origin"), Ok(false));
        assert_eq!(
            with("sec-fetch-site", "cross-site"),
            Err(ErrorKind::Forbidden)
        );
        assert_eq!(
            with("sec-fetch-site", "same-site"),
            Err(ErrorKind::Forbidden)
        );
    }

    #[test]
    fn forwarded_requests_stay_out() {
        for name in [
            "via",
            "forwarded",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-real-ip",
        ] {
            assert_eq!(
                verdict(&[("host", "127.0.0.1"), (name, "x")]),
                Err(ErrorKind::Forbidden),
                "{name}"
            );
        }
    }

    #[test]
    fn origins_are_parsed() {
        for (text, origin) in [
            ("https://console.example", "https://console.example"),
            ("http://LOCALHOST:8080/", "http://localhost:8080"),
        ] {
            assert_eq!(text.parse::<Origin>().expect(text).0, origin);
        }
        for text in [
            "",
            "*",
            "null",
            "console.example",
            "https://a.example/path",
            "file:///x",
            "ftp://a.example",
        ] {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
    }
}
