//! Tasks, threads and locks that outlive a panic, and a watch over the runtime.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod boundary;
pub mod watchdog;
