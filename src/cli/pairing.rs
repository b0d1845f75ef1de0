//! `peercam pair` and `revoke`: on the device, beside a running daemon or without one.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    io::{self, Write},
    net::SocketAddr,
    path::Path,
};

use clap::{ArgGroup, Args};
use jiff::{Timestamp, civil::Date, tz::Offset};
use peercam_hal::clock::Clock;
use peercam_net::tcp;
use peercam_proto::{
    credential::{Channels, Claims, CredentialId, EndpointId, Issuer, PairingUri, Scope, Scopes},
    media::ChannelId,
    text::Printable,
};

use super::{
    CliError, control,
    device::Device,
    mint_key::at_most,
    new_file::must_be_new,
    qr::{self, Drawing, QrFile},
};
use crate::{
    access::{DataDir, PairError, Pairing, Revocation, Revoked, SecretStore, random},
    config::{Config, ListenAccess, duration},
};

/// Scopes of a viewer if nothing is said: everything but reading counters and changing the
/// device.
pub(super) const USUAL_SCOPES: &str = "live,playback,download,voice,command,feedback";

/// Options of `peercam pair`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[command(override_usage = "peercam pair [OPTIONS] <NAME>\n       peercam pair --list")]
#[command(after_help = "\
Examples:
  Your own phone, which may do everything:
    peercam pair phone -c camera.toml --scope all --qr phone.png
  A guest, who may watch the first camera for a day:
    peercam pair guest -c camera.toml --scope live --channel 0 --expires 24h")]
pub struct PairOptions {
    /// Name for the viewer, such as phone; visible on the network
    #[arg(required_unless_present = "list", value_parser = viewer_name)]
    name: Option<String>,
    /// Lists the paired viewers, without keys
    #[arg(long, conflicts_with_all = ["name", "scope", "channel", "expires", "peer", "new", "qr"])]
    list: bool,
    /// Scopes of the viewer, with commas: what it may do; or all
    ///
    /// There are live, playback, download, voice, command, feedback, metrics and admin.
    #[arg(long, value_name = "SCOPE,…", default_value = USUAL_SCOPES, value_parser = scopes)]
    scope: Scopes,
    /// Channels that the viewer sees: numbers with commas, or all
    #[arg(long, value_name = "NUMBER,…", default_value = "all", value_parser = channels)]
    channel: ChannelsArgument,
    /// End of the access: after 12h or 30d, or at the end of 2027-01-31 (UTC)
    #[arg(long, value_name = "WHEN", value_parser = expiry)]
    expires: Option<Expiry>,
    /// Endpoint id of the only viewer that may use the URI, over P2P only
    ///
    /// peercam identity prints the id, on the viewer.
    #[arg(long, value_name = "ID")]
    peer: Option<EndpointId>,
    /// Makes a new device in ./peercam-data, if no configuration is named
    #[arg(long)]
    new: bool,
    /// New file for the QR code of the URI: .png or .svg
    ///
    /// Whoever reads the code has the URI. Only you can read the file; delete it when it was scanned.
    #[arg(long, value_name = "FILE")]
    qr: Option<QrFile>,
}

/// Options of `peercam revoke`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[command(group(ArgGroup::new("whom").required(true).args(["name", "id", "all"])))]
#[command(after_help = "\
Examples:
  The viewer that was paired as guest:
    peercam revoke guest -c camera.toml
  Everybody whom the back end named shop has paired, and its key:
    peercam revoke -c camera.toml --all --issuer shop")]
pub struct RevokeOptions {
    /// Name of the viewer, as in peercam pair --list
    name: Option<String>,
    /// Id of a credential, whoever paired it
    // An id may begin with a hyphen.
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    id: Option<CredentialId>,
    /// Everybody; with --issuer, everybody whom that one paired
    #[arg(long)]
    all: bool,
    /// Issuer, for --all or --id: local for viewers paired here, or a back end
    #[arg(long, value_name = "NAME", conflicts_with = "name")]
    issuer: Option<Issuer>,
}

/// A list of channels on the command line, in a shape that is not taken for a list of arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ChannelsArgument(pub(super) Channels);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expiry {
    /// Seconds from now.
    After(u64),
    /// Seconds since 1970-01-01 UTC.
    At(u64),
}

fn viewer_name(text: &str) -> Result<String, &'static str> {
    let is_fine = (1..=peercam_proto::credential::MAX_NAME).contains(&text.len())
        && !text.contains(char::is_control);
    is_fine
        .then(|| text.to_owned())
        .ok_or("a name is 1 to 64 printable bytes")
}

pub(super) fn scopes(text: &str) -> Result<Scopes, String> {
    if text == "all" {
        return Ok(Scopes::ALL);
    }
    let words = text.split(',').map(str::trim).map(str::parse::<Scope>);
    words
        .collect::<Result<_, _>>()
        .map_err(|error| format!("{error}; or all"))
}

pub(super) fn channels(text: &str) -> Result<ChannelsArgument, &'static str> {
    if text == "all" {
        return Ok(ChannelsArgument(Channels::All));
    }
    let numbers = text
        .split(',')
        .map(|number| number.trim().parse().map(ChannelId));
    let set: Result<BTreeSet<_>, _> = numbers.collect();
    set.map(|set| ChannelsArgument(Channels::Only(set)))
        .map_err(|_| "numbers with commas, or all")
}

fn expiry(text: &str) -> Result<Expiry, &'static str> {
    if let Some(span) = duration(text).filter(|span| span.as_secs() > 0) {
        return Ok(Expiry::After(span.as_secs()));
    }
    let day = text.split_once('-').and_then(|(year, rest)| {
        let (month, day) = rest.split_once('-')?;
        Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()
    });
    let end = day.and_then(|day| {
        let next = day.tomorrow().ok()?;
        Offset::UTC.to_timestamp(next.at(0, 0, 0, 0)).ok()
    });
    end.and_then(|end| u64::try_from(end.as_second()).ok())
        .map(Expiry::At)
        .ok_or("a span such as 12h or 30d, or a day such as 2027-01-31")
}

impl PairOptions {
    pub(super) fn perform(self, device: &Device) -> Result<(), CliError> {
        match self.name {
            Some(_) => self.pair(device),
            None => list(&device.existing()?.1),
        }
    }

    fn pair(self, device: &Device) -> Result<(), CliError> {
        must_be_new(self.qr.as_ref().map(QrFile::path))?;
        let now = Clock::start().date();
        let claims = Claims {
            id: CredentialId::new(random()?),
            name: self.name.unwrap_or_default(),
            scopes: self.scope,
            channels: self.channel.0,
            expires: self.expires.map(|expiry| expiry.at(now)).transpose()?,
            peer: self.peer,
        };
        let uri = match control::pair(&device.config.data_dir, &claims)? {
            Some(uri) => uri,
            None => {
                let (data_dir, store) = device.open(self.new)?;
                let hints = Hints::of(&device.config, &data_dir);
                PairingUri {
                    credential: store.pair(&claims, now)?,
                    device: store.secrets()?.device(),
                    relays: hints.relays,
                    relay_token: device.config.relay_token(),
                    udp: hints.udp,
                    lan: hints.lan,
                }
            }
        };
        remark(&claims, &uri, device);
        show(&uri.expose(), self.qr.as_ref())
    }
}

impl Expiry {
    fn at(self, now: Option<u64>) -> Result<u64, PairError> {
        match self {
            Self::After(seconds) => {
                let now = now.ok_or(PairError::NoClock)?;
                Ok(now.saturating_add(seconds))
            }
            Self::At(at) => Ok(at),
        }
    }
}

/// Addresses at which the viewer may find the device.
struct Hints {
    relays: Vec<String>,
    udp: Vec<SocketAddr>,
    lan: Vec<SocketAddr>,
}

impl Hints {
    /// Hints that a running daemon published, else those of the configuration.
    fn of(config: &Config, data_dir: &DataDir) -> Self {
        if let Some(running) = data_dir.running() {
            return Self {
                relays: running.relays,
                udp: running.udp,
                lan: running.lan,
            };
        }
        let tokens = config.listen.iter().filter(|listen| {
            matches!(listen.access, ListenAccess::Token { .. }) && listen.address.port() != 0
        });
        let lan = tokens.flat_map(|listen| tcp::reachable(listen.address));
        let lan = lan.collect();
        #[cfg(feature = "p2p")]
        if let Some(p2p) = &config.p2p {
            // All addresses of both families.
            let bound = SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, p2p.port));
            return Self {
                relays: p2p.relays.clone(),
                udp: match p2p.port {
                    0 => Vec::new(),
                    _ => tcp::reachable(bound),
                },
                lan,
            };
        }
        Self {
            relays: Vec::new(),
            udp: Vec::new(),
            lan,
        }
    }
}

/// Says on stderr what the person should know.
fn remark(claims: &Claims, uri: &PairingUri, device: &Device) {
    let Device { config, option } = device;
    eprintln!(
        "peercam: {:?} may do: {} on channels: {}. Whoever has this URI can. End it with: peercam revoke{option} {:?}",
        claims.name, claims.scopes, claims.channels, claims.name
    );
    if !claims.scopes.contains(Scope::Admin) {
        eprintln!(
            "peercam: when the device serves as many viewers as it can, this one waits; with --scope all it does not"
        );
    }
    if claims.expires.is_some() {
        eprintln!(
            "peercam: it ends by the clock of this machine; keep that right. Revoking does not depend on it."
        );
    }
    let has_p2p = has_p2p(config);
    if claims.peer.is_some() && !has_p2p {
        eprintln!("peercam: it is good for P2P only, which is off here");
    }
    let has_token = |access: &ListenAccess| matches!(access, ListenAccess::Token { .. });
    let has_token = config.listen.iter().any(|listen| has_token(&listen.access));
    let addresses = || uri.udp.iter().chain(&uri.lan);
    if !has_p2p && !has_token {
        eprintln!(
            "peercam: P2P is off and no [[listen]] with access = \"token\" is configured, so the URI names no address to reach"
        );
    } else if uri.relays.is_empty() && addresses().next().is_none() {
        eprintln!(
            "peercam: this machine has no address on a network yet, so the URI names none to reach"
        );
    } else if uri.relays.is_empty() && addresses().all(|address| address.ip().is_loopback()) {
        eprintln!("peercam: the URI can be used on this machine only; its listener is on loopback");
    } else if has_p2p && uri.relays.is_empty() {
        eprintln!(
            "peercam: the device has no relay ([p2p] relays; one that was added counts after a restart), so viewers in other networks will hardly find it"
        );
    }
}

#[cfg(feature = "p2p")]
fn has_p2p(config: &Config) -> bool {
    config.p2p.is_some()
}

#[cfg(not(feature = "p2p"))]
fn has_p2p(_config: &Config) -> bool {
    false
}

/// Prints the URI, and its QR code: to the file, or on a terminal.
fn show(uri: &str, qr: Option<&QrFile>) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    let mut print = |text: &str| {
        let written = writeln!(out, "{text}").and_then(|()| out.flush());
        written.map_err(CliError::io("the URI cannot be written"))
    };
    print(uri)?;
    match (qr, qr::terminal()) {
        (Some(file), _) => file.write(uri),
        (None, None) => Ok(()),
        (None, Some(size)) => {
            let (drawing, hint) = Drawing::new(uri, size)?.fitted();
            if let Some(drawing) = drawing {
                print(&format!("\n{drawing}"))?;
            }
            if let Some(hint) = hint {
                eprintln!("peercam: {hint}");
            }
            Ok(())
        }
    }
}

fn list(store: &SecretStore) -> Result<(), CliError> {
    let (pairings, now) = (store.pairings()?, Clock::start().date());
    let mut text = String::new();
    for pairing in pairings.iter() {
        writeln!(text, "{}", line(pairing, now)).expect("strings take everything");
    }
    if text.is_empty() {
        eprintln!("peercam: nobody was paired; peercam pair NAME does that");
    }
    match store.revocations() {
        Ok(revocations) => {
            let issuers = revocations.epochs().map(|(issuer, _)| issuer);
            for issuer in issuers.filter(|issuer| **issuer != Issuer::local()) {
                let ceiling = at_most(revocations.ceiling(issuer.as_str()));
                writeln!(text, "{:20}  back end  {ceiling}", issuer.as_str())
                    .expect("strings take everything");
            }
        }
        Err(error) => eprintln!("peercam: what back ends there are is not known: {error}"),
    }
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .map_err(CliError::io("the list cannot be written"))
}

fn line(pairing: &Pairing, now: Option<u64>) -> String {
    let date = |seconds: Option<u64>, none: &str| {
        let timestamp = seconds
            .and_then(|seconds| i64::try_from(seconds).ok())
            .and_then(|seconds| Timestamp::from_second(seconds).ok());
        timestamp.map_or(none.to_owned(), |at| at.to_string())
    };
    let Claims {
        name, id, expires, ..
    } = &pairing.claims;
    let ended = if now.is_some_and(|now| pairing.has_ended(now)) {
        " (ended)"
    } else {
        ""
    };
    format!(
        "{:20}  id {id}  scopes {}  channels {}  paired {}  ends {}{ended}",
        Printable(name).to_string(),
        pairing.scopes(),
        pairing.channels(),
        date(pairing.made, "-"),
        date(*expires, "never"),
    )
}

impl RevokeOptions {
    pub(super) fn perform(self, device: &Device) -> Result<(), CliError> {
        let whom = match (self.name, self.id) {
            (Some(name), _) => Revoked::Name(name),
            (None, Some(id)) => Revoked::Id(id, self.issuer),
            (None, None) => Revoked::All(self.issuer),
        };
        let data_dir = &device.config.data_dir;
        if let Some((revocation, sessions)) = control::revoke(data_dir, &whom)? {
            let ended = match sessions {
                0 => "; none of them was connected".to_owned(),
                1 => "; one session has ended".to_owned(),
                _ => format!("; {sessions} sessions have ended"),
            };
            say_revoked(revocation, data_dir, &ended);
            return Ok(());
        }
        let (data_dir, store) = device.existing()?;
        let revocation = store.revoke(&whom, Clock::start().date())?;
        let running = match data_dir.running() {
            Some(_) => "; the running daemon ends what they watch within a second",
            None => "",
        };
        say_revoked(revocation, data_dir.path(), running);
        Ok(())
    }
}

fn say_revoked(revocation: Revocation, data_dir: &Path, sessions: &str) {
    let data_dir = data_dir.display();
    match revocation {
        Revocation {
            after_loss: true, ..
        } => eprintln!(
            "peercam: everybody's access to the device in {data_dir} has ended; the list of who was revoked was lost and is new"
        ),
        Revocation { paired, .. } => eprintln!(
            "peercam: revoked, on the device in {data_dir} ({paired} of those paired there){sessions}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiry_is_a_span_or_the_end_of_a_day() {
        assert_eq!(expiry("12h"), Ok(Expiry::After(43_200)));
        assert_eq!(expiry("30d"), Ok(Expiry::After(2_592_000)));
        // 2027-02-01T00:00:00Z
        assert_eq!(expiry("2027-01-31"), Ok(Expiry::At(1_801_440_000)));
        for text in [
            "",
            "0s",
            "soon",
            "30",
            "2027-02-30",
            "2027-13-01",
            "2027",
            "1960-01-01",
        ] {
            assert!(expiry(text).is_err(), "{text}");
        }
    }
}
