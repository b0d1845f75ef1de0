//! Viewers: most of them only count what arrives, eight read it.

use std::{
    io::{Read, Write},
    net::TcpStream,
    os::fd::AsFd,
    time::{Duration, Instant},
};

use rustix::net::{RecvFlags, recv};

use super::{
    clip::{BITS_PER_SECOND, MARK},
    process,
};

const SAMPLED: usize = 8;
/// New viewers per second, and how long they settle.
const RAMP_PER_SECOND: usize = 500;
const SETTLE: Duration = Duration::from_secs(2);
/// Interval between reads of all viewers.
const SWEEP: Duration = Duration::from_millis(20);

/// Figures of the viewers.
pub(crate) struct Load {
    pub(crate) delivered_bytes: u64,
    pub(crate) cpu_nanos: u64,
    /// Median and 99th percentile over the sampled viewers.
    pub(crate) latency_ms: [f64; 2],
    /// Viewers that got at least 95 % of the stream.
    pub(crate) complete: usize,
}

struct Viewer {
    stream: TcpStream,
    bytes: u64,
}

/// Connects `viewers`, lets them settle, and watches for `window`. `connect` makes a viewer that
/// has asked for its stream, `cpu` reads the server's processor time.
pub(crate) fn run(
    connect: impl Fn() -> TcpStream,
    viewers: usize,
    window: Duration,
    cpu: impl Fn() -> u64,
) -> Load {
    process::pin(1);
    let mut all: Vec<Viewer> = Vec::with_capacity(viewers);
    let mut buffer = vec![0; 1 << 20];
    let ramp = Instant::now();
    while all.len() < viewers {
        let stream = connect();
        stream.set_nonblocking(true).expect("an option");
        all.push(Viewer { stream, bytes: 0 });
        let due = ramp + Duration::from_secs(1) * all.len() as u32 / RAMP_PER_SECOND as u32;
        if all.len().is_multiple_of(10) {
            all.iter_mut()
                .for_each(|viewer| viewer.discard(&mut buffer));
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    }
    let mut latencies = Vec::new();
    watch(
        &mut all,
        Instant::now() + SETTLE,
        &mut buffer,
        &mut latencies,
    );
    latencies.clear();
    all.iter_mut().for_each(|viewer| viewer.bytes = 0);
    let (cpu_before, started) = (cpu(), Instant::now());
    watch(&mut all, started + window, &mut buffer, &mut latencies);
    let (cpu_nanos, passed) = (cpu() - cpu_before, started.elapsed());

    latencies.sort_by(f64::total_cmp);
    let percentile = |part: f64| {
        latencies
            .get((latencies.len() as f64 * part) as usize)
            .copied()
            .unwrap_or(f64::NAN)
    };
    let whole = BITS_PER_SECOND / 8.0 * passed.as_secs_f64();
    Load {
        delivered_bytes: all.iter().map(|viewer| viewer.bytes).sum(),
        cpu_nanos,
        latency_ms: [percentile(0.5), percentile(0.99)],
        complete: all
            .iter()
            .filter(|viewer| viewer.bytes as f64 >= 0.95 * whole)
            .count(),
    }
}

/// A viewer that proves nothing.
pub(crate) fn plain(port: u16) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connects");
    stream
        .write_all(b"GET /ipc.flv?action=live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        .expect("sends");
    stream
}

/// Reads until `end`: the sampled viewers all the time, everybody at each sweep.
fn watch(all: &mut [Viewer], end: Instant, buffer: &mut [u8], latencies: &mut Vec<f64>) {
    let mut sweep = Instant::now();
    while Instant::now() < end {
        let (sampled, others) = all.split_at_mut(SAMPLED.min(all.len()));
        if Instant::now() >= sweep {
            others.iter_mut().for_each(|viewer| viewer.discard(buffer));
            sweep += SWEEP;
        }
        sampled
            .iter_mut()
            .for_each(|viewer| viewer.read(buffer, latencies));
        std::thread::sleep(Duration::from_micros(300));
    }
}

impl Viewer {
    /// Has the kernel throw away what has arrived, without copying it.
    fn discard(&mut self, buffer: &mut [u8]) {
        while let Ok((_, count)) = recv(self.stream.as_fd(), &mut *buffer, RecvFlags::TRUNC) {
            self.bytes += count as u64;
            if count < buffer.len() {
                break;
            }
        }
    }

    fn read(&mut self, buffer: &mut [u8], latencies: &mut Vec<f64>) {
        while let Ok(count) = self.stream.read(buffer) {
            if count == 0 {
                break;
            }
            self.bytes += count as u64;
            let now = process::monotonic_nanos();
            let mut rest = &buffer[..count];
            while let Some(at) = rest.windows(MARK.len()).position(|window| window == MARK) {
                rest = &rest[at + MARK.len()..];
                if let Some(stamp) = rest.first_chunk::<8>() {
                    latencies.push(now.saturating_sub(u64::from_be_bytes(*stamp)) as f64 / 1e6);
                }
            }
        }
    }
}
