use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::{Frame, SizeHint};
use http_body_util::Full;
use peercam_proto::{error::Error, refusal};

use super::events::EventLines;

/// Body of an answer.
pub(super) enum Body {
    /// Whole in memory.
    Whole(Full<Bytes>),
    /// Lines of events, to the end of the daemon.
    Events(EventLines),
}

impl Body {
    /// Returns whether it has no end that is near.
    pub(super) fn is_endless(&self) -> bool {
        matches!(self, Self::Events(_))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(whole) => Pin::new(whole).poll_frame(context),
            Self::Events(events) => {
                let lines = events.poll_lines(context);
                lines.map(|lines| lines.map(|lines| Ok(Frame::data(lines))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(whole) => whole.is_end_stream(),
            Self::Events(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(whole) => whole.size_hint(),
            Self::Events(_) => SizeHint::default(),
        }
    }
}

/// Form in which somebody wants an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// JSON, for programs.
    Json,
    /// Text, for people.
    Text,
}

impl Form {
    /// The form that a request names: JSON, unless it is for people.
    pub(super) fn wanted(headers: &HeaderMap) -> Self {
        let accepted = headers.get(header::ACCEPT).map(HeaderValue::as_bytes);
        match accepted {
            Some(accepted) if accepted.starts_with(b"text/plain") => Self::Text,
            _ => Self::Json,
        }
    }

    /// A whole answer in this form.
    pub(super) fn answer(self, status: StatusCode, text: String) -> Response<Body> {
        let content_type = match self {
            Self::Json => "application/json",
            Self::Text => TEXT,
        };
        answer(status, content_type, Body::Whole(Full::new(text.into())))
    }

    /// Lines in this form.
    pub(super) fn lines(self, events: EventLines) -> Response<Body> {
        let content_type = match self {
            // One value on each line (ndjson.org).
            Self::Json => "application/x-ndjson",
            Self::Text => TEXT,
        };
        answer(StatusCode::OK, content_type, Body::Events(events))
    }
}

const TEXT: &str = "text/plain; charset=utf-8";

fn answer(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}

/// A refusal: `{"status":"<code>","reason":"…"}` with a fitting HTTP status.
pub(super) fn refusal(error: &Error) -> Response<Body> {
    let (status, text) = refusal::refusal(error);
    Form::Json.answer(status, text)
}
