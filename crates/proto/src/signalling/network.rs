//! Network prefixes that count as one party, for limits per source.

use std::fmt;

use core::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Remote end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A peer that is seen at this address.
    At(SocketAddr),
    /// Through a relay, which is all that can be seen.
    Relayed,
}

/// Key under which limits per source are kept: a party, as far as addresses can tell one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A host; for IPv6 its /64, which a host has as a whole.
    Host(IpAddr),
    /// All peers behind relays: endpoint ids are free, so they tell nobody apart.
    Relay,
}

/// A source, or a network around it that one party may have as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    source: Source,
    /// Length of the IPv6 prefix, in bits; 0 for a whole IPv4 address or a relay.
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
    /// office is given one of these (RFC 6177).
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
    /// Number of hosts that the network counts for in a limit.
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
