//! A daemon with an open and a token listener, and a viewer whose every byte a test can bend.

use std::{net::SocketAddr, path::PathBuf};

use peercam_proto::{
    credential::{BodyKind, Credential, EndpointId, MintKey, PairingUri, Signed, Transport},
    sealed::{Exchange, Head, Keys, Opener, Record, Sealer},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Answer, Daemon, HANG, program, says_twice};

/// Two listeners, two cameras.
pub(crate) fn config(extra: &str) -> String {
    format!(
        "[[listen]]\naddr = \"127.0.0.1:0\"\n\
         [[listen]]\naddr = \"127.0.0.1:0\"\naccess = \"token\"\n\
         [[channel]]\nid = 0\nname = \"front\"\nsource = {{ kind = \"sim\" }}\n\
         [[channel]]\nid = 1\nname = \"back\"\nsource = {{ kind = \"sim\" }}\n{extra}"
    )
}

/// A running device with access control.
pub(crate) struct Device {
    pub(crate) daemon: Daemon,
    /// The listener that wants tokens.
    pub(crate) address: SocketAddr,
    pub(crate) id: EndpointId,
}

impl Device {
    /// Starts a device that has a back end, `shop`.
    pub(crate) fn start(extra: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let config = config(extra);
        std::fs::write(directory.path().join("camera.toml"), &config).expect("writes");
        let made = program()
            .args(["mint-key", "shop", "--config"])
            .arg(directory.path().join("camera.toml"))
            .output()
            .expect("the program starts");
        assert!(made.status.success(), "{made:?}");
        Self::of(Daemon::start_in(directory, &config))
    }

    pub(crate) fn of(daemon: Daemon) -> Self {
        let path = daemon.directory().join("peercam-data/endpoint.json");
        let text = std::fs::read_to_string(path).expect("the daemon says where it is");
        let endpoint: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let address = endpoint["lan"][0].as_str().expect("a token listener");
        Self {
            address: address.parse().expect("an address"),
            id: endpoint["device_id"]
                .as_str()
                .and_then(|id| id.parse().ok())
                .expect("an id"),
            daemon,
        }
    }

    /// Runs `peercam` with this device's configuration; it must work. Gives its output.
    pub(crate) fn peercam(&self, arguments: &[&str]) -> String {
        let (output, errors) = self.try_peercam(arguments);
        output.unwrap_or_else(|| panic!("{arguments:?}: {errors}"))
    }

    /// As [`Device::peercam`]; `None` if it fails. Gives what it says on stderr too.
    pub(crate) fn try_peercam(&self, arguments: &[&str]) -> (Option<String>, String) {
        let output = program()
            .args(arguments)
            .arg("--config")
            .arg(self.daemon.directory().join("camera.toml"))
            .output()
            .expect("the program starts");
        let errors = String::from_utf8(output.stderr).expect("text");
        let text = String::from_utf8(output.stdout).expect("text");
        assert!(!errors.lines().any(says_twice), "{errors}");
        (output.status.success().then_some(text), errors)
    }

    /// Pairs a viewer.
    pub(crate) fn pair(&self, arguments: &[&str]) -> PairingUri {
        let text = self.peercam(&[&["pair"], arguments].concat());
        PairingUri::parse(&text).expect("one URI and nothing else")
    }

    /// A file of the device.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.daemon
            .directory()
            .join("peercam-data/access")
            .join(name)
    }

    /// A credential with any claims, as a back end that holds a mint key can make it.
    pub(crate) fn mint(&self, claims: &str) -> PairingUri {
        let key = MintKey::parse(&self.peercam(&["mint-key", "shop"])).expect("a mint key");
        let text = data_encoding::BASE64URL_NOPAD.encode(claims.as_bytes());
        let credential = Credential::new(format!("shop.0.{text}"), key.key_of(claims.as_bytes()));
        PairingUri {
            credential,
            device: self.id,
            relays: Vec::new(),
            relay_token: None,
            udp: Vec::new(),
            lan: vec![self.address],
        }
    }
}

/// A viewer on one connection.
pub(crate) struct RawViewer {
    pub(crate) stream: TcpStream,
    pub(crate) uri: PairingUri,
    pub(crate) exchange: Exchange,
    pub(crate) binding: [u8; 32],
    pub(crate) device_key: [u8; 32],
    pub(crate) counter: u32,
}

/// What came back.
#[derive(Debug)]
pub(crate) enum Reply {
    /// In clear.
    Clear(Answer),
    /// In records: the head, and the body if it ended with its last record.
    Sealed(Head, Option<Vec<u8>>),
    /// The connection was closed without a word.
    Closed,
}

impl Reply {
    /// The sealed answer's status and text.
    pub(crate) fn sealed(self) -> (u16, String) {
        match self {
            Self::Sealed(head, Some(body)) => {
                (head.status, String::from_utf8_lossy(&body).into_owned())
            }
            other => panic!("not a whole sealed answer: {other:?}"),
        }
    }

    pub(crate) fn is_401(&self) -> bool {
        matches!(self, Self::Clear(answer) if answer.status == 401)
    }
}

impl RawViewer {
    /// Connects and asks for the challenge.
    pub(crate) async fn open(address: SocketAddr, uri: &PairingUri) -> Self {
        let mut stream = TcpStream::connect(address).await.expect("connects");
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .expect("sends");
        let answer = read_whole(&mut stream).await.expect("the challenge");
        let head = String::from_utf8_lossy(&answer).into_owned();
        let key = |name: &str| -> [u8; 32] {
            let at = head.find(&format!("{name}=\"")).expect("a parameter") + 3;
            let bytes = data_encoding::BASE64URL_NOPAD.decode(&head.as_bytes()[at..at + 43]);
            bytes.expect("base64").try_into().expect("32 bytes")
        };
        Self {
            binding: key("b"),
            device_key: key("d"),
            stream,
            uri: uri.clone(),
            exchange: Exchange::new(rand_key()),
            counter: 0,
        }
    }

    /// What a token for this request signs, with the next number.
    pub(crate) fn sign<'a>(
        &'a mut self,
        method: &'a str,
        target: &'a str,
        body: BodyKind,
    ) -> Signed<'a> {
        self.counter += 1;
        Signed {
            transport: Transport::Tcp,
            device: self.uri.device,
            viewer: None,
            binding: self.binding,
            device_key: Some(self.device_key),
            viewer_key: Some(self.exchange.public()),
            counter: self.counter,
            method,
            target,
            range: b"",
            body,
            credential: self.uri.credential.text(),
        }
    }

    /// The keys of a signed request.
    pub(crate) fn keys(&self, transcript: &[u8; 32]) -> Keys {
        let shared = self.exchange.agree(self.device_key).expect("a good key");
        Keys::derive(&self.uri.credential.session_key(), &shared, transcript)
    }

    /// The bytes of a request with its token, and the keys of its answer.
    pub(crate) fn request(
        &mut self,
        method: &str,
        target: &str,
        body: Option<&[u8]>,
    ) -> (Vec<u8>, Keys) {
        let kind = match body {
            None => BodyKind::None,
            Some(_) => BodyKind::Records,
        };
        let (method, target) = (method.to_owned(), target.to_owned());
        let credential = self.uri.credential.clone();
        let signed = self.sign(&method, &target, kind);
        let (token, transcript) = (signed.token(&credential), signed.transcript());
        let target = match target.split_once('?') {
            None => format!("{target}?_token={token}"),
            Some((path, rest)) => format!("{path}?_token={token}&{rest}"),
        };
        let sealed =
            body.map(|mut body| Sealer::new(self.keys(&transcript).request).last(&mut body));
        let sealed = sealed.unwrap_or_default();
        let mut bytes = format!("{method} {target} HTTP/1.1\r\nHost: x\r\n").into_bytes();
        if body.is_some() {
            bytes.extend(format!("Content-Length: {}\r\n", sealed.len()).bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&sealed);
        (bytes, self.keys(&transcript))
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn ask(&mut self, method: &str, target: &str, body: Option<&[u8]>) -> Reply {
        let (bytes, keys) = self.request(method, target, body);
        self.exchange_bytes(&bytes, keys).await
    }

    /// Sends these bytes and reads the whole answer, with these keys if it is sealed.
    pub(crate) async fn exchange_bytes(&mut self, bytes: &[u8], keys: Keys) -> Reply {
        if self.stream.write_all(bytes).await.is_err() {
            return Reply::Closed;
        }
        match read_whole(&mut self.stream).await {
            None => Reply::Closed,
            Some(answer) => opened(&answer, keys),
        }
    }

    /// Starts a live stream and waits for its first bytes.
    pub(crate) async fn live(&mut self, parameters: &str) -> Live<'_> {
        let target = format!("/ipc.flv?action=live&{parameters}");
        let (bytes, keys) = self.request("GET", &target, None);
        self.stream.write_all(&bytes).await.expect("sends");
        let mut live = Live {
            stream: &mut self.stream,
            bytes: Vec::new(),
            opener: Opener::response(keys.response),
            has_head: false,
        };
        assert!(matches!(live.record().await, Some(Record::Head(head)) if head.status == 200));
        assert!(matches!(live.record().await, Some(Record::Data(_))));
        live
    }
}

/// A live stream in records.
pub(crate) struct Live<'a> {
    stream: &'a mut TcpStream,
    bytes: Vec<u8>,
    opener: Opener,
    has_head: bool,
}

impl Live<'_> {
    /// The next record; `None` if the connection ended without one.
    pub(crate) async fn record(&mut self) -> Option<Record> {
        loop {
            if let Some(record) = self.opener.next_record().expect("sealed by the device") {
                return Some(record);
            }
            let mut piece = vec![0; 1 << 16];
            let read = tokio::time::timeout(HANG, self.stream.read(&mut piece)).await;
            match read.expect("it does not hang") {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.bytes.extend_from_slice(&piece[..count]),
            }
            if !self.has_head
                && let Some(end) = self.bytes.windows(4).position(|four| four == b"\r\n\r\n")
            {
                self.bytes.drain(..end + 4);
                self.has_head = true;
            }
            if self.has_head {
                while let Some((chunk, used)) = chunk(&self.bytes) {
                    self.opener.feed(chunk);
                    self.bytes.drain(..used);
                }
            }
        }
    }

    /// Reads until the device cuts the stream off; gives how many records still came.
    pub(crate) async fn cut_off(&mut self) -> usize {
        let mut records = 0;
        while let Some(record) = self.record().await {
            assert!(!matches!(record, Record::Last(_)), "it ended in order");
            records += 1;
        }
        records
    }
}

/// The first whole chunk, and its length with all around it.
fn chunk(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let end = bytes.windows(2).position(|two| two == b"\r\n")?;
    let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).ok()?, 16).ok()?;
    let whole = end + 2 + size + 2;
    (bytes.len() >= whole).then(|| (&bytes[end + 2..end + 2 + size], whole))
}

/// The bytes of one whole HTTP message; `None` if the connection ends before.
pub(crate) async fn read_whole(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        if is_whole(&bytes) {
            return Some(bytes);
        }
        let mut piece = [0; 4096];
        let read = tokio::time::timeout(HANG, stream.read(&mut piece)).await;
        match read.expect("it does not hang") {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&piece[..count]),
        }
    }
}

fn is_whole(bytes: &[u8]) -> bool {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    if head.contains("transfer-encoding: chunked") {
        return bytes.ends_with(b"\r\n0\r\n\r\n");
    }
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |length| length.parse().expect("a number"));
    bytes.len() >= end + 4 + length
}

/// Opens an answer if it is sealed.
pub(crate) fn opened(answer: &[u8], keys: Keys) -> Reply {
    let clear = Answer::parse(answer).expect("an HTTP answer");
    if !clear.head.contains("application/vnd.peercam.records") {
        return Reply::Clear(clear);
    }
    let at = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let mut rest = &answer[at.expect("a head") + 4..];
    let mut opener = Opener::response(keys.response);
    while let Some((piece, used)) = chunk(rest) {
        opener.feed(piece);
        rest = &rest[used..];
    }
    let (mut found, mut body) = (None, Vec::new());
    while let Ok(Some(record)) = opener.next_record() {
        match record {
            Record::Head(head) => found = Some(head),
            Record::Data(data) | Record::Last(data) => body.extend_from_slice(&data),
        }
    }
    let whole = opener.finish().is_ok().then_some(body);
    match found {
        Some(head) => Reply::Sealed(head, whole),
        None => Reply::Closed,
    }
}

fn rand_key() -> [u8; 32] {
    let mut key = [0; 32];
    getrandom::fill(&mut key).expect("random numbers");
    key
}
