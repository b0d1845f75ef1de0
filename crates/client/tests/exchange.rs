//! The exchange as an app uses it over a transport of its own: the stream is a pipe in memory, and
//! a scripted device is at its other end.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use peercam_client::exchange::{self, ChallengeError, Payload, RequestError, Requester};
use peercam_proto::{
    credential::{BodyKind, Credential, PairingUri, Signed, Transport},
    encoding,
    sealed::{Exchange, Head, Keys, Opener, Record, Sealer},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

const URI: &str = "peercam:1?c=local.1.AQ&k=REREREREREREREREREREREREREREREREREREREREREQ&id=ae58ff8833241ac82d6ff7611046ed67b5072d142c588d0063e942d9a75502b6";
const BINDING: [u8; 32] = [7; 32];
const SENT: &[u8] = b"{\"volume\":3}";

fn uri() -> PairingUri {
    PairingUri::parse(URI).unwrap()
}

/// Treatment of the answer on its way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answering {
    Honestly,
    /// A bit of the last record is another one.
    Changed,
    /// Without the last record.
    CutOff,
}

/// Reads from a request's first byte to the empty line.
async fn head_of_request(stream: &mut DuplexStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// The device's end: gives a challenge, checks the proof of one POST, opens it, and answers.
async fn device(mut stream: DuplexStream, credential: Credential, answering: Answering) {
    let agreement = Exchange::new([9; 32]);
    let first = head_of_request(&mut stream).await;
    assert!(first.starts_with("GET / HTTP/1.1\r\n"), "{first}");
    assert!(!first.contains("_token"), "nothing secret goes first");
    let challenge = format!(
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Peercam v=\"1\", b=\"{}\", d=\"{}\"\r\n\
         Content-Length: 2\r\n\r\nno",
        encoding::base64(&BINDING),
        encoding::base64(&agreement.public()),
    );
    stream.write_all(challenge.as_bytes()).await.unwrap();

    let second = head_of_request(&mut stream).await;
    let (_, rest) = second.split_once("POST /set?_token=").unwrap();
    let (token, _) = rest.split_once("&volume=3 HTTP/1.1").unwrap();
    let shown = peercam_proto::credential::Token::parse(token).unwrap();
    let viewer_key = shown.viewer_key.unwrap();
    let signed = Signed {
        transport: Transport::Tcp,
        device: uri().device,
        viewer: None,
        binding: BINDING,
        device_key: Some(agreement.public()),
        viewer_key: Some(viewer_key),
        counter: 1,
        method: "POST",
        target: "/set?volume=3",
        range: b"",
        body: BodyKind::Records,
        credential: credential.text(),
    };
    assert_eq!(token, signed.token(&credential), "the proof");
    let shared = agreement.agree(viewer_key).unwrap();
    let keys = Keys::derive(&credential.session_key(), &shared, &signed.transcript());

    let length = second.split("content-length: ").nth(1).unwrap();
    let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    let mut opener = Opener::request(keys.request);
    opener.feed(&body);
    let Some(Record::Last(came)) = opener.next_record().unwrap() else {
        panic!("one record");
    };
    assert_eq!(&came[..], SENT);

    let mut sealer = Sealer::new(keys.response);
    let headers = vec![("content-type".to_owned(), "text/plain".to_owned())];
    let head = sealer.head(&Head {
        status: 200,
        headers,
    });
    let data = sealer.data(&mut Bytes::from_static(b"all "), usize::MAX);
    let mut last = sealer.last(&mut Bytes::from_static(b"well")).to_vec();
    match answering {
        Answering::Honestly => {}
        Answering::Changed => *last.last_mut().unwrap() ^= 1,
        Answering::CutOff => last.clear(),
    }
    let sealed = [&head[..], &data[..], &last[..]].concat();
    let outside = format!(
        "HTTP/1.1 500 Hint\r\nContent-Length: {}\r\n\r\n",
        sealed.len()
    );
    stream.write_all(outside.as_bytes()).await.unwrap();
    stream.write_all(&sealed).await.unwrap();
    // Until the viewer has what it wants.
    let _ = stream.read_u8().await;
}

/// A viewer at its end of the pipe whose other end `script` has.
async fn viewer<F>(script: impl FnOnce(DuplexStream) -> F) -> Result<Requester, ChallengeError>
where
    F: Future<Output = ()> + Send + 'static,
{
    let (here, there) = duplex(4096);
    tokio::spawn(script(there));
    let (unproven, driver) = exchange::begin(here).await?;
    tokio::spawn(driver);
    let PairingUri {
        device, credential, ..
    } = uri();
    unproven.challenge(device, credential, None).await
}

async fn asked(answering: Answering) -> Result<Bytes, RequestError> {
    let script = move |stream| device(stream, uri().credential, answering);
    let mut requester = viewer(script).await.unwrap();
    let payload = Payload::Whole(SENT);
    let answer = requester
        .request(&Method::POST, "/set?volume=3", payload)
        .await?;
    let answer = answer.head().await?;
    assert_eq!(answer.status(), StatusCode::OK, "the sealed one counts");
    assert_eq!(answer.headers()["content-type"], "text/plain");
    Ok(answer.into_body().collect().await?.to_bytes())
}

#[tokio::test]
async fn a_request_proves_itself_and_its_answer_is_opened() {
    assert_eq!(asked(Answering::Honestly).await.unwrap(), "all well");
}

#[tokio::test]
async fn an_answer_that_is_not_whole_is_no_answer() {
    for answering in [Answering::Changed, Answering::CutOff] {
        assert_eq!(asked(answering).await, Err(RequestError::Broken));
    }
}

#[tokio::test]
async fn another_server_and_a_full_device_are_told_apart() {
    let other = viewer(async |mut stream: DuplexStream| {
        head_of_request(&mut stream).await;
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .await;
    });
    assert_eq!(other.await.err(), Some(ChallengeError::NotTheDevice));
    let full = viewer(async |mut stream: DuplexStream| {
        head_of_request(&mut stream).await;
    });
    assert_eq!(full.await.err(), Some(ChallengeError::CutOff));
}
