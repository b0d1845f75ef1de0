//! Requests that browsers, rebound names, proxies and programs send to an open listener, and the
//! verdict on each.

use super::*;

fn verdict_in(
    form: &Form,
    placeholder_hosts: bool,
    headers: &[(&'static str, &str)],
) -> Result<bool, ErrorKind> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(
            HeaderName::from_static(name),
            value.parse().expect("valid header"),
        );
    }
    let allowed = Allowed {
        origins: vec!["https://console.example".parse().expect("valid origin")],
        placeholder_hosts,
    };
    check(&map, form, &allowed)
        .map(|origin| origin.is_some())
        .map_err(|error| error.kind())
}

fn verdict(headers: &[(&'static str, &str)]) -> Result<bool, ErrorKind> {
    verdict_in(&Form::Origin, false, headers)
}

const REFUSED: Result<bool, ErrorKind> = Err(ErrorKind::Forbidden);

/// Headers that browsers send by themselves, one of these at least with every request.
const OF_BROWSERS: [(&str, &str); 12] = [
    ("origin", "http://ipc.p2p.com"),
    ("origin", "https://console.example"),
    ("sec-fetch-site", "same-origin"),
    ("sec-fetch-site", "none"),
    ("sec-fetch-mode", "cors"),
    ("sec-ch-ua", "\"Chromium\";v=\"156\""),
    ("referer", "http://ipc.p2p.com/page"),
    ("cookie", "a=b"),
    ("accept-language", "en"),
    ("upgrade-insecure-requests", "1"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64)"),
    ("user-agent", " mozilla/4.0"),
];

#[test]
fn hosts() {
    for host in [
        "127.0.0.1:34567",
        "127.0.0.1",
        "127.1",
        "2130706433",
        "[::1]:80",
        "[::1]",
        "[::ffff:127.0.0.1]:1",
        "localhost",
        "localhost:",
        "LOCALHOST:1",
        "localhost.",
        "192.168.1.5",
        "camera.localhost",
        "camera.localhost.:80",
    ] {
        assert_eq!(verdict(&[("host", host)]), Ok(false), "{host}");
    }
    for host in [
        "0.0.0.0:1",
        "0",
        "[::]:1",
        "[::ffff:0.0.0.0]",
        "[fe80::1%eth0]",
        "evil.example",
        "evil.example.",
        "localhost.evil.example",
        "user@127.0.0.1",
        "127.0.0.1:80:80",
        "127.0.0.1, evil.example",
        "",
        "xnet",
        "notlocalhost",
        "ipc.p2p.com.evil.example",
        "127.0.0.1.evil.example",
    ] {
        for form in [Form::Origin, Form::Absolute(None)] {
            let verdict = verdict_in(&form, true, &[("host", host)]);
            assert_eq!(verdict, REFUSED, "{host}");
        }
    }
    assert_eq!(verdict(&[]), Err(ErrorKind::BadRequest));
    for second in ["localhost", "evil.example"] {
        let headers = [("host", "localhost"), ("host", second), ("host", "x")];
        assert_eq!(verdict(&headers[..2]), Err(ErrorKind::BadRequest));
        assert_eq!(verdict(&headers), Err(ErrorKind::BadRequest));
    }
}

#[test]
fn placeholder_hosts_stand_in_whole_urls() {
    for host in [
        "ipc.p2p.com",
        "IPC.P2P.COM:34567",
        "ipc.p2p.com.",
        "peer1.xnet",
        "peer1.xnet.",
        "XP2Pabc%2.4.46.xnet:80",
    ] {
        let with = |form: &Form, placeholder_hosts, more: &[(&'static str, &'static str)]| {
            let headers = [&[("host", host)], more].concat();
            verdict_in(form, placeholder_hosts, &headers)
        };
        let player = [("user-agent", "Lavf/61.7.100"), ("accept", "*/*")];
        for more in [&[][..], &player] {
            assert_eq!(
                with(&Form::Absolute(None), false, more),
                Ok(false),
                "{host}"
            );
            assert_eq!(with(&Form::Origin, false, more), REFUSED, "{host}");
            assert_eq!(with(&Form::Origin, true, more), Ok(false), "{host}");
        }
        for told in OF_BROWSERS {
            for form in [Form::Origin, Form::Absolute(None)] {
                for placeholder_hosts in [false, true] {
                    let verdict = with(&form, placeholder_hosts, &[told]);
                    assert_eq!(verdict, REFUSED, "{host} {told:?}");
                }
            }
        }
    }
}

#[test]
fn a_whole_url_says_whose_it_is_where_there_is_no_host() {
    let with = |authority: &str, headers: &[(&'static str, &str)]| {
        let form = Form::from_line(format!("GET http://{authority}/x HTTP/1.1\r\n").as_bytes());
        verdict_in(&form, false, headers)
    };
    for authority in [
        "ipc.p2p.com",
        "ipc.p2p.com:80",
        "XP2Pabc%2.4.46.xnet",
        "127.0.0.1:34567",
        "[::1]",
        "localhost",
    ] {
        assert_eq!(with(authority, &[]), Ok(false), "{authority}");
        let foreign = with(authority, &[("host", "evil.example")]);
        assert_eq!(foreign, REFUSED, "{authority}");
        let two = [("host", "localhost"), ("host", "localhost")];
        assert_eq!(with(authority, &two), Err(ErrorKind::BadRequest));
        let page = with(authority, &[("origin", "https://evil.example")]);
        assert_eq!(page, REFUSED, "{authority}");
    }
    for authority in [
        "evil.example",
        "0.0.0.0",
        "user@127.0.0.1",
        "127.0.0.1:80:80",
    ] {
        assert_eq!(with(authority, &[]), REFUSED, "{authority}");
    }
    for told in OF_BROWSERS {
        assert_eq!(with("ipc.p2p.com", &[told]), REFUSED, "{told:?}");
    }
    assert_eq!(with("", &[]), Err(ErrorKind::BadRequest));
    assert_eq!(with("", &[("host", "localhost")]), Ok(false));
}

#[test]
fn names_that_a_resolver_might_ask_the_network_for_are_not_for_browsers() {
    for host in ["evil.localhost", "localhost.", "a.localhost.:80"] {
        for told in OF_BROWSERS {
            let verdict = verdict(&[("host", host), told]);
            assert_eq!(verdict, REFUSED, "{host} {told:?}");
        }
    }
}

#[test]
fn a_browser_that_does_not_say_where_it_comes_from_stays_out() {
    let agent = ("user-agent", "Mozilla/5.0 (Windows NT 10.0; Win64; x64)");
    for host in ["192.168.1.5", "127.0.0.1", "localhost:34567"] {
        let with = |more| verdict(&[("host", host), agent, more]);
        assert_eq!(with(("accept", "*/*")), REFUSED, "no-referrer");
        assert_eq!(with(("upgrade-insecure-requests", "1")), REFUSED, "a link");
        assert_eq!(with(("sec-fetch-site", "none")), Ok(false), "typed");
        let page = format!("http://{host}/page");
        assert_eq!(with(("referer", &page)), Ok(false), "its own");
    }
    let player = ("user-agent", "VLC/3.0.20 LibVLC/3.0.20");
    let verdict = verdict(&[("host", "127.0.0.1"), player, ("accept-language", "en")]);
    assert_eq!(verdict, Ok(false));
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
