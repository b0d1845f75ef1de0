//! `peercam snapshot`: one picture of now of a paired device.

use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
};

use bytes::Bytes;
use clap::Args;
use peercam_client::{Code, Viewer};
use peercam_proto::{jpeg, media::ChannelId};

use super::connect::{ConnectOptions, DeviceArg};
use crate::cli::{
    CliError,
    new_file::{keep, must_be_new},
};

/// The largest picture that is taken, in bytes.
const LARGEST: usize = 16 << 20;

/// Options of `peercam snapshot`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[command(after_help = "\
Examples:
  To a new file:
    peercam snapshot @phone.uri -o now.jpg
  Of the second camera, replacing a file:
    peercam snapshot @phone.uri --channel 1 > now.jpg")]
pub struct SnapshotOptions {
    #[command(flatten)]
    device: DeviceArg,
    #[command(flatten)]
    way: ConnectOptions,
    /// Channel number of the camera
    #[arg(long, default_value_t = 0)]
    channel: u16,
    /// New file for the JPEG; without it or as -, the output
    ///
    /// The file appears once the picture is complete. A terminal as the output needs the -.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl SnapshotOptions {
    pub(super) fn perform(self) -> Result<(), CliError> {
        let file = self
            .output
            .as_deref()
            .filter(|path| path.as_os_str() != "-");
        if self.output.is_none() && io::stdout().is_terminal() {
            return Err(CliError::Usage(
                "name a file with --output: peercam snapshot @URI -o picture.jpg".to_owned(),
            ));
        }
        must_be_new(file)?;
        let fetch = async |viewer: &mut Viewer| self.fetch(viewer).await;
        let still = self.way.with_viewer(self.device.uri.as_ref(), fetch)?;
        match file {
            Some(path) => keep(path, &still).map_err(CliError::io(path.display().to_string())),
            None => {
                let mut output = io::stdout().lock();
                let written = output.write_all(&still).and_then(|()| output.flush());
                written.map_err(CliError::io("the picture cannot be written"))
            }
        }
    }

    async fn fetch(&self, viewer: &mut Viewer) -> Result<Bytes, CliError> {
        let target = format!("/snapshot.jpg?channel={}", ChannelId(self.channel));
        let answer = viewer.get(&target).await;
        let mut answer = answer.map_err(CliError::asking(Code::NoStream))?;
        let still = answer.collect(LARGEST).await?;
        match jpeg::length(&still) {
            Ok(length) => Ok(still.slice(..length)),
            Err(why) => Err(CliError::Usage(format!(
                "what the device sent as a picture is none: {why}"
            ))),
        }
    }
}
