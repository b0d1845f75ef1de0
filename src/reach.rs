//! Ways to reach the device: its listeners, addresses and relays.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// A running daemon's description of itself, `endpoint.json`; rewritten when it changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Version of this file; 1.
    pub v: u32,
    /// The daemon's process.
    pub pid: u32,
    /// The device's id, in hex.
    pub device_id: String,
    /// Its TCP listeners.
    pub listen: Vec<ListenerInfo>,
    /// TCP addresses at which viewers that hold a credential can reach it.
    pub lan: Vec<SocketAddr>,
    /// UDP addresses at which viewers can dial it by its key; empty if P2P is off.
    #[serde(default)]
    pub udp: Vec<SocketAddr>,
    /// The relays through which it can be dialled.
    #[serde(default)]
    pub relays: Vec<String>,
    /// The `_sys_xp2p_info` that an app back end keeps of it, if P2P is on.
    #[serde(default)]
    pub xp2p_info: Option<String>,
}

/// A TCP listener of a running daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerInfo {
    /// The address that is bound.
    pub address: SocketAddr,
    /// `open` or `token`.
    pub access: String,
}
