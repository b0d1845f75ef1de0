//! Cost of a viewer over P2P beside a bare bi-stream of the same library.
//!
//! `cargo bench --bench p2p`. On one processor a device, or a program that writes into a bi-stream
//! and does nothing else; on the other one viewer that takes all it can get, over loopback. The
//! device's camera makes more than the wire carries. The bare program runs with the library's own
//! windows, and with ours, which are sized for small cameras. Rounds alternate; ratios are of the
//! same round.

mod support;

use std::{
    io::Write,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use iroh::{
    Endpoint, EndpointAddr, RelayMode, SecretKey,
    endpoint::{QuicTransportConfig, presets},
};
use peercam::{access::SecretStore, config::Config, daemon::Daemon};
use peercam_client::p2p::{ClientRequest, Identity, Options, Session};
use peercam_hal::{
    BoxFuture, Camera, HalError, MediaInput, MediaSource, SourceEvent, clock::Clock,
};
use peercam_proto::{
    credential::{Channels, Claims, CredentialId, Issuer, PairingUri, Scopes},
    media::{Frame, Quality, TrackKind, Tracks},
};
use support::{clip::tracks, process, server::Server};

const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_secs(3);
/// One picture, in bytes. The camera makes one in two milliseconds, as fast as timers go.
const PICTURE: usize = 3 << 19;
/// One write of the bare program, in bytes.
const WRITE: usize = 512 << 10;
/// The protocol and the key of the bare program.
const BARE: (&[u8], [u8; 32]) = (b"bare/1", [7; 32]);

/// Figures of one round.
#[derive(Clone, Copy)]
struct Round {
    megabytes_per_second: f64,
    /// Processor seconds for a gigabyte: of the one that sends, and of both.
    sender: f64,
    both: f64,
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("device") => run(device()),
        Some("bare") => run(bare(endpoint())),
        Some("bare-ours") => run(bare(with_our_windows(endpoint()))),
        _ => run(compare()),
    }
}

fn run(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(work);
}

async fn compare() {
    process::pin(1);
    let device = Server::start("device");
    let bare = [Server::start("bare"), Server::start("bare-ours")];
    let mut rounds = Vec::new();
    println!("                         MB/s   sender s/GB   both s/GB");
    for _ in 0..ROUNDS {
        rounds.push([
            say("bare bi-stream", read_bare(&bare[0], endpoint()).await),
            say(
                "with our windows",
                read_bare(&bare[1], with_our_windows(endpoint())).await,
            ),
            say("viewer", watch(&device).await),
        ]);
    }
    for (name, beside) in [("a bare bi-stream", 0), ("one with our windows", 1)] {
        let median = |of: fn(&Round) -> f64| {
            let ratios = rounds
                .iter()
                .map(|round| of(&round[2]) / of(&round[beside]));
            let mut ratios: Vec<f64> = ratios.collect();
            ratios.sort_by(f64::total_cmp);
            ratios[ROUNDS / 2]
        };
        println!(
            "viewer / {name}, medians of {ROUNDS}: throughput {:.2}, sender's processor {:.2}, both {:.2}",
            median(|round| round.megabytes_per_second),
            median(|round| round.sender),
            median(|round| round.both)
        );
    }
}

fn say(name: &str, round: Round) -> Round {
    println!(
        "{name:22} {:6.0} {:13.2} {:11.2}",
        round.megabytes_per_second, round.sender, round.both
    );
    round
}

/// Takes pieces for a while, and looks what that cost.
async fn measure(sender: u32, mut next: impl AsyncFnMut() -> usize) -> Round {
    let used = || {
        [
            process::cpu_nanos(sender),
            process::cpu_nanos(std::process::id()),
        ]
    };
    // Until the window of congestion is open.
    let warm = Instant::now();
    while warm.elapsed() < ROUND / 3 {
        next().await;
    }
    let (before, began, mut bytes) = (used(), Instant::now(), 0);
    while began.elapsed() < ROUND {
        bytes += next().await;
    }
    let (seconds, after) = (began.elapsed().as_secs_f64(), used());
    let gigabytes = bytes as f64 / 1e9;
    let [sender, receiver] = [0, 1].map(|index| (after[index] - before[index]) as f64 / 1e9);
    Round {
        megabytes_per_second: gigabytes * 1000.0 / seconds,
        sender: sender / gigabytes,
        both: (sender + receiver) / gigabytes,
    }
}

/// One viewer of the device, at the head of its live stream.
async fn watch(device: &Server) -> Round {
    let store = SecretStore::open(&support::data_dir_of(device.id())).expect("the device's");
    let secrets = store.secrets().expect("in order");
    let claims = Claims {
        id: CredentialId::new([1; 16]),
        name: "bench".to_owned(),
        scopes: Scopes::ALL,
        channels: Channels::All,
        expires: None,
        peer: None,
    };
    let uri = PairingUri {
        credential: secrets.mint_key(Issuer::local(), 0).mint(&claims),
        device: secrets.device(),
        relays: Vec::new(),
        relay_token: None,
        udp: vec![([127, 0, 0, 1], device.ports[0]).into()],
        lan: Vec::new(),
    };
    let options = Options {
        identity: Identity::random().expect("random numbers"),
        relay_authorities: None,
        on_feedback: None,
    };
    let session = Session::open(uri, options).await.expect("an endpoint");
    let live = ClientRequest::get("/ipc.flv?action=live&channel=0&quality=high");
    let mut answer = session.send(live).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let round = measure(device.id(), async || {
        let piece = answer.piece().await.expect("it does not break off");
        piece.expect("it does not end").len()
    })
    .await;
    drop(answer);
    session.close().await;
    round
}

/// Serves a camera that makes more than any wire carries; prints its UDP port.
async fn device() {
    process::pin(0);
    let text = format!(
        "data_dir = {:?}\n[p2p]\nport = 0\n[[listen]]\naddr = \"127.0.0.1:0\"\n\
         [[channel]]\nid = 0\nsource = {{ kind = \"sim\" }}\n",
        support::data_dir()
    );
    let config = Config::parse(&text, "bench".as_ref()).expect("a valid configuration");
    let daemon = Daemon::with_cameras(config, |clock, _| Ok(Arc::new(Flood { clock })));
    let daemon = daemon.await.expect("free ports");
    let udp = daemon.reachability().borrow().udp.clone();
    let port = udp.iter().find(|address| address.is_ipv4()).expect("IPv4");
    println!("{}", port.port());
    std::io::stdout().flush().expect("a reader");
    daemon.run(std::future::pending()).await;
}

struct Flood {
    clock: Clock,
}

impl Camera for Flood {
    fn open(&self, _quality: Quality) -> Result<MediaInput, HalError> {
        let mut picture = vec![0x5a; PICTURE];
        picture[..4].copy_from_slice(&(PICTURE as u32 - 4).to_be_bytes());
        picture[4] = 0x65;
        let source = FloodSource {
            clock: self.clock,
            picture: picture.into(),
            announced: false,
        };
        Ok(MediaInput {
            source: Box::new(source),
            control: None,
        })
    }
}

struct FloodSource {
    clock: Clock,
    picture: Bytes,
    announced: bool,
}

impl MediaSource for FloodSource {
    fn next(&mut self) -> BoxFuture<'_, SourceEvent> {
        Box::pin(async {
            if !std::mem::replace(&mut self.announced, true) {
                return SourceEvent::Online(Tracks {
                    audio: None,
                    ..tracks()
                });
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
            SourceEvent::Frame(Frame {
                track: TrackKind::Video,
                key: true,
                time: self.clock.now(),
                composition_micros: 0,
                data: self.picture.clone(),
            })
        })
    }
}

fn endpoint() -> iroh::endpoint::Builder {
    Endpoint::builder(presets::Minimal).relay_mode(RelayMode::Disabled)
}

/// Windows as `transport::p2p` sets them on both sides.
fn with_our_windows(builder: iroh::endpoint::Builder) -> iroh::endpoint::Builder {
    builder.transport_config(
        QuicTransportConfig::builder()
            .send_window(512 << 10)
            .stream_receive_window((512_u32 << 10).into())
            .build(),
    )
}

/// Writes into every bi-stream that is opened, and does nothing else; prints its UDP port.
async fn bare(builder: iroh::endpoint::Builder) {
    process::pin(0);
    let endpoint = builder
        .secret_key(SecretKey::from_bytes(&BARE.1))
        .alpns(vec![BARE.0.to_vec()]);
    let endpoint = endpoint.bind().await.expect("a port");
    let bound = endpoint.bound_sockets();
    let port = bound
        .iter()
        .find(|address| address.is_ipv4())
        .expect("IPv4");
    println!("{}", port.port());
    std::io::stdout().flush().expect("a reader");
    let picture = vec![0x5a; WRITE];
    loop {
        let incoming = endpoint.accept().await.expect("it stays open");
        let connection = incoming.await.expect("a handshake");
        let (mut send, _receive) = connection.accept_bi().await.expect("a stream");
        while send.write_all(&picture).await.is_ok() {}
    }
}

async fn read_bare(bare: &Server, builder: iroh::endpoint::Builder) -> Round {
    let endpoint = builder.bind().await.expect("a port");
    let id = SecretKey::from_bytes(&BARE.1).public();
    let address = EndpointAddr::new(id).with_ip_addr(([127, 0, 0, 1], bare.ports[0]).into());
    let connection = endpoint.connect(address, BARE.0).await.expect("connects");
    let (mut send, mut receive) = connection.open_bi().await.expect("a stream");
    send.write_all(b"!").await.expect("sends");
    let round = measure(bare.id(), async || {
        let piece = receive
            .read_chunk(1 << 16)
            .await
            .expect("it does not break off");
        piece.expect("it does not end").len()
    })
    .await;
    connection.close(0_u32.into(), b"");
    endpoint.close().await;
    round
}
