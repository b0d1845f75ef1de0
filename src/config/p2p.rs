//! `[p2p]`: being dialled by key, through NATs.

use std::path::{Path, PathBuf};

use peercam_net::p2p::Relays;
use peercam_proto::credential::RelayToken;

use crate::document::{Table, Value};

/// `[p2p]`, if it is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct P2p {
    /// `port`: of UDP, on all addresses; 0 takes a free one. Default: 34567.
    pub port: u16,
    /// `relays`: URLs of one's own relays. Default: none, and then viewers have to reach the
    /// device straight.
    pub relays: Vec<String>,
    /// `relay_token`: what those relays want to see. Viewers get it with their pairing URI.
    /// Default: none.
    pub relay_token: Option<RelayToken>,
    /// `relay_ca`: a PEM file with the authorities of the relays' certificates, relative to the
    /// configuration file. Default: those that browsers know.
    pub relay_ca: Option<PathBuf>,
}

impl Default for P2p {
    fn default() -> Self {
        Self {
            port: 34567,
            relays: Vec::new(),
            relay_token: None,
            relay_ca: None,
        }
    }
}

/// The authorities of the relays' certificates cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("relay_ca: {}: {problem}", path.display())]
pub struct RelayCaError {
    path: PathBuf,
    problem: String,
}

impl P2p {
    /// The relays, with what they want to see and whom they are trusted by. Reads `relay_ca`.
    ///
    /// # Errors
    /// [`RelayCaError`].
    pub fn own_relays(&self) -> Result<Relays, RelayCaError> {
        let path = self.relay_ca.clone().unwrap_or_default();
        let failed = |problem: String| RelayCaError { path, problem };
        let authorities = self.relay_ca.as_ref().map(std::fs::read).transpose();
        let authorities = match authorities {
            Ok(authorities) => authorities,
            Err(error) => return Err(failed(error.to_string())),
        };
        let (urls, token) = (self.relays.clone(), self.relay_token.clone());
        let relays = Relays::new(urls, token, authorities.as_deref());
        relays.map_err(|error| failed(error.to_string()))
    }
}

impl P2p {
    pub(super) fn read(table: &mut Table<'_>, base: &Path) -> Option<Self> {
        let default = Self::default();
        let enabled = table.get("enabled").flag();
        let port = table.get("port").number(0..=65_535);
        let relays = table.get("relays").list().into_iter().flatten();
        let p2p = Self {
            port: port.unwrap_or(default.port),
            relays: relays
                .filter_map(|url| url.accept(Relays::parse_url(url.string()?)))
                .collect(),
            relay_token: relay_token(table.get("relay_token")),
            relay_ca: table.get("relay_ca").path().map(|path| base.join(path)),
        };
        enabled.unwrap_or(true).then_some(p2p)
    }
}

fn relay_token(value: Value<'_>) -> Option<RelayToken> {
    value.accept(RelayToken::new(value.string()?.to_owned()))
}
