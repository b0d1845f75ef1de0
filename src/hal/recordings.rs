use std::ops::Range;

use super::{BoxFuture, HalError};
use crate::media::{Frame, Tracks};

/// Recordings of one channel: lists and opens them, whoever made them.
pub trait RecordingIndex: Send + Sync {
    /// The recordings that overlap `window`, by start.
    ///
    /// # Errors
    /// [`HalError`] if the medium cannot be read.
    fn list(&self, window: Range<i64>) -> BoxFuture<'_, Result<Vec<Recording>, HalError>>;

    /// Opens the recording that starts at `start_millis`.
    ///
    /// # Errors
    /// [`HalError::Missing`] if there is none (any more).
    fn open(&self, start_millis: i64) -> BoxFuture<'_, Result<Box<dyn RecordingReader>, HalError>>;
}

/// One recording. Times are wall-clock milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recording {
    /// Its first picture.
    pub start_millis: i64,
    /// The end of its last picture.
    pub end_millis: i64,
    /// What triggered it: an open set of numbers that the product defines; 0 = timed.
    pub kind: u32,
    /// Size in bytes.
    pub size: u64,
}

/// An open recording, read in decoding order.
pub trait RecordingReader: Send {
    /// What a decoder must know.
    fn tracks(&self) -> &Tracks;

    /// Goes to the last key frame at or before `position_millis` (from the recording's start).
    fn seek(&mut self, position_millis: u64) -> BoxFuture<'_, Result<(), HalError>>;

    /// The next frame, its time counted from the recording's start; `None` at the end.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Frame>, HalError>>;
}
