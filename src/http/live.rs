use std::{
    task::{Context, Poll},
    time::Instant,
};

use bytes::Buf;
use peercam_proto::{
    flv::{HevcForm, Muxer, TagBatch, notice},
    media::TrackKind,
    route::Labels,
};

use super::tags;
use crate::{
    access::Caller,
    device::{Permitted, StreamPermit},
    live::Subscription,
};

/// A live stream on its way to one viewer: pulls frames, writes their tag heads.
///
/// Nothing is queued: a batch leaves the ring only when the connection asks for more.
pub(super) struct LiveBody {
    subscription: Subscription,
    muxer: Option<Muxer>,
    hevc: HevcForm,
    asked_at: Instant,
    waits_for_first_frame: bool,
    sent_bytes: u64,
    caller: Caller,
    labels: Labels,
    /// Timestamp of the last frame, in milliseconds.
    timestamp: u32,
    permit: StreamPermit,
    /// Set once the viewer was told why the stream ended.
    has_told: bool,
}

impl LiveBody {
    /// A body that sends what a subscription delivers. `asked_at` is when the request came.
    pub(super) fn new(
        live: Permitted<Subscription>,
        hevc: HevcForm,
        asked_at: Instant,
        caller: Caller,
        labels: Labels,
    ) -> Self {
        let Permitted {
            media: subscription,
            permit,
        } = live;
        tracing::info!(
            stream = %subscription.stream(), %caller, requester = labels.requester, req_id = labels.req_id,
            user_args = labels.user_args, "viewer joined"
        );
        Self {
            subscription,
            muxer: None,
            hevc,
            asked_at,
            waits_for_first_frame: true,
            sent_bytes: 0,
            caller,
            labels,
            timestamp: 0,
            permit,
            has_told: false,
        }
    }

    /// The next tags; `None` at the end of the stream.
    pub(super) fn poll_batch(&mut self, context: &mut Context<'_>) -> Poll<Option<TagBatch>> {
        let mut batch = TagBatch::default();
        if self.permit.has_ended() {
            return Poll::Ready(None);
        }
        if let Poll::Ready(reason) = self.permit.poll_ended(context) {
            tracing::info!(stream = %self.subscription.stream(), caller = %self.caller, reason, "a viewer has to go");
            // Without the file's head before it a tag is no FLV: there is nobody to tell.
            if self.muxer.is_none() {
                return Poll::Ready(None);
            }
            batch.push_bytes(notice(reason, self.timestamp));
            return Poll::Ready(Some(batch));
        }
        let timestamp = &mut self.timestamp;
        let (muxer, hevc) = (&mut self.muxer, self.hevc);
        let mut has_picture = false;
        let took = self.subscription.poll_frames(context, |delivery| {
            has_picture |= delivery.frame.track == TrackKind::Video;
            *timestamp = delivery.timestamp;
            tags::append(&mut batch, muxer, hevc, None, delivery);
        });
        match took {
            Poll::Pending => Poll::Pending,
            Poll::Ready(false) => match self.subscription.end_reason() {
                Some(reason) if self.muxer.is_some() && !self.has_told => {
                    self.has_told = true;
                    batch.push_bytes(notice(reason, self.timestamp));
                    Poll::Ready(Some(batch))
                }
                _ => Poll::Ready(None),
            },
            Poll::Ready(true) => {
                self.account(batch.remaining() as u64, has_picture);
                Poll::Ready(Some(batch))
            }
        }
    }

    /// Its place.
    pub(super) fn permit(&self) -> &StreamPermit {
        &self.permit
    }

    fn account(&mut self, bytes: u64, has_picture: bool) {
        self.sent_bytes += bytes;
        let metrics = self.subscription.metrics();
        metrics.sent_bytes.inc_by(bytes);
        if has_picture && self.waits_for_first_frame {
            self.waits_for_first_frame = false;
            metrics
                .first_frame
                .observe(self.asked_at.elapsed().as_secs_f64());
        }
    }
}

impl Drop for LiveBody {
    fn drop(&mut self) {
        tracing::info!(
            stream = %self.subscription.stream(), caller = %self.caller, req_id = self.labels.req_id,
            seconds = self.asked_at.elapsed().as_secs(), bytes = self.sent_bytes,
            skipped_frames = self.subscription.skipped_frames(), "viewer left"
        );
    }
}
