//! `peercam talk`: speaks through a paired device's speaker.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::Path,
};

use bytes::Bytes;
use clap::Args;
use peercam_client::{ClientError, Code, Viewer, upload};
use peercam_proto::{media::ChannelId, text, voice::SAMPLE_RATES};
use peercam_task::boundary::{self, Part};
use tokio::sync::{mpsc, oneshot};

use super::connect::{ConnectOptions, DeviceArg, SecretArg, word};
use crate::cli::{CliError, progress::Progress};

/// Bytes of one read, and number of reads that wait for the network.
const BLOCK: usize = 4 << 10;
const QUEUE_LEN: usize = 4;

/// Options of `peercam talk`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[command(allow_missing_positional = true)]
#[command(after_help = "\
Examples:
  A sound file:
    peercam talk @phone.uri hello.wav
  A microphone, while you speak:
    arecord -q -f S16_LE -r 16000 -c 1 | peercam talk @phone.uri -")]
pub struct TalkOptions {
    #[command(flatten)]
    device: DeviceArg,
    /// Sound: a WAV, ADTS or FLV file (AAC, G.711, PCM), or - for the input
    file: SecretArg,
    #[command(flatten)]
    way: ConnectOptions,
    /// Channel number of the camera with the speaker
    #[arg(long, default_value_t = 0)]
    channel: u16,
    /// Plays all of the input (-), however fast it comes
    ///
    /// Without this option the input is live: the device leaves out what comes faster than it can be
    /// played. Files are always played to the end.
    #[arg(long)]
    recorded: bool,
    /// Sample rate of bare PCM, in Hz
    ///
    /// Files with a header (WAV, ADTS, FLV) have their own rate.
    #[arg(long, default_value_t = 16_000, value_parser = sample_rate)]
    sample_rate: u32,
}

impl TalkOptions {
    pub(super) fn perform(self) -> Result<(), CliError> {
        let file = word(&self.file).ok_or_else(|| {
            let reason = "the sound is missing: peercam talk @URI hello.wav";
            CliError::Usage(reason.to_owned())
        })?;
        let source: Box<dyn Read + Send> = match file {
            "-" => Box::new(io::stdin()),
            path => sound_file(path)?,
        };
        let talk = async |viewer: &mut Viewer| self.talk(viewer, Path::new(file), source).await;
        let answer = self.way.with_viewer(self.device.uri.as_ref(), talk)?;
        writeln!(io::stdout(), "{answer}").map_err(CliError::io("the answer cannot be written"))
    }

    async fn talk(
        &self,
        viewer: &mut Viewer,
        path: &Path,
        source: Box<dyn Read + Send>,
    ) -> Result<String, CliError> {
        let (pieces, waiting) = mpsc::channel(QUEUE_LEN);
        // A thread that nobody waits for: a terminal may never end.
        let (sender, read_to_end) = oneshot::channel();
        let reading = move || sender.send(read(source, &pieces));
        boundary::thread(Part::Service, "read", reading).map_err(CliError::io("a thread"))?;
        let recorded = u8::from(self.recorded || path != Path::new("-"));
        let channel = ChannelId(self.channel);
        let rate = self.sample_rate;
        let target = format!("/voice?channel={channel}&recorded={recorded}&sample_rate={rate}");
        let answer = viewer.send(&target, upload::stream(waiting)).await;
        let mut answer = answer.map_err(CliError::asking(Code::NoVoice))?;
        let text = answer.collect(1 << 16).await;
        let text = text.map_err(|error| ClientError::OutcomeUnknown(Box::new(error)))?;
        // A device that hung up has not taken all.
        let mut read_to_end = read_to_end;
        if let Ok(read) = read_to_end.try_recv() {
            read.map_err(CliError::io(path.display().to_string()))?;
        }
        Ok(text::Json(&String::from_utf8_lossy(&text)).to_string())
    }
}

fn sample_rate(text: &str) -> Result<u32, String> {
    let rate = text.parse().ok();
    let rate = rate.filter(|rate| SAMPLE_RATES.contains(rate));
    rate.ok_or_else(|| format!("one of {SAMPLE_RATES:?} is needed"))
}

/// Opens a file, if the device could know what it is.
fn sound_file(path: &str) -> Result<Box<dyn Read + Send>, CliError> {
    let failed = || CliError::io(path.to_owned());
    let mut file = File::open(path).map_err(failed())?;
    let mut head = Vec::new();
    let first = (&mut file).take(12).read_to_end(&mut head);
    first.map_err(failed())?;
    let is_known = head.starts_with(b"FLV")
        || head.starts_with(b"RIFF")
        || matches!(head[..], [0xff, second, ..] if second & 0xf6 == 0xf0);
    let is_bare = [".pcm", ".raw", ".s16"]
        .iter()
        .any(|end| path.ends_with(end));
    if !is_known && !is_bare {
        return Err(CliError::Usage(format!(
            "{path} is no WAV, FLV or ADTS; ffmpeg -i {path} sound.wav makes one (a file of bare PCM ends in .pcm)"
        )));
    }
    Ok(Box::new(io::Cursor::new(head).chain(file)))
}

/// Hands sound on as fast as the device takes it, which is as fast as it sounds.
fn read(mut source: Box<dyn Read + Send>, pieces: &mpsc::Sender<Bytes>) -> io::Result<()> {
    let mut progress = Progress::start(0, None);
    loop {
        let mut block = vec![0; BLOCK];
        let count = match source.read(&mut block) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            count => count?,
        };
        block.truncate(count);
        if count == 0 || pieces.blocking_send(block.into()).is_err() {
            progress.end();
            return Ok(());
        }
        progress.add(count);
    }
}
