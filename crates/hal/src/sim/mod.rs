//! The simulated camera: real H.264 and AAC, made on the spot.
//!
//! Its picture carries a clock for people and a time code for tests, so that every latency, gap
//! and seek can be judged by looking. `docs/simulated-camera.md` describes both. Nothing is
//! rendered that nobody watches.

mod audio;
mod camera;
mod faults;
mod h264;
mod motor;
mod parts;
mod rate;
mod render;
mod scene;
mod shared;
mod speaker;

pub use audio::AudioKind;
pub use camera::SimCamera;
pub use faults::{Fault, Faults};
pub use shared::{BITRATES, Config};

/// Pictures per second.
const FRAME_RATE: u32 = 25;
/// Microseconds from one picture to the next.
const FRAME_INTERVAL_MICROS: i64 = 1_000_000 / FRAME_RATE as i64;
