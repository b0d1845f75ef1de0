//! `[record]`: the keys that are the recorder's own.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use peercam_proto::media::Quality;

use super::{Config, LARGEST_FRAGMENT, Limits, MAX_FRAGMENT, MOST_FILES, Mode, SegmentPolicy};
use crate::document::{Table, Value};

impl Mode {
    /// Modes as a configuration spells them.
    pub(crate) const WORDS: [(&str, Self); 3] = [
        (Self::Always.as_str(), Self::Always),
        (Self::Event.as_str(), Self::Event),
        (Self::Off.as_str(), Self::Off),
    ];
}

impl Config {
    /// Every default, for recordings in this directory.
    pub(crate) fn in_directory(path: PathBuf) -> Self {
        Self {
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
        }
    }

    pub(crate) fn read(&mut self, table: &mut Table<'_>, data_dir: &Path) {
        let seconds = Duration::from_secs;
        let hour = Duration::from_hours(1);
        if let Some(path) = table.get("path").directory() {
            self.path = data_dir.join(path);
        }
        self.mount = mount(table.get("mount"), &self.path);
        let qualities = Quality::ALL.map(|quality| (quality.as_str(), quality));
        let quality = table.get("quality").word(&qualities);
        self.quality = quality.unwrap_or(self.quality);
        let cut = &mut self.cut;
        let segment = table.get("segment").duration(seconds(5)..=hour);
        cut.segment = segment.unwrap_or(cut.segment);
        let pre_roll = table.get("pre_roll").duration(seconds(0)..=seconds(60));
        cut.pre_roll = pre_roll.unwrap_or(cut.pre_roll);
        let length = table.get("event_length").duration(seconds(1)..=hour);
        self.event_length = length.unwrap_or(self.event_length);
        let limits = &mut self.limits;
        let max_size = table.get("max_size").size(64 << 20..=1 << 50);
        limits.max_size = max_size.unwrap_or(limits.max_size);
        limits.max_age = table
            .get("max_age")
            .duration(seconds(60)..=24 * 3650 * hour);
        let min_free = table.get("min_free").size(0..=1 << 40);
        limits.min_free = min_free.unwrap_or(limits.min_free);
        let memory = table.get("memory").size(1 << 20..=1 << 30);
        self.memory = memory.unwrap_or(self.memory);
        // An event begins with that, and with the fragment that is being made.
        cut.most_pre_roll = self.memory / 2;
        self.snapshots = table.get("snapshots").flag().unwrap_or(self.snapshots);
    }
}

fn mount(value: Value<'_>, recordings: &Path) -> Option<PathBuf> {
    let mount = Path::new(value.string()?);
    if !mount.is_absolute() {
        value.refuse("an absolute path is needed");
    } else if !recordings.starts_with(mount) {
        value.refuse("path must be inside the mount point, or it would be written elsewhere");
    }
    Some(mount.to_owned())
}
