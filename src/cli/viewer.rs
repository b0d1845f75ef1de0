//! `peercam command` and `pull`: one request to a paired device.

use std::{
    fs::OpenOptions,
    io::{self, IsTerminal, Read, Write},
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Args;

use super::Failure;
use crate::{
    client::{ClientError, Connection},
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
    arguments: Vec<String>,
}

/// Options of `peercam pull`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct PullOptions {
    /// The device's pairing URI: @FILE reads it from a file, - from the input; without it,
    /// PEERCAM_URI is read.
    uri: Option<String>,
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

impl CommandOptions {
    pub(super) fn perform(self) -> Result<(), Failure> {
        let mut arguments = self.arguments;
        let command = arguments.pop().unwrap_or_default();
        let uri = pairing_uri(arguments.pop().as_deref())?;
        let answer = run(async {
            let mut connection = Connection::open(uri).await?;
            let mut answer = connection.post("/command", command.as_bytes()).await?;
            let answered = answer.collect(1 << 20).await;
            Ok(answered.map_err(|_| ClientError::OutcomeUnknown)?)
        })?;
        let text = String::from_utf8_lossy(&answer);
        let printable: String = text.chars().filter(|c| !c.is_control()).collect();
        writeln!(io::stdout(), "{printable}").map_err(Failure::io("the answer cannot be written"))
    }
}

impl PullOptions {
    pub(super) fn perform(self) -> Result<(), Failure> {
        let mut output = self.open_output()?;
        let uri = pairing_uri(self.uri.as_deref())?;
        run(async {
            let mut connection = Connection::open(uri).await?;
            let target = format!(
                "/ipc.flv?action=live&channel={}&quality={}",
                ChannelId(self.channel),
                self.quality
            );
            let mut answer = connection.get(&target).await?;
            let mut progress = Progress::start();
            loop {
                let left = match self.seconds {
                    None => SILENCE,
                    Some(seconds) => {
                        let end = progress.started + Duration::from_secs(seconds);
                        SILENCE.min(end.saturating_duration_since(Instant::now()))
                    }
                };
                match tokio::time::timeout(left, answer.piece()).await {
                    Ok(piece) => match piece? {
                        None => break,
                        Some(piece) => {
                            progress.add(piece.len());
                            output
                                .write_all(&piece)
                                .map_err(Failure::io("the stream cannot be written"))?;
                        }
                    },
                    Err(_) if left < SILENCE => break,
                    Err(_) => return Err(ClientError::Timeout(SILENCE.as_secs()).into()),
                }
            }
            progress.end();
            output
                .flush()
                .map_err(Failure::io("the stream cannot be written"))
        })
    }

    fn open_output(&self) -> Result<Box<dyn Write>, Failure> {
        match &self.output {
            Some(path) => {
                let file = OpenOptions::new().write(true).create_new(true).open(path);
                let file = file.map_err(Failure::io(path.display().to_string()))?;
                Ok(Box::new(file))
            }
            None if io::stdout().is_terminal() => Err(Failure::Usage(
                "name a file with --output, or pipe it into a player: peercam pull @URI | ffplay -"
                    .to_owned(),
            )),
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
