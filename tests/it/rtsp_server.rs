//! A small camera that speaks RTSP, over TCP only: the simulated picture, packed as RFC 6184 says,
//! and whatever a test has it do wrong.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use peercam_hal::{
    Camera, SourceEvent,
    clock::Clock,
    sim::{AudioKind, Config, SimCamera},
};
use peercam_proto::media::{Frame, Quality, TrackKind};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Mutex,
    task::JoinSet,
};

/// What a test has the camera do.
#[derive(Default)]
pub(crate) struct Script {
    /// Requests that asked what it has.
    pub(crate) described: AtomicUsize,
    /// Connections that play now.
    pub(crate) playing: AtomicUsize,
    /// Connections that ever played.
    pub(crate) played: AtomicUsize,
    /// Sends nothing more.
    pub(crate) stalls: AtomicBool,
    /// Ends every connection, and takes no other.
    pub(crate) is_off: AtomicBool,
    /// Answers every request with this code.
    pub(crate) refuses: AtomicUsize,
    /// Goes on with the picture of the next quality.
    pub(crate) grows: AtomicBool,
    /// Leaves out the packets of the next picture.
    pub(crate) loses: AtomicBool,
    /// Begins a picture and never ends it.
    pub(crate) endless: AtomicBool,
    /// What times begin with.
    pub(crate) first_stamp: u32,
    /// What it says to have, if not what it has.
    pub(crate) description: Option<&'static str>,
}

pub(crate) struct RtspServer {
    pub(crate) address: SocketAddr,
    pub(crate) script: Arc<Script>,
    _tasks: JoinSet<()>,
}

impl RtspServer {
    pub(crate) async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(script);
        let mut tasks = JoinSet::new();
        let shared = Arc::clone(&script);
        tasks.spawn(async move {
            let mut served = JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                if !shared.is_off.load(Ordering::SeqCst) {
                    served.spawn(serve(socket, Arc::clone(&shared)));
                }
            }
        });
        Self {
            address,
            script,
            _tasks: tasks,
        }
    }

    pub(crate) fn url(&self) -> url::Url {
        url::Url::parse(&format!("rtsp://{}/main", self.address)).unwrap()
    }
}

/// One of a client's requests.
struct Request {
    method: String,
    sequence: String,
    transport: String,
}

async fn request(lines: &mut Lines<BufReader<OwnedReadHalf>>) -> Option<Request> {
    let first = lines.next_line().await.ok()??;
    let mut request = Request {
        method: first.split(' ').next()?.to_owned(),
        sequence: String::new(),
        transport: String::new(),
    };
    loop {
        let line = lines.next_line().await.ok()??;
        match line.split_once(": ") {
            None => return Some(request),
            Some(("CSeq", value)) => value.clone_into(&mut request.sequence),
            Some(("Transport", value)) => value.clone_into(&mut request.transport),
            Some(_) => {}
        }
    }
}

const DESCRIPTION: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\n\
    m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=control:v\r\n\
    m=audio 0 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\na=control:a\r\n";

async fn serve(socket: TcpStream, script: Arc<Script>) {
    let (read, write) = socket.into_split();
    let write = Arc::new(Mutex::new(write));
    let mut lines = BufReader::new(read).lines();
    let mut playing = JoinSet::new();
    loop {
        let asked = tokio::select! {
            asked = request(&mut lines) => asked,
            _ = playing.join_next(), if !playing.is_empty() => None,
        };
        let Some(asked) = asked else { return };
        if asked.method == "DESCRIBE" {
            script.described.fetch_add(1, Ordering::SeqCst);
        }
        let refused = script.refuses.load(Ordering::SeqCst);
        let (status, more, body) = match asked.method.as_str() {
            _ if refused > 0 => (
                refused,
                "WWW-Authenticate: Basic realm=\"x\"\r\n".to_owned(),
                "",
            ),
            "DESCRIBE" => (
                200,
                "Content-Type: application/sdp\r\n".to_owned(),
                script.description.unwrap_or(DESCRIPTION),
            ),
            "SETUP" => (
                200,
                format!("Session: 7\r\nTransport: {}\r\n", asked.transport),
                "",
            ),
            _ => (200, "Session: 7\r\n".to_owned(), ""),
        };
        let length = body.len();
        let answer = format!(
            "RTSP/1.0 {status} Said\r\nCSeq: {}\r\n{more}Content-Length: {length}\r\n\r\n{body}",
            asked.sequence
        );
        let written = write.lock().await.write_all(answer.as_bytes()).await;
        if written.is_err() || asked.method == "TEARDOWN" {
            return;
        }
        if asked.method == "PLAY" && status == 200 {
            playing.spawn(play(Arc::clone(&script), Arc::clone(&write)));
        }
    }
}

struct Playing(Arc<Script>);

impl Drop for Playing {
    fn drop(&mut self) {
        self.0.playing.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Sends pictures until it is told to be off, or nobody takes them.
async fn play(script: Arc<Script>, write: Arc<Mutex<OwnedWriteHalf>>) {
    script.playing.fetch_add(1, Ordering::SeqCst);
    script.played.fetch_add(1, Ordering::SeqCst);
    let _playing = Playing(Arc::clone(&script));
    let config = Config {
        audio: AudioKind::Pcma,
        gop: 10,
        ..Config::default()
    };
    let camera = SimCamera::new(Clock::start(), config);
    let mut packer = Packer {
        stamps: script.first_stamp,
        ..Packer::default()
    };
    let mut has_grown = false;
    let mut input = camera.open(Quality::Standard).unwrap();
    while !script.is_off.load(Ordering::SeqCst) {
        if !has_grown && script.grows.load(Ordering::SeqCst) {
            has_grown = true;
            input = camera.open(Quality::High).unwrap();
        }
        let frame = match input.source.next().await {
            SourceEvent::Online(tracks) => {
                packer.parameters = parameter_sets(&tracks.video.unwrap().config);
                continue;
            }
            SourceEvent::Frame(frame) => frame,
            event => panic!("{event:?}"),
        };
        let is_lost = frame.track == TrackKind::Video && script.loses.swap(false, Ordering::SeqCst);
        let mut packets = Vec::new();
        let mut head = 0x85;
        while script.endless.load(Ordering::SeqCst) {
            // The sound goes on.
            packets.extend(packer.packet(0, false, 1, &[&[0x7c, head], &[7; 1200]]));
            packets.extend(packer.packet(2, true, 0, &[&[7; 10]]));
            head = 5;
            if packets.len() > 100_000 {
                if write.lock().await.write_all(&packets).await.is_err() {
                    return;
                }
                packets.clear();
            }
        }
        for packet in packer.pack(&frame) {
            if !is_lost {
                packets.extend(packet);
            }
        }
        if script.stalls.load(Ordering::SeqCst) {
            continue;
        }
        if write.lock().await.write_all(&packets).await.is_err() {
            return;
        }
    }
}

/// SPS and PPS of an `avcC` record with one of each.
fn parameter_sets(config: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = &config[6..];
    let mut sets = Vec::new();
    for _ in 0..2 {
        let length = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
        sets.push(rest[2..2 + length].to_vec());
        rest = rest.get(2 + length + 1..).unwrap_or_default();
    }
    sets
}

/// Makes RTP packets, each in its frame of the RTSP connection (RFC 2326, 10.12).
#[derive(Default)]
struct Packer {
    parameters: Vec<Vec<u8>>,
    sequence: [u16; 2],
    stamps: u32,
}

impl Packer {
    fn pack(&mut self, frame: &Frame) -> Vec<Vec<u8>> {
        let micros = frame.time.as_micros();
        if frame.track == TrackKind::Audio {
            let stamp = (micros * 8 / 1000) as u32;
            return vec![self.packet(2, true, stamp, &[&frame.data])];
        }
        let stamp = self.stamps.wrapping_add((micros * 9 / 100) as u32);
        let mut units = Vec::new();
        if frame.key {
            units.extend(self.parameters.clone());
        }
        let mut rest = &frame.data[..];
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let (unit, after) = after.split_at(u32::from_be_bytes(*length) as usize);
            units.push(unit.to_vec());
            rest = after;
        }
        let last = units.len() - 1;
        let mut packets = Vec::new();
        for (place, unit) in units.iter().enumerate() {
            if unit.len() <= 1200 {
                packets.push(self.packet(0, place == last, stamp, &[unit]));
                continue;
            }
            // RFC 6184, 5.8: FU-A.
            let pieces = unit[1..].chunks(1200);
            let count = pieces.len();
            for (number, piece) in pieces.enumerate() {
                let (first, end) = (number == 0, number + 1 == count);
                let head = u8::from(first) << 7 | u8::from(end) << 6 | unit[0] & 0x1f;
                let indicator = unit[0] & 0xe0 | 28;
                let is_last = end && place == last;
                packets.push(self.packet(0, is_last, stamp, &[&[indicator, head], piece]));
            }
        }
        packets
    }

    fn packet(&mut self, channel: u8, mark: bool, stamp: u32, payload: &[&[u8]]) -> Vec<u8> {
        let sequence = &mut self.sequence[usize::from(channel / 2)];
        *sequence = sequence.wrapping_add(1);
        let kind = if channel == 0 { 96 } else { 8 };
        let mut rtp = vec![0x80, u8::from(mark) << 7 | kind];
        rtp.extend(sequence.to_be_bytes());
        rtp.extend(stamp.to_be_bytes());
        rtp.extend([0, 0, 0, channel]);
        payload.iter().for_each(|part| rtp.extend_from_slice(part));
        let length = (rtp.len() as u16).to_be_bytes();
        [&[b'$', channel, length[0], length[1]][..], &rtp].concat()
    }
}
