use std::{
    task::{Context, Poll},
    time::Instant,
};

use bytes::Buf;
use peercam_proto::{
    flv::{HevcForm, Muxer, TagBatch, notice},
    media::ChannelId,
};

use super::tags;
use crate::{
    access::Caller,
    device::{Permitted, StreamPermit},
    playback::{Item, Playback},
};

/// Frames that are written at once, if so many are there.
const MOST_FRAMES: usize = 16;

/// A playback of recordings on its way to one viewer.
pub(super) struct PlaybackBody {
    playback: Playback,
    muxer: Option<Muxer>,
    hevc: HevcForm,
    /// Milliseconds of all that will come, if that is known.
    length: Option<u64>,
    asked_at: Instant,
    sent_bytes: u64,
    /// Timestamp of the last frame, in milliseconds.
    timestamp: u32,
    channel: ChannelId,
    caller: Caller,
    permit: StreamPermit,
}

impl PlaybackBody {
    pub(super) fn new(
        playback: Permitted<Playback>,
        hevc: HevcForm,
        asked_at: Instant,
        caller: Caller,
        channel: ChannelId,
    ) -> Self {
        tracing::info!(%channel, %caller, req_id = caller.req_id, "playback began");
        Self {
            playback: playback.media,
            muxer: None,
            hevc,
            length: None,
            asked_at,
            sent_bytes: 0,
            timestamp: 0,
            channel,
            caller,
            permit: playback.permit,
        }
    }

    /// The next tags; `None` at the end.
    pub(super) fn poll_batch(&mut self, context: &mut Context<'_>) -> Poll<Option<TagBatch>> {
        let mut batch = TagBatch::default();
        if self.permit.has_ended() {
            return Poll::Ready(None);
        }
        if let Poll::Ready(reason) = self.permit.poll_ended(context) {
            tracing::info!(channel = %self.channel, caller = %self.caller, reason, "playback was ended");
            if self.muxer.is_none() {
                return Poll::Ready(None);
            }
            batch.push_bytes(notice(reason, self.timestamp));
            return Poll::Ready(Some(batch));
        }
        for _ in 0..MOST_FRAMES {
            match self.playback.poll_item(context) {
                Poll::Ready(Some(Item::Length(millis))) => self.length = Some(millis),
                Poll::Ready(Some(Item::Frame(delivery))) => {
                    self.timestamp = delivery.timestamp;
                    let (muxer, length) = (&mut self.muxer, self.length);
                    tags::append(&mut batch, muxer, self.hevc, length, delivery);
                }
                Poll::Ready(Some(Item::Ended(reason))) => {
                    tracing::info!(channel = %self.channel, caller = %self.caller, reason, "playback was ended");
                    if self.muxer.is_some() {
                        batch.push_bytes(notice(reason, self.timestamp));
                    }
                }
                Poll::Ready(None) if !batch.has_remaining() => return Poll::Ready(None),
                Poll::Pending if !batch.has_remaining() => return Poll::Pending,
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        self.sent_bytes += batch.remaining() as u64;
        Poll::Ready(Some(batch))
    }

    /// Its place.
    pub(super) fn permit(&self) -> &StreamPermit {
        &self.permit
    }
}

impl Drop for PlaybackBody {
    fn drop(&mut self) {
        tracing::info!(
            channel = %self.channel, caller = %self.caller, req_id = self.caller.req_id,
            seconds = self.asked_at.elapsed().as_secs(), bytes = self.sent_bytes, "playback ended"
        );
    }
}
