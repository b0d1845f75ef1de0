use std::path::Path;

use peercam_hal::clock::Clock;

use super::Report;
use crate::{
    access::{DataDir, SecretStore},
    config::Config,
};

/// Space that a device should have for its data, in bytes.
const ENOUGH_SPACE: u64 = 16 << 20;

/// Looks whether the date is known.
pub(super) fn clock(report: &mut Report) {
    match Clock::start().date() {
        Some(_) => report.good("the clock is set"),
        None => report.fail(
            "the clock is not set: credentials that end some day are not let in, and recordings have no date; set it, by NTP or by hand",
        ),
    }
}

/// Looks at the directory of what must outlast the daemon, and at its disk.
pub(super) fn data_dir(config: &Config, report: &mut Report) {
    let path = config.data_dir.display();
    match DataDir::check(&config.data_dir) {
        Ok(()) => report.good(format_args!("data_dir: {path} can be used")),
        Err(error) => report.fail(error),
    }
    if let Err(error) = SecretStore::check(&config.data_dir) {
        report.fail(error);
    }
    let existing = config.data_dir.ancestors().find(|path| path.exists());
    if let Ok(system) = rustix::fs::statvfs(existing.unwrap_or(Path::new("."))) {
        let free = system.f_bavail * system.f_frsize;
        if free >= ENOUGH_SPACE {
            report.good(format_args!("disk: {} MiB are free", free >> 20));
        } else {
            report.fail(format_args!(
                "disk: only {} KiB are free for {path}; make room",
                free >> 10
            ));
        }
    }
}
