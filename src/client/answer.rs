use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body as HttpBody, Frame as BodyFrame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
#[cfg(feature = "p2p")]
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::{ClientError, in_time};
use crate::proto::sealed::{Head, Opener, Record};

/// The longest refusal that is read, in bytes.
const MAX_REFUSAL: usize = 4096;

/// An authentic answer of the device; its body comes piece by piece.
pub struct Answer {
    status: u16,
    headers: HeaderMap,
    body: AnswerBody,
}

/// The body of an answer: one that was cut off or changed ends with an error.
pub(super) enum AnswerBody {
    /// In records.
    Sealed {
        body: Incoming,
        opener: Box<Opener>,
        has_ended: bool,
    },
    /// As it is, on a stream that is secure by itself. What reads it ends with it.
    #[cfg_attr(not(feature = "p2p"), expect(dead_code, reason = "only P2P is"))]
    Plain {
        body: Incoming,
        _driver: AbortOnDropHandle<()>,
    },
    /// Piece by piece, from one connection after the other.
    #[cfg(feature = "p2p")]
    Resumed {
        pieces: mpsc::Receiver<Result<Bytes, ClientError>>,
        _driver: AbortOnDropHandle<()>,
    },
}

impl Answer {
    /// Waits for the head of a sealed answer.
    pub(super) async fn sealed(body: Incoming, opener: Opener) -> Result<Self, ClientError> {
        let mut body = AnswerBody::Sealed {
            body,
            opener: Box::new(opener),
            has_ended: false,
        };
        let Some(Record::Head(Head { status, headers })) =
            in_time(poll_fn(|context| body.poll_record(context))).await??
        else {
            return Err(ClientError::Broken);
        };
        let headers = headers.iter().filter_map(|(name, value)| {
            Some((
                HeaderName::from_bytes(name.as_bytes()).ok()?,
                HeaderValue::from_str(value).ok()?,
            ))
        });
        Ok(Self {
            status,
            headers: headers.collect(),
            body,
        })
    }

    /// An answer on a stream that is secure by itself; `driver` reads that stream.
    #[cfg(feature = "p2p")]
    pub(super) fn plain(response: http::Response<Incoming>, driver: AbortOnDropHandle<()>) -> Self {
        let (parts, body) = response.into_parts();
        Self {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: AnswerBody::Plain {
                body,
                _driver: driver,
            },
        }
    }

    /// An answer whose body comes by way of `driver`.
    #[cfg(feature = "p2p")]
    pub(super) fn resumed(
        status: u16,
        headers: HeaderMap,
        pieces: mpsc::Receiver<Result<Bytes, ClientError>>,
        driver: AbortOnDropHandle<()>,
    ) -> Self {
        Self {
            status,
            headers,
            body: AnswerBody::Resumed {
                pieces,
                _driver: driver,
            },
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
            reason: reason
                .chars()
                .filter(|c| !c.is_control())
                .take(512)
                .collect(),
        })
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The body, to be sent on.
    #[cfg(feature = "p2p")]
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

impl AnswerBody {
    /// The next record of a sealed body; `None` behind the last one.
    fn poll_record(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Record>, ClientError>> {
        let Self::Sealed {
            body,
            opener,
            has_ended,
        } = self
        else {
            return Poll::Ready(Err(ClientError::Broken));
        };
        let broken = |_| ClientError::Broken;
        loop {
            let record = opener.next_record().map_err(|_| ClientError::Broken)?;
            if record.is_some() || *has_ended {
                return Poll::Ready(Ok(record));
            }
            match ready!(Pin::new(&mut *body).poll_frame(context)) {
                Some(frame) => {
                    let data = frame.map_err(broken)?.into_data();
                    opener.feed(&data.unwrap_or_default());
                }
                None => {
                    *has_ended = true;
                    opener.finish().map_err(|_| ClientError::Broken)?;
                }
            }
        }
    }
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = ClientError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<Bytes>, ClientError>>> {
        match &mut *self {
            Self::Plain { body, .. } => {
                let frame = ready!(Pin::new(body).poll_frame(context));
                Poll::Ready(frame.map(|frame| frame.map_err(|_| ClientError::Broken)))
            }
            #[cfg(feature = "p2p")]
            Self::Resumed { pieces, .. } => {
                let piece = ready!(pieces.poll_recv(context));
                Poll::Ready(piece.map(|piece| piece.map(BodyFrame::data)))
            }
            sealed @ Self::Sealed { .. } => {
                Poll::Ready(match ready!(sealed.poll_record(context)) {
                    Ok(Some(Record::Data(data) | Record::Last(data))) => {
                        Some(Ok(BodyFrame::data(data.freeze())))
                    }
                    Ok(Some(Record::Head(_))) => Some(Err(ClientError::Broken)),
                    Ok(None) => None,
                    Err(error) => Some(Err(error)),
                })
            }
        }
    }
}
