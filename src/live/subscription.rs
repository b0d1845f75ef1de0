//! A viewer's cursor into a live stream: where it starts, what it skips, and the timestamps of what
//! it takes.
//!
//! Keeps: decoding starts at a key frame, also after frames were skipped; sound and picture have
//! one offset, and the timestamps of a track never go back. Nothing is queued for a viewer here;
//! containers belong to the floors above.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use peercam_proto::media::{Delivery, Frame, StreamId, TrackKind, Tracks};

use super::{
    metrics::StreamMetrics,
    ring::{Entry, Ring},
    stream::{Start, Stream},
};

/// One poll takes at most this many frames and, after the first one, this many bytes. It bounds
/// what a viewer that stopped reading holds on to.
const MAX_FRAMES: usize = 24;
const MAX_BYTES: usize = 64 << 10;
/// A viewer that waits for a key frame takes the cached GOP when this many pictures have come
/// without one, or when this much later there is sound and still no picture.
const PATIENCE_PICTURES: u64 = 3;
const PATIENCE_MICROS: i64 = 120_000;

/// One viewer's place in a stream. It pulls; nothing is queued for it.
///
/// The first frame is a video key frame (if the stream has video). Timestamps are milliseconds
/// from 0, with one offset for sound and picture, and wrap at 2^32. A viewer that joins in the
/// middle of a GOP gets the GOP squeezed: its pictures 1 ms apart and without sound, so that the
/// newest picture shows at once. A viewer that falls out of the ring goes on at the newest key
/// frame; what it missed is counted.
pub struct Subscription {
    stream: Arc<Stream>,
    /// Keeps the stream running.
    _hold: Box<dyn Send + Sync>,
    reader: usize,
    position: Position,
    /// Media time that is timestamp 0, once the first frame was taken.
    base_micros: Option<i64>,
    squeeze: Option<GopBurst>,
    known_tracks: Option<Arc<Tracks>>,
    skipped_frames: u64,
    /// Position at which it fell out of the ring, until it goes on.
    fell_out_at: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
enum Position {
    /// Waiting for a frame to start at.
    Starting(Start),
    /// The number of the next frame to take.
    At(u64),
}

/// The part of a GOP that is sent faster than it was recorded.
#[derive(Debug)]
struct GopBurst {
    /// Number of the first frame that is sent at its own time.
    until: u64,
    next_millis: u32,
    /// Composition offset of each picture in ms, for encoders that reorder pictures.
    compositions: std::vec::IntoIter<i32>,
}

impl Subscription {
    pub(super) fn new(stream: Arc<Stream>, start: Start, hold: Box<dyn Send + Sync>) -> Self {
        let reader = stream.ring().add_reader();
        let position = Position::Starting(start);
        Self {
            stream,
            _hold: hold,
            reader,
            position,
            base_micros: None,
            squeeze: None,
            known_tracks: None,
            skipped_frames: 0,
            fell_out_at: None,
        }
    }

    /// The stream's counters.
    pub fn metrics(&self) -> &StreamMetrics {
        &self.stream.metrics
    }

    /// The stream.
    pub fn stream(&self) -> StreamId {
        self.stream.id
    }

    /// Reason why the stream has ended, if there is one to be told.
    pub fn end_reason(&self) -> Option<&'static str> {
        self.stream.end_reason.get().copied()
    }

    /// Number of frames that it was too slow to take.
    pub fn skipped_frames(&self) -> u64 {
        self.skipped_frames
    }

    /// Hands the frames that have been published to `take`: all of them, up to 24 or 64 KiB.
    ///
    /// `Ready(true)`: it took some. `Ready(false)`: the stream has ended, in order. `Pending`: the
    /// task is woken when there is more.
    pub fn poll_frames(
        &mut self,
        context: &mut Context<'_>,
        mut take: impl FnMut(Delivery),
    ) -> Poll<bool> {
        let stream = Arc::clone(&self.stream);
        let mut ring = stream.ring();
        if ring.is_ended() {
            return Poll::Ready(false);
        }
        let Some(start) = self.start(&ring) else {
            ring.wait(self.reader, context.waker());
            return Poll::Pending;
        };
        let (mut next, mut frames, mut bytes) = (start, 0, 0);
        for (number, entry) in ring.range(start) {
            if frames == MAX_FRAMES || bytes >= MAX_BYTES {
                break;
            }
            next = number + 1;
            if let Some(delivery) = self.delivery(number, entry) {
                frames += 1;
                bytes += delivery.frame.data.len();
                take(delivery);
            }
        }
        self.position = Position::At(next);
        if frames == 0 {
            ring.wait(self.reader, context.waker());
            return Poll::Pending;
        }
        self.stream.metrics.sent_frames.inc_by(frames as u64);
        Poll::Ready(true)
    }

    /// The number of the frame to go on with, if there is one to be had.
    fn start(&mut self, ring: &Ring) -> Option<u64> {
        let starting = match self.position {
            Position::At(next) if next >= ring.first() => return Some(next),
            Position::At(next) => {
                // Fallen out of the ring.
                self.squeeze = None;
                self.fell_out_at = Some(next);
                Start::CachedGop
            }
            Position::Starting(start) => start,
        };
        self.position = Position::Starting(starting);
        let start = match ring.newest_sound() {
            Some(sound) => sound,
            None => self.start_picture(ring, starting)?,
        };
        if let Some(fell_out_at) = self.fell_out_at.take() {
            let skipped = start - fell_out_at;
            self.skipped_frames += skipped;
            self.stream.metrics.skipped_frames.inc_by(skipped);
        }
        Some(start)
    }

    /// The number of the key frame to start at, if there is one to be had.
    fn start_picture(&mut self, ring: &Ring, starting: Start) -> Option<u64> {
        let key = ring.newest_key()?;
        // A key frame was asked for when this viewer came. It comes with the camera's next picture:
        // 99 % of all joins have it within 40.5 ms, which is one picture's distance
        // (docs/performance.md, "Joining"). So it is waited for, instead of sending the GOP that is
        // here already.
        if let Start::NextKey {
            after_pictures,
            after,
        } = starting
        {
            // New is a key frame with as many pictures in front of it as there were when the viewer
            // came. Lost pictures are counted and not in the ring: one that is behind an old key
            // frame makes that look newer than it is. The viewer gets the GOP that is here then,
            // squeezed, and loses nothing by it.
            let is_picture = |entry: &Entry| entry.frame.track == TrackKind::Video;
            let since_key = ring
                .range(key)
                .filter(|(_, entry)| is_picture(entry))
                .count();
            let key_is_new = ring.pictures() - since_key as u64 >= after_pictures;
            // An encoder may ignore the request, or its picture may stand still while sound goes
            // on. No viewer waits out a GOP of several seconds for that: the one that is here,
            // squeezed, is on its way after 0.26 ms (p50; 3.9 ms p99).
            let waited = ring
                .newest_time()
                .map_or(0, |newest| newest.micros_since(after));
            let out_of_patience =
                ring.pictures() - after_pictures >= PATIENCE_PICTURES || waited >= PATIENCE_MICROS;
            if !key_is_new && !out_of_patience {
                return None;
            }
        }
        // Only the first start: one that fell out of the ring has its offset, and a player would
        // take timestamps that go back for damage.
        if self.base_micros.is_none() {
            self.squeeze_from(ring, key);
        }
        Some(key)
    }

    /// Prepares to send the published part of the GOP at `key` with its pictures 1 ms apart.
    fn squeeze_from(&mut self, ring: &Ring, key: u64) {
        let pictures: Vec<&Frame> = (ring.range(key).map(|(_, entry)| &entry.frame))
            .filter(|frame| frame.track == TrackKind::Video)
            .collect();
        let Some(newest) = pictures.last() else {
            return;
        };
        // The newest picture is at its own time, and those that it depends on 1 ms apart in front
        // of it, the smallest step that FLV has. At their own times the viewer would be behind by
        // the GOP for as long as it watches.
        let behind_micros = (pictures.len() as i64 - 1) * 1000;
        self.base_micros = Some(newest.time.as_micros() - behind_micros);
        self.squeeze = Some(GopBurst {
            until: ring.published(),
            next_millis: 0,
            compositions: squeezed_compositions(&pictures).into_iter(),
        });
    }

    fn delivery(&mut self, number: u64, entry: &Entry) -> Option<Delivery> {
        let frame = &entry.frame;
        let (timestamp, composition_ms) = match &mut self.squeeze {
            Some(squeeze) if number < squeeze.until => {
                if frame.track == TrackKind::Audio {
                    return None;
                }
                let timestamp = squeeze.next_millis;
                squeeze.next_millis += 1;
                (timestamp, squeeze.compositions.next().unwrap_or(0))
            }
            _ => {
                self.squeeze = None;
                let micros = frame.time.as_micros();
                let base = *self.base_micros.get_or_insert(micros);
                // Sound from before the first picture.
                let since = u64::try_from(micros.checked_sub(base)?).ok()?;
                ((since / 1000) as u32, frame.composition_micros / 1000)
            }
        };
        let known = self
            .known_tracks
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, &entry.tracks));
        let new_tracks = (!known).then(|| {
            self.known_tracks = Some(Arc::clone(&entry.tracks));
            Arc::clone(&entry.tracks)
        });
        Some(Delivery {
            frame: frame.clone(),
            timestamp,
            composition_ms,
            new_tracks,
        })
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.stream.ring().remove_reader(self.reader);
    }
}

/// Composition offsets for pictures that are decoded 1 ms apart, so that they are shown in the
/// right order and 1 ms apart too. Empty if the encoder does not reorder.
fn squeezed_compositions(pictures: &[&Frame]) -> Vec<i32> {
    if pictures.iter().all(|frame| frame.composition_micros == 0) {
        return Vec::new();
    }
    let shown_at = |frame: &Frame| frame.time.as_micros() + i64::from(frame.composition_micros);
    let mut by_display: Vec<usize> = (0..pictures.len()).collect();
    by_display.sort_by_key(|&index| shown_at(pictures[index]));
    let mut rank = vec![0_i32; pictures.len()];
    for (shown, &index) in by_display.iter().enumerate() {
        rank[index] = shown as i32;
    }
    // None is shown before it is decoded: all of them later by as much as the one that would be.
    let delay = rank
        .iter()
        .enumerate()
        .map(|(decoded, &shown)| decoded as i32 - shown)
        .max()
        .unwrap_or(0);
    rank.iter()
        .enumerate()
        .map(|(decoded, &shown)| shown + delay - decoded as i32)
        .collect()
}
