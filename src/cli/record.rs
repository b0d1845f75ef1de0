//! `peercam record`: what is on a card, also on one in a laptop.

use std::{
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use jiff::Timestamp;
use peercam_proto::{media::Content, text::Printable};

use super::{CliError, load};
use crate::record::{CardCheck, CardFile, CheckResult};

/// What is to be done with a card.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum RecordCommand {
    /// Lists the recordings: channel, start (UTC), length, type, bytes, file
    #[command(after_help = "\
Examples:
  Of the configured device:
    peercam record ls -c camera.toml
  Of a card in a laptop:
    peercam record ls /media/card/peercam")]
    Ls(RecordOptions),
    /// Reads every recording and reports the damaged ones; changes nothing
    #[command(after_help = "\
Examples:
  Of the configured device:
    peercam record check -c camera.toml
  Of a card in a laptop:
    peercam record check /media/card/peercam")]
    Check(RecordOptions),
}

/// Options of `peercam record`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct RecordOptions {
    /// Directory with ch0, ch1 …; without it, that of the configuration
    directory: Option<PathBuf>,
}

impl RecordCommand {
    pub(super) fn perform(self, config: Option<&Path>) -> Result<(), CliError> {
        match self {
            Self::Ls(options) => options.list(config),
            Self::Check(options) => options.check(config),
        }
    }
}

impl RecordOptions {
    /// Calls with every file of the card.
    fn each(
        self,
        config: Option<&Path>,
        mut act: impl FnMut(&CardCheck, &CardFile),
    ) -> Result<(), CliError> {
        let directory = match self.directory {
            Some(directory) => directory,
            None => match load(config)?.record {
                Some(record) => record.config.path,
                None => {
                    let reason = "the configuration has no [record]; name a directory";
                    return Err(CliError::Usage(reason.to_owned()));
                }
            },
        };
        let gone_through =
            CardCheck::new(&directory).and_then(|card| card.files(&mut |found| act(&card, found)));
        gone_through.map_err(CliError::io(directory.display().to_string()))
    }

    fn list(self, config: Option<&Path>) -> Result<(), CliError> {
        let mut out = io::stdout().lock();
        let (mut files, mut bytes, mut millis) = (0, 0_u64, 0);
        self.each(config, |_, found| {
            files += 1;
            if let Some(whole) = found.name.whole {
                bytes = bytes.saturating_add(whole.size);
                millis += u64::from(whole.duration_millis);
            }
            // Nobody reading it is no failure.
            let _ = writeln!(out, "{}", Printable(line(found)));
        })?;
        let hours = millis as f64 / 3_600_000.0;
        let _ = writeln!(out, "{files} files, {bytes} bytes, {hours:.2} hours");
        Ok(())
    }

    fn check(self, config: Option<&Path>) -> Result<(), CliError> {
        let is_watched = io::stderr().is_terminal();
        let mut out = io::stdout().lock();
        let (mut files, mut damaged, mut unfinished) = (0, 0, 0);
        self.each(config, |card, found| {
            files += 1;
            if is_watched {
                eprint!("\r{files} ");
            }
            let verdict = card
                .check(found)
                .unwrap_or_else(|error| CheckResult::Damaged(error.to_string()));
            let text = match verdict {
                CheckResult::Whole => return,
                CheckResult::Unfinished(millis) => {
                    unfinished += 1;
                    format!("unfinished, {millis} ms of it play")
                }
                CheckResult::Damaged(reason) => {
                    damaged += 1;
                    format!("damaged: {reason}")
                }
            };
            // Nobody reading it is no reason to stop.
            let path = Printable(found.path.display());
            let _ = writeln!(out, "{path}: {}", Printable(text));
        })?;
        if is_watched {
            eprintln!();
        }
        let whole = files - damaged - unfinished;
        let _ = writeln!(
            out,
            "{whole} files are whole, {unfinished} unfinished, {damaged} damaged"
        );
        match damaged {
            0 => Ok(()),
            damaged => Err(CliError::Usage(format!("{damaged} files are damaged"))),
        }
    }
}

fn line(found: &CardFile) -> String {
    let name = found.name;
    let start = Timestamp::from_millisecond(name.start_millis).unwrap_or_default();
    let mark = if name.is_dated {
        ""
    } else {
        " (date not known)"
    };
    let what = match (name.content, name.whole) {
        (Content::Snapshot, Some(whole)) => format!("still  {:>10}", whole.size),
        (Content::Video, Some(whole)) => format!(
            "{:5.1} s  {:>10}",
            f64::from(whole.duration_millis) / 1000.0,
            whole.size
        ),
        (_, None) => "unfinished       -".to_owned(),
    };
    format!(
        "ch{}  {start:.3}{mark}  type {}  {what}  {}",
        found.channel,
        name.kind,
        found.path.display()
    )
}
