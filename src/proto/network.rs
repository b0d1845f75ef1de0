//! Which network addresses are one party's.

use core::net::{IpAddr, Ipv6Addr};

/// The address that stands for all addresses of one host: for IPv6 its /64, which a host has as a
/// whole.
pub fn host_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(
            address.to_bits() & !u128::from(u64::MAX),
        )),
        v4 => v4,
    }
}
