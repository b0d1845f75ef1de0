use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http_body::{Body as HttpBody, Frame as BodyFrame, SizeHint};

use super::{download::DownloadBody, live::LiveBody, playback::PlaybackBody};
use crate::{
    proto::{
        flv::TagBatch,
        sealed::{Head, MAX_RECORD, Sealer},
    },
    transport::Serving,
};

/// How much is sealed at a time: a viewer's private copy of what is on its way to it is bounded by
/// this, however large the batch that waits.
const BITE: usize = 4 * MAX_RECORD;

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
    /// What was recorded.
    Playback(Box<PlaybackBody>),
    /// A file.
    Download(Box<DownloadBody>),
    /// Another body, in records.
    Sealed(Box<SealedBody>),
}

/// An answer's body on its way into records. The head record comes first; the last record comes
/// only if the body ended in order.
struct SealedBody {
    inner: Body,
    /// `None` once the last record was made.
    sealer: Option<Sealer>,
    head: Option<Head>,
    /// Taken from the body and not sealed yet.
    pending: TagBatch,
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

    /// What was recorded.
    pub(super) fn playback(playback: PlaybackBody) -> Self {
        Self {
            content: Content::Playback(Box::new(playback)),
            serving: None,
        }
    }

    /// A file.
    pub(super) fn download(download: DownloadBody) -> Self {
        Self {
            content: Content::Download(Box::new(download)),
            serving: None,
        }
    }

    /// This body in records, behind a head.
    pub(super) fn sealed(self, head: Head, sealer: Sealer) -> Self {
        let sealed = SealedBody {
            inner: self,
            sealer: Some(sealer),
            head: Some(head),
            pending: TagBatch::default(),
        };
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
            Content::Playback(playback) => playback.poll_batch(context),
            Content::Download(download) => download.poll_batch(context),
            Content::Sealed(sealed) => sealed.poll_batch(context),
        }
    }

    /// Whether it has ended too early.
    fn is_cut_off(&self) -> bool {
        match &self.content {
            Content::Download(download) => download.is_cut_off(),
            _ => false,
        }
    }

    /// Whether it is known that nothing more will come.
    pub(super) fn is_at_end(&self) -> bool {
        match &self.content {
            Content::Whole(bytes) => bytes.is_none(),
            Content::Live(_) | Content::Playback(_) => false,
            Content::Download(download) => download.remaining() == 0,
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

impl SealedBody {
    /// The next records; `None` behind the last one.
    fn poll_batch(&mut self, context: &mut Context<'_>) -> Poll<Option<TagBatch>> {
        let Some(sealer) = &mut self.sealer else {
            return Poll::Ready(None);
        };
        let records = |bytes: Bytes| Poll::Ready(Some(TagBatch::from_bytes(bytes)));
        if let Some(head) = self.head.take() {
            return records(sealer.head(&head));
        }
        let mut has_ended = false;
        while !has_ended && !self.pending.has_remaining() {
            match ready!(self.inner.poll_batch(context)) {
                Some(batch) => self.pending = batch,
                None => has_ended = true,
            }
        }
        if has_ended && self.inner.is_cut_off() {
            // Without a last record its viewer can tell.
            self.sealer = None;
            return Poll::Ready(None);
        }
        let is_whole = self.pending.remaining() <= BITE && self.inner.is_at_end();
        if is_whole || has_ended {
            let last = self
                .sealer
                .take()
                .map(|sealer| sealer.last(&mut self.pending));
            return records(last.unwrap_or_default());
        }
        records(sealer.data(&mut self.pending, BITE))
    }

    /// Whether the last record was made.
    fn is_at_end(&self) -> bool {
        self.sealer.is_none()
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
            Content::Download(download) => SizeHint::with_exact(download.remaining()),
            Content::Live(_) | Content::Playback(_) | Content::Sealed(_) => SizeHint::default(),
        }
    }
}
