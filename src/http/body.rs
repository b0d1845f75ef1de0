//! Bodies of answers, pulled by the connection.
//!
//! Invariants: media are made as the connection asks for them, so a viewer that does not read costs
//! one batch; and a body that broke off never ends as if it were whole. The media themselves are
//! made in `live`, `playback`, `download` and `snapshot`.

use std::{
    convert::Infallible,
    io::IoSlice,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http_body::{Body as HttpBody, Frame as BodyFrame, SizeHint};
use peercam_net::Serving;
#[cfg(feature = "p2p")]
use peercam_proto::command::MAX_REPLY;
use peercam_proto::{
    farewell,
    flv::TagBatch,
    sealed::{Head, MAX_RECORD, Sealer},
};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::{
    download::DownloadBody, list::ListBody, live::LiveBody, playback::PlaybackBody,
    snapshot::StillBody,
};
use crate::device::StreamPermit;

/// Bytes that are sealed at a time: a viewer's private copy of data on its way to it is bounded by
/// this, however large the batch that waits.
const SEAL_CHUNK: usize = 4 * MAX_RECORD;

/// Every answer's body. A stream that ends in order ends with the chunked terminator; one that is
/// cut off has none, and its viewer can tell (RFC 9112 §8).
pub(super) struct Body {
    content: Content,
    /// Keeps the connection marked as being served until the body is gone.
    serving: Option<Serving>,
    /// The request's place, where it needs one.
    place: Option<OwnedSemaphorePermit>,
    /// Cancelled when the device shuts down, which is said behind the end.
    shutdown: Option<CancellationToken>,
}

/// The next data of a body.
#[derive(Debug)]
pub(super) enum Data {
    /// Bytes as they are.
    Bytes(Bytes),
    /// Tags.
    Tags(TagBatch),
}

enum Content {
    /// Whole in memory, until it was taken.
    Whole(Option<Bytes>),
    /// A live stream.
    Live(Box<LiveBody>),
    /// A playback of recordings.
    Playback(Box<PlaybackBody>),
    /// A file.
    Download(Box<DownloadBody>),
    /// One picture of now.
    Still(StillBody),
    /// A list that is longer than a whole answer.
    List(Box<ListBody>),
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
    pending: Data,
}

impl Body {
    fn of(content: Content) -> Self {
        Self {
            content,
            serving: None,
            place: None,
            shutdown: None,
        }
    }

    /// A body of exactly these bytes.
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self::of(Content::Whole(
            Some(bytes).filter(|bytes| !bytes.is_empty()),
        ))
    }

    /// A live stream.
    pub(super) fn live(live: LiveBody) -> Self {
        Self::of(Content::Live(Box::new(live)))
    }

    /// A playback of recordings.
    pub(super) fn playback(playback: PlaybackBody) -> Self {
        Self::of(Content::Playback(Box::new(playback)))
    }

    /// A file.
    pub(super) fn download(download: DownloadBody) -> Self {
        Self::of(Content::Download(Box::new(download)))
    }

    /// One picture of now.
    pub(super) fn still(still: StillBody) -> Self {
        Self::of(Content::Still(still))
    }

    /// A list.
    pub(super) fn list(list: ListBody) -> Self {
        Self::of(Content::List(Box::new(list)))
    }

    /// Returns whether it is so long that short answers go first.
    #[cfg(feature = "p2p")]
    pub(super) fn is_long(&self) -> bool {
        match &self.content {
            Content::Whole(bytes) => bytes.as_ref().is_some_and(|bytes| bytes.len() > MAX_REPLY),
            _ => true,
        }
    }

    /// This body in records, behind a head.
    pub(super) fn sealed(self, head: Head, sealer: Sealer) -> Self {
        let sealed = SealedBody {
            inner: self,
            sealer: Some(sealer),
            head: Some(head),
            pending: Data::Bytes(Bytes::new()),
        };
        Self::of(Content::Sealed(Box::new(sealed)))
    }

    /// The next bytes; `None` at the end.
    pub(super) fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Data>> {
        match &mut self.content {
            Content::Whole(bytes) => Poll::Ready(bytes.take().map(Data::Bytes)),
            Content::Live(live) => live.poll_batch(context).map(|tags| tags.map(Data::Tags)),
            Content::Playback(playback) => playback
                .poll_batch(context)
                .map(|tags| tags.map(Data::Tags)),
            Content::Download(download) => download
                .poll_bytes(context)
                .map(|bytes| bytes.map(Data::Bytes)),
            Content::Still(still) => Poll::Ready(still.piece().map(Data::Bytes)),
            Content::List(list) => list.poll_piece(context).map(|piece| piece.map(Data::Bytes)),
            Content::Sealed(sealed) => sealed
                .poll_records(context)
                .map(|records| records.map(Data::Bytes)),
        }
    }

    /// Returns whether it has ended too early.
    fn is_cut_off(&self) -> bool {
        match &self.content {
            Content::Download(download) => download.is_cut_off(),
            _ => false,
        }
    }

    /// Returns whether it is known that nothing more will come.
    pub(super) fn is_at_end(&self) -> bool {
        match &self.content {
            Content::Whole(bytes) => bytes.is_none(),
            Content::Live(_) | Content::Playback(_) => false,
            Content::Download(download) => download.remaining() == 0,
            Content::Still(still) => still.remaining() == 0,
            Content::List(list) => list.is_over(),
            Content::Sealed(sealed) => sealed.is_at_end(),
        }
    }

    /// Has a live stream say behind its end if that came because of `shutdown`; returns whether it
    /// is one.
    #[cfg(feature = "p2p")]
    pub(super) fn tell_of(&mut self, shutdown: CancellationToken) -> bool {
        let is_live = matches!(self.content, Content::Live(_));
        self.shutdown = Some(shutdown).filter(|_| is_live);
        is_live
    }

    /// Keeps a place for as long as the body lives.
    pub(super) fn keep(&mut self, place: OwnedSemaphorePermit) {
        self.place = Some(place);
    }

    /// The permit under which it is sent, if it is media.
    fn permit(&self) -> Option<&StreamPermit> {
        match &self.content {
            Content::Whole(_) | Content::List(_) => None,
            Content::Live(live) => Some(live.permit()),
            Content::Playback(playback) => Some(playback.permit()),
            Content::Download(download) => Some(download.permit()),
            Content::Still(still) => Some(still.permit()),
            Content::Sealed(sealed) => sealed.inner.permit(),
        }
    }

    /// Holds on to `serving` for as long as the body lives.
    pub(super) fn hold(&mut self, serving: Serving) {
        if let Some(permit) = self.permit() {
            serving.media(permit.endings());
        }
        self.serving = Some(serving);
    }
}

impl SealedBody {
    /// The next records; `None` behind the last one.
    fn poll_records(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Some(sealer) = &mut self.sealer else {
            return Poll::Ready(None);
        };
        if let Some(head) = self.head.take() {
            return Poll::Ready(Some(sealer.head(&head)));
        }
        let mut has_ended = false;
        while !has_ended && !self.pending.has_remaining() {
            match ready!(self.inner.poll_data(context)) {
                Some(data) => self.pending = data,
                None => has_ended = true,
            }
        }
        if has_ended && self.inner.is_cut_off() {
            // Without a last record its viewer can tell.
            self.sealer = None;
            return Poll::Ready(None);
        }
        // A body whose end is known goes with its last record: a short answer is one record and one
        // write, and not an empty record behind it.
        let is_whole = self.pending.remaining() <= SEAL_CHUNK && self.inner.is_at_end();
        if is_whole || has_ended {
            let last = self
                .sealer
                .take()
                .map(|sealer| sealer.last(&mut self.pending));
            return Poll::Ready(Some(last.unwrap_or_default()));
        }
        Poll::Ready(Some(sealer.data(&mut self.pending, SEAL_CHUNK)))
    }

    /// Returns whether the last record was made.
    fn is_at_end(&self) -> bool {
        self.sealer.is_none()
    }
}

impl Buf for Data {
    fn remaining(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.remaining(),
            Self::Tags(tags) => tags.remaining(),
        }
    }

    fn chunk(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes.chunk(),
            Self::Tags(tags) => tags.chunk(),
        }
    }

    fn chunks_vectored<'a>(&'a self, into: &mut [IoSlice<'a>]) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.chunks_vectored(into),
            Self::Tags(tags) => tags.chunks_vectored(into),
        }
    }

    fn advance(&mut self, count: usize) {
        match self {
            Self::Bytes(bytes) => bytes.advance(count),
            Self::Tags(tags) => tags.advance(count),
        }
    }
}

impl HttpBody for Body {
    type Data = Data;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<Data>, Infallible>>> {
        if let Some(data) = ready!(self.poll_data(context)) {
            return Poll::Ready(Some(Ok(BodyFrame::data(data))));
        }
        // A trailer (RFC 9110 §6.5), once. Live bodies never say that they are at their end, so
        // they are polled for it.
        let shutdown = self.shutdown.take().filter(CancellationToken::is_cancelled);
        Poll::Ready(shutdown.map(|_| Ok(BodyFrame::trailers(farewell::of_shutdown()))))
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
            Content::Still(still) => SizeHint::with_exact(still.remaining() as u64),
            Content::Live(_) | Content::Playback(_) | Content::List(_) | Content::Sealed(_) => {
                SizeHint::default()
            }
        }
    }
}

#[cfg(all(test, feature = "p2p"))]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_long_by_its_length() {
        for (length, is_long) in [(0, false), (MAX_REPLY, false), (MAX_REPLY + 1, true)] {
            let body = Body::whole(vec![0; length].into());
            assert_eq!(body.is_long(), is_long, "{length}");
        }
    }
}
