//! Cost of access control: sealing, a sealed viewer beside a plain one, and proofs.
//!
//! `cargo bench --bench access`. The reference is `openssl speed`, run in between on the same
//! processor: AES-128-CTR and HMAC-SHA-256 over 16 KiB, and X25519. For the viewers it runs while as
//! many plain ones are being served and read: processors that share a core slow each other down.
//! The figures to quote are the ratios within a run.

mod support;

use std::{
    hint::black_box,
    io::{Read, Write},
    net::TcpStream,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use peercam::{
    access::{Authority, Metrics, SecretStore, SignedRequest, TokenVerifier},
    events::Events,
};
use peercam_hal::clock::Clock;
use peercam_proto::{
    credential::{
        BodyKind, Channels, Claims, Credential, CredentialId, EndpointId, Issuer, Scopes, Secret,
        Signed, Transport,
    },
    sealed::{Exchange, Keys, Opener, Sealer},
};
use support::{load, process, server, server::Server};

const VIEWERS: usize = 100;
const WINDOW: Duration = Duration::from_secs(8);
const RUNS: usize = 3;

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("serve-peercam") => server::run(),
        _ => compare(),
    }
}

fn compare() {
    let (mut sealing, mut viewing) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        process::pin(0);
        let [aes, hmac] = ciphers();
        let bound = aes + hmac;
        let (seal, open) = (seal(), open());
        println!(
            "openssl: AES-128-CTR {:.2} GB/s, HMAC-SHA-256 {:.2} GB/s, one after the other {:.2} GB/s",
            1.0 / aes,
            1.0 / hmac,
            1.0 / bound
        );
        println!(
            "sealing {:.2} GB/s ({:.2} of openssl's time), opening {:.2} GB/s",
            1.0 / seal,
            seal / bound,
            1.0 / open
        );
        sealing.push(seal / bound);
        let bound = ciphers_under_load();
        let [plain, sealed] = [false, true].map(cpu_per_gb);
        let share = (sealed - plain) / bound;
        println!(
            "{VIEWERS} viewers: plain {plain:.3} CPU-s/GB, sealed {sealed:.3}; openssl beside them {bound:.3}: {share:.2} of that on top\n"
        );
        viewing.push(share);
    }
    println!(
        "sealing / openssl, time: median {:.2} of {sealing:.2?}",
        median(&sealing)
    );
    println!(
        "(sealed - plain) / openssl, CPU per GB: median {:.2} of {viewing:.2?}",
        median(&viewing)
    );
    let [first, next] = proofs();
    let x25519 = openssl(&["ecdhx25519"]);
    println!(
        "proofs per second: first on its connection {first:.0}, further ones {next:.0}; openssl X25519 {x25519:.0}"
    );
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The last number that `openssl speed` prints: kilobytes, or operations, per second.
fn openssl(arguments: &[&str]) -> f64 {
    let output = Command::new("openssl")
        .args(["speed", "-seconds", "1"])
        .args(arguments)
        .output()
        .expect("openssl is installed");
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.split_whitespace().last().expect("figures");
    last.trim_end_matches('k').parse().expect("a number")
}

/// Seconds of openssl per gigabyte: cipher and MAC.
fn ciphers() -> [f64; 2] {
    let aes = openssl(&["-evp", "aes-128-ctr", "-bytes", "16384"]);
    let hmac = openssl(&["-hmac", "sha256", "-bytes", "16384"]);
    [aes, hmac].map(|kilobytes| 1e6 / kilobytes)
}

/// Both together, while plain viewers are served. `openssl speed` counts its own processor time.
fn ciphers_under_load() -> f64 {
    let server = Server::start("serve-peercam");
    let reference = std::thread::spawn(|| {
        process::pin(0);
        std::thread::sleep(Duration::from_secs(4));
        ciphers().iter().sum::<f64>()
    });
    let connect = || load::plain(server.ports[0]);
    load::run(connect, VIEWERS, WINDOW, || process::cpu_nanos(server.id()));
    reference.join().expect("openssl speed")
}

fn keys() -> Keys {
    Keys::derive(&Secret::new([1; 32]), &[2; 32], &[3; 32])
}

/// Seconds per gigabyte of sealing a picture after the other.
fn seal() -> f64 {
    let picture = vec![7; 64 << 10];
    let mut sealer = Sealer::new(keys().response);
    seconds_per_gb(picture.len(), || {
        black_box(sealer.data(&mut &picture[..], usize::MAX));
    })
}

/// Seconds per gigabyte of opening what was sealed.
fn open() -> f64 {
    let body = vec![7; 64 << 20];
    let mut sealer = Sealer::new(keys().request);
    let sealed = sealer.data(&mut &body[..], usize::MAX);
    let mut opener = Opener::request(keys().request);
    let started = Instant::now();
    for piece in sealed.chunks(16 << 10) {
        opener.feed(piece);
        while let Some(record) = opener.next_record().expect("sealed") {
            black_box(record);
        }
    }
    started.elapsed().as_secs_f64() * 1e9 / body.len() as f64
}

fn seconds_per_gb(bytes: usize, mut work: impl FnMut()) -> f64 {
    let (started, mut rounds) = (Instant::now(), 0_usize);
    while started.elapsed() < Duration::from_secs(1) {
        work();
        rounds += 1;
    }
    started.elapsed().as_secs_f64() * 1e9 / (bytes * rounds) as f64
}

/// CPU seconds of the server per gigabyte that it delivers.
fn cpu_per_gb(is_sealed: bool) -> f64 {
    let server = Server::start("serve-peercam");
    let store = SecretStore::open(&support::data_dir_of(server.id())).expect("the server's");
    let holder = holder(&store);
    let connect = || {
        if is_sealed {
            holder.watch(server.ports[1])
        } else {
            load::plain(server.ports[0])
        }
    };
    let result = load::run(connect, VIEWERS, WINDOW, || process::cpu_nanos(server.id()));
    assert_eq!(result.complete, VIEWERS, "everybody got everything");
    result.cpu_nanos as f64 / result.delivered_bytes as f64
}

/// A viewer that was paired.
struct Holder {
    credential: Credential,
    device: EndpointId,
}

fn holder(store: &SecretStore) -> Holder {
    let secrets = store.secrets().expect("in order");
    let claims = Claims {
        id: CredentialId::new([1; 16]),
        name: "bench".to_owned(),
        scopes: Scopes::ALL,
        channels: Channels::All,
        expires: None,
        peer: None,
    };
    Holder {
        credential: secrets.mint_key(Issuer::local(), 0).mint(&claims),
        device: secrets.device(),
    }
}

impl Holder {
    /// Proves itself on a new connection and asks for the live stream.
    fn watch(&self, port: u16) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connects");
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .expect("sends");
        let mut answer = vec![0; 4096];
        let count = stream.read(&mut answer).expect("the challenge");
        let answer = String::from_utf8_lossy(&answer[..count]).into_owned();
        let target = self.target(&answer, &Exchange::new([9; 32]), 1);
        write!(stream, "GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").expect("sends");
        stream
    }

    /// The target of a live request that proves itself with this challenge.
    fn target(&self, challenge: &str, exchange: &Exchange, counter: u32) -> String {
        let key = |mark: &str| {
            let at = challenge.find(mark).expect("a challenge") + mark.len();
            let bytes = data_encoding::BASE64URL_NOPAD.decode(&challenge.as_bytes()[at..at + 43]);
            bytes.expect("base64").try_into().expect("32 bytes")
        };
        let signed = Signed {
            transport: Transport::Tcp,
            device: self.device,
            viewer: None,
            binding: key("b=\""),
            device_key: Some(key("d=\"")),
            viewer_key: Some(exchange.public()),
            counter,
            method: "GET",
            target: "/ipc.flv?action=live",
            range: b"",
            body: BodyKind::None,
            credential: self.credential.text(),
        };
        let token = signed.token(&self.credential);
        format!("/ipc.flv?_token={token}&action=live")
    }
}

/// Proofs per second that the device checks: on new connections, and on one that is known.
fn proofs() -> [f64; 2] {
    let directory = support::data_dir();
    std::fs::create_dir_all(&directory).expect("a directory");
    let store = SecretStore::open(&directory).expect("made");
    let clock = Clock::start();
    let authority = Authority::new(&store, clock, 4, Metrics::default(), Events::new(clock));
    let authority = Arc::new(authority.expect("in order"));
    let holder = holder(&store);
    let exchange = Exchange::new([9; 32]);
    let verifier = || TokenVerifier::on_tcp(Arc::clone(&authority)).expect("random numbers");
    let prove = |verifier: &TokenVerifier, target: &str| {
        let asked = SignedRequest {
            method: "GET",
            target,
            range: None,
            body: BodyKind::None,
        };
        assert!(verifier.prove(&asked).is_ok());
    };
    const COUNT: u32 = 5000;
    let fresh: Vec<_> = (0..COUNT)
        .map(|_| {
            let verifier = verifier();
            let target = holder.target(&verifier.challenge().expect("one"), &exchange, 1);
            (verifier, target)
        })
        .collect();
    let started = Instant::now();
    fresh
        .iter()
        .for_each(|(verifier, target)| prove(verifier, target));
    let first = f64::from(COUNT) / started.elapsed().as_secs_f64();
    let verifier = verifier();
    let challenge = verifier.challenge().expect("one");
    let targets: Vec<_> = (1..=COUNT)
        .map(|counter| holder.target(&challenge, &exchange, counter))
        .collect();
    let started = Instant::now();
    targets.iter().for_each(|target| prove(&verifier, target));
    let next = f64::from(COUNT) / started.elapsed().as_secs_f64();
    let _ = std::fs::remove_dir_all(directory);
    [first, next]
}
