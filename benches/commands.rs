//! Commands per second beside a bare hyper echo.
//!
//! `cargo bench --bench commands`. Both servers run in this process, one after the other in each
//! round, on one processor; the client has the other one, and 64 connections. A word behind `--` asks
//! only for commands whose name has it.
//!
//! What is compared is the processor time that the servers take for a command: unlike the wall clock
//! it does not count what other programs take from them.

mod support;

use std::{convert::Infallible, net::SocketAddr, sync::mpsc, thread};

use http_body_util::BodyExt;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use peercam::{config::Config, daemon::Daemon};
use rustix::process::Pid;
use support::process::{pin, thread_nanos};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Builder,
};

const ROUNDS: usize = 101;
/// Connections, so many that a server is never without a request: waiting is not measured.
const CONNECTIONS: usize = 64;
/// Requests of a connection in a round.
const REQUESTS: u64 = 16;

const COMMANDS: [(&str, &str); 4] = [
    (
        "get_device_st",
        "action=inner_define&cmd=get_device_st&type=live&quality=high&channel=0",
    ),
    (
        "get_nvr_list",
        "action=inner_define&cmd=get_nvr_list&channel=0&req_id=1&_peername=a",
    ),
    (
        "get_record_index",
        "action=inner_define&cmd=get_record_index&start_time=1&end_time=9",
    ),
    (
        "a panel's topic",
        r#"action=user_define&channel=0&cmd={"topic":"get_status","message_id":1}"#,
    ),
];

fn main() {
    let peercam = serve(peercam);
    let echo = serve(echo);
    pin(1);
    let client = runtime();
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let is_wanted = |name: &str| wanted.as_ref().is_none_or(|word| name.contains(word));
    println!("{:18} commands/s   beside the echo", "");
    for (name, body) in COMMANDS.into_iter().filter(|(name, _)| is_wanted(name)) {
        let mut streams = [&peercam, &echo].map(|server| client.block_on(connect(server)));
        let mut rounds: Vec<(f64, f64)> = (0..ROUNDS)
            .map(|_| {
                let asked = client.block_on(ask(&peercam, &mut streams[0], body));
                let echoed = client.block_on(ask(&echo, &mut streams[1], body));
                (asked / echoed, asked)
            })
            .collect();
        rounds.sort_by(|one, other| one.0.total_cmp(&other.0));
        let (ratio, rate) = rounds[ROUNDS / 2];
        println!("{name:18} {rate:10.0}   {ratio:.2}");
    }
}

fn runtime() -> tokio::runtime::Runtime {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime")
}

struct Server {
    address: SocketAddr,
    thread: Pid,
}

/// Runs a server on the first processor.
fn serve<F: Future<Output = ()>>(
    server: impl FnOnce(mpsc::Sender<SocketAddr>) -> F + Send + 'static,
) -> Server {
    let (sender, receiver) = mpsc::channel();
    let (thread_sender, thread) = mpsc::channel();
    thread::spawn(move || {
        pin(0);
        let own = rustix::thread::gettid();
        thread_sender.send(own).expect("the bench waits");
        runtime().block_on(server(sender));
    });
    Server {
        address: receiver.recv().expect("a server"),
        thread: thread.recv().expect("a thread"),
    }
}

async fn peercam(address: mpsc::Sender<SocketAddr>) {
    let data = support::data_dir();
    let text = format!(
        "data_dir = {data:?}\n[p2p]\nenabled = false\n[[listen]]\naddr = \"127.0.0.1:0\"\n[record]\nmode = \"off\"\n\
         [[channel]]\nid = 0\nsource = {{ kind = \"sim\" }}\n"
    );
    let config = Config::parse(&text, "bench".as_ref()).expect("a valid configuration");
    let daemon = Daemon::start(config).await.expect("a free port");
    address
        .send(daemon.addresses()[0])
        .expect("the bench waits");
    daemon.run(std::future::pending()).await;
}

async fn echo(address: mpsc::Sender<SocketAddr>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let own = listener.local_addr().expect("an address");
    address.send(own).expect("the bench waits");
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        stream.set_nodelay(true).expect("an option");
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| async {
                let body = request.into_body().collect().await.expect("a body");
                let body = http_body_util::Full::new(body.to_bytes());
                Ok::<_, Infallible>(Response::new(body))
            });
            http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await
        });
    }
}

async fn connect(server: &Server) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect(server.address).await.expect("connects");
        stream.set_nodelay(true).expect("an option");
        streams.push(stream);
    }
    streams
}

/// Requests answered in a second of the server's processor time.
async fn ask(server: &Server, streams: &mut Vec<TcpStream>, body: &str) -> f64 {
    let request = format!(
        "POST /command HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let used = thread_nanos(server.thread);
    let mut asking = tokio::task::JoinSet::new();
    for mut stream in streams.drain(..) {
        let request = request.clone();
        asking.spawn(async move {
            let mut answer = Vec::new();
            for _ in 0..REQUESTS {
                stream.write_all(request.as_bytes()).await.expect("sends");
                answer.clear();
                while !is_whole(&answer) {
                    assert!(stream.read_buf(&mut answer).await.expect("an answer") > 0);
                }
            }
            stream
        });
    }
    // A client that sleeps is woken by the server, at the server's cost, and the slower server's client
    // would sleep more often.
    let awake = async {
        loop {
            tokio::task::yield_now().await;
        }
    };
    *streams = tokio::select! {
        streams = asking.join_all() => streams,
        () = awake => unreachable!("it has no end"),
    };
    let answered = REQUESTS * streams.len() as u64;
    answered as f64 * 1e9 / (thread_nanos(server.thread) - used) as f64
}

fn is_whole(answer: &[u8]) -> bool {
    let Some(head) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return false;
    };
    let text = std::str::from_utf8(&answer[..head]).expect("a head");
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.expect("a length").parse().expect("a number");
    answer.len() >= head + 4 + length
}
