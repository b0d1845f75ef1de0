//! Tasks, threads and locks that outlive a panic, and a watch over the runtime.
//!
//! [`boundary`] starts all of them, so that a panic ends one part and not the process;
//! [`watchdog`] ends the process when its runtime stands still. [`registry`] is a table whose entries
//! last as long as whoever holds them.
//!
//! ```
//! use peercam_task::boundary::{self, Guarded, Panicked, Part};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let fails = boundary::spawn(Part::Service, "an example", async { panic!("a fault") });
//! let ended: Result<Result<(), Panicked>, _> = fails.await;
//! assert!(matches!(ended, Ok(Err(Panicked))));
//!
//! // A lock says what is made of its value after a panic of its holder.
//! let pair = Guarded::new((1, 1), |pair| *pair = (0, 0));
//! let _ = boundary::run(Part::Service, "an example", || {
//!     pair.lock().0 = 2;
//!     let _held = pair.lock();
//!     panic!("between two halves");
//! });
//! assert_eq!(*pair.lock(), (0, 0));
//! # }
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod boundary;
pub mod registry;
pub mod watchdog;
