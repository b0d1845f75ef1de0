use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, header};
use peercam_net::{Address, DialError, ExchangeError, Limits, dial, request_once};
use tokio::{sync::mpsc, time::Instant};
use url::Url;

/// Timeout of the server that is told.
const POST_TIMEOUT: Duration = Duration::from_secs(2);

/// Address for what the device says: one fixed `http://` URL; redirects are not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedbackUrl {
    address: Address,
    authority: String,
    target: String,
}

/// The text is no such URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an http:// URL is needed, such as http://127.0.0.1:8080/feedback")]
pub struct ParseFeedbackUrlError;

impl std::str::FromStr for FeedbackUrl {
    type Err = ParseFeedbackUrlError;

    fn from_str(text: &str) -> Result<Self, ParseFeedbackUrlError> {
        let url: Url = text.parse().map_err(|_| ParseFeedbackUrlError)?;
        let is_bare = url.username().is_empty() && url.password().is_none();
        let (Some(host), "http", true) = (url.host_str(), url.scheme(), is_bare) else {
            return Err(ParseFeedbackUrlError);
        };
        let query = url.query().map(|query| format!("?{query}"));
        let port = url.port_or_known_default().unwrap_or(80);
        // An IPv6 address is in brackets in a URL only.
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        Ok(Self {
            address: Address::Tcp(bare.into(), port),
            authority: format!("{host}:{port}"),
            target: format!("{}{}", url.path(), query.unwrap_or_default()),
        })
    }
}

/// Posts messages one after the other for as long as there are some.
pub(super) async fn post_all(url: FeedbackUrl, mut messages: mpsc::Receiver<Arc<str>>) {
    while let Some(message) = messages.recv().await {
        let Err(failed) = post(&url, &message).await else {
            continue;
        };
        tracing::warn!(
            url = url.authority,
            error = failed,
            "feedback was not taken"
        );
    }
}

async fn post(url: &FeedbackUrl, message: &str) -> Result<(), String> {
    let slow = || "it takes longer than 2 s".to_owned();
    let limits = Limits {
        body: None,
        deadline: Instant::now() + POST_TIMEOUT,
    };
    let stream = dial(&url.address, limits.deadline).await;
    let stream = stream.map_err(|error| match error {
        DialError::Timeout => slow(),
        DialError::Io(error) => error.to_string(),
    })?;
    let request = Request::post(&url.target)
        .header(header::HOST, &url.authority)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONNECTION, "close")
        .body(Bytes::from(message.to_owned()))
        .map_err(|error| error.to_string())?;
    let response = request_once(stream, request, limits).await;
    let response = response.map_err(|error| match error {
        ExchangeError::Timeout => slow(),
        error => error.to_string(),
    })?;
    if response.status().is_success() {
        Ok(())
    } else {
        Err(format!("it answers {}", response.status()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_fixed_address() {
        let url: FeedbackUrl = "http://127.0.0.1:8080/a?b=c".parse().expect("fine");
        assert_eq!(
            (&*url.authority, &*url.target),
            ("127.0.0.1:8080", "/a?b=c")
        );
        let url: FeedbackUrl = "http://[::1]".parse().expect("fine");
        assert_eq!((&*url.authority, &*url.target), ("[::1]:80", "/"));
        for text in ["", "https://x/", "http://u:p@x/", "ftp://x", "x"] {
            assert!(text.parse::<FeedbackUrl>().is_err(), "{text}");
        }
    }
}
