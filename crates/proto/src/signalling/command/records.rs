//! Commands about recordings: what there is, and how it is played.

use serde::Serialize;

use super::{
    Status,
    reply::{as_text, to_json},
};
use crate::{error::Error, media::Content, query::Query};

/// The longest answer that is made as a whole, in bytes. Lists of a window come piece by piece.
pub const MAX_REPLY: usize = 16 << 10;
/// The most key frames that are passed over at a time.
const MOST_KEYS: u32 = 1000;
/// Later dates are no dates: the year 9999, in seconds.
const MAX_SECONDS: i64 = 253_402_300_799;

/// A time that is asked about: seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its first second.
    pub start: i64,
    /// The second behind it.
    pub end: i64,
}

/// A month of a calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Month {
    /// 1970 to 9999.
    pub year: i16,
    /// 1 to 12.
    pub month: i8,
}

/// Control of a player: the `playback_…` commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaybackCommand {
    /// `playback_pause`
    Pause,
    /// `playback_resume`
    Resume,
    /// `playback_progress`
    Progress,
    /// `playback_seek`
    Seek(SeekTo),
    /// `playback_ff`: every n-th key frame; 0 is all frames again.
    Fast {
        /// n
        every: u32,
    },
    /// `playback_rewind`: key frames backwards. Values from 10¹² on are dates in milliseconds, others
    /// milliseconds from the start of what is being played.
    Rewind {
        /// `end_time`: where it begins; where it is now, if missing.
        from: Option<i64>,
        /// `start_time`: where it ends; the start, if missing.
        to: Option<i64>,
    },
    /// `playback_speed`: pictures so far apart.
    Speed {
        /// Milliseconds, 1 to 10,000.
        millis: u32,
    },
}

/// Target of a seek.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeekTo {
    /// Offset from the start of what is being played.
    Offset {
        /// Milliseconds.
        millis: i64,
    },
    /// Date in the recordings.
    Date {
        /// Milliseconds since 1970.
        millis: i64,
    },
}

impl Window {
    /// Returns the window in milliseconds.
    pub fn millis(self) -> std::ops::Range<i64> {
        self.start * 1000..self.end * 1000
    }

    /// Reads `start_time` and `end_time`; `None` if neither is there.
    ///
    /// # Errors
    /// [`Error::bad_request`] if one is missing or damaged, or if the end is not behind the start.
    pub fn from_query(query: &Query<'_>) -> Result<Option<Self>, Error> {
        let start = seconds(query, &["start_time", "starttime"])?;
        let end = seconds(query, &["end_time", "endtime"])?;
        match (start, end) {
            (None, None) => Ok(None),
            (Some(start), Some(end)) if start < end => Ok(Some(Self { start, end })),
            (Some(_), Some(_)) => Err(Error::bad_request(
                "end_time is a later second than start_time",
            )),
            _ => Err(Error::bad_request(
                "start_time and end_time are needed together: seconds since 1970",
            )),
        }
    }
}

fn seconds(query: &Query<'_>, keys: &[&str]) -> Result<Option<i64>, Error> {
    time(query, keys, MAX_SECONDS, "seconds since 1970")
}

fn milliseconds(query: &Query<'_>, keys: &[&str]) -> Result<Option<i64>, Error> {
    time(query, keys, MAX_SECONDS * 1000, "milliseconds")
}

/// A time of up to `max`, in these units. Decimals are cut off: the vendor's
/// iOS app writes times with `%f`.
fn time(query: &Query<'_>, keys: &[&str], max: i64, units: &str) -> Result<Option<i64>, Error> {
    let Some(text) = value(query, keys)? else {
        return Ok(None);
    };
    match whole(without_decimals(text)).filter(|number| *number <= max) {
        Some(number) => Ok(Some(number)),
        None => Err(Error::bad_request(format!(
            "the parameter {} is a number of {units} in digits, {max} at most; decimals are cut off",
            keys[0]
        ))),
    }
}

/// A number that counts something.
fn count(query: &Query<'_>, keys: &[&str]) -> Result<Option<i64>, Error> {
    let Some(text) = value(query, keys)? else {
        return Ok(None);
    };
    match whole(text) {
        Some(number) => Ok(Some(number)),
        None => Err(Error::bad_request(format!(
            "the parameter {} is a whole number",
            keys[0]
        ))),
    }
}

/// The value of a number. Some clients in the field leave a brace behind it.
fn value<'a>(query: &'a Query<'_>, keys: &[&str]) -> Result<Option<&'a str>, Error> {
    let text = query.value_of_any(keys)?.unwrap_or_default();
    let text = text.trim_end_matches('}');
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// Cuts decimals off: returns the text before a point that only digits follow.
fn without_decimals(text: &str) -> &str {
    match text.split_once('.') {
        Some((whole, decimals)) if decimals.bytes().all(|byte| byte.is_ascii_digit()) => whole,
        _ => text,
    }
}

/// A number in digits and nothing else.
fn whole(text: &str) -> Option<i64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| text.parse().ok())?
}

impl Month {
    /// Reads `time`: six digits, such as 202401. Decimals are cut off.
    ///
    /// # Errors
    /// [`Error::bad_request`] if it is none.
    pub(super) fn from_query(query: &Query<'_>) -> Result<Self, Error> {
        let bad = || Error::bad_request("the parameter time is a year and a month, such as 202401");
        let text = without_decimals(query.value("time")?.ok_or_else(bad)?);
        if text.len() != 6 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(bad());
        }
        let year: i16 = text[..4].parse().map_err(|_| bad())?;
        let month: i8 = text[4..].parse().map_err(|_| bad())?;
        if (1970..=9999).contains(&year) && (1..=12).contains(&month) {
            Ok(Self { year, month })
        } else {
            Err(bad())
        }
    }
}

impl PlaybackCommand {
    /// Reads one of the `playback_…` commands; `None` if `cmd` is none.
    ///
    /// # Errors
    /// [`Error::bad_request`] if a parameter is missing or damaged.
    pub(super) fn from_query(cmd: &str, query: &Query<'_>) -> Result<Option<Self>, Error> {
        let needed =
            |value: Option<i64>, what: &'static str| value.ok_or_else(|| Error::bad_request(what));
        Ok(Some(match cmd {
            "playback_pause" => Self::Pause,
            "playback_resume" => Self::Resume,
            "playback_progress" => Self::Progress,
            "playback_seek" => Self::Seek(seek(query)?),
            "playback_ff" => {
                let every = count(query, &["value", "speed"])?;
                let every = needed(
                    every,
                    "the parameter value is missing: every how many key frames",
                )?;
                let every = u32::try_from(every)
                    .ok()
                    .filter(|every| *every <= MOST_KEYS);
                let bad = || Error::bad_request("the parameter value is a whole number, 0 to 1000");
                Self::Fast {
                    every: every.ok_or_else(bad)?,
                }
            }
            // Rewinding runs from `end_time` back to `start_time` (signalling description, "Set rewind").
            "playback_rewind" => {
                let from = milliseconds(query, &["end_time"])?;
                let to = milliseconds(query, &["start_time"])?;
                Self::Rewind { from, to }
            }
            "playback_speed" => {
                let millis = needed(
                    milliseconds(query, &["speed"])?,
                    "the parameter speed is missing: milliseconds between two pictures",
                )?;
                let millis = u32::try_from(millis)
                    .ok()
                    .filter(|millis| (1..=10_000).contains(millis));
                let bad = || {
                    Error::bad_request(
                        "the parameter speed is 1 to 10000: milliseconds between two pictures",
                    )
                };
                Self::Speed {
                    millis: millis.ok_or_else(bad)?,
                }
            }
            _ => return Ok(None),
        }))
    }
}

/// `progress` is milliseconds from the start; the older `time` seconds, or from 10⁹ on a date.
fn seek(query: &Query<'_>) -> Result<SeekTo, Error> {
    // An older edition of the document has a date in `time`; the vendor's Android app sends seconds from
    // the start there (`time=15}`). 10⁹ is a day in 2001 as a date, and 31 years as an offset.
    const EARLIEST_DATE: i64 = 1_000_000_000;
    if let Some(millis) = milliseconds(query, &["progress"])? {
        return Ok(SeekTo::Offset { millis });
    }
    match seconds(query, &["time"])? {
        None => Err(Error::bad_request(
            "the parameter progress is missing: milliseconds from the start",
        )),
        Some(date) if date >= EARLIEST_DATE => Ok(SeekTo::Date {
            millis: date * 1000,
        }),
        Some(seconds) => Ok(SeekTo::Offset {
            millis: seconds * 1000,
        }),
    }
}

/// One time that was recorded, in an answer to `get_record_index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordSpan {
    /// Kind of the recording, as events number it.
    pub kind: u32,
    /// Its first second, since 1970.
    pub start: i64,
    /// The second behind it.
    pub end: i64,
}

/// One file, in an answer to `get_file_list`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Video or picture.
    pub content: Content,
    /// Its name, for `action=download`.
    pub name: String,
    /// Its bytes.
    pub size: u64,
    /// Start, and the second behind the end, as they are written.
    pub times: [String; 2],
}

/// Notation of types and times in answers to `get_file_list`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListDialect {
    /// Types are "0" and "1", times seconds since 1970: what clients in the field read.
    #[default]
    Numbers,
    /// Types are "video" and "picture", times such as 2024-01-23_12-34-00 in the device's zone: what
    /// the document shows.
    Words,
}

#[derive(Serialize)]
struct SpanJson {
    #[serde(rename = "type")]
    kind: u32,
    #[serde(serialize_with = "as_text")]
    start_time: i64,
    #[serde(serialize_with = "as_text")]
    end_time: i64,
}

#[derive(Serialize)]
struct FileJson<'a> {
    file_type: &'static str,
    file_name: &'a str,
    #[serde(serialize_with = "as_text")]
    file_size: u64,
    start_time: &'a str,
    end_time: &'a str,
}

/// Reads `limit`: the number of entries per answer.
pub(super) fn limit(query: &Query<'_>) -> Result<Option<usize>, Error> {
    let limit = count(query, &["limit"])?.map(|limit| usize::try_from(limit).unwrap_or_default());
    match limit {
        Some(0) => Err(Error::bad_request(
            "the parameter limit is a number of entries, from 1 on",
        )),
        limit => Ok(limit),
    }
}

/// `{"type":0,"start_time":"…","end_time":"…"}`
pub fn encode_span(span: &RecordSpan) -> String {
    to_json(&SpanJson {
        kind: span.kind,
        start_time: span.start,
        end_time: span.end,
    })
}

/// `{"file_type":"0","file_name":"…","file_size":"…","start_time":"…","end_time":"…"}`
pub fn encode_file(file: &FileEntry, dialect: ListDialect) -> String {
    to_json(&FileJson {
        file_type: match (dialect, file.content) {
            (ListDialect::Numbers, Content::Video) => "0",
            (ListDialect::Numbers, Content::Snapshot) => "1",
            (ListDialect::Words, Content::Video) => "video",
            (ListDialect::Words, Content::Snapshot) => "picture",
        },
        file_name: &file.name,
        file_size: file.size,
        start_time: &file.times[0],
        end_time: &file.times[1],
    })
}

/// `{"video_list":[…]}`: the newest.
pub(super) fn encode_spans(spans: &[RecordSpan], limit: usize) -> String {
    page("video_list", limit, spans.iter().map(encode_span))
}

/// `{"file_list":[…]}`: the newest.
pub(super) fn encode_files(files: &[FileEntry], dialect: ListDialect, limit: usize) -> String {
    let files = files.iter().map(|file| encode_file(file, dialect));
    page("file_list", limit, files)
}

/// The last entries, as many as an answer holds and as are wanted. `"more":"1"` says that there are
/// more.
fn page(key: &str, limit: usize, entries: impl DoubleEndedIterator<Item = String>) -> String {
    // Key, braces, brackets and `more`, which do not count as entries.
    const FRAME: usize = 64;
    let mut left = MAX_REPLY - FRAME;
    let mut fitting = Vec::new();
    let mut more = "";
    for entry in entries.rev() {
        match left.checked_sub(entry.len() + 1) {
            Some(rest) if fitting.len() < limit => left = rest,
            _ => {
                more = ",\"more\":\"1\"";
                break;
            }
        }
        fitting.push(entry);
    }
    fitting.reverse();
    format!("{{\"{key}\":[{}]{more}}}", fitting.join(","))
}

/// `{"status":"0","progress":"…"}`
pub(super) fn encode_progress(millis: u64) -> String {
    format!(
        "{{\"status\":\"{}\",\"progress\":\"{millis}\"}}",
        Status::Ok.as_str()
    )
}

#[cfg(test)]
mod tests;
