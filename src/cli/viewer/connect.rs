//! A viewer's way to its device: the pairing URI, and the identity of its endpoint.

use std::{
    fmt,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use clap::Args;
use peercam_client::{
    Viewer,
    p2p::{Identity, Options},
};
use peercam_proto::credential::PairingUri;

use super::link_report;
use crate::cli::{CliError, interrupt::until_interrupted, run};

/// Environment variable with the pairing URI, if no argument gives it.
const URI_VARIABLE: &str = "PEERCAM_URI";
/// The longest file or input that is read as a URI, in bytes.
const MAX_URI: u64 = 16 << 10;

/// An argument that may be a secret: it cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::cli) struct SecretArg(String);

impl From<String> for SecretArg {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for SecretArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl SecretArg {
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

/// Device of a viewer's command.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub(super) struct DeviceArg {
    /// Pairing URI of the device: @FILE, - for the input, or the URI itself
    ///
    /// @FILE reads it from a file. Without this argument it is taken from the environment variable
    /// PEERCAM_URI. As an argument itself, other users of this machine can see it.
    pub(super) uri: Option<SecretArg>,
}

/// Options of every viewer.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct ConnectOptions {
    /// File with the key of this viewer's endpoint; made if it does not exist
    ///
    /// Only credentials that were paired for one viewer (pair --peer) need it.
    #[arg(
        long,
        value_name = "FILE",
        env = "PEERCAM_IDENTITY",
        hide_env_values = true
    )]
    identity: Option<PathBuf>,
    /// PEM file with the certificate authorities of your own relays
    #[arg(
        long,
        value_name = "FILE",
        env = "PEERCAM_RELAY_CA",
        hide_env_values = true
    )]
    relay_ca: Option<PathBuf>,
}

impl ConnectOptions {
    /// Connects to a device, works there until that is done or somebody ends it, and takes leave.
    pub(super) fn with_viewer<T>(
        &self,
        uri: Option<&SecretArg>,
        work: impl AsyncFnOnce(&mut Viewer) -> Result<T, CliError>,
    ) -> Result<T, CliError> {
        let uri = pairing_uri(uri)?;
        run(async {
            let options = self.options(&uri, None)?;
            let mut viewer = Viewer::open(uri, options).await?;
            let session = match &viewer {
                Viewer::P2p(session) => Some(session.clone()),
                Viewer::Tcp(_) => None,
            };
            let losses = async {
                match &session {
                    Some(session) => link_report::tell_losses(session).await,
                    None => std::future::pending().await,
                }
            };
            let done = tokio::select! {
                done = until_interrupted(work(&mut viewer)) => done,
                never = losses => match never {},
            };
            let done = match done {
                Err(CliError::Viewer(error)) => Err(error.explained_by(&mut viewer).await.into()),
                done => done,
            };
            viewer.close().await;
            done
        })
    }

    /// Options of a session. A program that runs at one `place` only has the same key whenever it
    /// runs there.
    pub(in crate::cli) fn options(
        &self,
        uri: &PairingUri,
        place: Option<&str>,
    ) -> Result<Options, CliError> {
        let identity = match (&self.identity, place) {
            (Some(path), _) => Identity::in_file(path)?,
            (None, Some(place)) => Identity::at(&uri.credential, place),
            (None, None) => Identity::random()?,
        };
        let read =
            |path: &PathBuf| std::fs::read(path).map_err(CliError::io(path.display().to_string()));
        Ok(Options {
            identity,
            relay_authorities: self.relay_ca.as_ref().map(read).transpose()?,
            on_feedback: None,
        })
    }
}

/// Options of `peercam identity`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[command(after_help = "\
Examples:
  On the viewer; its id is then given to pair --peer on the device:
    peercam identity viewer.key
  The viewer proves with the same key that it is the one:
    peercam pull @phone.uri --identity viewer.key -o live.flv")]
pub struct IdentityOptions {
    /// File with the key; made if it does not exist
    file: PathBuf,
}

impl IdentityOptions {
    pub(super) fn perform(&self) -> Result<(), CliError> {
        use std::io::Write;
        let id = Identity::in_file(&self.file)?.id();
        writeln!(io::stdout(), "{id}").map_err(CliError::io("the id cannot be written"))
    }
}

/// The last argument, unless it tells a URI: then what was to come behind that is missing.
pub(super) fn word(argument: &SecretArg) -> Option<&str> {
    let is_uri = |word: &str| word.starts_with('@') || word.starts_with("peercam:");
    Some(argument.expose()).filter(|word| !is_uri(word))
}

/// Takes the URI from where the person said it is.
pub(in crate::cli) fn pairing_uri(argument: Option<&SecretArg>) -> Result<PairingUri, CliError> {
    let text = match argument.map(SecretArg::expose) {
        None => std::env::var(URI_VARIABLE).map_err(|_| {
            CliError::Usage(format!(
                "no device is named; give its pairing URI as @FILE, as - for the input, or in {URI_VARIABLE}"
            ))
        })?,
        Some("-") => read(&mut io::stdin().lock(), "the input")?,
        Some(text) => match text.strip_prefix('@') {
            Some(path) => read_file(Path::new(path))?,
            None if Path::new(text).is_file() => {
                let advice = format!("{text} is a file: its URI is given as @{text}");
                return Err(CliError::Usage(advice));
            }
            None => {
                eprintln!(
                    "peercam: others on this machine can see a URI in the list of processes; use @FILE, - or {URI_VARIABLE}"
                );
                text.to_owned()
            }
        },
    };
    Ok(PairingUri::parse(&text)?)
}

fn read_file(path: &Path) -> Result<String, CliError> {
    let name = path.display().to_string();
    let mut file = std::fs::File::open(path).map_err(CliError::io(&*name))?;
    let is_open = file.metadata().is_ok_and(|data| data.mode() & 0o077 != 0);
    if is_open {
        eprintln!("peercam: others on this machine can read {name}: chmod 600 {name}");
    }
    read(&mut file, &name)
}

fn read(source: &mut impl Read, name: &str) -> Result<String, CliError> {
    let mut text = String::new();
    let read = source.take(MAX_URI).read_to_string(&mut text);
    read.map_err(CliError::io(name))?;
    if text.trim().is_empty() {
        return Err(CliError::Usage(format!("{name} is empty")));
    }
    Ok(text)
}
