//! Containers of media and what stands in them: bytes in, frames out, and back.

pub mod flv;
pub mod fmp4;
pub mod jpeg;
pub mod nal;
pub mod voice;
