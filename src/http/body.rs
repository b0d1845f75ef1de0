use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use http_body::{Body as HttpBody, Frame as BodyFrame, SizeHint};

use super::live::LiveBody;
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
        let batch = match &mut self.content {
            Content::Whole(bytes) => Poll::Ready(bytes.take().map(TagBatch::from_bytes)),
            Content::Live(live) => live.poll_batch(context),
        };
        batch.map(|batch| batch.map(|batch| Ok(BodyFrame::data(batch))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.content, Content::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, Buf::remaining) as u64)
            }
            Content::Live(_) => SizeHint::default(),
        }
    }
}
