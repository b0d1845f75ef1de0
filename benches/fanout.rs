//! One 4 Mbit/s stream to many viewers over loopback TCP, beside a bare broadcaster.
//!
//! `cargo bench --bench fanout [-- VIEWERS… [--runs N] [--seconds N]]`; default: 1, 100 and 1000
//! viewers, three runs of five seconds each.
//!
//! The server is a process of its own on the first processor, the viewers are one thread on the
//! second. Each run measures both servers, one after the other, and the figure to quote is the
//! ratio within a run. The bare broadcaster is the least that fan-out over TCP can cost: one
//! `send` of contiguous, pre-muxed bytes for each viewer and picture.
//!
//! Printed: CPU seconds of the server per delivered gigabyte (10^9 bytes); resident memory per
//! viewer; latency from the source's clock to the viewer, over eight viewers that are read
//! fully; and how many viewers were complete.

mod support;

use std::time::Duration;

use support::{bare, load, process, server, server::Server};

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    match arguments.first().map(String::as_str) {
        Some("serve-peercam") => server::run(),
        Some("serve-bare") => bare::run(),
        _ => compare(&Options::parse(&arguments)),
    }
}

struct Options {
    viewers: Vec<usize>,
    runs: usize,
    window: Duration,
}

impl Options {
    fn parse(arguments: &[String]) -> Self {
        let mut options = Self {
            viewers: Vec::new(),
            runs: 3,
            window: Duration::from_secs(5),
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut number = || {
                arguments
                    .next()
                    .and_then(|value| value.parse().ok())
                    .expect("a number")
            };
            match argument.as_str() {
                "--runs" => options.runs = number(),
                "--seconds" => options.window = Duration::from_secs(number() as u64),
                viewers => options
                    .viewers
                    .push(viewers.parse().expect("a number of viewers")),
            }
        }
        if options.viewers.is_empty() {
            options.viewers = vec![1, 100, 1000];
        }
        options
    }
}

/// Figures of one server under one load.
struct Figures {
    cpu_per_gb: f64,
    kib_per_viewer: f64,
    latency_ms: [f64; 2],
    complete: usize,
}

fn compare(options: &Options) {
    println!("viewers  server   CPU-s/GB  KiB/viewer  latency p50/p99 ms  complete");
    for &viewers in &options.viewers {
        let mut ratios = Vec::new();
        for _ in 0..options.runs {
            let [bare, ours] =
                ["serve-bare", "serve-peercam"].map(|role| measure(role, viewers, options.window));
            for (name, figures) in [("bare", &bare), ("peercam", &ours)] {
                println!(
                    "{viewers:7}  {name:8} {:8.3}  {:10.1}  {:8.1} / {:7.1}  {:5} of {viewers}",
                    figures.cpu_per_gb,
                    figures.kib_per_viewer,
                    figures.latency_ms[0],
                    figures.latency_ms[1],
                    figures.complete
                );
            }
            ratios.push(ours.cpu_per_gb / bare.cpu_per_gb);
        }
        ratios.sort_by(f64::total_cmp);
        let [least, middle, most] =
            [0, ratios.len() / 2, ratios.len() - 1].map(|index| ratios[index]);
        println!(
            "{viewers:7}  peercam / bare, CPU per GB: median {middle:.2} ({least:.2} to {most:.2})\n"
        );
    }
}

fn measure(role: &str, viewers: usize, window: Duration) -> Figures {
    let server = Server::start(role);
    let before = process::resident_kib(server.id());
    let connect = || load::plain(server.ports[0]);
    let result = load::run(connect, viewers, window, || process::cpu_nanos(server.id()));
    let after = process::resident_kib(server.id());
    Figures {
        cpu_per_gb: result.cpu_nanos as f64 / result.delivered_bytes as f64,
        kib_per_viewer: (after as f64 - before as f64) / viewers as f64,
        latency_ms: result.latency_ms,
        complete: result.complete,
    }
}
