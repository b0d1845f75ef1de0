//! Recordings of all channels as apps ask for them: lists, days of a month, names of files.
//!
//! Keeps: an answer has one page of recordings and 600 entries in memory at most, whatever is on
//! the card, and a file has one name. Reading files belongs to the index behind it.

use std::{ops::Range, sync::Arc};

use jiff::{Timestamp, civil, tz::TimeZone};
use peercam_hal::{self as hal, Page, Query, RecordingIndex};
use peercam_proto::{
    command::{FileEntry, ListDialect, Month, RecordSpan, Reply, Window},
    error::{Error, ErrorKind},
    media::{ChannelId, Content},
};

use super::{Listed, Listing, RecordingControl};
use crate::{channels::ChannelRegistry, hal_failure};

/// Recordings that are so near to each other are one, in milliseconds.
const CONTIGUOUS: i64 = 1000;
/// More entries than this are in no answer.
const MOST_ENTRIES: usize = 600;
/// Recordings that are looked at at a time: those of a month are never in memory together.
const PAGE: usize = 512;
/// More pages than this are not looked at, whoever lists them: 200,000 recordings.
const MOST_PAGES: usize = 400;

/// The recordings of all channels, as apps ask for them.
#[derive(Clone)]
pub struct Recordings {
    channels: ChannelRegistry,
    zone: TimeZone,
    dialect: ListDialect,
    recording: Option<Arc<dyn RecordingControl>>,
}

impl Recordings {
    /// Recordings that the hardware of these channels makes by itself; their days are those of `zone`.
    pub fn new(channels: ChannelRegistry, zone: TimeZone, dialect: ListDialect) -> Self {
        Self {
            channels,
            zone,
            dialect,
            recording: None,
        }
    }

    /// The recordings of a channel.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if it has none.
    pub fn of(&self, channel: ChannelId) -> Result<Arc<dyn RecordingIndex>, Error> {
        let entry = self.channels.get(channel);
        let index = entry.and_then(|entry| match &self.recording {
            Some(recording) => Some(recording.index(channel)),
            None => entry.capabilities.recordings.clone(),
        });
        index.ok_or_else(|| not_recorded(channel))
    }

    /// Has the recordings of this recorder in place of those of hardware.
    #[must_use]
    pub fn recorded_by(mut self, recording: Arc<dyn RecordingControl>) -> Self {
        self.recording = Some(recording);
        self
    }

    /// Recorder of these recordings; `None` if nothing is recorded here.
    pub fn recording(&self) -> Option<&Arc<dyn RecordingControl>> {
        self.recording.as_ref()
    }

    /// List of what was recorded in a window, or of its files, from the oldest on.
    pub(super) fn listing(
        &self,
        channel: ChannelId,
        window: Window,
        limit: Option<usize>,
        what: Listed,
    ) -> Listing {
        Listing::new(self.clone(), channel, window.millis(), limit, what)
    }

    /// Newest recordings: those of one kind that follow each other are one.
    pub(super) async fn newest_spans(
        &self,
        channel: ChannelId,
        kind: Option<u32>,
        limit: Option<usize>,
    ) -> Result<Reply, Error> {
        let mut query = Query::new(0..i64::MAX, Some(Content::Video), Page::Newest(PAGE));
        let mut merged = Vec::new();
        for _ in 0..MOST_PAGES {
            let mut page = self.list(channel, query.clone()).await?;
            let is_last = page.len() < PAGE;
            // Whoever lists them may repeat itself.
            page.retain(|one| query.starts.contains(&one.start_millis));
            page.sort_by_key(|one| one.start_millis);
            let Some(first) = page.first().map(|one| one.start_millis) else {
                break;
            };
            page.retain(|one| kind.is_none_or(|kind| one.kind == kind));
            merged = merge(page.into_iter().chain(merged));
            if is_last || merged.len() > MOST_ENTRIES {
                break;
            }
            query.starts = query.starts.start..first;
            // What is listed may be there at once: others have a turn too.
            tokio::task::yield_now().await;
        }
        let merged = &merged[merged.len().saturating_sub(MOST_ENTRIES)..];
        Ok(Reply::RecordIndex {
            spans: merged.iter().map(span).collect(),
            limit: limit.unwrap_or(MOST_ENTRIES),
        })
    }

    /// Days of a month on which something was recorded.
    pub(super) async fn days(&self, channel: ChannelId, month: Month) -> Result<Reply, Error> {
        let days = self
            .days_of(month)
            .ok_or_else(|| Error::bad_request("there is no such month"))?;
        let mut bits = 0_u32;
        for (index, window) in days.into_iter().enumerate() {
            let query = Query::new(window, Some(Content::Video), Page::Oldest(1));
            tokio::task::yield_now().await;
            if !self.list(channel, query).await?.is_empty() {
                bits |= 1 << index;
            }
        }
        Ok(Reply::MonthRecord(bits))
    }

    /// Newest files.
    pub(super) async fn newest_files(
        &self,
        channel: ChannelId,
        content: Option<Content>,
        limit: Option<usize>,
    ) -> Result<Reply, Error> {
        let query = Query::new(0..i64::MAX, content, Page::Newest(MOST_ENTRIES));
        let mut recordings = self.list(channel, query).await?;
        recordings.truncate(MOST_ENTRIES);
        let files = recordings.iter().map(|one| self.file(channel, one));
        Ok(Reply::FileList {
            files: files.collect(),
            dialect: self.dialect,
            limit: limit.unwrap_or(MOST_ENTRIES),
        })
    }

    /// A file as apps know it.
    pub(super) fn file(&self, channel: ChannelId, one: &hal::Recording) -> FileEntry {
        FileEntry {
            content: one.content,
            name: file_name(channel, one.start_millis, one.content),
            size: one.size,
            times: [
                first_second(one.start_millis),
                second_behind(one.end_millis),
            ]
            .map(|second| self.written(second)),
        }
    }

    /// Dialect in which lists tell of files.
    pub(super) fn dialect(&self) -> ListDialect {
        self.dialect
    }

    pub(super) async fn list(
        &self,
        channel: ChannelId,
        query: Query,
    ) -> Result<Vec<hal::Recording>, Error> {
        let listed = self.of(channel)?.list(query).await;
        listed.map_err(|error| hal_failure::recordings(&error))
    }

    /// The days of a month of the device's calendar, in milliseconds since 1970.
    fn days_of(&self, month: Month) -> Option<Vec<Range<i64>>> {
        let first = civil::Date::new(month.year, month.month, 1).ok()?;
        let start = |date: civil::Date| {
            let zoned = date.to_zoned(self.zone.clone()).ok()?;
            Some(zoned.timestamp().as_millisecond())
        };
        let days = first.series(jiff::Span::new().days(1));
        let days = days.take(usize::try_from(first.days_in_month()).ok()?);
        days.map(|day| Some(start(day)?..start(day.tomorrow().ok()?)?))
            .collect()
    }

    fn written(&self, second: i64) -> String {
        match (self.dialect, Timestamp::from_second(second)) {
            (ListDialect::Words, Ok(time)) => {
                let time = self.zone.to_datetime(time);
                time.strftime("%Y-%m-%d_%H-%M-%S").to_string()
            }
            _ => second.to_string(),
        }
    }
}

/// Joins recordings that follow each other and are of one kind.
fn merge(recordings: impl Iterator<Item = hal::Recording>) -> Vec<hal::Recording> {
    let mut merged: Vec<hal::Recording> = Vec::new();
    for recording in recordings {
        match merged.last_mut() {
            Some(last) if goes_on(last, &recording) => extend(last, &recording),
            _ => merged.push(recording),
        }
    }
    merged
}

/// Returns whether a recording goes on with the one before it.
pub(super) fn goes_on(before: &hal::Recording, one: &hal::Recording) -> bool {
    one.kind == before.kind && one.start_millis <= before.end_millis + CONTIGUOUS
}

pub(super) fn extend(before: &mut hal::Recording, by: &hal::Recording) {
    before.end_millis = before.end_millis.max(by.end_millis);
}

/// Span of a recording, in whole seconds.
pub(super) fn span(one: &hal::Recording) -> RecordSpan {
    RecordSpan {
        kind: one.kind,
        start: first_second(one.start_millis),
        end: second_behind(one.end_millis),
    }
}

pub(super) fn not_recorded(channel: ChannelId) -> Error {
    Error::new(
        ErrorKind::NotFound,
        format!("channel {channel} is not recorded ([record] in the configuration)"),
    )
}

fn first_second(millis: i64) -> i64 {
    millis.div_euclid(1000)
}

fn second_behind(millis: i64) -> i64 {
    (millis + 999).div_euclid(1000)
}

/// The name by which apps know a file. It is the same while the file grows and after.
fn file_name(channel: ChannelId, start_millis: i64, content: Content) -> String {
    let extension = match content {
        Content::Video => "mp4",
        Content::Snapshot => "jpg",
    };
    format!("{channel}-{start_millis}.{extension}")
}

/// Channel, start and content that such a name stands for; `None` if it is none, whatever it may be
/// a path of.
pub fn parse_file_name(name: &str) -> Option<(ChannelId, i64, Content)> {
    let (rest, content) = match name.strip_suffix(".mp4") {
        Some(rest) => (rest, Content::Video),
        None => (name.strip_suffix(".jpg")?, Content::Snapshot),
    };
    let (channel, start) = rest.split_once('-')?;
    let (channel, start) = (ChannelId(channel.parse().ok()?), start.parse().ok()?);
    // One name for one file.
    (file_name(channel, start, content) == name).then_some((channel, start, content))
}

#[cfg(test)]
mod tests;
