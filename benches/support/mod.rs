//! Parts of the benchmarks.
#![allow(dead_code)] // Each benchmark uses some of them.

pub(crate) mod bare;
pub(crate) mod clip;
pub(crate) mod load;
pub(crate) mod process;
pub(crate) mod server;
