//! `[record]`: what is kept on a card.

use std::path::{Path, PathBuf};

use peercam_proto::command::ListDialect;

use crate::{
    document::Table,
    record::{Config, Mode},
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
            mode: Mode::default(),
            file_list: ListDialect::default(),
            config: Config::in_directory(path),
        }
    }

    /// Paths are relative to `data_dir`, where what must outlast the daemon is.
    pub(super) fn read(table: &mut Table<'_>, data_dir: &Path) -> Option<Self> {
        let enabled = table.get("enabled").flag();
        let mut record = Self::in_directory(data_dir.join("recordings"));
        record.mode = table.get("mode").word(&Mode::WORDS).unwrap_or(record.mode);
        record.config.read(table, data_dir);
        let dialects = [
            ("numbers", ListDialect::Numbers),
            ("words", ListDialect::Words),
        ];
        let dialect = table.get("file_list").word(&dialects);
        record.file_list = dialect.unwrap_or(record.file_list);
        enabled.unwrap_or(true).then_some(record)
    }

    /// Place and limit of the recordings, in words.
    pub(super) fn in_words(&self) -> String {
        let Config { path, limits, .. } = &self.config;
        let (size, unit) = match limits.max_size {
            size if size % (1 << 30) == 0 => (size >> 30, "GiB"),
            size => (size >> 20, "MiB"),
        };
        format!("{}, at most {size} {unit}", path.display())
    }

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
