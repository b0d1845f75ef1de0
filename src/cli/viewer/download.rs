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

use super::{
    connect::{ConnectOptions, SecretArg, uri_and_word},
    must_be_new, publish_new,
};
use crate::cli::{CliError, progress::Progress};

/// Options of `peercam download`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct DownloadOptions {
    /// The device's pairing URI (@FILE reads it from a file, - from the input; without it,
    /// PEERCAM_URI is read), and the recording's name as the device lists it.
    #[arg(num_args = 1..=2, required = true, value_names = ["URI", "NAME"])]
    arguments: Vec<SecretArg>,
    #[command(flatten)]
    way: ConnectOptions,
    /// The camera.
    #[arg(long, default_value_t = 0)]
    channel: u16,
    /// The file to make; without it, the last part of NAME, here. What has come so far is in
    /// FILE.part, with which the next try goes on.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl DownloadOptions {
    pub(super) fn perform(self) -> Result<(), CliError> {
        let (uri, name) = uri_and_word(&self.arguments);
        let name = name.filter(|word| *word != "-").ok_or_else(|| {
            let reason = "the name of the recording is missing: peercam download URI NAME";
            CliError::Usage(reason.to_owned())
        })?;
        let output = match &self.output {
            Some(path) => path.clone(),
            None => local_name(name).into(),
        };
        must_be_new(Some(&output))?;
        self.way
            .with_viewer(uri, async |viewer| self.fetch(viewer, name, &output).await)
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
