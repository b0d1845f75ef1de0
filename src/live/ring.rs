//! The newest frames of a live stream, read by any number of cursors.
//!
//! Keeps: frames are numbered without gaps and no number is used again; what is published does not
//! change until it leaves; no picture is kept that a decoder could not show; bytes are bounded
//! whatever the readers do. A viewer's timestamps and containers do not belong here.

use std::{collections::VecDeque, sync::Arc, task::Waker};

use peercam_proto::media::{Frame, MediaTime, TrackKind, Tracks};

/// Media time that is kept at least, however short the current GOP.
const KEPT_MICROS: i64 = 2_000_000;
/// A larger frame is lost, whatever the limit, and however much memory there is.
pub const MAX_FRAME: usize = 2 << 20;
/// Sound that waits for the next picture is published without one when it is this old.
const UNPUBLISHED_AUDIO_MICROS: i64 = 40_000;

/// The newest frames of a stream, numbered from 0 as they come.
///
/// Bound: the current GOP and at least 2 s, but never more than [`Ring::set_limit`] bytes, by
/// [`Frame::weight`]; the
/// newest frame is kept even if it alone is larger, up to `max_frame`. When it is full the oldest
/// frames leave; readers that had not taken them have fallen out and skip to
/// the newest key frame. What was pushed becomes visible to readers when it is *published*: at
/// each picture, so that a viewer is sent picture and sound in one write.
#[derive(Debug)]
pub(super) struct Ring {
    entries: VecDeque<Entry>,
    /// Number of the first entry.
    first: u64,
    /// Number of the first frame that readers do not see yet.
    published: u64,
    /// The newest key frame, if it is still here.
    last_key: Option<u64>,
    bytes: usize,
    limit: usize,
    /// A larger frame is lost.
    max_frame: usize,
    tracks: Arc<Tracks>,
    /// Video frames pushed so far.
    pictures: u64,
    /// Set if nothing decodes before the next key frame.
    broken: bool,
    last_times: [MediaTime; 2],
    ended: bool,
    readers: Vec<Reader>,
}

/// A frame and what its decoder must know.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) frame: Frame,
    pub(super) tracks: Arc<Tracks>,
}

/// Slot of a reader, with the waker of one that waits. Slots are reused.
#[derive(Debug)]
enum Reader {
    Free,
    Running,
    Waiting(Waker),
}

/// Outcome of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// Kept.
    Kept,
    /// Lost, because it does not fit or depends on a frame that was lost.
    Lost,
}

impl Ring {
    /// Bytes of the frames that it keeps.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// An empty ring of at most `limit` bytes, for frames of at most `max_frame`.
    pub(super) fn new(limit: usize, max_frame: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            first: 0,
            published: 0,
            last_key: None,
            bytes: 0,
            limit,
            max_frame: max_frame.min(MAX_FRAME),
            tracks: Arc::default(),
            pictures: 0,
            broken: true,
            last_times: [MediaTime::from_micros(i64::MIN); 2],
            ended: false,
            readers: Vec::new(),
        }
    }

    /// Changes the bound; what is beyond it leaves at once.
    pub(super) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
        self.evict();
    }

    /// Frames from here on need `tracks`. Older ones are of no use to a viewer that joins.
    pub(super) fn set_tracks(&mut self, tracks: Tracks) {
        if *self.tracks != tracks {
            self.tracks = Arc::new(tracks);
        }
        self.last_key = None;
        self.broken = true;
    }

    /// Takes in a frame and publishes if it is time to.
    pub(super) fn push(&mut self, mut frame: Frame) -> Pushed {
        let is_video = frame.track == TrackKind::Video;
        if is_video {
            self.pictures += 1;
            self.broken &= !frame.key;
        }
        let is_too_large = frame.data.len() > self.max_frame;
        self.broken |= is_video && is_too_large;
        if is_too_large || (is_video && self.broken) {
            return Pushed::Lost;
        }
        let last_time = &mut self.last_times[frame.track as usize];
        frame.time = frame.time.max(*last_time);
        *last_time = frame.time;
        if frame.is_video_key() {
            self.last_key = Some(self.end());
        }
        self.bytes += frame.weight();
        self.entries.push_back(Entry {
            frame,
            tracks: Arc::clone(&self.tracks),
        });
        self.evict();
        if self.is_due() {
            self.publish();
        }
        Pushed::Kept
    }

    /// Lets the oldest frames go. Age takes only what is in front of the current GOP, so that there
    /// is a key frame to join at; too many bytes take that one too, and viewers that come then wait
    /// for the next.
    fn evict(&mut self) {
        let Some(newest) = self.entries.back().map(|entry| entry.frame.time) else {
            return;
        };
        while let Some(oldest) = self.entries.front() {
            let too_many_bytes = self.bytes > self.limit && self.entries.len() > 1;
            let before_gop = self.last_key.is_none_or(|key| self.first < key);
            let too_old = newest.micros_since(oldest.frame.time) > KEPT_MICROS;
            if !(too_many_bytes || (before_gop && too_old)) {
                break;
            }
            // The rest of its GOP stays for those who are in it already; nobody can join there.
            if self.last_key == Some(self.first) {
                self.last_key = None;
            }
            self.bytes -= oldest.frame.weight();
            self.entries.pop_front();
            self.first += 1;
        }
        // A frame may leave before it was published, when one that is large comes behind it.
        self.published = self.published.max(self.first);
    }

    /// Returns whether readers are to be woken now: with each picture, which takes along the sound
    /// in front of it.
    ///
    /// A publication is a wake-up and a write for every viewer, whose state is cold in the cache by
    /// then (docs/performance.md, "Fan-out"): with 25 pictures and 47 blocks of sound a second there
    /// are 25 of them in this way, and not 72. Sound whose picture stands still waits no longer than
    /// a picture would take, which is noticed when the next block comes: a stream has no timer.
    /// Where there is no picture at all it waits for nothing.
    fn is_due(&self) -> bool {
        let unpublished = (self.published - self.first) as usize;
        match (self.entries.back(), self.entries.get(unpublished)) {
            (Some(newest), Some(oldest)) => {
                newest.frame.track == TrackKind::Video
                    || self.tracks.video.is_none()
                    || newest.frame.time.micros_since(oldest.frame.time) >= UNPUBLISHED_AUDIO_MICROS
            }
            _ => false,
        }
    }

    /// Makes everything that is here visible in one step, and only then wakes: a reader that finds
    /// nothing registers its waker under the same lock, so that none sleeps through it.
    fn publish(&mut self) {
        self.published = self.end();
        self.wake_all();
    }

    /// Number of the frame to come.
    fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// Ends the stream: every reader is told.
    pub(super) fn close(&mut self) {
        self.ended = true;
        self.wake_all();
    }

    /// Ends the stream of which nobody knows how it stands: what is in it is not read any more.
    pub(super) fn abandon(&mut self) {
        let end = self
            .first
            .max(self.published)
            .saturating_add(self.entries.len() as u64);
        *self = Self {
            first: end,
            published: end,
            readers: std::mem::take(&mut self.readers),
            ..Self::new(self.limit, self.max_frame)
        };
        self.close();
    }

    fn wake_all(&mut self) {
        for reader in &mut self.readers {
            if let Reader::Waiting(_) = reader
                && let Reader::Waiting(waker) = std::mem::replace(reader, Reader::Running)
            {
                waker.wake();
            }
        }
    }

    /// Registers a reader.
    pub(super) fn add_reader(&mut self) -> usize {
        if let Some(free) = self
            .readers
            .iter()
            .position(|reader| matches!(reader, Reader::Free))
        {
            self.readers[free] = Reader::Running;
            return free;
        }
        self.readers.push(Reader::Running);
        self.readers.len() - 1
    }

    /// Forgets a reader.
    pub(super) fn remove_reader(&mut self, reader: usize) {
        self.readers[reader] = Reader::Free;
        while matches!(self.readers.last(), Some(Reader::Free)) {
            self.readers.pop();
        }
    }

    /// Has `waker` woken at the next publication or at the end.
    pub(super) fn wait(&mut self, reader: usize, waker: &Waker) {
        match &mut self.readers[reader] {
            Reader::Waiting(known) => known.clone_from(waker),
            other => *other = Reader::Waiting(waker.clone()),
        }
    }

    /// Returns whether the stream has ended, by [`Ring::close`] or [`Ring::abandon`].
    pub(super) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Number of the oldest frame.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// Number of the first frame that readers do not see yet.
    pub(super) fn published(&self) -> u64 {
        self.published
    }

    /// Video frames that came so far, kept or lost.
    pub(super) fn pictures(&self) -> u64 {
        self.pictures
    }

    /// Number of the newest key frame that readers see.
    pub(super) fn newest_key(&self) -> Option<u64> {
        self.last_key.filter(|&key| key < self.published)
    }

    /// Capture time of the newest frame.
    pub(super) fn newest_time(&self) -> Option<MediaTime> {
        let newest = self.published.checked_sub(1)?;
        self.get(newest).map(|entry| entry.frame.time)
    }

    /// Number of the newest frame, at which a reader of a stream without video starts; `None` if it
    /// has video.
    pub(super) fn newest_sound(&self) -> Option<u64> {
        let newest = self.published.checked_sub(1)?;
        (self.tracks.video.is_none() && newest >= self.first).then_some(newest)
    }

    /// Capture time of the newest key frame.
    pub(super) fn newest_key_time(&self) -> Option<MediaTime> {
        self.newest_key()
            .and_then(|key| self.get(key))
            .map(|entry| entry.frame.time)
    }

    /// The published frame with this number.
    pub(super) fn get(&self, number: u64) -> Option<&Entry> {
        if number >= self.published {
            return None;
        }
        self.entries
            .get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// Published frames from `start` on.
    pub(super) fn range(&self, start: u64) -> impl Iterator<Item = (u64, &Entry)> {
        let skip = start.saturating_sub(self.first) as usize;
        let count = (self.published - self.first) as usize;
        self.entries
            .range(skip.min(count)..count)
            .enumerate()
            .map(move |(index, entry)| (self.first + (skip + index) as u64, entry))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use peercam_proto::media::FRAME_COST;
    use peercam_proto::media::{AudioCodec, AudioTrack, VideoCodec, VideoTrack};

    fn tracks() -> Tracks {
        Tracks {
            video: Some(VideoTrack {
                codec: VideoCodec::H264,
                config: Bytes::new(),
                width: 0,
                height: 0,
                frame_rate: 25.0,
            }),
            audio: Some(AudioTrack {
                codec: AudioCodec::PcmA,
                config: Bytes::new(),
                sample_rate: 8000,
                channels: 1,
            }),
        }
    }

    fn ring(limit: usize) -> Ring {
        let mut ring = Ring::new(limit, MAX_FRAME);
        ring.set_tracks(tracks());
        ring
    }

    fn frame(track: TrackKind, key: bool, millis: i64, size: usize) -> Frame {
        Frame {
            track,
            key,
            time: MediaTime::from_micros(millis * 1000),
            composition_micros: 0,
            data: vec![0; size].into(),
        }
    }

    fn video(key: bool, millis: i64) -> Frame {
        frame(TrackKind::Video, key, millis, 100)
    }

    fn audio(millis: i64) -> Frame {
        frame(TrackKind::Audio, true, millis, 10)
    }

    #[test]
    fn sound_waits_for_the_next_picture_but_not_for_ever() {
        let mut ring = ring(1 << 20);
        ring.push(video(true, 0));
        assert_eq!(ring.published(), 1);
        ring.push(audio(10));
        assert_eq!(ring.published(), 1, "waits");
        ring.push(video(false, 40));
        assert_eq!(ring.published(), 3, "rides along");
        ring.push(audio(70));
        ring.push(audio(130));
        assert_eq!(ring.published(), 5, "40 ms are enough");
    }

    #[test]
    fn the_current_gop_and_two_seconds_are_kept() {
        let mut ring = ring(1 << 20);
        for index in 0..500 {
            ring.push(video(index % 100 == 0, index * 40));
        }
        // Key frames every 4 s, the last one at 400: the GOP reaches back further than 2 s.
        assert_eq!((ring.first(), ring.newest_key()), (400, Some(400)));
        ring.push(video(true, 500 * 40));
        assert_eq!(ring.first(), 450, "two seconds before the newest");
    }

    #[test]
    fn the_byte_limit_wins_over_the_gop() {
        let mut ring = ring(10 * video(true, 0).weight());
        for index in 0..30 {
            ring.push(video(index == 0, index * 40));
        }
        assert_eq!(ring.first(), 20);
        assert_eq!(ring.newest_key(), None, "the key frame had to leave");
        assert!(ring.bytes <= ring.limit);
    }

    #[test]
    fn a_flood_of_tiny_frames_is_bounded_by_what_it_costs() {
        let limit = 1 << 20;
        let mut ring = ring(limit);
        for index in 0..100_000 {
            // All at one moment, so that age lets none of them go.
            ring.push(frame(TrackKind::Video, index == 0, 0, 1));
        }
        assert!(ring.entries.len() <= limit / FRAME_COST);
        let own = ring.entries.capacity() * size_of::<Entry>();
        assert!(own <= limit, "{own} bytes for the entries alone");
    }

    #[test]
    fn a_key_frame_larger_than_the_limit_is_kept_alone() {
        let mut ring = ring(1000);
        ring.push(video(true, 0));
        assert_eq!(
            ring.push(frame(TrackKind::Video, true, 40, 5000)),
            Pushed::Kept
        );
        assert_eq!((ring.first(), ring.newest_key()), (1, Some(1)));
        ring.push(video(false, 80));
        assert_eq!((ring.first(), ring.newest_key()), (2, None));
    }

    #[test]
    fn after_a_lost_picture_nothing_is_kept_before_the_next_key_frame() {
        let mut ring = ring(1000);
        assert_eq!(
            ring.push(video(false, 0)),
            Pushed::Lost,
            "starts with a key frame"
        );
        assert_eq!(ring.push(video(true, 40)), Pushed::Kept);
        let huge = frame(TrackKind::Video, false, 80, MAX_FRAME + 1);
        assert_eq!(ring.push(huge), Pushed::Lost, "too large");
        assert_eq!(ring.push(video(false, 120)), Pushed::Lost);
        assert_eq!(ring.push(audio(120)), Pushed::Kept);
        assert_eq!(ring.push(video(true, 160)), Pushed::Kept);
        ring.set_tracks(Tracks::default());
        assert_eq!(ring.newest_key(), None, "useless with the new tracks");
        assert_eq!(ring.push(video(false, 200)), Pushed::Lost);
    }

    #[test]
    fn time_never_goes_back() {
        let mut ring = ring(1 << 20);
        ring.push(video(true, 100));
        ring.push(video(false, 60));
        assert_eq!(
            ring.get(1).map(|entry| entry.frame.time),
            Some(MediaTime::from_micros(100_000))
        );
    }

    #[test]
    fn reader_slots_are_reused() {
        let mut ring = ring(1 << 20);
        let (a, b) = (ring.add_reader(), ring.add_reader());
        ring.remove_reader(a);
        assert_eq!(ring.add_reader(), a);
        ring.remove_reader(a);
        ring.remove_reader(b);
        assert!(ring.readers.is_empty());
    }
}
