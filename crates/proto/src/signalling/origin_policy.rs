//! Host, Origin and Fetch-Metadata checks of a listener without access control.
//!
//! Such a listener trusts the machine it runs on, so what must be kept out is everything that
//! reaches it *through* that machine without its owner's will: web pages, rebound names,
//! forwarded requests. `docs/protocol.md`, "Open listeners".

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    str::FromStr,
};

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use url::{Host, Url};

use crate::{
    error::{Error, ErrorKind},
    request_line::Form,
};

/// `X-Content-Type-Options`, which every answer has: a browser makes nothing else of it than what its
/// type says.
pub const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");

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

/// Exceptions of an open listener: callers it lets in beside programs of this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Web pages that may call it.
    pub origins: Vec<Origin>,
    /// `ipc.p2p.com` and names under `xnet` are good as a `Host` in origin form too.
    pub placeholder_hosts: bool,
}

/// Lets a request of this form in or not; a whole URL in its line says whose it is if it has no
/// `Host`. Gives the origin of the web page that made it, if one did
/// and may.
///
/// # Errors
/// [`ErrorKind::Forbidden`] or [`ErrorKind::BadRequest`], with the reason.
pub fn check<'a>(
    headers: &HeaderMap,
    form: &Form,
    allowed: &'a Allowed,
) -> Result<Option<&'a HeaderValue>, Error> {
    let mut told = RequestOrigin::from_headers(headers);
    told.host = told.host.or(form.host());
    check_host(&told, form, allowed)?;
    if let Some(name) = told.forwarded {
        return Err(forbidden(format!(
            "the request was forwarded (it has {name}); this listener is for programs on this machine only"
        )));
    }
    if let Some(origin) = told.origin {
        return match allowed.origins.iter().find(|Origin(known)| known == origin) {
            Some(Origin(known)) => Ok(Some(known)),
            None => Err(forbidden(
                "a web page may not use this listener unless allow_origins names its origin",
            )),
        };
    }
    let is_own = match (told.fetch_site, told.referer) {
        (Some(site), _) => matches!(site.as_bytes(), b"none" | b"same-origin"),
        // Fetch Metadata goes to trustworthy URLs only, and `http://192.168.1.5` is none; there, a
        // browser says where it comes from.
        (None, Some(page)) => is_page_of(page, told.host),
        // And that only if the page lets it: with `Referrer-Policy: no-referrer` nothing is left.
        (None, None) if told.is_of_mozilla => {
            return Err(forbidden(
                "a browser that does not say which page asks may not use this listener (over plain HTTP to an address of the network it never says so); a program that is none sends another User-Agent",
            ));
        }
        (None, None) => true,
    };
    if is_own {
        Ok(None)
    } else {
        Err(forbidden(
            "a web page of another site may not use this listener",
        ))
    }
}

/// Headers of a request that tell where it comes from; of each name the first.
#[derive(Default)]
struct RequestOrigin<'a> {
    host: Option<&'a HeaderValue>,
    has_more_hosts: bool,
    /// A header that proxies add.
    forwarded: Option<&'a HeaderName>,
    origin: Option<&'a HeaderValue>,
    fetch_site: Option<&'a HeaderValue>,
    referer: Option<&'a HeaderValue>,
    /// The user agent is named as all browsers are.
    is_of_mozilla: bool,
    /// A header that browsers send by themselves, and other programs hardly ever.
    of_browser: Option<&'a HeaderName>,
}

impl<'a> RequestOrigin<'a> {
    fn from_headers(headers: &'a HeaderMap) -> Self {
        let mut told = Self::default();
        // Most requests have few: reading them once is less than looking for each of these.
        for (name, value) in headers {
            let told_before = match name.as_str() {
                "host" => {
                    told.has_more_hosts |= told.host.is_some();
                    told.host.get_or_insert(value);
                    continue;
                }
                "via" | "forwarded" | "x-forwarded-for" | "x-forwarded-host"
                | "x-forwarded-proto" | "x-real-ip" => {
                    told.forwarded = Some(name);
                    continue;
                }
                "user-agent" if is_mozilla(value) => {
                    told.is_of_mozilla = true;
                    None
                }
                "cookie" | "accept-language" | "upgrade-insecure-requests" => None,
                "origin" => Some(&mut told.origin),
                "referer" => Some(&mut told.referer),
                "sec-fetch-site" => Some(&mut told.fetch_site),
                // Scripts cannot set these, nor keep the browser from sending them.
                name if name.starts_with("sec-") => None,
                _ => continue,
            };
            told.of_browser = Some(name);
            if let Some(told_before) = told_before {
                told_before.get_or_insert(value);
            }
        }
        told
    }
}

fn is_mozilla(user_agent: &HeaderValue) -> bool {
    const MOZILLA: &[u8] = b"mozilla/";
    let name = user_agent.as_bytes().trim_ascii_start();
    let name = name.get(..MOZILLA.len());
    name.is_some_and(|name| name.eq_ignore_ascii_case(MOZILLA))
}

/// Headers of an answer of this type that nobody keeps, and of which a browser makes nothing else.
pub fn headers(content_type: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
    headers
}

/// Lets the web page of this origin have an answer with these headers.
pub fn expose_to(origin: &HeaderValue, headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    // Or a cache would hand one page's permission to another (RFC 9110 §12.5.5).
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
}

/// Answers a browser's question whether an allowed page may make a request; these are the methods
/// that it may use.
pub fn preflight(methods: &'static str, asked: &HeaderMap) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
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
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
    if asked.contains_key("access-control-request-private-network") {
        headers.insert(
            "access-control-allow-private-network",
            HeaderValue::from_static("true"),
        );
    }
    response
}

/// Returns whether the page that made the request came from this listener.
fn is_page_of(page: &HeaderValue, host: Option<&HeaderValue>) -> bool {
    let authority = |text: &str| Url::parse(text).ok().map(|url| url.origin());
    let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
    page.to_str().ok().and_then(authority) == authority(&format!("http://{host}"))
}

/// A name that somebody's DNS made point here is refused, and one that it could make point here is
/// refused from browsers: the page may be of that very name.
fn check_host(told: &RequestOrigin<'_>, form: &Form, allowed: &Allowed) -> Result<(), Error> {
    let (Some(host), false) = (told.host, told.has_more_hosts) else {
        return Err(Error::bad_request(
            "the request needs exactly one Host header, or a whole URL in its line in place of it",
        ));
    };
    let kind = host.to_str().map_or(HostKind::Foreign, HostKind::of);
    match (kind, told.of_browser) {
        (HostKind::Foreign, _) => Err(forbidden(
            "the Host header is none that this listener answers to; use an IP address or localhost",
        )),
        (HostKind::Local | HostKind::Placeholder, Some(name)) => Err(forbidden(format!(
            "to a browser (the request has {name}) this listener answers by an IP address or localhost only: the network can make other names point here"
        ))),
        (HostKind::Placeholder, None) if *form == Form::Origin && !allowed.placeholder_hosts => {
            Err(forbidden(
                "a placeholder host is taken in a request line with a whole URL (GET http://ipc.p2p.com/ipc.flv HTTP/1.1) only; use an IP address or localhost, or allow_placeholder_hosts",
            ))
        }
        _ => Ok(()),
    }
}

/// Party that a `Host` header names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum HostKind {
    /// This machine, whatever anybody's DNS says.
    Fixed,
    /// This machine, but with some resolvers: they ask the network for all but `localhost` itself.
    Local,
    /// A host that apps write to mean the device. To a resolver these are names like any other.
    Placeholder,
    Foreign,
}

impl HostKind {
    fn of(authority: &str) -> Self {
        // Systems connect 0.0.0.0 and :: to this machine, and browsers have let pages of the network
        // do so although they keep them from 127.0.0.1. No program needs these as a name.
        let of_address = |is_unspecified: bool| {
            if is_unspecified {
                Self::Foreign
            } else {
                Self::Fixed
            }
        };
        // What nearly everybody sends needs no parser of names.
        let address = authority.parse::<Ipv4Addr>();
        let with_port = |_| authority.parse().map(|address: SocketAddrV4| *address.ip());
        if let Ok(address) = address.or_else(with_port) {
            return of_address(address.is_unspecified());
        }
        let name = match authority.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => authority,
        };
        match Host::parse(name) {
            Ok(Host::Ipv4(address)) => of_address(address.is_unspecified()),
            Ok(Host::Ipv6(address)) => of_address(address.to_canonical().is_unspecified()),
            // Browsers resolve `localhost` by themselves. RFC 6761 §6.3 asks the same for `localhost.`
            // and names below it, but some resolvers send these to the network's DNS.
            Ok(Host::Domain(name)) if name == "localhost" => Self::Fixed,
            Ok(Host::Domain(name)) => match name.trim_end_matches('.') {
                "localhost" => Self::Local,
                "ipc.p2p.com" => Self::Placeholder,
                name if name.ends_with(".localhost") => Self::Local,
                name if name.ends_with(".xnet") => Self::Placeholder,
                _ => Self::Foreign,
            },
            // Peer information in a placeholder host holds characters that no real name has.
            Err(_) if name.to_ascii_lowercase().ends_with(".xnet") => Self::Placeholder,
            Err(_) => Self::Foreign,
        }
    }
}

fn forbidden(reason: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Forbidden, reason)
}

#[cfg(test)]
mod tests;
