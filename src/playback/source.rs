use std::{ops::Range, sync::Arc};

use bytes::Bytes;

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
        let around = recordings
            .iter()
            .rposition(|one| one.start_millis <= millis);
        for recording in &recordings[around.unwrap_or(0)..] {
            if self.open(*recording).await?
                && let Some(open) = &mut self.open
            {
                let start = open.start();
                open.reader.seek(position - start).await?;
                self.waits_for_picture = true;
                return Ok(true);
            }
        }
        Ok(false)
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
            if !self.open_behind(after).await? {
                return Ok(None);
            }
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
            if !self.open_behind(after).await? {
                return Ok(None);
            }
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
            let mut is_open = false;
            for previous in recordings
                .iter()
                .rev()
                .filter(|one| one.start_millis < before)
            {
                is_open = self.open(*previous).await?;
                if is_open {
                    break;
                }
            }
            if !is_open {
                return Ok(None);
            }
        }
    }

    /// The key frame that stands at this position of the open recording.
    async fn key_at(&mut self, key: i64) -> Result<Option<Found>, HalError> {
        let Some(open) = &mut self.open else {
            return Ok(None);
        };
        let into = key - open.start();
        open.reader.seek(into).await?;
        while let Some(mut frame) = open.reader.next().await? {
            if frame.is_video_key() || open.reader.tracks().video.is_none() {
                let position = open.start() + frame.time.as_micros();
                // Of its fragment nothing else is sent: none of it shall be kept.
                frame.data = Bytes::copy_from_slice(&frame.data);
                let is_inside = self.window().contains(&position) || position < self.window().start;
                return Ok(is_inside.then(|| self.found(position, frame)));
            }
        }
        Ok(None)
    }

    /// Opens the first recording that starts at `after` (milliseconds) or later; whether there is
    /// one.
    async fn open_behind(&mut self, after: i64) -> Result<bool, HalError> {
        let recordings = list(&self.index, after..self.window.end).await?;
        for next in recordings.iter().filter(|one| one.start_millis >= after) {
            if self.open(*next).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Opens a recording, if it can be: one that is damaged or gone is passed over.
    async fn open(&mut self, recording: Recording) -> Result<bool, HalError> {
        let is_open = |open: &Open| open.recording.start_millis == recording.start_millis;
        if self.open.as_ref().is_some_and(is_open) {
            return Ok(true);
        }
        match self.index.open(recording.start_millis).await {
            Ok(reader) => {
                self.open = Some(Open { recording, reader });
                Ok(true)
            }
            Err(error) => {
                let start = recording.start_millis;
                tracing::warn!(start, %error, "a recording cannot be opened; passed over");
                Ok(false)
            }
        }
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
