//! The kernel's tables of sockets (`/proc/net/tcp` …): who on this machine has one.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// `TCP_LISTEN` of the kernel.
pub(crate) const LISTENING: u8 = 0x0a;

/// A socket of this machine, as its row says.
pub(crate) struct Row {
    /// Its own address.
    pub(crate) local: (IpAddr, u16),
    /// The other end's; unspecified and 0 if there is none.
    remote: (IpAddr, u16),
    /// State of TCP, as the kernel numbers them (`include/net/tcp_states.h`).
    pub(crate) state: u8,
    /// User who made it.
    pub(crate) user: u32,
    /// Number by which `/proc/PID/fd` names it.
    pub(crate) inode: u64,
}

impl Row {
    /// Reads a row; `None` for the heading.
    fn parse(line: &str) -> Option<Self> {
        let columns: Vec<_> = line.split_ascii_whitespace().collect();
        Some(Self {
            local: address(columns.get(1)?)?,
            remote: address(columns.get(2)?)?,
            state: u8::from_str_radix(columns.get(3)?, 16).ok()?,
            user: columns.get(7)?.parse().ok()?,
            inode: columns.get(9)?.parse().ok()?,
        })
    }
}

/// Rows of a table. A socket that nobody has any more is shown as one of user 0, without an inode,
/// and is none.
fn rows(table: &str) -> impl Iterator<Item = Row> {
    let rows = table.lines().filter_map(Row::parse);
    rows.filter(|row| row.inode != 0)
}

/// Reads the rows of the tables of this protocol (`tcp` or `udp`), of both families.
pub(crate) fn read(protocol: &str) -> Vec<Row> {
    let tables = ["", "6"].map(|family| {
        fs::read_to_string(format!("/proc/net/{protocol}{family}")).unwrap_or_default()
    });
    tables.iter().flat_map(|table| rows(table)).collect()
}

/// Returns the user of this machine that has the other end of a connection on loopback; `None` if that cannot
/// be said, as when the other end is closed already.
///
/// It reads a table of the kernel, which takes a moment.
pub fn user_of(peer: SocketAddr, own: SocketAddr) -> Option<u32> {
    find(read("tcp").into_iter(), peer, own)
}

/// Returns whether a program of this machine listens on `address`; `None` where the kernel does not tell.
/// Nobody is connected to for this.
pub fn is_listened(address: SocketAddr) -> Option<bool> {
    let (ip, port) = (address.ip().to_canonical(), address.port());
    let rows = read("tcp");
    let takes = |row: &Row| {
        let (own, own_port) = row.local;
        let is_its = own == ip || own.is_unspecified();
        row.state == LISTENING && own_port == port && is_its
    };
    (!rows.is_empty()).then(|| rows.iter().any(takes))
}

/// Looks for the socket that is bound to `peer` and connected to `own`.
fn find(mut rows: impl Iterator<Item = Row>, peer: SocketAddr, own: SocketAddr) -> Option<u32> {
    let canonical = |address: SocketAddr| (address.ip().to_canonical(), address.port());
    let wanted = (canonical(peer), canonical(own));
    let found = rows.find(|row| (row.local, row.remote) == wanted);
    found.map(|row| row.user)
}

/// `0100007F:1F90`: words as the machine has them in memory, and the port.
fn address(text: &str) -> Option<(IpAddr, u16)> {
    let (words, port) = text.split_once(':')?;
    let word = |at: usize| {
        let text = words.get(8 * at..8 * (at + 1))?;
        Some(u32::from_str_radix(text, 16).ok()?.to_ne_bytes())
    };
    let ip = match words.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (at, chunk) in bytes.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(at)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()
        }
        _ => return None,
    };
    Some((ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, TcpStream},
        os::unix::fs::MetadataExt,
    };

    use super::*;

    #[test]
    fn our_own_connections_are_ours_while_they_are_open() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else {
                continue;
            };
            let own = listener.local_addr().expect("bound");
            let client = TcpStream::connect(own).expect("connects");
            let (server, peer) = listener.accept().expect("a connection");
            let me = fs::metadata("/proc/self").expect("/proc").uid();
            assert_eq!(user_of(peer, own), Some(me), "{address}");
            assert_eq!(user_of(own, own), None);
            drop(client);
            assert_eq!(user_of(peer, own), None, "nobody has it any more");
            drop(server);
        }
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn mapped_addresses_are_their_ipv4_ones() {
        let table = "  sl  local_address remote_address\n   \
            5: 0000000000000000FFFF00000100007F:1F90 0000000000000000FFFF00000100007F:8706 \
            01 00000000:00000000 00:00000000 00000000  1000        0 123456 1 0 20 4 30 10 -1\n";
        let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
        assert_eq!(
            find(rows(table), loopback(8080), loopback(34566)),
            Some(1000)
        );
        assert_eq!(find(rows(table), loopback(8081), loopback(34566)), None);
        let orphan = table.replace(" 123456 ", " 0 ");
        assert_eq!(find(rows(&orphan), loopback(8080), loopback(34566)), None);
        assert_eq!(
            find(rows("garbage\n\n: :\n"), loopback(1), loopback(2)),
            None
        );
    }
}
