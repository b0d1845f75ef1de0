use std::{
    io::{self, IsTerminal},
    time::{Duration, Instant},
};

/// Says on a terminal how it goes, once a second.
pub(super) struct Progress {
    pub(super) started: Instant,
    said: Instant,
    pub(super) bytes: u64,
    since: u64,
    total: Option<u64>,
    is_watched: bool,
}

impl Progress {
    /// Progress of something that has so many bytes already, and will have `total` if that is known.
    pub(super) fn start(bytes: u64, total: Option<u64>) -> Self {
        let now = Instant::now();
        Self {
            started: now,
            said: now,
            bytes,
            since: 0,
            total,
            is_watched: io::stderr().is_terminal(),
        }
    }

    pub(super) fn add(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        self.since += bytes as u64;
        let elapsed = self.said.elapsed();
        if self.is_watched && elapsed >= Duration::from_secs(1) {
            let rate = self.since as f64 * 8e-6 / elapsed.as_secs_f64();
            let part = self.total.map_or_else(String::new, |total| {
                format!(
                    "  {:3.0} %",
                    self.bytes as f64 * 100.0 / total.max(1) as f64
                )
            });
            eprint!(
                "\r{:6.0} s  {:8.1} MB{part}  {rate:5.1} Mbit/s ",
                self.started.elapsed().as_secs_f64(),
                self.bytes as f64 / 1e6
            );
            (self.said, self.since) = (Instant::now(), 0);
        }
    }

    pub(super) fn end(&self) {
        if self.is_watched {
            eprintln!();
        }
    }
}
