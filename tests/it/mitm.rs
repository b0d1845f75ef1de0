//! Somebody between our client and the device, who reads and changes everything: no plaintext, no
//! command done, no secret, no weakening.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use peercam_client::{ClientError, tcp::Connection};
use peercam_proto::credential::PairingUri;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};

use crate::paired::{Device, read_whole};

const LIST: &[u8] = b"action=inner_define&cmd=get_nvr_list";

/// Changes one message: whether it is a request, which one of its kind on this connection (from
/// 0), and its bytes.
type Change = dyn Fn(bool, usize, Vec<u8>) -> Vec<u8> + Send + Sync;

/// One in the middle. What it saw of the client is kept.
struct Mitm {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<u8>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Mitm {
    async fn start(device: SocketAddr, change: Arc<Change>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut device = TcpStream::connect(device).await.unwrap();
                let mut number = 0;
                while let Some(request) = read_whole(&mut client).await {
                    keep.lock().unwrap().extend_from_slice(&request);
                    let request = change(true, number, request);
                    if device.write_all(&request).await.is_err() {
                        break;
                    }
                    let Some(answer) = read_whole(&mut device).await else {
                        break;
                    };
                    let answer = change(false, number, answer);
                    let _ = client.write_all(&answer).await;
                    number += 1;
                }
            }
        });
        Self {
            address,
            seen,
            task,
        }
    }

    fn seen(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }
}

impl Drop for Mitm {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let at = bytes
        .windows(from.len())
        .position(|window| window == from.as_bytes());
    let at = at.unwrap_or_else(|| panic!("{from:?} is not there"));
    [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat()
}

/// Another value of the same length for the parameter that begins with `mark`.
fn other_key(bytes: &[u8], mark: &str) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = bytes
        .windows(mark.len())
        .position(|window| window == mark.as_bytes());
    let at = at.expect("the mark") + mark.len();
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    bytes
}

/// A sealed answer with its records changed.
fn with_records(answer: &[u8], change: impl Fn(Vec<Vec<u8>>) -> Vec<Vec<u8>>) -> Vec<u8> {
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap()
        + 4;
    let (mut rest, mut body) = (&answer[end..], Vec::new());
    while let Some(line) = rest.windows(2).position(|two| two == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        body.extend_from_slice(&rest[line + 2..line + 2 + size]);
        rest = &rest[(line + 2 + size + 2).min(rest.len())..];
    }
    let mut records = Vec::new();
    while !body.is_empty() {
        let length = usize::from(body[2]) << 8 | usize::from(body[3]);
        records.push(body.drain(..4 + length + 16).collect());
    }
    let body = change(records).concat();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.into_bytes(), body].concat()
}

/// What our client makes of a list of channels when every message goes through `change`.
async fn asked(
    device: &Device,
    uri: &PairingUri,
    change: Arc<Change>,
) -> (Result<String, ClientError>, String) {
    let mitm = Mitm::start(device.address, change).await;
    let uri = PairingUri {
        lan: vec![mitm.address],
        ..uri.clone()
    };
    let result = async {
        let mut connection = Connection::open(uri).await?;
        let mut answer = connection.post("/command", LIST).await?;
        let text = answer.collect(4096).await?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    };
    (result.await, mitm.seen())
}

/// Changes only the answers with this number.
fn answer(
    number: usize,
    change: impl Fn(Vec<u8>) -> Vec<u8> + Send + Sync + 'static,
) -> Arc<Change> {
    Arc::new(
        move |is_request, at, bytes| match !is_request && at == number {
            true => change(bytes),
            false => bytes,
        },
    )
}

/// Changes only the request with the token.
fn request(change: impl Fn(Vec<u8>) -> Vec<u8> + Send + Sync + 'static) -> Arc<Change> {
    Arc::new(move |is_request, at, bytes| match is_request && at == 1 {
        true => change(bytes),
        false => bytes,
    })
}

#[tokio::test]
async fn what_is_outside_of_the_records_is_only_a_hint() {
    let device = Device::start("");
    let uri = device.pair(&["phone"]);
    for (from, to) in [
        ("HTTP/1.1 200 OK", "HTTP/1.1 200 OK"),
        ("HTTP/1.1 200 OK", "HTTP/1.1 403 Forbidden"),
        (
            "HTTP/1.1 200 OK",
            "HTTP/1.1 302 Found\r\nLocation: http://203.0.113.1/",
        ),
        (
            "HTTP/1.1 200 OK",
            "HTTP/1.1 503 Service Unavailable\r\nContent-Range: bytes 5-6/7",
        ),
        ("application/vnd.peercam.records", "video/x-flv"),
    ] {
        let change = answer(1, move |bytes| replaced(&bytes, from, to));
        let (result, _) = asked(&device, &uri, change).await;
        assert!(
            result.as_ref().is_ok_and(|text| text.contains("front")),
            "{to}: {result:?}"
        );
    }
}

#[tokio::test]
async fn whatever_is_changed_gives_an_error_and_no_plaintext() {
    let device = Device::start("");
    let uri = device.pair(&["phone"]);
    let changes: Vec<(&str, Arc<Change>)> = vec![
        ("B", answer(0, |bytes| other_key(&bytes, "b=\""))),
        ("D", answer(0, |bytes| other_key(&bytes, "d=\""))),
        (
            "U",
            request(|bytes| {
                // It stands behind the counter.
                other_key(&bytes, ".1.")
            }),
        ),
        (
            "the target",
            request(|bytes| replaced(&bytes, "/command", "/commane")),
        ),
        (
            "the method",
            request(|bytes| replaced(&bytes, "POST", "GET")),
        ),
        (
            "a range",
            request(|bytes| replaced(&bytes, "\r\n", "\r\nRange: bytes=1-\r\n")),
        ),
        (
            "the body in clear",
            request(|bytes| {
                let at = bytes
                    .windows(4)
                    .position(|four| four == b"\r\n\r\n")
                    .unwrap()
                    + 4;
                let length = bytes.len() - at;
                [&bytes[..at], &vec![b'x'; length][..]].concat()
            }),
        ),
        (
            "a flipped bit",
            answer(1, |mut bytes| {
                let at = bytes.len() - 20;
                bytes[at] ^= 4;
                bytes
            }),
        ),
        (
            "the head dropped",
            answer(1, |bytes| {
                with_records(&bytes, |records| records[1..].to_vec())
            }),
        ),
        (
            "the end dropped",
            answer(1, |bytes| {
                with_records(&bytes, |mut records| {
                    records.pop();
                    records
                })
            }),
        ),
        (
            "everything dropped",
            answer(1, |bytes| with_records(&bytes, |_| Vec::new())),
        ),
        (
            "something appended",
            answer(1, |bytes| {
                with_records(&bytes, |mut records| {
                    records.push(vec![0; 20]);
                    records
                })
            }),
        ),
        (
            "a record twice",
            answer(1, |bytes| {
                with_records(&bytes, |records| [records.clone(), records].concat())
            }),
        ),
    ];
    for (what, change) in changes {
        let (result, seen) = asked(&device, &uri, change).await;
        let error = result.expect_err(what);
        assert!(
            matches!(
                error,
                ClientError::NotAccepted
                    | ClientError::Broken
                    | ClientError::OutcomeUnknown(_)
                    | ClientError::Refused { status: 400, .. }
            ),
            "{what}: {error:?}"
        );
        assert!(seen.matches("POST ").count() <= 1, "{what}: sent again");
    }
}

#[tokio::test]
async fn the_answer_of_one_request_is_none_of_another() {
    let device = Device::start("");
    let uri = device.pair(&["phone"]);
    let first = Arc::new(Mutex::new(Vec::new()));
    let change: Arc<Change> =
        Arc::new(
            move |is_request, number, bytes| match (is_request, number) {
                (false, 1) => {
                    first.lock().unwrap().clone_from(&bytes);
                    bytes
                }
                (false, 2) => first.lock().unwrap().clone(),
                _ => bytes,
            },
        );
    let mitm = Mitm::start(device.address, change).await;
    let uri = PairingUri {
        lan: vec![mitm.address],
        ..uri
    };
    let mut connection = Connection::open(uri).await.unwrap();
    let mut good = connection.post("/command", LIST).await.unwrap();
    good.collect(4096).await.unwrap();
    drop(good);
    let second = connection.post("/command", LIST).await;
    assert!(matches!(second, Err(ClientError::OutcomeUnknown(_))));
}

#[tokio::test]
async fn no_answer_makes_the_client_weaker_or_send_a_secret() {
    let device = Device::start("");
    let uri = device.pair(&["phone"]);
    let key = data_encoding::BASE64URL_NOPAD.encode(uri.credential.key().expose());
    let clear = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n[{}]";
    let answers = [
        clear.to_owned(),
        "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic realm=\"x\"\r\ncontent-length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:1/command\r\ncontent-length: 0\r\n\r\n".to_owned(),
        format!(
            "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Peercam v=\"1\", b=\"{0}\", d=\"{0}\"\r\ncontent-length: 0\r\n\r\n",
            "A".repeat(43)
        ),
    ];
    for text in &answers {
        for number in [0, 1] {
            let forged = text.clone();
            let change = answer(number, move |_| forged.clone().into_bytes());
            let (result, seen) = asked(&device, &uri, change).await;
            let error = result.expect_err(text);
            assert!(
                matches!(
                    error,
                    ClientError::NotTheDevice(_)
                        | ClientError::NotAccepted
                        | ClientError::OutcomeUnknown(_)
                ),
                "{text}: {error:?}"
            );
            assert!(
                !seen.contains(&key) && !seen.contains("get_nvr_list") && !seen.contains("_crypto"),
                "{seen}"
            );
            assert_eq!(seen.matches("POST ").count(), number, "{text}: {seen}");
        }
    }
}

#[tokio::test]
async fn the_client_says_which_side_it_is() {
    let device = Device::start("");
    let uri = device.pair(&["phone"]);
    let open = |lan: Vec<SocketAddr>| Connection::open(PairingUri { lan, ..uri.clone() });
    let unused = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let error = open(vec![unused]).await.err().expect("nobody is there");
    assert!(
        error.to_string().contains("cannot be reached") && error.to_string().contains("refused"),
        "{error}"
    );
    let error = open(Vec::new()).await.err().expect("no address");
    assert!(error.to_string().contains("names nowhere"), "{error}");
    let error = open(vec![device.daemon.address])
        .await
        .err()
        .expect("the open listener");
    assert!(
        error
            .to_string()
            .contains("no peercam listener with access"),
        "{error}"
    );
    // The second address works.
    assert!(open(vec![unused, device.address]).await.is_ok());
    let foreign = Device::start("");
    let mut connection = open(vec![foreign.address])
        .await
        .expect("it looks like one");
    let error = connection
        .get("/healthz")
        .await
        .err()
        .expect("another device");
    assert!(matches!(error, ClientError::NotAccepted), "{error}");
    let mut connection = open(vec![device.address]).await.expect("the device");
    let error = connection
        .get("/ipc.flv?action=live&channel=7")
        .await
        .err()
        .expect("refused");
    assert!(
        error.to_string().contains("there is no such channel"),
        "{error}"
    );
    let answer = connection.get("/healthz").await.expect("answered");
    assert_eq!(answer.headers()["content-type"], "application/json");
}
