use std::{ops::Range, sync::Arc};

use crate::{
    hal::{HalError, Recording, RecordingIndex, RecordingReader},
    media::{Content, Frame, TrackKind, Tracks},
};

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
pub(super) struct Found {
    pub(super) position: i64,
    pub(super) frame: Frame,
    /// The tracks, if they are others than those of the frame before.
    pub(super) new_tracks: Option<Arc<Tracks>>,
}

impl Open {
    fn start(&self) -> i64 {
        self.recording.start_millis * 1000
    }

    /// Where decoding can start.
    async fn keys(&mut self) -> Result<Vec<i64>, HalError> {
        let start = self.start();
        let keys = self.reader.keys().await?.into_iter();
        Ok(keys.map(|millis| start + micros(millis)).collect())
    }
}

fn micros(millis: u64) -> i64 {
    i64::try_from(millis.saturating_mul(1000)).unwrap_or(i64::MAX)
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

    /// Whether what is being read is being deleted.
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
        let recordings = list(&self.index, millis..self.window.end).await?;
        // Of two that overlap, the later one begins nearer to it.
        let around = recordings.iter().rfind(|one| one.start_millis <= millis);
        let Some(recording) = around.or(recordings.first()) else {
            return Ok(false);
        };
        self.waits_for_picture = true;
        let into = u64::try_from(millis - recording.start_millis).unwrap_or(0);
        self.open(*recording).await?;
        if let Some(open) = &mut self.open {
            open.reader.seek(into).await?;
        }
        Ok(true)
    }

    /// The next frame; `None` at the end of the window or of all there is.
    pub(super) async fn next(&mut self) -> Result<Option<Found>, HalError> {
        loop {
            let Some(open) = &mut self.open else {
                return Ok(None);
            };
            if let Some(frame) = open.reader.next().await? {
                let has_picture = open.reader.tracks().video.is_some();
                if has_picture && self.waits_for_picture && frame.track == TrackKind::Audio {
                    continue;
                }
                self.waits_for_picture = false;
                let position = open.start() + frame.time.as_micros();
                if position >= self.window().end {
                    return Ok(None);
                }
                return Ok(Some(self.found(position, frame)));
            }
            let after = open.recording.start_millis + 1;
            let recordings = list(&self.index, after..self.window.end).await?;
            let next = recordings.iter().find(|one| one.start_millis >= after);
            let Some(next) = next else { return Ok(None) };
            self.open(*next).await?;
        }
    }

    /// The key frame `steps` behind `position`: 1 is the next one. `None` if there are not so many.
    pub(super) async fn key_after(
        &mut self,
        position: i64,
        mut steps: u32,
    ) -> Result<Option<Found>, HalError> {
        loop {
            let Some(open) = &mut self.open else {
                return Ok(None);
            };
            let keys = open.keys().await?;
            let behind = &keys[keys.partition_point(|key| *key <= position)..];
            let index = usize::try_from(steps.max(1)).unwrap_or(usize::MAX) - 1;
            if let Some(key) = behind.get(index).copied() {
                return self.key_at(key).await;
            }
            steps -= u32::try_from(behind.len())
                .unwrap_or(u32::MAX)
                .min(steps - 1);
            let after = open.recording.start_millis + 1;
            let recordings = list(&self.index, after..self.window.end).await?;
            let next = recordings.iter().find(|one| one.start_millis >= after);
            let Some(next) = next else { return Ok(None) };
            self.open(*next).await?;
        }
    }

    /// The last key frame before `position`; `None` if there is none in the window.
    pub(super) async fn key_before(&mut self, position: i64) -> Result<Option<Found>, HalError> {
        loop {
            let Some(open) = &mut self.open else {
                return Ok(None);
            };
            let keys = open.keys().await?;
            if let Some(key) = keys.into_iter().rev().find(|key| *key < position) {
                return self.key_at(key).await;
            }
            let before = open.recording.start_millis;
            let recordings = list(&self.index, self.window.start..before).await?;
            let Some(previous) = recordings.iter().rfind(|one| one.start_millis < before) else {
                return Ok(None);
            };
            self.open(*previous).await?;
        }
    }

    /// The key frame that stands at this position of the open recording.
    async fn key_at(&mut self, key: i64) -> Result<Option<Found>, HalError> {
        let Some(open) = &mut self.open else {
            return Ok(None);
        };
        let into = u64::try_from((key - open.start()) / 1000).unwrap_or(0);
        open.reader.seek(into).await?;
        while let Some(frame) = open.reader.next().await? {
            if frame.is_video_key() || open.reader.tracks().video.is_none() {
                let position = open.start() + frame.time.as_micros();
                let is_inside = self.window().contains(&position) || position < self.window().start;
                return Ok(is_inside.then(|| self.found(position, frame)));
            }
        }
        Ok(None)
    }

    async fn open(&mut self, recording: Recording) -> Result<(), HalError> {
        let is_open = |open: &Open| open.recording.start_millis == recording.start_millis;
        if !self.open.as_ref().is_some_and(is_open) {
            let reader = self.index.open(recording.start_millis).await?;
            self.open = Some(Open { recording, reader });
        }
        Ok(())
    }

    fn found(&mut self, position: i64, frame: Frame) -> Found {
        let tracks = self.open.as_ref().map(|open| open.reader.tracks());
        let is_new = tracks != self.known_tracks.as_deref();
        if let Some(tracks) = tracks.filter(|_| is_new) {
            self.known_tracks = Some(Arc::new(tracks.clone()));
        }
        Found {
            position,
            frame,
            new_tracks: self.known_tracks.clone().filter(|_| is_new),
        }
    }
}

async fn list(
    index: &Arc<dyn RecordingIndex>,
    window: Range<i64>,
) -> Result<Vec<Recording>, HalError> {
    let mut recordings = index.list(window).await?;
    recordings.retain(|one| one.content == Content::Video);
    Ok(recordings)
}
