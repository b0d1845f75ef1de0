//! `peercam download`: fetches a recording as a file.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use clap::Args;
use peercam_client::{Code, Viewer, local_name};
use peercam_proto::media::ChannelId;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::connect::{ConnectOptions, DeviceArg, SecretArg, word};
use crate::cli::{
    CliError,
    new_file::{must_be_new, publish_new},
    progress::Progress,
};

/// Options of `peercam download`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[command(allow_missing_positional = true)]
#[command(after_help = "\
Examples:
  A recording as the device lists it, to a file of the same name:
    peercam download @phone.uri 0-1763708400123.mp4
  One of the camera with channel 1, which its name begins with, to another file:
    peercam download @phone.uri 1-1763708400123.mp4 -o door.mp4")]
pub struct DownloadOptions {
    #[command(flatten)]
    device: DeviceArg,
    /// Name of the recording, as the device lists it
    name: SecretArg,
    #[command(flatten)]
    way: ConnectOptions,
    /// Channel number of the camera
    #[arg(long, default_value_t = 0)]
    channel: u16,
    /// New file for the recording; without it, the last part of NAME
    ///
    /// FILE.part keeps what has come so far; the next try continues it.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl DownloadOptions {
    pub(super) fn perform(self) -> Result<(), CliError> {
        let name = word(&self.name).filter(|word| *word != "-");
        let name = name.ok_or_else(|| {
            let reason = "the name of the recording is missing: peercam download URI NAME";
            CliError::Usage(reason.to_owned())
        })?;
        let output = match &self.output {
            Some(path) => path.clone(),
            None => local_name(name).into(),
        };
        must_be_new(Some(&output))?;
        self.way
            .with_viewer(self.device.uri.as_ref(), async |viewer| {
                self.fetch(viewer, name, &output).await
            })
    }

    async fn fetch(&self, viewer: &mut Viewer, name: &str, output: &Path) -> Result<(), CliError> {
        let part = PathBuf::from(format!("{}.part", output.display()));
        let has = part.metadata().map_or(0, |data| data.len());
        let target = format!(
            "/ipc.flv?action=download&channel={}&file_name={}&offset={has}",
            ChannelId(self.channel),
            utf8_percent_encode(name, NON_ALPHANUMERIC)
        );
        let asking = || CliError::asking(Code::NoDownload);
        let answer = viewer.media(&target).await.map_err(asking())?;
        let mut answer = answer.checked().await.map_err(asking())?;
        // It bounds what is written.
        let rest = answer.length().ok_or_else(|| {
            let reason = "the device does not say how long the recording is, so it is not fetched";
            CliError::Usage(reason.to_owned())
        })?;
        let mut file = open(&part)?;
        let mut progress = Progress::start(has, Some(has.saturating_add(rest)));
        while let Some(piece) = answer.piece().await.map_err(asking())? {
            progress.add(piece.len());
            file.write_all(&piece)
                .map_err(CliError::io(part.display().to_string()))?;
        }
        progress.end();
        file.sync_all()
            .map_err(CliError::io(part.display().to_string()))?;
        // Nothing that was made meanwhile is overwritten.
        publish_new(&part, output).map_err(CliError::io(output.display().to_string()))
    }
}

fn open(part: &Path) -> Result<File, CliError> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(part);
    file.map_err(CliError::io(part.display().to_string()))
}
