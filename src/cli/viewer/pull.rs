//! `peercam pull`: a paired device's live picture.

use std::{
    fs::OpenOptions,
    io::{self, IsTerminal, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Args;
use peercam_client::{Answer, ClientError, Code, Viewer};
use peercam_proto::media::{ChannelId, Quality};

use super::connect::{ConnectOptions, DeviceArg};
use crate::cli::{CliError, FFPLAY, new_file::must_be_new, progress::Progress};

/// Timeout for a live stream that delivers nothing.
const STREAM_TIMEOUT: Duration = Duration::from_secs(20);

/// Options of `peercam pull`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[command(after_help = "\
Examples:
  Watch in a player:
    peercam pull @phone.uri | ffplay -fpsprobesize 0 -analyzeduration 500000 -
  Save ten seconds of the best picture:
    peercam pull @phone.uri --quality super --seconds 10 -o live.flv")]
pub struct PullOptions {
    #[command(flatten)]
    device: DeviceArg,
    #[command(flatten)]
    way: ConnectOptions,
    /// Channel number of the camera
    #[arg(long, default_value_t = 0)]
    channel: u16,
    /// Picture quality: standard, high or super
    #[arg(long, default_value = "high")]
    quality: Quality,
    /// New file for the stream; without it, the output if that is no terminal
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Ends after this many seconds
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u64>,
}

impl PullOptions {
    pub(super) fn perform(self) -> Result<(), CliError> {
        if self.output.is_none() && io::stdout().is_terminal() {
            return Err(CliError::Usage(format!(
                "name a file with --output, or pipe it into a player: peercam pull @URI | {FFPLAY} -"
            )));
        }
        must_be_new(self.output.as_deref())?;
        self.way
            .with_viewer(self.device.uri.as_ref(), async |viewer| {
                self.pull(viewer).await
            })
    }

    async fn pull(&self, viewer: &mut Viewer) -> Result<(), CliError> {
        let target = format!(
            "/ipc.flv?action=live&channel={}&quality={}",
            ChannelId(self.channel),
            self.quality
        );
        let answer = viewer.media(&target).await;
        let answer = answer.map_err(CliError::asking(Code::NoStream))?;
        // Made only now that there is something to put into it.
        let output = self.open_output()?;
        self.save(answer, output, viewer.is_kept()).await
    }

    /// Writes the stream until it ends, or for as long as was asked for. A connection that `is_kept`
    /// finds out by itself whether the device is there; on another one, silence is the end.
    async fn save(
        &self,
        mut answer: Answer,
        mut output: Box<dyn Write>,
        is_kept: bool,
    ) -> Result<(), CliError> {
        let unwritable = || CliError::io("the stream cannot be written");
        let mut progress = Progress::start(0, None);
        let end = self
            .seconds
            .map(|seconds| progress.started + Duration::from_secs(seconds));
        loop {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) && progress.bytes > 0 {
                break;
            }
            let patience = match (is_kept, left) {
                (true, None) => Duration::MAX,
                (true, Some(left)) => left,
                (false, _) => STREAM_TIMEOUT,
            };
            let piece = match tokio::time::timeout(patience, answer.piece()).await {
                Ok(piece) => piece?,
                Err(_) if is_kept => break,
                Err(_) => return Err(ClientError::Timeout(STREAM_TIMEOUT.as_secs()).into()),
            };
            let Some(piece) = piece else { break };
            progress.add(piece.len());
            output.write_all(&piece).map_err(unwritable())?;
        }
        progress.end();
        output.flush().map_err(unwritable())
    }

    fn open_output(&self) -> Result<Box<dyn Write>, CliError> {
        match &self.output {
            Some(path) => {
                let file = OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(path);
                let file = file.map_err(CliError::io(path.display().to_string()))?;
                Ok(Box::new(file))
            }
            None => Ok(Box::new(io::stdout())),
        }
    }
}
