//! Ways to reach the device: its listeners, addresses and relays.
//!
//! Each part writes what it knows into one `watch<Reachability>`; `endpoint.json` is made of it, and
//! whoever else says where the device is reads it there.

use std::net::SocketAddr;

use peercam_proto::{credential::EndpointId, peer_info::PeerInfo};
use serde::{Deserialize, Serialize};

/// Ways to reach the device now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reachability {
    /// TCP listeners, in the order of the configuration.
    pub listeners: Vec<ListenerInfo>,
    /// TCP addresses at which viewers that hold a credential can reach it.
    pub lan: Vec<SocketAddr>,
    /// UDP addresses at which viewers can dial it by its key; empty if P2P is off.
    pub udp: Vec<SocketAddr>,
    /// URLs of the relays through which it can be dialled.
    pub relays: Vec<String>,
    /// Reason why none of these is connected; `None` while one is.
    pub relay_failure: Option<String>,
    /// Peer information that an app back end keeps of it, `_sys_xp2p_info`; `None` if P2P is off.
    pub peer_info: Option<PeerInfo>,
}

/// A TCP listener of a running daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerInfo {
    /// The address that is bound.
    pub address: SocketAddr,
    /// Access to it.
    pub access: ListenerAccess,
}

/// Access to a TCP listener, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ListenerAccess {
    /// Open to whoever reaches it.
    Open,
    /// For viewers that hold a credential.
    Token,
}

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

impl Endpoint {
    /// Description of this process as the daemon of `device`.
    pub fn of(device: EndpointId, reachability: &Reachability) -> Self {
        let Reachability {
            listeners,
            lan,
            udp,
            relays,
            relay_failure: _,
            peer_info,
        } = reachability.clone();
        Self {
            v: 1,
            pid: std::process::id(),
            device_id: device.to_string(),
            listen: listeners,
            lan,
            udp,
            relays,
            xp2p_info: peer_info.map(|info| info.to_string()),
        }
    }
}

/// Replaces `known` by what is so `now`; returns whether that is something else.
pub fn replace<T: PartialEq>(known: &mut T, now: T) -> bool {
    let is_new = *known != now;
    *known = now;
    is_new
}
