//! `[record]`: what is kept on a card.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use peercam_proto::{command::ListDialect, media::Quality};
use serde::Deserialize;
use toml::Spanned;

use super::{
    checks::{refuse, size, within},
    error::Problem,
    source::SourceKind,
    units::{Size, Span},
};
use crate::record::{
    Config, LARGEST_FRAGMENT, Limits, MAX_FRAGMENT, MOST_FILES, Mode, SegmentPolicy,
};

/// `[record]`, if it is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// `mode`: of channels that have none of their own. Default: `always`.
    pub mode: Mode,
    /// `file_list`: how `get_file_list` writes types and times. Default: `numbers`.
    pub file_list: ListDialect,
    /// `path`, `mount`, `quality`, `segment`, `pre_roll`, `event_length`, `max_size`, `max_age`,
    /// `min_free`, `memory`, `snapshots`.
    pub config: Config,
}

impl Record {
    /// Every default, for recordings in this directory.
    pub(super) fn in_directory(path: PathBuf) -> Self {
        Self {
            mode: Mode::Always,
            file_list: ListDialect::Numbers,
            config: Config {
                path,
                mount: None,
                quality: Quality::Super,
                cut: SegmentPolicy {
                    segment: Duration::from_secs(60),
                    pre_roll: Duration::from_secs(5),
                    most_pre_roll: 2 << 20,
                },
                limits: Limits {
                    max_size: 1 << 30,
                    max_age: None,
                    min_free: 16 << 20,
                },
                event_length: Duration::from_secs(30),
                memory: 4 << 20,
                fragment: MAX_FRAGMENT,
                files: MOST_FILES,
                largest: LARGEST_FRAGMENT,
                snapshots: true,
            },
        }
    }
}

impl Record {
    /// Warning that files end before they are as long as `segment` says, if they do at so many bits a
    /// second.
    pub(super) fn short_files(&self, rate: u32) -> Option<String> {
        let (limits, segment) = (self.config.limits, self.config.cut.segment.as_secs());
        let (largest, rate) = (limits.largest_file(), u64::from(rate.max(1)));
        let reached = largest * 8 / rate;
        let needed = (segment * rate).div_ceil(8) * (limits.max_size / largest.max(1));
        (reached < segment).then(|| {
            format!(
                "record.segment: a file ends at an eighth of max_size, {} MiB, which a picture of {} kbit/s reaches after {reached} s and not {segment}; a max_size of {} MiB has room for it",
                largest >> 20,
                rate / 1000,
                needed.div_ceil(1 << 20),
            )
        })
    }
}

/// The table as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    enabled: Option<bool>,
    mode: Option<RawMode>,
    path: Option<Spanned<PathBuf>>,
    mount: Option<Spanned<PathBuf>>,
    quality: Option<Spanned<String>>,
    segment: Option<Spanned<Span>>,
    pre_roll: Option<Spanned<Span>>,
    event_length: Option<Spanned<Span>>,
    max_size: Option<Spanned<Size>>,
    max_age: Option<Spanned<Span>>,
    min_free: Option<Spanned<Size>>,
    memory: Option<Spanned<Size>>,
    snapshots: Option<bool>,
    file_list: Option<RawDialect>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawDialect {
    Numbers,
    Words,
}

/// Recording mode of a channel, as the file spells it.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawMode {
    Always,
    Event,
    Off,
}

impl From<RawMode> for Mode {
    fn from(mode: RawMode) -> Self {
        match mode {
            RawMode::Always => Self::Always,
            RawMode::Event => Self::Event,
            RawMode::Off => Self::Off,
        }
    }
}

/// Recording mode of a channel, if it is known without `[record]`. For single pictures it is.
pub(super) fn of_channel(
    mode: Option<Spanned<RawMode>>,
    kind: SourceKind,
) -> Result<Option<Mode>, Problem> {
    let span = mode.as_ref().map(Spanned::span);
    let mode = mode.map(|mode| mode.into_inner().into());
    if kind != SourceKind::Jpeg {
        return Ok(mode);
    }
    let is_wanted = mode.is_some_and(|mode| mode != Mode::Off);
    refuse(
        span.filter(|_| is_wanted),
        "single pictures are not recorded: off is allowed",
    )?;
    Ok(Some(Mode::Off))
}

impl Raw {
    /// Paths are relative to `data_dir`, where what must outlast the daemon is.
    pub(super) fn check(self, data_dir: &Path) -> Result<Option<Record>, Problem> {
        if self.enabled == Some(false) {
            return Ok(None);
        }
        let mut record = Record::in_directory(data_dir.join("recordings"));
        record.mode = self.mode.map_or(record.mode, Into::into);
        record.file_list = match self.file_list {
            None | Some(RawDialect::Numbers) => ListDialect::Numbers,
            Some(RawDialect::Words) => ListDialect::Words,
        };
        let config = &mut record.config;
        if let Some(path) = self.path {
            let is_empty = path.get_ref().as_os_str().is_empty();
            refuse(is_empty.then(|| path.span()), "a directory is needed")?;
            config.path = data_dir.join(path.into_inner());
        }
        if let Some(mount) = self.mount {
            let (span, mount) = (mount.span(), mount.into_inner());
            refuse(
                (!mount.is_absolute()).then(|| span.clone()),
                "an absolute path is needed",
            )?;
            let message = "path must be inside the mount point, or it would be written elsewhere";
            refuse((!config.path.starts_with(&mount)).then_some(span), message)?;
            config.mount = Some(mount);
        }
        if let Some(quality) = self.quality {
            let parsed = quality.get_ref().parse::<Quality>();
            config.quality =
                parsed.map_err(|error| Problem::at(quality.span(), error.to_string()))?;
        }
        let minutes = |count: u64| Duration::from_secs(60 * count);
        let seconds = Duration::from_secs;
        let cut = &mut config.cut;
        cut.segment = span(
            self.segment,
            cut.segment,
            [seconds(5), minutes(60)],
            "5s to 60m",
        )?;
        cut.pre_roll = span(
            self.pre_roll,
            cut.pre_roll,
            [seconds(0), seconds(60)],
            "0s to 60s",
        )?;
        let length = config.event_length;
        config.event_length = span(
            self.event_length,
            length,
            [seconds(1), minutes(60)],
            "1s to 60m",
        )?;
        let days = [minutes(1), minutes(60 * 24 * 3650)];
        let age = self
            .max_age
            .map(|age| span(Some(age), seconds(0), days, "1m to 3650d"));
        config.limits.max_age = age.transpose()?;
        let limits = &mut config.limits;
        limits.max_size = bytes(
            self.max_size,
            limits.max_size,
            [64 << 20, 1 << 50],
            ["64MiB", "1048576GiB"],
        )?;
        limits.min_free = bytes(
            self.min_free,
            limits.min_free,
            [0, 1 << 40],
            ["0B", "1024GiB"],
        )?;
        config.memory = bytes(
            self.memory,
            config.memory,
            [1 << 20, 1 << 30],
            ["1MiB", "1GiB"],
        )?;
        // An event begins with that, and with the fragment that is being made.
        config.cut.most_pre_roll = config.memory / 2;
        config.snapshots = self.snapshots.unwrap_or(config.snapshots);
        Ok(Some(record))
    }
}

fn span(
    value: Option<Spanned<Span>>,
    default: Duration,
    [least, most]: [Duration; 2],
    allowed: &str,
) -> Result<Duration, Problem> {
    let Some(value) = value else {
        return Ok(default);
    };
    let Span(duration) = *value.get_ref();
    if (least..=most).contains(&duration) {
        Ok(duration)
    } else {
        Err(Problem::at(value.span(), format!("{allowed} are allowed")))
    }
}

fn bytes<T: TryFrom<u64> + TryInto<u64> + Copy>(
    value: Option<Spanned<Size>>,
    default: T,
    [least, most]: [u64; 2],
    [least_text, most_text]: [&str; 2],
) -> Result<T, Problem> {
    within(value.map(size), default, least, most, least_text, most_text)
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use std::path::Path;

    #[test]
    fn files_that_end_before_their_time_are_doubted() {
        let doubts = |record: &str, source: &str| {
            let text = format!(
                "[record]\n{record}\n[[channel]]\nid = 0\nsource = {{ kind = \"file\", path = \"x\" }}\n{source}"
            );
            let config = Config::parse(&text, Path::new("c.toml")).expect("a configuration");
            config.doubts().collect::<Vec<_>>()
        };
        for fine in [
            "",
            "segment = \"4m\"",
            "segment = \"10m\"\nmax_size = \"3GiB\"",
            "segment = \"10m\"\nquality = \"standard\"",
            "segment = \"60m\"\nmode = \"off\"",
        ] {
            let told = doubts(fine, "");
            assert!(told.is_empty(), "{fine}: {told:?}");
        }
        let told = doubts("segment = \"10m\"", "");
        assert_eq!(told.len(), 1);
        for words in [
            "128 MiB",
            "4000 kbit/s",
            "after 268 s",
            "not 600",
            "2289 MiB",
        ] {
            assert!(told[0].contains(words), "{words}: {told:?}");
        }
        let enough = doubts("segment = \"10m\"\nmax_size = \"2289MiB\"", "");
        assert!(enough.is_empty(), "what it says is enough: {enough:?}");
        // Short files of little memory.
        assert_eq!(doubts("max_size = \"64MiB\"", "").len(), 1);
    }
}
