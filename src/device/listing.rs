//! Lists of a window, told piece by piece: a day of short files is longer than an answer that is made
//! as a whole may be.

use std::ops::Range;

use peercam_hal::{self as hal, Page, Query};
use peercam_proto::{
    command::{encode_file, encode_span},
    error::Error,
    media::{ChannelId, Content},
};

use super::{
    Recordings,
    recordings::{extend, goes_on, span},
};

/// A piece is at least so long, in bytes, but for the last one; and longer by no more than a page.
const PIECE: usize = 8 << 10;
/// Recordings that are looked at at a time.
const PAGE: usize = 128;
/// More pages than this are not looked at, whoever lists them: 200,000 recordings.
const MOST_PAGES: usize = if cfg!(test) { 50 } else { 1600 };

/// Kind of list.
#[derive(Clone, Copy, Debug)]
pub enum Listed {
    /// Files with this content; `None`: all.
    Files(Option<Content>),
    /// Times of recordings of this kind; `None`: of each. What follows each other is one.
    Spans(Option<u32>),
}

/// The rest of a list, from the oldest on. It is read as it is taken.
///
/// Bound: one page, whatever there is to be listed and however slowly it is taken.
pub struct Listing {
    recordings: Recordings,
    channel: ChannelId,
    query: Query,
    listed: Listed,
    /// A time that may go on with the next recording.
    open: Option<hal::Recording>,
    /// Entries that are wanted yet.
    left: usize,
    pages: usize,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Not begun.
    Before,
    /// Begun, without an entry so far.
    Empty,
    /// Under way, with entries.
    Within,
    /// Ended.
    Over,
}

impl Listing {
    pub(super) fn new(
        recordings: Recordings,
        channel: ChannelId,
        window: Range<i64>,
        limit: Option<usize>,
        listed: Listed,
    ) -> Self {
        let content = match listed {
            Listed::Files(content) => content,
            Listed::Spans(_) => Some(Content::Video),
        };
        Self {
            recordings,
            channel,
            query: Query::new(window, content, Page::Oldest(PAGE)),
            listed,
            open: None,
            left: limit.unwrap_or(usize::MAX),
            pages: 0,
            stage: Stage::Before,
        }
    }

    /// Returns whether all was told.
    pub fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// The next piece of the answer's text; `None` behind the last one. Whoever stops behind an
    /// error ends the list with [`Listing::broken`].
    ///
    /// # Errors
    /// If the medium cannot be read, or nothing of this channel is recorded.
    pub async fn next(&mut self) -> Result<Option<String>, Error> {
        if self.is_over() {
            return Ok(None);
        }
        let mut text = String::new();
        if self.stage == Stage::Before {
            let key = match self.listed {
                Listed::Files(_) => "file_list",
                Listed::Spans(_) => "video_list",
            };
            text = format!("{{\"{key}\":[");
            self.stage = Stage::Empty;
        }
        while text.len() < PIECE && !self.is_over() {
            if self.pages == MOST_PAGES {
                self.end(MORE, &mut text);
                break;
            }
            let (page, is_last) = self.page().await?;
            for one in page {
                self.take(one, &mut text);
            }
            if is_last {
                if let Some(open) = self.open.take() {
                    self.tell(&encode_span(&span(&open)), &mut text);
                }
                self.end("", &mut text);
            }
            // What is listed may be there at once: others have a turn too.
            tokio::task::yield_now().await;
        }
        Ok(Some(text))
    }

    /// Ends a list that cannot be read any further: who reads `more` goes on there, later.
    pub fn broken(&mut self, reason: &str) -> String {
        let mut text = String::new();
        let reason = serde_json::to_string(reason).unwrap_or_default();
        self.end(&format!("{MORE},\"reason\":{reason}"), &mut text);
        text
    }

    /// The next recordings, by start, and whether there are no further ones.
    async fn page(&mut self) -> Result<(Vec<hal::Recording>, bool), Error> {
        self.pages += 1;
        let listed = self.recordings.list(self.channel, self.query.clone());
        let mut page = listed.await?;
        let is_last = page.len() < PAGE;
        // Whoever lists them may repeat itself.
        page.retain(|one| self.query.starts.contains(&one.start_millis));
        page.sort_by_key(|one| (one.start_millis, one.content));
        page.truncate(PAGE);
        let (Some(first), Some(last)) = (page.first(), page.last()) else {
            return Ok((page, true));
        };
        let (first, last) = (first.start_millis, last.start_millis);
        self.query.starts.start = if is_last || first == last {
            last.saturating_add(1)
        } else {
            // Something else that starts then may stand on the next page.
            page.retain(|one| one.start_millis < last);
            last
        };
        Ok((page, is_last))
    }

    fn take(&mut self, one: hal::Recording, text: &mut String) {
        match self.listed {
            Listed::Files(_) => {
                let file = self.recordings.file(self.channel, &one);
                self.tell(&encode_file(&file, self.recordings.dialect()), text);
            }
            Listed::Spans(kind) if kind.is_some_and(|kind| kind != one.kind) => {}
            Listed::Spans(_) => match &mut self.open {
                Some(open) if goes_on(open, &one) => extend(open, &one),
                open => {
                    if let Some(before) = open.replace(one) {
                        self.tell(&encode_span(&span(&before)), text);
                    }
                }
            },
        }
    }

    /// Adds an entry, or says that there are more than are wanted.
    fn tell(&mut self, entry: &str, text: &mut String) {
        if self.left == 0 {
            self.end(MORE, text);
        }
        if self.is_over() {
            return;
        }
        if self.stage == Stage::Within {
            text.push(',');
        }
        text.push_str(entry);
        self.left -= 1;
        self.stage = Stage::Within;
    }

    fn end(&mut self, more: &str, text: &mut String) {
        if !self.is_over() {
            text.push(']');
            text.push_str(more);
            text.push('}');
            self.stage = Stage::Over;
        }
    }
}

const MORE: &str = ",\"more\":\"1\"";
