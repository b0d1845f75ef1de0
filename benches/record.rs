//! Cost of recording: the index at start, queries, writing.
//!
//! `cargo bench --bench record`. Files are made in a directory for temporary ones; what the disk
//! itself can do is in the figures of writing.

mod support;

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use peercam::record::{
    CardWriter, Catalog, Date, Fragment, FragmentWrite, Limits, Metrics, WriteJob,
    disk::SystemDisk,
    name::{FileName, Whole, channel_directory, day_directory},
};
use peercam_hal::{Page, Query};
use peercam_proto::media::{ChannelId, Content, Frame, MediaTime, TrackKind};
use support::{clip, process};

const CHANNELS: u16 = 4;
const DAYS: i64 = 30;
const DAY: i64 = 86_400_000;
const MINUTE: i64 = 60_000;
/// 2026-10-01
const START: i64 = 1_790_812_800_000;

fn main() {
    index();
    writing();
}

/// 30 days of a file a minute, of four channels.
fn index() {
    let directory = tempfile::tempdir().expect("a directory");
    for channel in 0..CHANNELS {
        for start in (START..START + DAYS * DAY).step_by(MINUTE as usize) {
            let name = FileName {
                start_millis: start,
                kind: 0,
                is_dated: true,
                content: Content::Video,
                whole: Some(Whole {
                    duration_millis: MINUTE as u32,
                    size: 30_000_000,
                }),
            };
            let day = directory.path().join(channel_directory(channel));
            let day = day.join(day_directory(start));
            if start % DAY == 0 {
                fs::create_dir_all(&day).expect("a directory");
            }
            let file = fs::File::create(day.join(name.to_string())).expect("a file");
            file.set_len(30_000_000).expect("a size");
        }
    }
    let before = process::resident_kib(std::process::id());
    let began = Instant::now();
    let (store, catalog) = store(directory.path());
    let took = began.elapsed();
    println!(
        "index: {} files ready after {:.0} ms, {} KiB",
        catalog.count(),
        took.as_secs_f64() * 1e3,
        process::resident_kib(std::process::id()) - before
    );
    for (what, length) in [
        ("an hour", 3_600_000),
        ("a day", DAY),
        ("a month", DAYS * DAY),
    ] {
        const TIMES: i64 = 1000;
        let began = Instant::now();
        let mut found = 0;
        for time in 0..TIMES {
            let start = START + (DAYS * DAY - length) * time / TIMES;
            let query = Query::new(start..start + length, None, Page::Oldest(512));
            found += catalog.list(ChannelId(1), &query).len();
        }
        let each = began.elapsed().as_secs_f64() * 1e6 / TIMES as f64;
        println!(
            "query of {what}: {each:.1} µs, {} entries",
            found / TIMES as usize
        );
    }
    drop(store);
}

fn store(root: &Path) -> (CardWriter, Catalog) {
    let catalog = Catalog::new(root.to_owned());
    let limits = Limits {
        max_size: 1 << 50,
        max_age: None,
        min_free: 0,
    };
    let disk = Box::new(SystemDisk::new(None));
    let mut store = CardWriter::new(
        disk,
        catalog.clone(),
        limits,
        Default::default(),
        Metrics::default(),
    );
    store.look();
    assert!(!store.is_failed());
    (store, catalog)
}

/// Ten minutes of four channels at 4 Mbit/s, as fast as they are taken.
fn writing() {
    const SECONDS: i64 = 600;
    const GOP: i64 = 2_000_000;
    const PICTURE: usize = 4_000_000 / 8 / 25;
    let directory = tempfile::tempdir().expect("a directory");
    let (mut store, catalog) = store(directory.path());
    let tracks = Arc::new(clip::tracks());
    let data = Bytes::from(vec![0x5a; PICTURE]);
    let (mut media, before) = (0_u64, [process::cpu_nanos(std::process::id()), written()]);
    let began = Instant::now();
    for start in (0..SECONDS * 1_000_000).step_by(GOP as usize) {
        for channel in 0..CHANNELS {
            let frames = (0..GOP / 40_000).map(|index| Frame {
                track: TrackKind::Video,
                key: index == 0,
                time: MediaTime::from_micros(start + index * 40_000),
                composition_micros: 0,
                data: data.clone(),
            });
            let fragment = Fragment {
                tracks: Arc::clone(&tracks),
                frames: frames.collect(),
                end: Some(MediaTime::from_micros(start + GOP)),
                is_key: true,
                after_gap: false,
            };
            media += fragment.size() as u64;
            let is_written = store.perform(&WriteJob::Fragment {
                channel: ChannelId(channel),
                write: FragmentWrite {
                    fragment,
                    kind: 0,
                    begins: start % 60_000_000 == 0,
                    date: Date {
                        offset_millis: START,
                        is_known: true,
                    },
                },
            });
            assert!(is_written);
        }
    }
    store.finish();
    let took: Duration = began.elapsed();
    let cpu = (process::cpu_nanos(std::process::id()) - before[0]) as f64 / 1e9;
    println!(
        "writing: {:.2} % of a processor for {CHANNELS} channels at 4 Mbit/s; {:.4} bytes of file and {:.4} bytes to the disk for each of media; {:.0} times as fast as it comes",
        cpu * 100.0 / SECONDS as f64,
        catalog.bytes() as f64 / media as f64,
        (written() - before[1]) as f64 / media as f64,
        SECONDS as f64 / took.as_secs_f64()
    );
}

/// Bytes that this process has caused to be written to disks.
fn written() -> u64 {
    let text = fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|bytes| bytes.parse().ok()).unwrap_or(0)
}
