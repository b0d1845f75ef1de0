//! Answers of the device, whichever way they came.
//!
//! A body is as long as its head says and ends in order, or it ends with an error; what came before
//! is authentic. Opening of records belongs to `exchange`, making of streams to `tcp` and `p2p`.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body::{Body as HttpBody, Frame as BodyFrame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use peercam_proto::{farewell, text};
use peercam_task::boundary;
use tokio::sync::mpsc;

use super::{
    ClientError,
    exchange::{self, Unopened},
    in_time,
};

/// The longest refusal that is read, in bytes.
const MAX_REFUSAL: usize = 4096;

/// An authentic answer of the device; its body comes piece by piece.
pub struct Answer {
    status: u16,
    headers: HeaderMap,
    body: AnswerBody,
}

/// The body of an answer: one that was cut off or changed, or is longer than its head says, ends with
/// an error.
pub(super) struct AnswerBody {
    source: Source,
    /// Bytes that are still to come, if the head says.
    left: Option<u64>,
}

/// Source of a body.
enum Source {
    /// Sealed records of a TCP connection.
    Sealed(exchange::Body),
    /// Plain HTTP on a stream that is secure by itself. Its reader holds it to its length, and ends
    /// with it.
    Plain {
        body: Incoming,
        /// The device said behind its end that it shuts down.
        is_farewell: bool,
        _driver: boundary::Task,
    },
    /// Piece by piece, from one connection after the other.
    Resumed {
        pieces: mpsc::Receiver<Result<Bytes, ClientError>>,
        _driver: boundary::Task,
    },
}

impl Answer {
    /// Waits for the head of a sealed answer.
    pub(super) async fn sealed(answer: Unopened) -> Result<Self, ClientError> {
        let (parts, body) = in_time(answer.head()).await??.into_parts();
        Ok(Self {
            status: parts.status.as_u16(),
            body: AnswerBody::of(Source::Sealed(body), &parts.headers),
            headers: parts.headers,
        })
    }

    /// An answer on a stream that is secure by itself; `driver` reads that stream.
    pub(super) fn plain(response: http::Response<Incoming>, driver: boundary::Task) -> Self {
        let (parts, body) = response.into_parts();
        Self {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: AnswerBody {
                source: Source::Plain {
                    body,
                    is_farewell: false,
                    _driver: driver,
                },
                left: None,
            },
        }
    }

    /// An answer whose body comes by way of `driver`.
    pub(super) fn resumed(
        status: u16,
        headers: HeaderMap,
        pieces: mpsc::Receiver<Result<Bytes, ClientError>>,
        driver: boundary::Task,
    ) -> Self {
        let source = Source::Resumed {
            pieces,
            _driver: driver,
        };
        Self {
            status,
            body: AnswerBody::of(source, &headers),
            headers,
        }
    }

    /// Reads the reason if it is a refusal.
    ///
    /// # Errors
    /// [`ClientError::Refused`].
    pub async fn checked(mut self) -> Result<Self, ClientError> {
        if self.status < 400 {
            return Ok(self);
        }
        let text = self.collect(MAX_REFUSAL).await?;
        let json: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        let reason = json["reason"].as_str().unwrap_or("it gave no reason");
        Err(ClientError::Refused {
            status: self.status,
            reason: text::line(reason, 512),
        })
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Length of the body in bytes, if the device says.
    pub fn length(&self) -> Option<u64> {
        length(&self.headers)
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Returns whether the body has ended only because the device shuts down.
    pub(super) fn is_farewell(&self) -> bool {
        matches!(
            self.body.source,
            Source::Plain {
                is_farewell: true,
                ..
            }
        )
    }

    /// The body, to be sent on.
    pub(super) fn into_body(self) -> AnswerBody {
        self.body
    }

    /// The next piece of the body; `None` if it has ended in order.
    ///
    /// # Errors
    /// [`ClientError::Broken`] if it was cut off or changed; what came before is authentic.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, ClientError> {
        while let Some(frame) = self.body.frame().await {
            match frame?.into_data() {
                Ok(data) if !data.is_empty() => return Ok(Some(data)),
                _ => {}
            }
        }
        Ok(None)
    }

    /// The whole body, if it is not longer than `limit` bytes.
    ///
    /// # Errors
    /// As [`Answer::piece`]; one that is too long is [`ClientError::Broken`] too.
    pub async fn collect(&mut self, limit: usize) -> Result<Bytes, ClientError> {
        let read = async {
            let mut whole = BytesMut::new();
            while let Some(piece) = self.piece().await? {
                whole.extend_from_slice(&piece);
                if whole.len() > limit {
                    return Err(ClientError::Broken);
                }
            }
            Ok(whole.freeze())
        };
        in_time(read).await?
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    let length = headers.get(header::CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

impl AnswerBody {
    fn of(source: Source, headers: &HeaderMap) -> Self {
        let left = length(headers);
        Self { source, left }
    }

    /// Counts what has come.
    fn count(&mut self, data: &Bytes) -> Result<(), ClientError> {
        if let Some(left) = &mut self.left {
            let rest = left.checked_sub(data.len() as u64);
            *left = rest.ok_or(ClientError::TooMuch)?;
        }
        Ok(())
    }
}

impl Source {
    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, ClientError>>> {
        Poll::Ready(match self {
            Self::Plain {
                body, is_farewell, ..
            } => {
                let frame = ready!(Pin::new(body).poll_frame(context));
                frame.map(|frame| {
                    let frame = frame.map_err(|_| ClientError::Broken)?;
                    *is_farewell = frame.trailers_ref().is_some_and(farewell::is_shutdown);
                    Ok(frame.into_data().unwrap_or_default())
                })
            }
            Self::Resumed { pieces, .. } => ready!(pieces.poll_recv(context)),
            Self::Sealed(body) => {
                let frame = ready!(Pin::new(body).poll_frame(context));
                frame.map(|frame| Ok(frame?.into_data().unwrap_or_default()))
            }
        })
    }
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = ClientError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<Bytes>, ClientError>>> {
        let data = match ready!(self.source.poll_data(context)) {
            Some(Ok(data)) => self.count(&data).map(|()| BodyFrame::data(data)),
            Some(Err(error)) => Err(error),
            None if self.left.is_some_and(|left| left > 0) => Err(ClientError::Broken),
            None => return Poll::Ready(None),
        };
        Poll::Ready(Some(data))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// The text and the error of a body of these pieces under a head that says so many bytes.
    async fn collected(
        length: Option<u64>,
        pieces: &[&'static str],
    ) -> (String, Option<ClientError>) {
        let (sender, waiting) = mpsc::channel(8);
        for piece in pieces {
            let sent = sender.try_send(Ok(Bytes::from_static(piece.as_bytes())));
            sent.expect("room");
        }
        drop(sender);
        let length = length.map(|length| (header::CONTENT_LENGTH, HeaderValue::from(length)));
        let driver = crate::drive(async {});
        let mut answer = Answer::resumed(200, length.into_iter().collect(), waiting, driver);
        let mut text = String::new();
        loop {
            match answer.piece().await {
                Ok(Some(piece)) => text.push_str(std::str::from_utf8(&piece).expect("text")),
                Ok(None) => return (text, None),
                Err(error) => return (text, Some(error)),
            }
        }
    }

    #[tokio::test]
    async fn a_body_is_as_long_as_it_was_announced() {
        let pieces = ["abc", "", "def"];
        let whole = "abcdef".to_owned();
        for length in [None, Some(6)] {
            let (text, error) = collected(length, &pieces).await;
            assert!(text == whole && error.is_none(), "{text} {error:?}");
        }
        for length in [0, 2, 3, 5] {
            let (text, error) = collected(Some(length), &pieces).await;
            assert!(text.len() as u64 <= length, "{length}: {text}");
            assert!(matches!(error, Some(ClientError::TooMuch)), "{error:?}");
        }
        let (text, error) = collected(Some(7), &pieces).await;
        assert_eq!(text, whole);
        assert!(matches!(error, Some(ClientError::Broken)), "{error:?}");
    }
}
