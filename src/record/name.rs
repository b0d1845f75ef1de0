//! Names of files: the file system is the index. A name is read only as it is written here, so that
//! one file never has two names.
//!
//! `<start>_<kind>.open.mp4` grows, `<start>_<milliseconds>_<kind>_<bytes>.mp4` is whole; the same
//! with `jpg` for stills. Starts are milliseconds since 1970-01-01 UTC. A `u` behind the kind says
//! that the device did not know the date.

use std::{fmt, ops::RangeInclusive};

use jiff::{civil::Date, tz::TimeZone};
use peercam_proto::media::Content;

/// The longest name.
const MAX_NAME: usize = 80;
/// Later dates are no dates: the year 5138.
const MAX_START: i64 = 99_999_999_999_999;

/// The years of which there are directories.
const DAYS_OF: RangeInclusive<i16> = 1970..=2100;

/// The name of a file of recordings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileName {
    /// Start, in milliseconds since 1970-01-01 UTC.
    pub start_millis: i64,
    /// Kind of what triggered it.
    pub kind: u32,
    /// Set if the device knew the date.
    pub is_dated: bool,
    /// Content of the file.
    pub content: Content,
    /// `None` while it grows.
    pub whole: Option<Whole>,
}

/// Length and size of a file that grows no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole {
    /// Its playing time.
    pub duration_millis: u32,
    /// Its bytes.
    pub size: u64,
}

impl FileName {
    /// Reads a name; `None` for files of others.
    pub fn parse(name: &str) -> Option<Self> {
        if name.len() > MAX_NAME {
            return None;
        }
        let (name, content) = [Content::Video, Content::Snapshot]
            .into_iter()
            .find_map(|content| Some((name.strip_suffix(extension(content))?, content)))?;
        let (name, is_open) = match name.strip_suffix(".open") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let mut parts = name.split('_');
        let start_millis = number(parts.next()?)?;
        let duration = if is_open {
            None
        } else {
            Some(number(parts.next()?)?)
        };
        let kind = parts.next()?;
        let (kind, is_dated) = match kind.strip_suffix('u') {
            Some(kind) => (kind, false),
            None => (kind, true),
        };
        let whole = match duration {
            None => None,
            Some(duration_millis) => Some(Whole {
                duration_millis,
                size: number(parts.next()?)?,
            }),
        };
        let parsed = Self {
            start_millis,
            kind: number(kind)?,
            is_dated,
            content,
            whole,
        };
        (parts.next().is_none() && start_millis <= MAX_START).then_some(parsed)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.is_dated { "" } else { "u" };
        write!(f, "{}_", self.start_millis)?;
        match self.whole {
            None => write!(f, "{}{mark}.open", self.kind)?,
            Some(whole) => write!(
                f,
                "{}_{}{mark}_{}",
                whole.duration_millis, self.kind, whole.size
            )?,
        }
        f.write_str(extension(self.content))
    }
}

const fn extension(content: Content) -> &'static str {
    match content {
        Content::Video => ".mp4",
        Content::Snapshot => ".jpg",
    }
}

/// A number as it is written here: digits, without zeros in front.
fn number<T: std::str::FromStr>(digits: &str) -> Option<T> {
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    let is_short = digits == "0" || !digits.starts_with('0');
    (is_plain && is_short).then(|| digits.parse().ok())?
}

/// The directory of a channel.
pub fn channel_directory(channel: u16) -> String {
    format!("ch{channel}")
}

/// The channel of a directory.
pub fn parse_channel_directory(name: &str) -> Option<u16> {
    number(name.strip_prefix("ch")?)
}

/// The day, which is one of UTC, on which something starts.
pub fn day(start_millis: i64) -> Date {
    let start = jiff::Timestamp::from_millisecond(start_millis).unwrap_or_default();
    start.to_zoned(TimeZone::UTC).date()
}

/// The directory of the files that start on this day, which is one of UTC: `2026-11-21`.
pub fn day_directory(start_millis: i64) -> String {
    day(start_millis).to_string()
}

/// The day of a directory; `None` if it is none of ours.
pub fn parse_day_directory(name: &str) -> Option<Date> {
    let day: Date = name.parse().ok()?;
    let is_ours = DAYS_OF.contains(&day.year()) && day.to_string() == name;
    is_ours.then_some(day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_pinned() {
        let open = FileName {
            start_millis: 1_763_708_400_123,
            kind: 0,
            is_dated: true,
            content: Content::Video,
            whole: None,
        };
        assert_eq!(open.to_string(), "1763708400123_0.open.mp4");
        let whole = Some(Whole {
            duration_millis: 60_040,
            size: 30_000_000,
        });
        let undated = FileName {
            kind: 7,
            is_dated: false,
            whole,
            ..open
        };
        assert_eq!(undated.to_string(), "1763708400123_60040_7u_30000000.mp4");
        let still = FileName {
            content: Content::Snapshot,
            whole,
            ..open
        };
        assert_eq!(still.to_string(), "1763708400123_60040_0_30000000.jpg");
        assert_eq!(day_directory(open.start_millis), "2025-11-21");
    }

    #[test]
    fn files_of_others_are_none_of_ours() {
        for name in [
            "",
            ".mp4",
            "1.mp4",
            "1_0.mp4",
            "1_2_3.mp4",
            "1_2_3_4_5.mp4",
            "01_2_3_4.mp4",
            "+1_2_3_4.mp4",
            "1_2_3_4.avi",
            "1_2_3_4.MP4",
            "1_2_3_4.mp4.tmp",
            "1_0.open.open.mp4",
            "1_2_0.open.mp4",
            "1_0uu.open.mp4",
            "100000000000000_2_3_4.mp4",
            "1_99999999999_3_4.mp4",
            "../1_0.open.mp4",
            "DCIM0001.mp4",
        ] {
            assert_eq!(FileName::parse(name), None, "{name}");
        }
        assert_eq!(parse_channel_directory("ch12"), Some(12));
        for name in ["ch", "ch01", "ch65536", "ch-1", "channel", "lost+found"] {
            assert_eq!(parse_channel_directory(name), None, "{name}");
        }
        let day = parse_day_directory("2026-02-28").expect("a day");
        assert_eq!(day_directory(1_772_236_800_000), day.to_string());
        for name in [
            "2026-02-30",
            "20260228",
            "1969-12-31",
            "2101-01-01",
            "-009999-01-01",
        ] {
            assert_eq!(parse_day_directory(name), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn a_name_says_what_it_was_made_of(
            start_millis in 0..=MAX_START,
            kind: u32,
            is_dated: bool,
            is_video: bool,
            whole: Option<(u32, u64)>,
        ) {
            let name = FileName {
                start_millis,
                kind,
                is_dated,
                content: if is_video { Content::Video } else { Content::Snapshot },
                whole: whole.map(|(duration_millis, size)| Whole { duration_millis, size }),
            };
            let text = name.to_string();
            prop_assert!(text.len() <= MAX_NAME);
            prop_assert!(text.bytes().all(|c| c.is_ascii_alphanumeric() || b"._-".contains(&c)));
            prop_assert_eq!(FileName::parse(&text), Some(name));
        }

        #[test]
        fn any_text_is_read(text in "[0-9a-z_.]{0,90}") {
            if let Some(name) = FileName::parse(&text) {
                prop_assert_eq!(name.to_string(), text);
            }
        }
    }
}
