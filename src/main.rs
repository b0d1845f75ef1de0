//! `peercam`: command line → configuration → runtime → daemon → exit code.

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::Path,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result};
use clap::Parser;
use peercam::{
    budget::Budget,
    cli::{self, CheckOptions, Cli, CliError, Command, Hangups, RunOptions, Signals},
    config::Config,
    daemon::{self, Daemon, Reloader},
    log::{Log, LogLines, levels},
    reach::{ListenerAccess, ListenerInfo},
};
use peercam_proto::text::Lines;
use peercam_task::{
    boundary::{self, Part},
    watchdog::{self, Watchdog},
};
use tracing_subscriber::{layer::SubscriberExt, util::SubscriberInitExt};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let run_options = cli.run_options();
    let is_daemon = matches!(run_options, Ok(Some(_)));
    // Without a thread it is written as commands do.
    let log = if is_daemon {
        Log::queued().unwrap_or(Log::Direct)
    } else {
        Log::Direct
    };
    let lines = log.clone();
    tracing_subscriber::registry()
        .with(levels::filter(cli.options.log))
        .with(
            tracing_subscriber::fmt::layer()
                .with_writer(move || LogLines(lines.clone()))
                .with_ansi(false),
        )
        .init();
    boundary::install();
    let config = cli.options.config.as_deref();
    let result = match (run_options, cli.command) {
        (Err(error), _) => Err(error.into()),
        (Ok(Some(options)), _) => run(config, options, &log),
        (_, Some(Command::Check(options))) => check(&options, config),
        (_, Some(command)) => command.perform(config).map_err(Into::into),
        (Ok(None), None) => Ok(()),
    };
    match result {
        Ok(()) => {
            log.flush();
            ExitCode::SUCCESS
        }
        Err(error) if matches!(error.downcast_ref(), Some(CliError::OutputClosed)) => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            log.last_words(&format!("peercam: {}\n", Lines(format!("{error:#}"))));
            ExitCode::FAILURE
        }
    }
}

fn check(options: &CheckOptions, named: Option<&Path>) -> Result<()> {
    let path = options.path(named)?;
    let config = Config::load(path)?;
    daemon::check(&config)?;
    // Nobody reading it is no failure.
    let memory = Budget::from_config(&config)?;
    let _ = write!(io::stdout(), "{}: fine\n\n{memory}", path.display());
    let files = config.exposed_secret(path).into_iter();
    let files = files.chain(config.unwritable());
    for doubt in config.doubts().chain(files) {
        eprintln!("peercam: {}", Lines(doubt));
    }
    Ok(())
}

fn run(path: Option<&Path>, options: RunOptions, log: &Log) -> Result<()> {
    let config = options.apply(cli::load(path)?);
    if let Some(doubt) = path.and_then(|path| config.exposed_secret(path)) {
        tracing::warn!("{doubt}");
    }
    let threads = config.runtime.threads;
    let mut builder = if threads == 1 {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    if threads > 1 {
        builder.worker_threads(threads);
    }
    let runtime = builder
        // Files are rarely read; a thread for that is not kept waiting.
        .thread_keep_alive(Duration::from_secs(1))
        .enable_all()
        .build()
        .context("the runtime does not start")?;
    let (data_dir, recordings) = (config.data_dir.clone(), config.recordings());
    let ended = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let hangups = Hangups::listen()?;
        let daemon = Daemon::start(config).await?;
        for (part, times) in watchdog::noted(&data_dir) {
            tracing::warn!(
                part,
                times,
                "the daemon stood still at this part before and was ended"
            );
        }
        let _watchdog =
            Watchdog::start(watchdog::LIMIT, &data_dir).context("the watchdog does not start")?;
        let reloads = reload_on(hangups, daemon.reloader());
        let _reloads = boundary::spawn(Part::Service, "SIGHUP", reloads);
        let mut text = announcement(&daemon, path.is_none())?;
        let written = written(&data_dir, recordings.as_deref(), path.is_none());
        write!(text, "{written}\nCtrl-C stops it.\n")?;
        // Nobody reading it is no reason not to run, nor to wait.
        let _ = boundary::thread(Part::Service, "announcement", move || {
            let mut out = io::stdout().lock();
            let _ = out.write_all(&text).and_then(|()| out.flush());
        });
        let log = log.clone();
        let stop = async {
            signals.next().await;
            tokio::spawn(async move {
                signals.next().await;
                log.flush_within(AT_ONCE);
                std::process::exit(EXIT_AT_ONCE);
            });
        };
        daemon.run(stop).await;
        watchdog::forget(&data_dir);
        Ok(())
    });
    // What still waits for a card that does not answer is not waited for.
    runtime.shutdown_timeout(BLOCKED_GRACE);
    ended
}

/// Reads the configuration again at each SIGHUP. Never returns.
async fn reload_on(mut hangups: Hangups, reloader: Reloader) {
    loop {
        hangups.next().await;
        // The log tells what came of it, a panic too: each reload is a task of its own.
        let _ = reloader.reload().await;
    }
}

/// Timeout for work on files that is under way when all else has ended.
const BLOCKED_GRACE: Duration = Duration::from_millis(500);

/// Timeout for the last lines of the log after a second signal.
const AT_ONCE: Duration = Duration::from_millis(100);

/// Exit code after a second signal.
const EXIT_AT_ONCE: i32 = 130;

/// Tells a person what to paste into a player.
fn announcement(daemon: &Daemon, is_default: bool) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let listeners = daemon.reachability().borrow().listeners.clone();
    let is_open = |listener: &ListenerInfo| listener.access == ListenerAccess::Open;
    let (open, token): (Vec<_>, Vec<_>) = listeners.into_iter().partition(is_open);
    for listener in &open {
        writeln!(out, "peercam is listening on http://{}", listener.address)?;
    }
    for listener in &token {
        writeln!(
            out,
            "peercam is listening on {}, for viewers that were paired (peercam pair NAME)",
            listener.address
        )?;
    }
    let channels = daemon.channels().all();
    if let (Some(listener), Some(entry)) = (open.first(), channels.values().next()) {
        let (channel, name) = (entry.id, &entry.name);
        let base = format!("http://{}", from_here(listener.address));
        let live = format!("{base}/ipc.flv?action=live&channel={channel}&quality=super");
        if is_default {
            writeln!(
                out,
                "\nNo configuration was named: this is a simulated camera."
            )?;
        }
        let has_video = entry.check_video().is_ok();
        if has_video {
            writeln!(
                out,
                "\nWatch \"{name}\":\n  {} '{live}'\n  mpv --profile=low-latency --demuxer-lavf-o=fpsprobesize=0 '{live}'\n  vlc '{live}'",
                cli::FFPLAY
            )?;
        }
        if is_default || !has_video {
            writeln!(
                out,
                "One picture:\n  curl -o now.jpg '{base}/snapshot.jpg?channel={channel}'"
            )?;
        }
        if has_video {
            writeln!(out, "Save ten seconds:\n  curl -m 10 -o live.flv '{live}'")?;
        }
        writeln!(
            out,
            "Ask it:\n  curl -X POST '{base}/command?action=inner_define&cmd=get_nvr_list'"
        )?;
        writeln!(out, "  curl {base}/healthz")?;
    }
    Ok(out)
}

/// Tells a person where the disk is written, and how it is not.
fn written(data_dir: &Path, recordings: Option<&str>, is_default: bool) -> String {
    let data_dir = data_dir.display();
    match (recordings, is_default) {
        (Some(recordings), true) => format!(
            "\nIt writes to {data_dir}: the keys of this device, and recordings.\nIt records to {recordings}; peercam --no-record records nothing.\n"
        ),
        (Some(recordings), false) => {
            format!("\nIt records to {recordings}; --no-record records nothing.\n")
        }
        (None, true) => {
            format!("\nIt writes to {data_dir}: the keys of this device. Nothing is recorded.\n")
        }
        (None, false) => String::new(),
    }
}

/// An address that a player on this machine can use.
fn from_here(address: SocketAddr) -> SocketAddr {
    if !address.ip().is_unspecified() {
        return address;
    }
    let loopback: std::net::IpAddr = if address.is_ipv4() {
        std::net::Ipv4Addr::LOCALHOST.into()
    } else {
        std::net::Ipv6Addr::LOCALHOST.into()
    };
    SocketAddr::new(loopback, address.port())
}
