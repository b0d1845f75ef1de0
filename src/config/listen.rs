//! `[[listen]]`

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use peercam_proto::origin_policy::Origin;

use crate::document::{Table, Value};

/// One `[[listen]]`: a TCP address that serves HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// `addr`: IP address and port. Port 0 takes a free one.
    pub address: SocketAddr,
    /// `access`: who may use it.
    pub access: ListenAccess,
}

/// Access to a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAccess {
    /// `open`: whoever reaches it, which is why it is on loopback. The default.
    Open {
        /// `allow_origins`: web pages that may call it. Default: none.
        allow_origins: Vec<Origin>,
        /// `allow_insecure_lan`: lets it be reached from other machines, by anybody and without
        /// encryption. Default: no.
        allow_insecure_lan: bool,
        /// `allow_placeholder_hosts`: a `Host` of `ipc.p2p.com` or under `xnet` is good in origin
        /// form too, if it is not a browser that sends it. Default: no.
        allow_placeholder_hosts: bool,
    },
    /// `token`: viewers that were paired; all bodies are sealed.
    Token {
        /// `allow_clear_media`: lets a viewer that asks for it with `_crypto=off` have media
        /// unencrypted, as everybody in between has then. Default: no.
        allow_clear_media: bool,
    },
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 34567)),
            access: ListenAccess::Open {
                allow_origins: Vec::new(),
                allow_insecure_lan: false,
                allow_placeholder_hosts: false,
            },
        }
    }
}

/// Words of `access`.
#[derive(Clone, Copy, PartialEq)]
enum Access {
    Open,
    Token,
}

const ADDRESS: &str =
    "an IP address and a port are needed, such as \"127.0.0.1:34567\" or \"[::1]:0\"";

/// Reads every `[[listen]]`; without any, the default is left.
pub(super) fn read(root: &mut Table<'_>, listen: &mut Vec<Listen>) {
    let Some(mut tables) = root.tables("listen") else {
        return;
    };
    if root.peek("listen").is_empty() {
        root.refuse("there is no [[listen]]; the device needs one at least");
    }
    listen.clear();
    for table in &mut tables {
        listen.extend(Listen::read(table, listen));
    }
}

impl Listen {
    fn read(table: &mut Table<'_>, others: &[Self]) -> Option<Self> {
        let value = table.require("addr", ADDRESS);
        let address = address(value);
        refuse_taken(value, address, others);
        let access = table.get("access");
        let words = [("open", Access::Open), ("token", Access::Token)];
        let kind = access.word(&words);
        if access.is_there() && kind.is_none() {
            table.leave();
            return None;
        }
        let access = match kind.unwrap_or(Access::Open) {
            Access::Open => open(table, value, address),
            Access::Token => token(table),
        };
        address.map(|address| Self { address, access })
    }
}

fn open(table: &mut Table<'_>, value: Value<'_>, address: Option<SocketAddr>) -> ListenAccess {
    let origin = |value: Value<'_>| {
        let text = value.string()?;
        let origin = text.parse::<Origin>();
        value.accept(origin.map_err(|error| format!("{text:?}: {error}")))
    };
    let origins = table.get("allow_origins").list().into_iter().flatten();
    let allow_origins = origins.filter_map(origin).collect();
    let allow_insecure_lan = table.get("allow_insecure_lan").flag().unwrap_or(false);
    let allow_placeholder_hosts = table.get("allow_placeholder_hosts").flag().unwrap_or(false);
    table.forbid(
        "allow_clear_media",
        "an open listener encrypts nothing, so it has no such option",
    );
    let is_reachable = |address: SocketAddr| !address.ip().to_canonical().is_loopback();
    if address.is_some_and(is_reachable) && !allow_insecure_lan {
        value.refuse(
            "an open listener lets anybody who reaches it watch, so it must be on loopback (127.0.0.1 or [::1]); \
             access = \"token\" lets in who was paired, and allow_insecure_lan = true in the same table lets in everybody",
        );
    }
    ListenAccess::Open {
        allow_origins,
        allow_insecure_lan,
        allow_placeholder_hosts,
    }
}

fn token(table: &mut Table<'_>) -> ListenAccess {
    let allow_clear_media = table.get("allow_clear_media").flag().unwrap_or(false);
    for (key, message) in [
        (
            "allow_origins",
            "web pages cannot use a listener with access = \"token\"",
        ),
        (
            "allow_insecure_lan",
            "a listener with access = \"token\" needs no such permission",
        ),
        (
            "allow_placeholder_hosts",
            "a listener with access = \"token\" does not look at hosts",
        ),
    ] {
        table.forbid(key, message);
    }
    ListenAccess::Token { allow_clear_media }
}

fn address(value: Value<'_>) -> Option<SocketAddr> {
    let text = value.string()?;
    value.accept(text.parse().map_err(|_| match meant(text) {
        Some(address) => format!("{ADDRESS}; did you mean \"{address}\"?"),
        None => ADDRESS.to_owned(),
    }))
}

/// Address of which the port was left out, or the host, or of which that is given by its name.
fn meant(text: &str) -> Option<SocketAddr> {
    const PORT: &str = "34567";
    let text = text.strip_prefix("http://").unwrap_or(text);
    let text = text.trim_end_matches('/');
    let (host, port) = match text.parse::<IpAddr>() {
        Ok(_) => (text, PORT),
        Err(_) => text.rsplit_once(':').unwrap_or((text, PORT)),
    };
    let ip = match host {
        "" | "localhost" => Ipv4Addr::LOCALHOST.into(),
        "*" => Ipv4Addr::UNSPECIFIED.into(),
        host => host.parse().ok()?,
    };
    Some(SocketAddr::new(ip, port.parse().ok()?))
}

/// Refuses an address that an earlier listener has, or that is among all those which it has.
fn refuse_taken(value: Value<'_>, address: Option<SocketAddr>, others: &[Listen]) {
    let Some(address) = address.filter(|address| address.port() != 0) else {
        return;
    };
    let takes = |other: &&Listen| {
        let (ip, other_ip) = (
            address.ip().to_canonical(),
            other.address.ip().to_canonical(),
        );
        let is_any = ip.is_unspecified() || other_ip.is_unspecified();
        let is_same = ip == other_ip || is_any && ip.is_ipv4() == other_ip.is_ipv4();
        is_same && address.port() == other.address.port()
    };
    if let Some(Listen { address, .. }) = others.iter().find(takes) {
        value.refuse(format!(
            "the [[listen]] of {address} has this address already; each needs one of its own"
        ));
    }
}
