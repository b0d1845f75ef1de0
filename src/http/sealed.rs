use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::{HeaderValue, Response, header};

use super::body::Body;
use crate::proto::{
    flv::TagBatch,
    sealed::{DirectionKeys, Head, MAX_RECORD, Sealer},
};

/// How much is sealed at a time: a viewer's private copy of what is on its way to it is bounded by
/// this, however large the batch that waits.
const BITE: usize = 4 * MAX_RECORD;

/// The content type outside of a sealed answer.
const RECORDS: &str = "application/vnd.peercam.records";

/// An answer's body on its way into records. The head record comes first; the last record comes
/// only if the body ended in order.
pub(super) struct SealedBody {
    inner: Body,
    /// `None` once the last record was made.
    sealer: Option<Sealer>,
    head: Option<Head>,
    /// Taken from the body and not sealed yet.
    pending: TagBatch,
}

/// Seals an answer: its status, headers and body. What is left outside is the same for all of
/// them.
pub(super) fn seal(response: Response<Body>, keys: DirectionKeys) -> Response<Body> {
    let (parts, inner) = response.into_parts();
    let headers = parts.headers.iter().filter_map(|(name, value)| {
        let value = value.to_str().ok()?;
        Some((name.as_str().to_owned(), value.to_owned()))
    });
    let head = Head {
        status: parts.status.as_u16(),
        headers: headers.collect(),
    };
    let body = SealedBody {
        inner,
        sealer: Some(Sealer::new(keys)),
        head: Some(head),
        pending: TagBatch::default(),
    };
    let mut response = Response::new(Body::sealed(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(RECORDS));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl SealedBody {
    /// The next records; `None` behind the last one.
    pub(super) fn poll_batch(&mut self, context: &mut Context<'_>) -> Poll<Option<TagBatch>> {
        let Some(sealer) = &mut self.sealer else {
            return Poll::Ready(None);
        };
        let records = |bytes: Bytes| Poll::Ready(Some(TagBatch::from_bytes(bytes)));
        if let Some(head) = self.head.take() {
            return records(sealer.head(&head));
        }
        if !self.pending.has_remaining() {
            self.pending = ready!(self.inner.poll_batch(context)).unwrap_or_default();
        }
        let is_whole = self.pending.remaining() <= BITE && self.inner.is_at_end();
        if is_whole || !self.pending.has_remaining() {
            let last = self
                .sealer
                .take()
                .map(|sealer| sealer.last(&mut self.pending));
            return records(last.unwrap_or_default());
        }
        records(sealer.data(&mut self.pending, BITE))
    }

    /// Whether the last record was made.
    pub(super) fn is_at_end(&self) -> bool {
        self.sealer.is_none()
    }
}
