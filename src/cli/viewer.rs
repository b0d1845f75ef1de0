//! `peercam command` and `pull`: one request to a paired device.

use std::{
    fmt,
    fs::OpenOptions,
    io::{self, IsTerminal, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Args;

use super::Failure;
use crate::{
    client::{Answer, ClientError, Connection},
    media::{ChannelId, Quality},
    proto::credential::PairingUri,
};

/// Where a pairing URI is taken from if no argument says so.
const URI_VARIABLE: &str = "PEERCAM_URI";
/// The longest file or input that is read as a URI, in bytes.
const MAX_URI: u64 = 16 << 10;
/// How long a live stream may deliver nothing.
const SILENCE: Duration = Duration::from_secs(20);

/// Options of `peercam command`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct CommandOptions {
    /// The device's pairing URI (@FILE reads it from a file, - from the input; without it,
    /// PEERCAM_URI is read), and the command: 'action=inner_define&cmd=get_nvr_list'.
    #[arg(num_args = 1..=2, required = true, value_names = ["URI", "COMMAND"])]
    arguments: Vec<Hidden>,
}

/// Options of `peercam pull`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct PullOptions {
    /// The device's pairing URI: @FILE reads it from a file, - from the input; without it,
    /// PEERCAM_URI is read.
    uri: Option<Hidden>,
    /// The camera.
    #[arg(long, default_value_t = 0)]
    channel: u16,
    /// standard, high or super.
    #[arg(long, default_value = "high")]
    quality: Quality,
    /// A new file for the FLV; without it, the output if that is no terminal.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Ends after this many seconds of it.
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u64>,
}

/// An argument that may be a secret: it cannot be printed.
#[derive(Clone, PartialEq, Eq)]
struct Hidden(String);

impl From<String> for Hidden {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl CommandOptions {
    pub(super) fn perform(self) -> Result<(), Failure> {
        let mut arguments = self.arguments.into_iter().map(|Hidden(text)| text).rev();
        let command = arguments.next().unwrap_or_default();
        if command == "-" || command.starts_with('@') || command.starts_with("peercam:") {
            return Err(Failure::Usage(
                "the command is missing: peercam command URI 'action=inner_define&cmd=get_nvr_list'"
                    .to_owned(),
            ));
        }
        let uri = pairing_uri(arguments.next().as_deref())?;
        let answer = run(async {
            let mut connection = Connection::open(uri).await?;
            let mut answer = connection.post("/command", command.as_bytes()).await?;
            let answered = answer.collect(1 << 20).await;
            Ok(answered.map_err(|error| ClientError::OutcomeUnknown(Box::new(error)))?)
        })?;
        let text = String::from_utf8_lossy(&answer);
        let printable: String = text.chars().filter(|c| !c.is_control()).collect();
        writeln!(io::stdout(), "{printable}").map_err(Failure::io("the answer cannot be written"))
    }
}

impl PullOptions {
    pub(super) fn perform(self) -> Result<(), Failure> {
        if self.output.is_none() && io::stdout().is_terminal() {
            return Err(Failure::Usage(
                "name a file with --output, or pipe it into a player: peercam pull @URI | ffplay -"
                    .to_owned(),
            ));
        }
        if let Some(path) = self.output.as_ref().filter(|path| path.exists()) {
            return Err(Failure::io(path.display().to_string())(
                io::ErrorKind::AlreadyExists.into(),
            ));
        }
        let uri = pairing_uri(self.uri.as_ref().map(|Hidden(text)| text.as_str()))?;
        run(async {
            let mut connection = Connection::open(uri).await?;
            let target = format!(
                "/ipc.flv?action=live&channel={}&quality={}",
                ChannelId(self.channel),
                self.quality
            );
            let answer = connection.get(&target).await?;
            // Made only now that there is something to put into it.
            self.save(answer, self.open_output()?).await
        })
    }

    /// Writes the stream until it ends, or for as long as was asked for.
    async fn save(&self, mut answer: Answer, mut output: Box<dyn Write>) -> Result<(), Failure> {
        let unwritable = || Failure::io("the stream cannot be written");
        let mut progress = Progress::start();
        let end = self
            .seconds
            .map(|seconds| progress.started + Duration::from_secs(seconds));
        loop {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) && progress.bytes > 0 {
                break;
            }
            let piece = match tokio::time::timeout(SILENCE, answer.piece()).await {
                Ok(piece) => piece?,
                Err(_) => return Err(ClientError::Timeout(SILENCE.as_secs()).into()),
            };
            let Some(piece) = piece else { break };
            progress.add(piece.len());
            output.write_all(&piece).map_err(unwritable())?;
        }
        progress.end();
        output.flush().map_err(unwritable())
    }

    fn open_output(&self) -> Result<Box<dyn Write>, Failure> {
        match &self.output {
            Some(path) => {
                let file = OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(path);
                let file = file.map_err(Failure::io(path.display().to_string()))?;
                Ok(Box::new(file))
            }
            None => Ok(Box::new(io::stdout())),
        }
    }
}

/// Says on a terminal how it goes, once a second.
struct Progress {
    started: Instant,
    said: Instant,
    bytes: u64,
    since: u64,
    is_watched: bool,
}

impl Progress {
    fn start() -> Self {
        let now = Instant::now();
        Self {
            started: now,
            said: now,
            bytes: 0,
            since: 0,
            is_watched: io::stderr().is_terminal(),
        }
    }

    fn add(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        self.since += bytes as u64;
        let elapsed = self.said.elapsed();
        if self.is_watched && elapsed >= Duration::from_secs(1) {
            let rate = self.since as f64 * 8e-6 / elapsed.as_secs_f64();
            eprint!(
                "\r{:6.0} s  {:8.1} MB  {rate:5.1} Mbit/s ",
                self.started.elapsed().as_secs_f64(),
                self.bytes as f64 / 1e6
            );
            (self.said, self.since) = (Instant::now(), 0);
        }
    }

    fn end(&self) {
        if self.is_watched {
            eprintln!();
        }
    }
}

/// Takes the URI from where the person said it is.
fn pairing_uri(argument: Option<&str>) -> Result<PairingUri, Failure> {
    let text = match argument {
        None => std::env::var(URI_VARIABLE).map_err(|_| {
            Failure::Usage(format!(
                "no device is named; give its pairing URI as @FILE, as - for the input, or in {URI_VARIABLE}"
            ))
        })?,
        Some("-") => read(&mut io::stdin().lock(), "the input")?,
        Some(text) => match text.strip_prefix('@') {
            Some(path) => {
                let mut file = std::fs::File::open(path).map_err(Failure::io(path))?;
                let is_open = file.metadata().is_ok_and(|data| data.mode() & 0o077 != 0);
                if is_open {
                    eprintln!("peercam: others on this machine can read {path}: chmod 600 {path}");
                }
                read(&mut file, path)?
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

fn read(source: &mut impl Read, name: &str) -> Result<String, Failure> {
    let mut text = String::new();
    let read = source.take(MAX_URI).read_to_string(&mut text);
    read.map_err(Failure::io(name)).map(|_| text)
}

/// Runs one client to its end.
fn run<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::io("the runtime does not start"))?;
    runtime.block_on(work)
}
