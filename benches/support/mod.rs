//! Parts of the benchmarks.
#![allow(dead_code)] // Each benchmark uses some of them.

pub(crate) mod bare;
pub(crate) mod clip;
pub(crate) mod load;
pub(crate) mod process;
pub(crate) mod server;

/// A data directory for a daemon of this process.
pub(crate) fn data_dir() -> std::path::PathBuf {
    let name = format!("bench-{}", std::process::id());
    std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}
