//! A port that cannot be had: why, and who has it.

use std::{
    fmt, fs, io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    path::{Path, PathBuf},
};

use peercam_proto::text;

use crate::socket_table::{self, LISTENING, Row};

/// Characters of a program's name at most. Its owner chooses it.
const MAX_NAME: usize = 64;

/// Reason that a port cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Another socket has it.
    #[error("the port is in use by {0}")]
    InUse(Occupant),
    /// The address is none of this machine's.
    #[error("this machine has no such address")]
    NoSuchAddress,
    /// The port is one of those that the system keeps for root.
    #[error("ports below {} are for root on this machine", first_for_users())]
    ForRoot,
    /// Anything else that the system says.
    #[error("{0}")]
    Io(io::Error),
}

/// Program that has a port, as far as this process can know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Occupant {
    /// This process, or another one of this user.
    Process {
        /// Name of its program.
        name: String,
        /// Number of the process.
        pid: u32,
    },
    /// A program of this user, into whose processes this one may not look.
    User(u32),
    /// A program in another container, or one that has ended meanwhile.
    Unknown,
}

/// Protocol of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// TCP, whose port is had by a listener.
    Tcp,
    /// UDP.
    Udp,
}

impl PortError {
    /// Reason that `address` could not be bound, by the system's error. Looks for who has the port.
    pub(crate) fn new(protocol: Protocol, address: SocketAddr, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::InUse(Occupant::of(protocol, address)),
            io::ErrorKind::AddrNotAvailable => Self::NoSuchAddress,
            io::ErrorKind::PermissionDenied if address.port() < first_for_users() => Self::ForRoot,
            _ => Self::Io(error),
        }
    }

    /// Sentence on what a person can do.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::InUse(_) => "end the program that has it, or choose another port",
            Self::NoSuchAddress => "choose an address that this machine has",
            Self::ForRoot => "choose a higher port",
            Self::Io(_) => "choose another port or address",
        }
    }
}

fn first_for_users() -> u16 {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let first = text.ok().and_then(|text| text.trim().parse().ok());
    first.unwrap_or(1024)
}

/// A UDP port of all addresses that is kept from others until an endpoint takes it. Port 0 is
/// nobody's.
#[derive(Debug)]
pub struct ReservedUdpPort {
    _socket: Option<UdpSocket>,
}

impl ReservedUdpPort {
    /// Keeps a port.
    ///
    /// # Errors
    /// [`PortError`], such as that another program has it.
    pub fn take(port: u16) -> Result<Self, PortError> {
        let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        let socket = (port != 0).then(|| UdpSocket::bind(address)).transpose();
        let socket = socket.map_err(|error| PortError::new(Protocol::Udp, address, error))?;
        Ok(Self { _socket: socket })
    }
}

impl Occupant {
    /// Program whose socket keeps others from `address`.
    fn of(protocol: Protocol, address: SocketAddr) -> Self {
        let rows = match protocol {
            Protocol::Tcp => socket_table::read("tcp"),
            Protocol::Udp => socket_table::read("udp"),
        };
        let is_bound = |row: &Row| protocol == Protocol::Udp || row.state == LISTENING;
        let found = rows
            .into_iter()
            .find(|row| is_bound(row) && excludes(row, address));
        match found {
            None => Self::Unknown,
            Some(Row { inode, user, .. }) => process_of(inode).unwrap_or(Self::User(user)),
        }
    }
}

/// Returns whether a socket with this address leaves the other one to nobody.
fn excludes(row: &Row, address: SocketAddr) -> bool {
    let (ip, port) = row.local;
    let wanted = address.ip().to_canonical();
    let is_same = ip == wanted || ip.is_unspecified() || wanted.is_unspecified();
    port == address.port() && is_same
}

/// Process that has this socket open, of those into which this one may look.
fn process_of(inode: u64) -> Option<Occupant> {
    let wanted = PathBuf::from(format!("socket:[{inode}]"));
    let has_it = |process: &Path| {
        let descriptors = fs::read_dir(process.join("fd")).into_iter().flatten();
        let mut links = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        links.any(|link| link == wanted)
    };
    let processes = fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    processes.into_iter().find_map(|process| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        let path = process.path();
        let name = fs::read_to_string(path.join("comm")).ok()?;
        has_it(&path).then(|| Occupant::Process {
            name: text::line(name.trim_end(), MAX_NAME),
            pid,
        })
    })
}

impl fmt::Display for Occupant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { name, pid } => write!(f, "{name} (process {pid})"),
            Self::User(0) => f.write_str("a program of root"),
            Self::User(user) => write!(f, "a program of user {user}"),
            Self::Unknown => f.write_str("another program"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn whoever_has_a_port_is_named() {
        let me = || Occupant::Process {
            name: fs::read_to_string("/proc/self/comm")
                .unwrap()
                .trim_end()
                .to_owned(),
            pid: std::process::id(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(Occupant::of(Protocol::Tcp, address), me());
        let everywhere = SocketAddr::from(([0, 0, 0, 0], address.port()));
        assert_eq!(Occupant::of(Protocol::Tcp, everywhere), me());
        let other = SocketAddr::from(([127, 0, 0, 2], address.port()));
        assert_eq!(Occupant::of(Protocol::Tcp, other), Occupant::Unknown);
        drop(listener);
        assert_eq!(Occupant::of(Protocol::Tcp, address), Occupant::Unknown);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        assert_eq!(Occupant::of(Protocol::Udp, address), me());
    }

    #[test]
    fn an_address_of_another_machine_is_told() {
        // RFC 5737.
        let address = "192.0.2.1:0".parse().unwrap();
        let error = TcpListener::bind(address).expect_err("it is documentation's");
        let error = PortError::new(Protocol::Tcp, address, error);
        assert_eq!(error.to_string(), "this machine has no such address");
        assert!(!error.remedy().contains("end the program"), "none has it");
    }
}
