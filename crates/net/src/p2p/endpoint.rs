//! The endpoint: binding it, dialling, being dialled, and its relays.
//!
//! It contacts the configured relays and whom it is told to dial, and nobody else. Who may come in
//! is decided in `handshake`.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use iroh::{
    EndpointAddr, PublicKey, RelayConfig, RelayMap, RelayMode, RelayUrl, SecretKey, Watcher,
    endpoint::{ConnectError, ConnectingError, IncomingAddr, presets},
    tls::CaTlsConfig,
};
use peercam_proto::{
    credential::{EndpointId, RelayToken, Secret},
    network::Peer,
};
use peercam_task::boundary::{Guarded, Part, contain};
use rustls_pki_types::{CertificateDer, pem::PemObject};

use super::{CloseReason, Connection, Role, connection::lost};
use crate::tcp;

/// The protocol that is spoken, with its version.
const ALPN: &[u8] = b"peercam-http/1";
/// Sessions of TLS that are remembered. Nothing is sent before a handshake is complete, so they
/// save little.
const MAX_TLS_TICKETS: usize = 8;
/// Addresses that are named to viewers; dialling tries each.
const MAX_HINTS: usize = 8;
/// Interval, and number, of checks whether an endpoint's port is free again.
const RELEASE: Duration = Duration::from_millis(50);
const RELEASE_TRIES: usize = 40;
/// Timeout of closing an endpoint that is given up.
const CLOSE_TIME: Duration = Duration::from_secs(1);
/// Timeout of a handshake.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// One's own relays: servers that carry what cannot go straight, and cannot read it.
#[derive(Clone, Debug, Default)]
pub struct Relays {
    /// URLs of the relays.
    pub urls: Vec<String>,
    /// Token that they want to see.
    token: Option<RelayToken>,
    /// Authorities for their certificates, in place of those that browsers know.
    authorities: Vec<CertificateDer<'static>>,
}

/// Reason why a relay cannot be used as it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseRelayError {
    /// The address.
    #[error("a relay is named by a URL such as \"https://relay.example\"")]
    Url,
    /// The authority.
    #[error("there is no certificate in it; a PEM file is needed")]
    Authority,
}

/// Addressing of a device, as its pairing URI names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// URLs of the relays through which it is reached.
    pub relays: Vec<String>,
    /// UDP addresses at which it is reached directly.
    pub addresses: Vec<SocketAddr>,
}

/// The endpoint cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BindError(String);

/// State of a relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayState {
    /// URL of the relay.
    pub url: String,
    /// Set while it is connected.
    pub is_connected: bool,
    /// Last error, while it is not connected.
    pub error: Option<String>,
}

/// An endpoint: it has a key, dials others by theirs, and is dialled. Copies are the same one, also
/// after it was made anew.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Replaced as a whole.
    inner: Arc<Guarded<iroh::Endpoint>>,
    made_of: Arc<MadeOf>,
}

/// Parts from which an endpoint is made anew.
#[derive(Debug)]
struct MadeOf {
    key: SecretKey,
    role: Role,
    port: u16,
    relays: Relays,
}

/// An incoming connection, before its handshake.
pub struct Incoming {
    inner: iroh::endpoint::Incoming,
}

impl Relays {
    /// Relays at these URLs that want to see this token. Of certificates, those of the authorities
    /// in this PEM text are trusted and no others, or those that browsers know.
    ///
    /// # Errors
    /// [`ParseRelayError::Authority`] if the text has none.
    pub fn new(
        urls: Vec<String>,
        token: Option<RelayToken>,
        authorities: Option<&[u8]>,
    ) -> Result<Self, ParseRelayError> {
        let authorities = match authorities {
            None => Vec::new(),
            Some(pem) => CertificateDer::pem_slice_iter(pem)
                .collect::<Result<Vec<_>, _>>()
                .ok()
                .filter(|found| !found.is_empty())
                .ok_or(ParseRelayError::Authority)?,
        };
        Ok(Self {
            urls,
            token,
            authorities,
        })
    }

    /// Checks a relay's URL and gives it in its one spelling.
    ///
    /// # Errors
    /// [`ParseRelayError::Url`].
    pub fn parse_url(text: &str) -> Result<String, ParseRelayError> {
        let url: url::Url = text.parse().map_err(|_| ParseRelayError::Url)?;
        let is_fine = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        if is_fine {
            Ok(url.into())
        } else {
            Err(ParseRelayError::Url)
        }
    }

    fn mode(&self) -> RelayMode {
        let configs = self.urls.iter().filter_map(|url| {
            let config = RelayConfig::from(url.parse::<RelayUrl>().ok()?);
            Some(match &self.token {
                Some(token) => config.with_auth_token(token.expose()),
                None => config,
            })
        });
        if self.urls.is_empty() {
            RelayMode::Disabled
        } else {
            RelayMode::Custom(configs.collect::<RelayMap>())
        }
    }
}

/// The id of the endpoint that has this key.
pub fn endpoint_id(key: &Secret) -> EndpointId {
    EndpointId::new(*SecretKey::from_bytes(key.expose()).public().as_bytes())
}

impl MadeOf {
    async fn make(&self, port: u16, relays: RelayMode) -> Result<iroh::Endpoint, BindError> {
        let failed = |error: &dyn std::fmt::Display| BindError(error.to_string());
        let mut builder = iroh::Endpoint::builder(presets::Minimal)
            .secret_key(self.key.clone())
            .alpns(match self.role {
                Role::Device { .. } => vec![ALPN.to_vec()],
                Role::Viewer => Vec::new(),
            })
            .transport_config(self.role.transport())
            .max_tls_tickets(MAX_TLS_TICKETS)
            .relay_mode(relays)
            .bind_addr(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
            .map_err(|error| failed(&error))?
            .bind_addr_with_opts(
                SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
                // Many small networks have none.
                iroh::endpoint::BindOpts::default().set_is_required(false),
            )
            .map_err(|error| failed(&error))?;
        if !self.relays.authorities.is_empty() {
            let authorities = self.relays.authorities.iter().cloned();
            builder = builder.ca_tls_config(CaTlsConfig::custom_roots(authorities));
        }
        builder.bind().await.map_err(|error| failed(&error))
    }
}

impl Endpoint {
    /// An endpoint with this key on this UDP port of all addresses; port 0 takes a free one.
    ///
    /// # Errors
    /// [`BindError`].
    pub async fn bind(
        key: &Secret,
        role: Role,
        port: u16,
        relays: &Relays,
    ) -> Result<Self, BindError> {
        let made_of = MadeOf {
            key: SecretKey::from_bytes(key.expose()),
            role,
            port,
            relays: relays.clone(),
        };
        Ok(Self {
            inner: Arc::new(Guarded::whole(made_of.make(port, relays.mode()).await?)),
            made_of: Arc::new(made_of),
        })
    }

    fn inner(&self) -> iroh::Endpoint {
        self.inner.lock().clone()
    }

    /// Makes it anew, with a key and a port as before: what it was has ended by itself.
    ///
    /// # Errors
    /// [`BindError`]; then nobody can dial it, and it may be tried again.
    pub async fn renew(&self) -> Result<(), BindError> {
        let before = self.inner();
        let close = tokio::time::timeout(CLOSE_TIME, before.close());
        // It may be in no state to.
        let _ = contain(Part::Service, "the P2P endpoint that has ended", close).await;
        // Its port is free when nobody has hold of it any more, this included: something else stands
        // in its place meanwhile, which nobody can find.
        drop(before);
        let stand_in = self.made_of.make(0, RelayMode::Disabled).await?;
        drop(std::mem::replace(&mut *self.inner.lock(), stand_in));
        let mut tries = 0;
        let renewed = loop {
            match self
                .made_of
                .make(self.made_of.port, self.made_of.relays.mode())
                .await
            {
                Ok(renewed) => break renewed,
                Err(_) if tries < RELEASE_TRIES => tokio::time::sleep(RELEASE).await,
                Err(error) => return Err(error),
            }
            tries += 1;
        };
        let stand_in = std::mem::replace(&mut *self.inner.lock(), renewed);
        stand_in.close().await;
        Ok(())
    }

    /// Its own key.
    pub fn id(&self) -> EndpointId {
        EndpointId::new(*self.inner().id().as_bytes())
    }

    /// Addresses at which others on its networks can dial it.
    pub fn hints(&self) -> Vec<SocketAddr> {
        let bound = self.inner().bound_sockets();
        let outward = bound.iter().flat_map(|address| {
            let reachable = tcp::reachable(*address).into_iter();
            reachable.filter(|found| found.is_ipv4() == address.is_ipv4())
        });
        let own = self.inner().addr();
        let private = own.ip_addrs().filter(|address| is_private(address.ip()));
        let mut hints: Vec<_> = outward.chain(private.copied()).collect();
        if hints.is_empty() {
            // No network: programs on this machine still find it.
            hints.extend(bound.iter().map(|address| on_loopback(*address)));
        }
        hints.sort_unstable();
        hints.dedup();
        hints.truncate(MAX_HINTS);
        hints
    }

    /// Every address at which it may be reached, as far as it knows: its own, and where relays see
    /// it.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.inner().addr().ip_addrs().copied().collect()
    }

    /// State of the relay that others find it at. Empty until one was chosen, and
    /// without relays.
    pub fn relay_states(&self) -> Vec<RelayState> {
        let states = self.inner().home_relay_status().get();
        let states = states.iter().map(|status| RelayState {
            url: status.url().to_string(),
            is_connected: status.is_connected(),
            error: match status.auth_denied_reason() {
                Some(reason) => Some(format!("it lets this endpoint not in: {reason}")),
                None => status.last_error().map(|error| format!("{error:#}")),
            },
        });
        states.collect()
    }

    /// Waits for a peer that knocks; `None` once the endpoint is closed.
    pub async fn accept(&self) -> Option<Incoming> {
        let inner = self.inner().accept().await?;
        Some(Incoming { inner })
    }

    /// Dials a device. That begins with every hint at once.
    ///
    /// # Errors
    /// [`CloseReason`].
    pub async fn dial(&self, device: EndpointId, hints: &Hints) -> Result<Connection, CloseReason> {
        let key = PublicKey::from_bytes(device.as_bytes())
            .map_err(|_| CloseReason::Other("the device's id is no key".to_owned()))?;
        let mut address = EndpointAddr::new(key);
        // What a hint says is not believed: whoever answers there has to have the device's key.
        for url in hints.relays.iter().filter_map(|url| url.parse().ok()) {
            address = address.with_relay_url(url);
        }
        for ip in &hints.addresses {
            address = address.with_ip_addr(*ip);
        }
        let dialling = self.inner();
        let dialled = tokio::time::timeout(HANDSHAKE_TIME, dialling.connect(address, ALPN));
        let connection = dialled.await.map_err(|_| CloseReason::Silent)?;
        connection
            .map(Connection::new)
            .map_err(|error| match &error {
                ConnectError::Connecting { source, .. } => connecting(source),
                ConnectError::Connection { source, .. } => lost(source),
                other => CloseReason::Other(format!("{other:#}")),
            })
    }

    /// Closes every connection and waits until the other ends know, or a moment.
    pub async fn close(&self) {
        self.inner().close().await;
    }
}

impl Incoming {
    /// Address that it knocks from.
    pub fn peer(&self) -> Peer {
        match self.inner.remote_addr() {
            IncomingAddr::Ip(address) => Peer::At(address),
            _ => Peer::Relayed,
        }
    }

    /// Returns whether its address is validated (RFC 9000 §8.1). A relay knows who is behind it.
    pub fn has_address(&self) -> bool {
        self.inner.remote_addr_validated() || self.peer() == Peer::Relayed
    }

    /// Has it show that it has its address.
    pub fn ask_for_address(self) {
        // It fails for one that has shown it, which is not asked.
        let _ = self.inner.retry();
    }

    /// Says that nobody is taken any more.
    pub fn refuse(self) {
        self.inner.refuse();
    }

    /// Does not answer.
    pub fn ignore(self) {
        self.inner.ignore();
    }

    /// Completes the handshake.
    ///
    /// # Errors
    /// [`CloseReason`].
    pub async fn accept(self) -> Result<Connection, CloseReason> {
        let accepting = self.inner.accept().map_err(|error| lost(&error))?;
        let accepted = tokio::time::timeout(HANDSHAKE_TIME, accepting).await;
        let connection = accepted.map_err(|_| CloseReason::Silent)?;
        connection
            .map(Connection::new)
            .map_err(|error| connecting(&error))
    }
}

fn on_loopback(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    SocketAddr::new(ip, address.port())
}

/// Returns whether an address is one of a home's or a company's own network.
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_private(),
        IpAddr::V6(address) => address.is_unique_local(),
    }
}

fn connecting(error: &ConnectingError) -> CloseReason {
    match error {
        ConnectingError::ConnectionError { source, .. } => lost(source),
        other => CloseReason::Other(format!("{other:#}")),
    }
}
