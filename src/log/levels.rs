use tracing_subscriber::filter::{LevelFilter, Targets};

/// Reads levels. A bare word that is no level is a mistake, not the name of a part.
pub fn levels(text: &str) -> Result<Targets, String> {
    let mistaken = text
        .split(',')
        .map(str::trim)
        .find(|part| !part.contains('=') && part.parse::<LevelFilter>().is_err());
    match mistaken {
        Some(word) => Err(format!(
            "{word:?} is no level; use off, error, warn, info, debug or trace, or PART=LEVEL"
        )),
        None => text
            .parse()
            .map(|levels: Targets| for_ours(&levels))
            .map_err(|error| format!("{error}")),
    }
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
            assert!(levels(text).is_err(), "{text}");
        }
        let levels_of = |text| levels(text).expect("levels");
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
                levels_of(text).would_enable(part, &level),
                is_shown,
                "{text} {part}"
            );
        }
        for text in ["debug", "OFF", "info,peercam::live=trace"] {
            assert!(levels(text).is_ok(), "{text}");
        }
    }
}
