use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use http_body::{Body as HttpBody, Frame as BodyFrame, SizeHint};

use super::{live::LiveBody, sealed::SealedBody};
use crate::{proto::flv::TagBatch, transport::Serving};

/// Every answer's body. A stream that ends in order ends with the chunked terminator; one that is
/// cut off has none, and its viewer can tell.
pub(super) struct Body {
    content: Content,
    /// Keeps the connection marked as being served until the body is gone.
    serving: Option<Serving>,
}

enum Content {
    /// Whole in memory, until it was taken.
    Whole(Option<Bytes>),
    /// A live stream.
    Live(Box<LiveBody>),
    /// Another body, in records.
    Sealed(Box<SealedBody>),
}

impl Body {
    /// A body of exactly these bytes.
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self {
            content: Content::Whole(Some(bytes).filter(|bytes| !bytes.is_empty())),
            serving: None,
        }
    }

    /// A live stream.
    pub(super) fn live(live: LiveBody) -> Self {
        Self {
            content: Content::Live(Box::new(live)),
            serving: None,
        }
    }

    /// Another body, in records.
    pub(super) fn sealed(sealed: SealedBody) -> Self {
        Self {
            content: Content::Sealed(Box::new(sealed)),
            serving: None,
        }
    }

    /// The next bytes; `None` at the end.
    pub(super) fn poll_batch(&mut self, context: &mut Context<'_>) -> Poll<Option<TagBatch>> {
        match &mut self.content {
            Content::Whole(bytes) => Poll::Ready(bytes.take().map(TagBatch::from_bytes)),
            Content::Live(live) => live.poll_batch(context),
            Content::Sealed(sealed) => sealed.poll_batch(context),
        }
    }

    /// Whether it is known that nothing more will come.
    pub(super) fn is_at_end(&self) -> bool {
        match &self.content {
            Content::Whole(bytes) => bytes.is_none(),
            Content::Live(_) => false,
            Content::Sealed(sealed) => sealed.is_at_end(),
        }
    }

    /// Holds on to `serving` for as long as the body lives.
    #[must_use]
    pub(super) fn holding(mut self, serving: Serving) -> Self {
        self.serving = Some(serving);
        self
    }
}

impl HttpBody for Body {
    type Data = TagBatch;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<TagBatch>, Infallible>>> {
        self.poll_batch(context)
            .map(|batch| batch.map(|batch| Ok(BodyFrame::data(batch))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_at_end()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, Buf::remaining) as u64)
            }
            Content::Live(_) | Content::Sealed(_) => SizeHint::default(),
        }
    }
}
