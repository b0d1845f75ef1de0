//! Time to a viewer's first picture, and rate at which FLV is written.
//!
//! `cargo bench --bench live`. Joins go over loopback TCP to a daemon in this process, from the
//! request's last byte to the first byte of the first picture; FLV is written for one viewer from
//! frames in memory, beside a plain copy of the same bytes.

mod support;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Buf;
use peercam::{config::Config, daemon::Daemon};
use peercam_proto::{
    flv::{HevcForm, Muxer, TagBatch},
    media::Frame,
};
use support::clip::{Clip, tracks};

const JOINS: usize = 200;

fn main() {
    println!("join to first picture      p50 ms    p99 ms");
    for (name, force_key) in [
        ("source makes key frames", true),
        ("cached GOP, squeezed", false),
    ] {
        let [p50, p99] = joins(force_key);
        println!("{name:24} {p50:8.2}  {p99:8.2}");
    }
    let (flv, copy) = (
        gigabytes_per_second(write_flv),
        gigabytes_per_second(copy_payloads),
    );
    println!(
        "\nFLV written for one viewer: {flv:.1} GB/s ({:.2} of a copy of the payloads, {copy:.1} GB/s)",
        flv / copy
    );
}

/// Median and 99th percentile over many joins to a stream that somebody watches already.
fn joins(force_key: bool) -> [f64; 2] {
    let address = start(force_key);
    let _watcher = Joined::open(address);
    // The GOP is old enough for a key frame to be asked for.
    std::thread::sleep(Duration::from_millis(1500));
    let mut millis: Vec<f64> = (0..JOINS)
        .map(|join| {
            // Spread over the frame interval, and over the time between forced key frames.
            std::thread::sleep(Duration::from_micros(20_000 + join as u64 * 7_919 % 40_000));
            Joined::open(address).after.as_secs_f64() * 1000.0
        })
        .collect();
    millis.sort_by(f64::total_cmp);
    [millis[JOINS / 2], millis[JOINS * 99 / 100]]
}

fn start(force_key: bool) -> SocketAddr {
    // Each daemon locks its own.
    let data = support::data_dir().join(force_key.to_string());
    let text = format!(
        "data_dir = {data:?}\n[p2p]\nenabled = false\n[[listen]]\naddr = \"127.0.0.1:0\"\n[[channel]]\nid = 0\n\
         source = {{ kind = \"sim\", gop = 250, force_key = {force_key} }}\n"
    );
    let config = Config::parse(&text, "bench".as_ref()).expect("a valid configuration");
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let daemon = Daemon::start(config).await.expect("a free port");
            sender.send(daemon.addresses()[0]).expect("the bench waits");
            daemon.run(std::future::pending()).await;
        });
    });
    receiver.recv().expect("a daemon")
}

struct Joined {
    after: Duration,
    _stream: TcpStream,
}

impl Joined {
    fn open(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).expect("connects");
        stream.set_nodelay(true).expect("an option");
        let asked = Instant::now();
        stream
            .write_all(b"GET /ipc.flv?action=live&quality=high HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            .expect("sends");
        let (mut seen, mut piece) = (Vec::new(), [0; 16 * 1024]);
        // The tag of a key frame: AVC, NAL units, composition 0.
        while !seen
            .windows(5)
            .any(|window: &[u8]| window == [0x17, 1, 0, 0, 0])
        {
            let count = stream.read(&mut piece).expect("an answer");
            assert!(count > 0, "the stream ended");
            seen.extend_from_slice(&piece[..count]);
        }
        Self {
            after: asked.elapsed(),
            _stream: stream,
        }
    }
}

fn gigabytes_per_second(mut write: impl FnMut(&[Frame], &mut Vec<u8>)) -> f64 {
    let mut clip = Clip::default();
    let frames: Arc<[Frame]> = (0..144).map(|_| clip.next().1).collect();
    let bytes: usize = frames.iter().map(|frame| frame.data.len()).sum();
    let mut out = Vec::with_capacity(2 * bytes);
    let (started, mut rounds) = (Instant::now(), 0_u32);
    while started.elapsed() < Duration::from_secs(1) {
        out.clear();
        write(&frames, &mut out);
        rounds += 1;
    }
    bytes as f64 * f64::from(rounds) / started.elapsed().as_secs_f64() / 1e9
}

/// Writes FLV as a viewer's body does, a picture and its sound at a time, copied as the kernel would.
fn write_flv(frames: &[Frame], out: &mut Vec<u8>) {
    let muxer = Muxer::new(&tracks(), HevcForm::Legacy);
    for group in frames.chunks(3) {
        let mut batch = TagBatch::default();
        for frame in group {
            let head = muxer.head(frame, (frame.time.as_micros() / 1000) as u32, 0);
            batch.push(&head, frame.data.clone());
        }
        while batch.has_remaining() {
            let count = batch.chunk().len();
            out.extend_from_slice(batch.chunk());
            batch.advance(count);
        }
    }
}

fn copy_payloads(frames: &[Frame], out: &mut Vec<u8>) {
    for frame in frames {
        out.extend_from_slice(&frame.data);
    }
}
