//! Media containers and elementary streams: bytes in, frames out, and back.

pub mod flv;
pub mod fmp4;
pub mod jpeg;
pub mod nal;
pub mod voice;
