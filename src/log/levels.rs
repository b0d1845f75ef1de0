//! Levels of the log: how they are written, and the filter in which they can be changed while the
//! program runs.
//!
//! Invariant: libraries say no more than `info` shows, whoever sets the levels and whenever.

use std::{fmt, str::FromStr};

use peercam_task::boundary::Guarded;
use tracing_subscriber::{
    Registry,
    filter::{LevelFilter, Targets},
    reload,
};

/// Levels of a log, by part.
#[derive(Clone, Debug)]
pub struct Levels {
    text: Box<str>,
    targets: Targets,
}

impl fmt::Display for Levels {
    /// Writes them as they were written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Levels {
    type Err = String;

    /// Reads levels. A bare word that is no level is a mistake, not the name of a part.
    fn from_str(text: &str) -> Result<Self, String> {
        let mistaken = text
            .split(',')
            .map(str::trim)
            .find(|part| !part.contains('=') && part.parse::<LevelFilter>().is_err());
        if let Some(word) = mistaken {
            return Err(format!(
                "{word:?} is no level; use off, error, warn, info, debug or trace, or PART=LEVEL"
            ));
        }
        let targets: Targets = text.parse().map_err(|error| format!("{error}"))?;
        Ok(Self {
            text: text.into(),
            targets: for_ours(&targets),
        })
    }
}

/// Filter of the process's log, which there is once: that of the program, whatever it embeds.
static FILTER: Guarded<Option<Filter>> = Guarded::whole(None);

struct Filter {
    handle: reload::Handle<Targets, Registry>,
    text: Box<str>,
}

/// The filter of the process's log with these levels, to be installed in front of all layers.
pub fn filter(levels: Levels) -> reload::Layer<Targets, Registry> {
    let (layer, handle) = reload::Layer::new(levels.targets);
    *FILTER.lock() = Some(Filter {
        handle,
        text: levels.text,
    });
    layer
}

/// The levels of the process's log; `None` if another program installed it.
pub fn current() -> Option<String> {
    FILTER.lock().as_ref().map(|filter| filter.text.to_string())
}

/// Sets the levels of the process's log; returns whether that could be done: not where another program
/// installed it.
pub fn set(levels: Levels) -> bool {
    let mut filter = FILTER.lock();
    let Some(filter) = filter.as_mut() else {
        return false;
    };
    let is_set = filter.handle.reload(levels.targets).is_ok();
    if is_set {
        filter.text = levels.text;
    }
    is_set
}

/// The levels of a log in which a bare level is one of our own crates. Libraries speak to
/// programmers, so that each is silent unless it is named, and says at most what `info` shows: below
/// it they print whole requests, tokens included.
fn for_ours(levels: &Targets) -> Targets {
    const OURS: &str = "peercam";
    let default = levels.default_level().unwrap_or(LevelFilter::OFF);
    let named = levels.iter().map(|(part, level)| {
        if part.starts_with(OURS) {
            (crate_of(part), level)
        } else {
            (part.to_owned(), level.min(LevelFilter::INFO))
        }
    });
    Targets::new()
        .with_default(LevelFilter::OFF)
        .with_target(OURS, default)
        .with_targets(named)
}

/// The name that a part has in the log; some that were modules of the program are crates.
fn crate_of(part: &str) -> String {
    let module = part.strip_prefix("peercam::").unwrap_or_default();
    let (first, rest) = module.split_at(module.find("::").unwrap_or(module.len()));
    let name = match first {
        "client" => "peercam_client",
        "hal" => "peercam_hal",
        "transport" => "peercam_net",
        "boundary" => "peercam_task::boundary",
        "watchdog" => "peercam_task::watchdog",
        _ => return part.to_owned(),
    };
    format!("{name}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_that_are_none_are_refused() {
        for text in ["inof", "verbose", "info,peercam", "peercam=loud"] {
            assert!(text.parse::<Levels>().is_err(), "{text}");
        }
        let levels_of = |text: &str| text.parse::<Levels>().expect("levels");
        for (text, part, level, is_shown) in [
            ("trace", "peercam::live", tracing::Level::TRACE, true),
            ("info", "peercam_net::p2p", tracing::Level::INFO, true),
            ("info", "iroh::socket", tracing::Level::ERROR, false),
            ("trace", "hyper::proto", tracing::Level::ERROR, false),
            ("info,hyper=trace", "hyper", tracing::Level::INFO, true),
            ("info,hyper=trace", "hyper", tracing::Level::DEBUG, false),
            ("info,hyper=warn", "iroh", tracing::Level::ERROR, false),
            ("error,hyper=warn", "hyper", tracing::Level::WARN, true),
            (
                "info,peercam::live=debug",
                "peercam::live",
                tracing::Level::DEBUG,
                true,
            ),
            (
                "info,peercam::live=debug",
                "peercam::http",
                tracing::Level::DEBUG,
                false,
            ),
            ("debug", "peercam_hal::rtsp", tracing::Level::DEBUG, true),
            (
                "info,peercam::hal=debug,peercam::transport::p2p=trace",
                "peercam_hal::socket",
                tracing::Level::DEBUG,
                true,
            ),
            (
                "info,peercam::transport::p2p=trace",
                "peercam_net::p2p::endpoint",
                tracing::Level::TRACE,
                true,
            ),
        ] {
            assert_eq!(
                levels_of(text).targets.would_enable(part, &level),
                is_shown,
                "{text} {part}"
            );
        }
        for text in ["debug", "OFF", "info,peercam::live=trace"] {
            assert!(text.parse::<Levels>().is_ok(), "{text}");
        }
    }
}
