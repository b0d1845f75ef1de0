//! HTTP signalling between apps, firmware and the device: routes, commands, calls, refusals.

pub mod call;
pub mod command;
#[cfg(test)]
mod documented;
pub mod farewell;
pub mod feedback;
pub mod firmware_api;
pub mod network;
pub mod origin_policy;
pub mod peer_info;
pub mod playhead;
pub mod query;
pub mod refusal;
pub mod request_line;
pub mod route;
pub mod viewer;
