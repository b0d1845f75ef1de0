//! The bare broadcaster: nothing but a loop that sends the same contiguous bytes to everybody.
//!
//! One byte log, a cursor for each viewer, one `send` for each viewer and picture; what a socket
//! does not take is tried again with the next picture. It answers any request with a header and
//! the stream.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    time::{Duration, Instant},
};

use peercam_proto::{
    flv::{HevcForm, Muxer},
    media::{TrackKind, Tracks},
};

use super::{
    clip::{Clip, tracks},
    process,
};

struct Viewer {
    stream: TcpStream,
    /// Position in the log.
    at: usize,
    /// Waits for a key frame.
    joining: bool,
}

/// Serves until it is killed; prints its port.
pub(crate) fn run() {
    process::pin(0);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("an option");
    println!("{}", listener.local_addr().expect("bound").port());
    std::io::stdout().flush().expect("a reader");

    let tracks: Tracks = tracks();
    let muxer = Muxer::new(&tracks, HevcForm::Legacy);
    let preamble = muxer.preamble(&tracks);
    // Two GOPs at least; the older half is forgotten when it is full.
    let mut log: Vec<u8> = Vec::with_capacity(8 << 20);
    let mut last_key = 0;
    let mut viewers: Vec<Viewer> = Vec::new();
    let mut clip = Clip::default();
    let start = Instant::now();
    loop {
        let (due, frame) = clip.next();
        wait_and_accept(
            &listener,
            start + due,
            &preamble,
            last_key,
            log.len(),
            &mut viewers,
        );
        let frame = Clip::stamp(frame);
        if log.len() > 6 << 20 {
            let cut = last_key.min(log.len());
            log.drain(..cut);
            last_key = 0;
            for viewer in &mut viewers {
                viewer.at = viewer.at.saturating_sub(cut);
            }
        }
        if frame.is_video_key() {
            last_key = log.len();
        }
        let head = muxer.head(&frame, due.as_millis() as u32, 0);
        log.extend_from_slice(head.as_slice());
        log.extend_from_slice(&frame.data);
        log.extend_from_slice(&head.trailer());
        if frame.track == TrackKind::Video {
            viewers.retain_mut(|viewer| viewer.send(&log, last_key));
        }
    }
}

fn wait_and_accept(
    listener: &TcpListener,
    until: Instant,
    preamble: &[u8],
    last_key: usize,
    end: usize,
    viewers: &mut Vec<Viewer>,
) {
    loop {
        while let Ok((mut stream, _)) = listener.accept() {
            // The request is a few hundred bytes on loopback: it is there.
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.set_nodelay(true);
            stream.set_nonblocking(true).expect("an option");
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: video/x-flv\r\n\r\n");
            let _ = stream.write_all(preamble);
            viewers.push(Viewer {
                stream,
                at: last_key,
                joining: end == last_key,
            });
        }
        let now = Instant::now();
        if now >= until {
            return;
        }
        std::thread::sleep((until - now).min(Duration::from_millis(10)));
    }
}

impl Viewer {
    fn send(&mut self, log: &[u8], last_key: usize) -> bool {
        if std::mem::take(&mut self.joining) {
            self.at = last_key;
        }
        match self.stream.write(&log[self.at..]) {
            Ok(count) => {
                self.at += count;
                true
            }
            Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }
}
