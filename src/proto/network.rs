//! Which network addresses are one party's.

use std::fmt;

use core::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Where a peer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// From this address.
    At(SocketAddr),
    /// Through a relay, which is all that can be seen.
    Relayed,
}

/// What tells one party from another, as far as addresses can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A host; for IPv6 its /64, which a host has as a whole.
    Host(IpAddr),
    /// Somebody behind a relay: endpoint ids are free, so they tell nobody apart.
    Relay,
}

impl Peer {
    /// The party that it is.
    pub fn source(self) -> Source {
        match self {
            Self::At(address) => Source::of(address.ip()),
            Self::Relayed => Source::Relay,
        }
    }
}

impl Source {
    /// The host that has this address.
    pub fn of(address: IpAddr) -> Self {
        Self::Host(match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(
                address.to_bits() & !u128::from(u64::MAX),
            )),
            v4 => v4,
        })
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(address) => address.fmt(f),
            Self::Relayed => f.write_str("relayed"),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(address) => address.fmt(f),
            Self::Relay => f.write_str("relayed"),
        }
    }
}
