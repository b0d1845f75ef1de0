//! Frames of one recording after the other, forwards and backwards.
//!
//! Keeps: one recording is open at a time; one that is damaged or gone is passed over; after a seek
//! the first picture is a key frame. Pace and commands belong to `player`, files to the recording
//! index.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use peercam_hal::{HalError, Page, Query, Recording, RecordingIndex, RecordingReader};
use peercam_proto::media::{Content, Frame, TrackKind, Tracks};

/// Recordings that are tried, one after the other, before a card counts as unreadable.
const TRIED: usize = 16;
/// Recordings in a page, and pages at most, that are looked at to tell how long a playback is: a
/// week of minutes. Of what is longer it is not said.
const PAGE: usize = 512;
const MOST_PAGES: usize = 20;

/// One recording after the other, as far as they lie in a window. Positions are recorded time, in
/// microseconds since 1970.
pub(super) struct Source {
    index: Arc<dyn RecordingIndex>,
    /// Milliseconds.
    window: Range<i64>,
    open: Option<Open>,
    known_tracks: Option<Arc<Tracks>>,
    /// Sound in front of the first picture is left out.
    waits_for_picture: bool,
}

struct Open {
    recording: Recording,
    reader: Box<dyn RecordingReader>,
}

/// A frame and where it stands.
pub(super) struct PositionedFrame {
    pub(super) position: i64,
    pub(super) frame: Frame,
    /// The tracks, if they are others than those of the frame before.
    pub(super) new_tracks: Option<Arc<Tracks>>,
}

/// Outcome of a step. A step takes one recording at a time, so that whoever looks for something far
/// away hears of what happens meanwhile.
pub(super) enum Step {
    Frame(PositionedFrame),
    /// No frame in this recording; the next one is open.
    On,
    /// The end of all there is.
    End,
}

impl Open {
    fn start(&self) -> i64 {
        self.recording.start_millis * 1000
    }

    /// Positions of key frames, at which decoding can start.
    async fn keys(&mut self) -> Result<Vec<i64>, HalError> {
        let start = self.start();
        let keys = self.reader.keys().await?.into_iter();
        Ok(keys.map(|micros| start + micros).collect())
    }
}

impl Source {
    pub(super) fn new(index: Arc<dyn RecordingIndex>, window: Range<i64>) -> Self {
        Self {
            index,
            window,
            open: None,
            known_tracks: None,
            waits_for_picture: true,
        }
    }

    /// Closes what is being read.
    pub(super) fn let_go(&mut self) {
        self.open = None;
    }

    /// Returns whether the recording that is being read is being deleted.
    pub(super) fn is_revoked(&self) -> bool {
        let open = self.open.as_ref();
        open.is_some_and(|open| open.reader.is_revoked())
    }

    /// The window, in microseconds.
    pub(super) fn window(&self) -> Range<i64> {
        self.window.start.saturating_mul(1000)..self.window.end.saturating_mul(1000)
    }

    /// Goes to the last key frame at or before `position`, or where there is nothing, to what comes
    /// next. `false`: nothing comes.
    pub(super) async fn seek(&mut self, position: i64) -> Result<bool, HalError> {
        let millis = position.div_euclid(1000);
        let (from, end) = (millis.min(self.window.end), self.window.end);
        // Of those that overlap, the latest begins nearest to it.
        let around = self.list(from..from + 1, i64::MIN..from + 1, Page::Newest(1));
        let mut recordings = around.await?;
        recordings.truncate(1);
        let behind = self.list(from..end, from + 1..i64::MAX, Page::Oldest(TRIED));
        recordings.extend(behind.await?);
        if !self.open_first_of(&recordings).await? {
            return Ok(false);
        }
        if let Some(open) = &mut self.open {
            let start = open.start();
            open.reader.seek(position - start).await?;
            self.waits_for_picture = true;
        }
        Ok(true)
    }

    /// Playing time from `position` to the end of the window, without the gaps, in microseconds;
    /// `None` if that takes too long to say. `position` is in the open recording.
    pub(super) async fn rest(&mut self, position: i64) -> Result<Option<i64>, HalError> {
        let Some(open) = &self.open else {
            return Ok(None);
        };
        let mut from = open.recording.start_millis;
        let (mut millis, begin) = (0, position.div_euclid(1000));
        for _ in 0..MOST_PAGES {
            let (window, starts) = (from..self.window.end, from..i64::MAX);
            let mut page = self.list(window, starts, Page::Oldest(PAGE)).await?;
            let is_last = page.len() < PAGE;
            page.retain(|one| one.start_millis >= from);
            let lengths = page.iter().map(|one| {
                let end = one.end_millis.min(self.window.end);
                end.saturating_sub(one.start_millis.max(begin)).max(0)
            });
            millis = lengths.fold(millis, i64::saturating_add);
            match page.last() {
                Some(last) if !is_last => from = last.start_millis + 1,
                _ => return Ok(Some(millis.saturating_mul(1000))),
            }
            // What is listed may be there at once: others have a turn too.
            tokio::task::yield_now().await;
        }
        Ok(None)
    }

    /// Opens the last recording that starts before `position`. `false`: there is none.
    pub(super) async fn open_before(&mut self, position: i64) -> Result<bool, HalError> {
        let before = position.saturating_add(999).div_euclid(1000);
        let starts = i64::MIN..before;
        let recordings = self.list(
            self.window.start..before,
            starts.clone(),
            Page::Newest(TRIED),
        );
        let mut recordings = recordings.await?;
        recordings.retain(|one| starts.contains(&one.start_millis));
        recordings.reverse();
        self.open_first_of(&recordings).await
    }

    /// The next frame; `None` at the end of the window or of all there is.
    pub(super) async fn next(&mut self) -> Result<Step, HalError> {
        let Some(open) = &mut self.open else {
            return Ok(Step::End);
        };
        while let Some(frame) = open.reader.next().await? {
            let has_picture = open.reader.tracks().video.is_some();
            if has_picture && self.waits_for_picture && frame.track == TrackKind::Audio {
                continue;
            }
            self.waits_for_picture = false;
            let position = open.start() + frame.time.as_micros();
            if position >= self.window.end.saturating_mul(1000) {
                return Ok(Step::End);
            }
            return Ok(Step::Frame(self.found(position, frame)));
        }
        self.open_next().await
    }

    /// The key frame `steps` behind `position`: 1 is the next one. What was counted on the way to it
    /// is taken off `steps`.
    pub(super) async fn key_after(
        &mut self,
        position: i64,
        steps: &mut u32,
    ) -> Result<Step, HalError> {
        let Some(open) = &mut self.open else {
            return Ok(Step::End);
        };
        let keys = open.keys().await?;
        let behind = &keys[keys.partition_point(|key| *key <= position)..];
        let index = usize::try_from(*steps).unwrap_or(usize::MAX).max(1) - 1;
        if let Some(key) = behind.get(index) {
            return self.key_at(*key).await;
        }
        *steps -= u32::try_from(behind.len()).unwrap_or(u32::MAX);
        self.open_next().await
    }

    /// The last key frame before `position`.
    pub(super) async fn key_before(&mut self, position: i64) -> Result<Step, HalError> {
        let Some(open) = &mut self.open else {
            return Ok(Step::End);
        };
        let keys = open.keys().await?;
        if let Some(key) = keys.into_iter().rev().find(|key| *key < position) {
            return self.key_at(key).await;
        }
        let start = open.start();
        let is_open = self.open_before(start).await?;
        Ok(if is_open { Step::On } else { Step::End })
    }

    /// The key frame that stands at this position of the open recording.
    async fn key_at(&mut self, key: i64) -> Result<Step, HalError> {
        let Some(open) = &mut self.open else {
            return Ok(Step::End);
        };
        let into = key - open.start();
        open.reader.seek(into).await?;
        while let Some(mut frame) = open.reader.next().await? {
            if frame.is_video_key() || open.reader.tracks().video.is_none() {
                let position = open.start() + frame.time.as_micros();
                // Of its fragment nothing else is sent: none of it shall be kept.
                frame.data = Bytes::copy_from_slice(&frame.data);
                let is_inside = self.window().contains(&position) || position < self.window().start;
                return Ok(if is_inside {
                    Step::Frame(self.found(position, frame))
                } else {
                    Step::End
                });
            }
        }
        Ok(Step::End)
    }

    /// Opens the recording that starts after the open one.
    async fn open_next(&mut self) -> Result<Step, HalError> {
        let Some(open) = &self.open else {
            return Ok(Step::End);
        };
        let start = open.recording.start_millis;
        let behind = start + 1..self.window.end;
        let recordings = self.list(behind, start + 1..i64::MAX, Page::Oldest(TRIED));
        let mut recordings = recordings.await?;
        recordings.retain(|one| one.start_millis > start);
        let is_open = self.open_first_of(&recordings).await?;
        Ok(if is_open { Step::On } else { Step::End })
    }

    /// Opens the first of these that can be: one that is damaged or gone is passed over. `false`:
    /// there is none of them.
    async fn open_first_of(&mut self, recordings: &[Recording]) -> Result<bool, HalError> {
        let mut failed = None;
        for recording in recordings.iter().take(TRIED + 1) {
            let start = recording.start_millis;
            let is_it = |open: &Open| open.recording.start_millis == start;
            if self.open.as_ref().is_some_and(is_it) {
                return Ok(true);
            }
            match self.index.open(start).await {
                Ok(reader) => {
                    let recording = *recording;
                    self.open = Some(Open { recording, reader });
                    return Ok(true);
                }
                Err(error) => {
                    tracing::warn!(start, %error, "a recording cannot be opened; passed over");
                    failed = Some(error);
                }
            }
        }
        failed.map_or(Ok(false), Err)
    }

    /// Not a future of the source: its reader is for one thread at a time.
    fn list(
        &self,
        window: Range<i64>,
        starts: Range<i64>,
        page: Page,
    ) -> impl Future<Output = Result<Vec<Recording>, HalError>> + Send + use<> {
        let query = Query {
            starts,
            ..Query::new(window, Some(Content::Video), page)
        };
        let index = Arc::clone(&self.index);
        async move { index.list(query).await }
    }

    fn found(&mut self, position: i64, frame: Frame) -> PositionedFrame {
        let tracks = self.open.as_ref().map(|open| open.reader.tracks());
        let is_new = tracks != self.known_tracks.as_deref();
        if let Some(tracks) = tracks.filter(|_| is_new) {
            self.known_tracks = Some(Arc::new(tracks.clone()));
        }
        PositionedFrame {
            position,
            frame,
            new_tracks: self.known_tracks.clone().filter(|_| is_new),
        }
    }
}
