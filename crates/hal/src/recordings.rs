use std::ops::Range;

use bytes::Bytes;
use peercam_proto::media::{Content, Frame, Tracks};

use super::{BoxFuture, HalError};

/// Recordings of one channel: lists and opens them, whoever made them.
pub trait RecordingIndex: Send + Sync {
    /// The recordings that are asked for, by start.
    ///
    /// # Errors
    /// [`HalError`] if the medium cannot be read.
    fn list(&self, query: Query) -> BoxFuture<'_, Result<Vec<Recording>, HalError>>;

    /// Opens the recording that starts at `start_millis`, to be played.
    ///
    /// # Errors
    /// [`HalError::Missing`] if there is none (any more).
    fn open(&self, start_millis: i64) -> BoxFuture<'_, Result<Box<dyn RecordingReader>, HalError>>;

    /// Opens the file that starts at `start_millis`, to be fetched as it is.
    ///
    /// # Errors
    /// As [`RecordingIndex::open`].
    fn fetch(
        &self,
        start_millis: i64,
        content: Content,
    ) -> BoxFuture<'_, Result<Box<dyn RecordingFile>, HalError>>;
}

/// Recordings that are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Time that they overlap, in wall-clock milliseconds since 1970-01-01 UTC. A picture
    /// lasts for the second in which it was taken.
    pub window: Range<i64>,
    /// Time in which they start. A list is gone on with by it, behind the last start or in
    /// front of the first one, whatever overlaps.
    pub starts: Range<i64>,
    /// Content that they have; `None` = any.
    pub content: Option<Content>,
    /// Page of them, if there are many.
    pub page: Page,
}

impl Query {
    /// Asks for what overlaps a window, whenever it starts.
    pub fn new(window: Range<i64>, content: Option<Content>, page: Page) -> Self {
        Self {
            window,
            starts: i64::MIN..i64::MAX,
            content,
            page,
        }
    }
}

/// Number of recordings that are listed at most, and the end they are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// The first of them.
    Oldest(usize),
    /// The last of them.
    Newest(usize),
}

/// One recording. Times are wall-clock milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recording {
    /// Its first picture.
    pub start_millis: i64,
    /// The end of its last picture.
    pub end_millis: i64,
    /// Trigger: an open set of numbers that the product defines; 0 = timed.
    pub kind: u32,
    /// Size in bytes.
    pub size: u64,
    /// Kind of content.
    pub content: Content,
}

/// An open recording, read in decoding order. One that grows ends where it ended when that was
/// asked; later there may be more.
pub trait RecordingReader: Send {
    /// Returns the tracks, with their decoder configurations.
    fn tracks(&self) -> &Tracks;

    /// Returns the positions at which decoding can start: microseconds from the recording's start, growing.
    fn keys(&mut self) -> BoxFuture<'_, Result<Vec<i64>, HalError>>;

    /// Goes to the last key frame at or before `position` (microseconds from the recording's
    /// start); to the first one if there is none.
    fn seek(&mut self, position: i64) -> BoxFuture<'_, Result<(), HalError>>;

    /// The next frame, its time counted from the recording's start; `None` at the end.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Frame>, HalError>>;

    /// Returns whether the recording is being deleted: its reader shall end soon.
    fn is_revoked(&self) -> bool {
        false
    }
}

/// A file that is fetched.
pub trait RecordingFile: Send {
    /// Its bytes; of one that grows, those that there were when it was opened.
    fn size(&self) -> u64;

    /// Names this content of it: the same name, the same bytes.
    fn tag(&self) -> String;

    /// Up to `most` bytes from `offset`; empty at the end.
    fn read(&mut self, offset: u64, most: usize) -> BoxFuture<'_, Result<Bytes, HalError>>;
}
