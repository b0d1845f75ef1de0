use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::mpsc};
use url::Url;

use crate::drive;

/// Timeout of the server that is told.
const TIME: Duration = Duration::from_secs(2);

/// Address for what the device says: one fixed `http://` URL; redirects are not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedbackUrl {
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
        Ok(Self {
            authority: format!("{host}:{}", url.port_or_known_default().unwrap_or(80)),
            target: format!("{}{}", url.path(), query.unwrap_or_default()),
        })
    }
}

/// Posts messages one after the other for as long as there are some.
pub(super) async fn post_all(url: FeedbackUrl, mut messages: mpsc::Receiver<Arc<str>>) {
    while let Some(message) = messages.recv().await {
        let posted = tokio::time::timeout(TIME, post(&url, &message)).await;
        let failed = match posted {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => error,
            Err(_) => "it takes longer than 2 s".to_owned(),
        };
        tracing::warn!(
            url = url.authority,
            error = failed,
            "feedback was not taken"
        );
    }
}

async fn post(url: &FeedbackUrl, message: &str) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| error.to_string();
    let stream = TcpStream::connect(&*url.authority)
        .await
        .map_err(|error| failed(&error))?;
    let (mut sender, driver) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failed(&error))?;
    let request = Request::post(&url.target)
        .header(header::HOST, &url.authority)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONNECTION, "close")
        .body(Full::new(Bytes::from(message.to_owned())))
        .map_err(|error| failed(&error))?;
    let _driver = drive(driver);
    let response = sender
        .send_request(request)
        .await
        .map_err(|error| failed(&error))?;
    match response.status().is_success() {
        true => Ok(()),
        false => Err(format!("it answers {}", response.status())),
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
