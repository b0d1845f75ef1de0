//! Writes the manual pages, one for each command: `cargo run --example man -- DIRECTORY`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use clap::{Command, CommandFactory};
use clap_mangen::{
    Man,
    roff::{Roff, roman},
};
use jiff::Timestamp;
use peercam::cli::Cli;

fn main() -> Result<()> {
    let directory = std::env::args_os().nth(1).map(PathBuf::from);
    let directory = directory.context("name a directory: cargo run --example man -- DIRECTORY")?;
    fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    write(&program, &directory)
}

/// Writes the page of a command, and those of its subcommands.
fn write(command: &Command, directory: &Path) -> Result<()> {
    let name = command.get_display_name().unwrap_or(command.get_name());
    let path = directory.join(format!("{name}.1"));
    fs::write(&path, page(command)?).with_context(|| path.display().to_string())?;
    let mut visible = command.get_subcommands().filter(|sub| !sub.is_hide_set());
    visible.try_for_each(|subcommand| write(subcommand, directory))
}

fn page(command: &Command) -> io::Result<Vec<u8>> {
    let name = command.get_display_name().unwrap_or(command.get_name());
    let man = Man::new(command.clone())
        .title(name.to_uppercase())
        .date(date())
        .source(concat!("peercam ", env!("CARGO_PKG_VERSION")));
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let text = command.get_after_help().map(ToString::to_string);
    if let Some(examples) = text
        .as_deref()
        .and_then(|text| text.strip_prefix("Examples:\n"))
    {
        page.extend(section(examples).render().into_bytes());
    }
    Ok(page)
}

/// Today, or the day that a reproducible build names.
fn date() -> String {
    let epoch = std::env::var("SOURCE_DATE_EPOCH").ok();
    let epoch = epoch.and_then(|seconds| Timestamp::from_second(seconds.parse().ok()?).ok());
    let time = epoch.unwrap_or_else(Timestamp::now);
    time.strftime("%Y-%m-%d").to_string()
}

/// Examples: what each is for, and the command behind it, which is indented further.
fn section(examples: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["EXAMPLES"]);
    for (number, line) in examples.lines().enumerate() {
        let text = [roman(line.trim_start())];
        if line.starts_with("    ") {
            roff.control("RS", ["4"]).control("nf", []);
            roff.text(text);
            roff.control("fi", []).control("RE", []);
        } else {
            if number > 0 {
                roff.control("PP", []);
            }
            roff.text(text);
        }
    }
    roff
}
