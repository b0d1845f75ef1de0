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

/// A source, or a network around it that one party may have as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    source: Source,
    /// How many bits of an IPv6 address count; 0 where all of it does.
    bits: u8,
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

impl Source {
    /// The networks that it is in, itself first: of IPv6 the /64, /56 and /48, because a home or an
    /// office has one of these.
    pub fn networks(self) -> impl Iterator<Item = Network> {
        let bits: &[u8] = match self {
            Self::Host(IpAddr::V6(_)) => &[64, 56, 48],
            Self::Host(IpAddr::V4(_)) | Self::Relay => &[0],
        };
        bits.iter().map(move |&bits| Network {
            source: match self {
                Self::Host(IpAddr::V6(address)) => {
                    let masked = address.to_bits() & !(u128::MAX >> bits);
                    Self::Host(IpAddr::V6(Ipv6Addr::from_bits(masked)))
                }
                other => other,
            },
            bits,
        })
    }
}

impl Network {
    /// How many hosts it is taken for.
    pub fn weight(self) -> f64 {
        match (self.source, self.bits) {
            (Source::Relay, _) => 10.0,
            (_, 48) => 4.0,
            (_, 56) => 2.0,
            _ => 1.0,
        }
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
