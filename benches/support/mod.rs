//! Parts of the benchmarks.
#![allow(dead_code)] // Each benchmark uses some of them.

use std::path::{Path, PathBuf};

pub(crate) mod bare;
pub(crate) mod clip;
pub(crate) mod load;
pub(crate) mod process;
pub(crate) mod server;

/// A data directory for a daemon of this process.
pub(crate) fn data_dir() -> PathBuf {
    data_dir_of(std::process::id())
}

/// The data directory of another process.
pub(crate) fn data_dir_of(pid: u32) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-{pid}"))
}
