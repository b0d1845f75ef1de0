//! The part of a device's answer that goes on to a player. A player may be a browser, in which the device is a
//! stranger.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::local_name;

/// `Content-Security-Policy`: what is shown after all may load, run and send nothing.
pub(super) const NOTHING: HeaderValue = HeaderValue::from_static("default-src 'none'; sandbox");

/// Headers whose values players need as they are; none of them makes a browser do anything.
const AS_THEY_ARE: [HeaderName; 5] = [
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::ACCEPT_RANGES,
    header::ETAG,
    header::ALLOW,
];

/// Types of what a device has to send. A browser runs nothing of these.
const TYPES: [&str; 9] = [
    "video/x-flv",
    "video/mp4",
    "image/jpeg",
    "audio/wav",
    "audio/aac",
    "application/json",
    "application/openmetrics-text",
    "text/plain",
    ANYTHING,
];

/// Content type of everything else.
const ANYTHING: &str = "application/octet-stream";

/// The status; one that is no end of a request is the device's mistake.
pub(super) fn status(status: u16) -> StatusCode {
    let status = StatusCode::from_u16(status).ok();
    let is_final = |status: &StatusCode| (200..600).contains(&status.as_u16());
    status.filter(is_final).unwrap_or(StatusCode::BAD_GATEWAY)
}

/// The headers.
pub(super) fn headers(of_device: &HeaderMap) -> HeaderMap {
    let known = AS_THEY_ARE.iter().filter_map(|name| {
        let value = of_device.get(name)?;
        Some((name.clone(), value.clone()))
    });
    let mut headers: HeaderMap = known.collect();
    let text = |name| of_device.get(name).and_then(|value| value.to_str().ok());
    let named = text(header::CONTENT_TYPE).unwrap_or_default();
    let essence = named.split(';').next().unwrap_or_default().trim();
    let known = TYPES
        .iter()
        .find(|known| known.eq_ignore_ascii_case(essence));
    let content_type = HeaderValue::from_static(known.unwrap_or(&ANYTHING));
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(disposition) = text(header::CONTENT_DISPOSITION)
        && let Ok(value) = HeaderValue::try_from(attachment(disposition))
    {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    headers
}

/// A file to be kept, under a name that leads nowhere.
fn attachment(disposition: &str) -> String {
    let name = disposition.split_once("filename=").map(|(_, name)| name);
    let name = name
        .unwrap_or_default()
        .trim_start()
        .trim_start_matches('"');
    let name = name.split(['"', ';']).next().unwrap_or_default().trim_end();
    format!("attachment; filename=\"{}\"", local_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(name: HeaderName, value: &[u8]) -> Vec<(String, String)> {
        let value = HeaderValue::from_bytes(value).expect("a value");
        let headers = headers(&HeaderMap::from_iter([(name, value)]));
        let text = |value: &HeaderValue| value.to_str().expect("ASCII").to_owned();
        let all = headers.iter();
        all.map(|(name, value)| (name.to_string(), text(value)))
            .collect()
    }

    #[test]
    fn a_device_chooses_among_types_that_browsers_run_nothing_of() {
        for (of_device, expected) in [
            ("video/x-flv", "video/x-flv"),
            ("Application/JSON; charset=utf-8", "application/json"),
            ("text/plain;charset=utf-7", "text/plain"),
            ("video/mp4", "video/mp4"),
            ("text/html", ANYTHING),
            ("text/html; x=video/mp4", ANYTHING),
            ("video/mp4, text/html", ANYTHING),
            ("image/svg+xml", ANYTHING),
            ("application/xhtml+xml", ANYTHING),
            ("text/javascript", ANYTHING),
            ("application/pdf", ANYTHING),
            ("multipart/x-mixed-replace;boundary=a", ANYTHING),
            ("", ANYTHING),
        ] {
            let passed = passed(header::CONTENT_TYPE, of_device.as_bytes());
            let expected = ("content-type".to_owned(), expected.to_owned());
            assert!(passed.contains(&expected), "{of_device}: {passed:?}");
        }
    }

    #[test]
    fn a_device_names_a_file_and_nothing_else() {
        for (of_device, name) in [
            ("attachment; filename=\"0-1.mp4\"", "0-1.mp4"),
            ("inline; filename=\"../../x.html\"", "x.html"),
            ("inline", "recording"),
            ("attachment; filename=\"a\"; filename*=utf-8''b.exe", "a"),
            ("attachment; filename=.bashrc; x", "bashrc"),
            ("attachment; filename=\"a b<\"", "a_b_"),
        ] {
            let passed = passed(header::CONTENT_DISPOSITION, of_device.as_bytes());
            let value = format!("attachment; filename=\"{name}\"");
            assert!(
                passed.contains(&("content-disposition".to_owned(), value)),
                "{passed:?}"
            );
        }
    }

    #[test]
    fn other_headers_and_unfinished_statuses_stay_here() {
        for name in [
            "set-cookie",
            "location",
            "refresh",
            "link",
            "access-control-allow-origin",
            "content-encoding",
            "service-worker-allowed",
            "clear-site-data",
            "peercam-code",
            "cache-control",
            "connection",
        ] {
            let passed = passed(HeaderName::from_static(name), b"evil");
            let has_it = passed.iter().any(|(_, value)| value == "evil");
            assert!(!has_it, "{name}: {passed:?}");
        }
        for (of_device, expected) in [
            (200, 200),
            (206, 206),
            (404, 404),
            (101, 502),
            (0, 502),
            (999, 502),
        ] {
            assert_eq!(status(of_device), expected);
        }
    }
}
