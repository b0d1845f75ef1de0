//! One HTTP/1.1 exchange over a byte stream of its own: a request, its answer, and the end.
//!
//! An answer is bounded in size and in time, or handed over as it comes. Redirects, retries and
//! connections that are kept do not belong here, and no meaning of a status.

use std::ops::ControlFlow;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use peercam_task::boundary::{Panicked, Part, contain};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, timeout_at},
};

/// Bytes of the largest head of an answer.
const MAX_HEAD: usize = 16 << 10;

/// Bounds of one exchange.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the largest body of an answer. `None`: the body is not waited for, and given as an
    /// empty one.
    pub body: Option<usize>,
    /// Time at which the exchange is given up, whatever has come by then.
    pub deadline: Instant,
}

/// Reason why an exchange has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// No whole answer had come by the deadline.
    #[error("no answer came in time")]
    Timeout,
    /// The answer's body is longer than its limit, in bytes.
    #[error("the answer is longer than {0} bytes")]
    TooLarge(usize),
    /// The stream ended or failed before the head of an answer had come, or no HTTP came.
    #[error(transparent)]
    NoHead(#[from] hyper::Error),
    /// The stream ended or failed within the body of an answer.
    #[error(transparent)]
    BrokenBody(hyper::Error),
    /// The HTTP client panicked.
    #[error(transparent)]
    Panicked(#[from] Panicked),
}

/// Sends `request` over `stream`, which is closed afterwards, and waits for the answer. The request
/// is sent as it stands: `Host`, and `Connection: close` for a peer that would wait for more, are
/// its maker's.
///
/// # Errors
/// If no whole answer came within the limits.
pub async fn request_once<S>(
    stream: S,
    request: Request<Bytes>,
    limits: Limits,
) -> Result<Response<Bytes>, ExchangeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let exchange = contain(
        Part::Request,
        "to another program",
        exchange(stream, request, limits.body),
    );
    timeout_at(limits.deadline, exchange)
        .await
        .map_err(|_| ExchangeError::Timeout)??
}

/// Sends `request` over `stream` as [`request_once`] does, and hands the body of its answer to `take`
/// piece by piece, with the answer's status, until it ends or `take` breaks off. The head must come
/// by the deadline; the body may take its time.
///
/// # Errors
/// If no head came by the deadline, or the body broke off.
pub async fn request_stream<S>(
    stream: S,
    request: Request<Bytes>,
    deadline: Instant,
    take: impl FnMut(StatusCode, &[u8]) -> ControlFlow<()>,
) -> Result<StatusCode, ExchangeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let exchange = exchange_stream(stream, request, deadline, take);
    contain(Part::Request, "to another program", exchange).await?
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    request: Request<Bytes>,
    max_body: Option<usize>,
) -> Result<Response<Bytes>, ExchangeError> {
    let (mut sender, connection) = client().handshake(TokioIo::new(stream)).await?;
    let answer = async {
        let (head, body) = sender
            .send_request(request.map(Full::new))
            .await?
            .into_parts();
        let body = match max_body {
            Some(max) => read(body, max).await?,
            None => Bytes::new(),
        };
        Ok(Response::from_parts(head, body))
    };
    beside(connection, answer).await
}

async fn exchange_stream<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    request: Request<Bytes>,
    deadline: Instant,
    mut take: impl FnMut(StatusCode, &[u8]) -> ControlFlow<()>,
) -> Result<StatusCode, ExchangeError> {
    let (mut sender, connection) = client().handshake(TokioIo::new(stream)).await?;
    let answer = async {
        let head = timeout_at(deadline, sender.send_request(request.map(Full::new)));
        let head = head.await.map_err(|_| ExchangeError::Timeout)??;
        let (status, mut body) = (head.status(), head.into_body());
        while let Some(frame) = body.frame().await {
            let piece = frame.map_err(ExchangeError::BrokenBody)?.into_data();
            if take(status, &piece.unwrap_or_default()).is_break() {
                break;
            }
        }
        Ok(status)
    };
    beside(connection, answer).await
}

fn client() -> http1::Builder {
    let mut client = http1::Builder::new();
    client.max_buf_size(MAX_HEAD);
    client
}

/// Drives a connection while an answer is taken out of it.
async fn beside<T>(connection: impl Future, answer: impl Future<Output = T>) -> T {
    tokio::select! {
        answer = answer => answer,
        // The connection ends before the last of its answer was taken out of it, and of a failure
        // the answer tells.
        never = async { drop(connection.await); std::future::pending().await } => never,
    }
}

async fn read(body: hyper::body::Incoming, max: usize) -> Result<Bytes, ExchangeError> {
    let whole = Limited::new(body, max).collect().await;
    let whole = whole.map_err(|error| match error.downcast::<hyper::Error>() {
        Ok(broken) => ExchangeError::BrokenBody(*broken),
        Err(_) => ExchangeError::TooLarge(max),
    })?;
    Ok(whole.to_bytes())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    /// Exchanges with a peer that says this, and then closes or stays silent.
    async fn answered(
        said: &[u8],
        closes: bool,
        body: Option<usize>,
    ) -> (Result<Response<Bytes>, ExchangeError>, String) {
        let (near, mut far) = duplex(64 << 10);
        let request = Request::post("/a?b=c").header("host", "there");
        let request = request.body(Bytes::from_static(b"{}")).unwrap();
        let limits = Limits {
            body,
            deadline: Instant::now() + Duration::from_secs(2),
        };
        let serve = async {
            let mut asked = vec![0; 1024];
            let mut length = 0;
            while !asked[..length].ends_with(b"{}") {
                length += far.read(&mut asked[length..]).await.unwrap();
            }
            // Whoever has heard enough closes.
            let _ = far.write_all(said).await;
            if closes {
                drop(far);
            } else {
                let _ = far.read(&mut [0]).await;
            }
            String::from_utf8(asked[..length].to_vec()).unwrap()
        };
        tokio::join!(request_once(near, request, limits), serve)
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_goes_out_as_it_stands_and_its_answer_comes_back() {
        let said = b"HTTP/1.1 404 No\r\nContent-Length: 2\r\nX-A: b\r\n\r\nit";
        let (answer, asked) = answered(said, false, Some(2)).await;
        let answer = answer.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.body()[..]),
            (404, &b"it"[..])
        );
        assert_eq!(answer.headers()["x-a"], "b");
        let expected = "POST /a?b=c HTTP/1.1\r\nhost: there\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(asked, expected);
        let (answer, _) = answered(b"HTTP/1.1 200 OK\r\n\r\nto the end", true, Some(10)).await;
        assert_eq!(&answer.unwrap().body()[..], b"to the end");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_too_large_is_refused() {
        let said = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nits";
        let (answer, _) = answered(said, false, Some(2)).await;
        assert!(
            matches!(answer, Err(ExchangeError::TooLarge(2))),
            "{answer:?}"
        );
        let (answer, _) = answered(b"HTTP/1.1 200 OK\r\n\r\nwithout an end", false, Some(2)).await;
        assert!(
            matches!(answer, Err(ExchangeError::TooLarge(2))),
            "{answer:?}"
        );
        let head = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(MAX_HEAD));
        let (answer, _) = answered(head.as_bytes(), false, Some(2)).await;
        assert!(
            matches!(answer, Err(ExchangeError::NoHead(_))),
            "{answer:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_cut_off_is_none() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nit";
        let head = whole.len() - 2;
        for length in 0..whole.len() {
            let (answer, _) = answered(&whole[..length], true, Some(2)).await;
            match answer {
                Err(ExchangeError::NoHead(_)) => assert!(length < head, "{length}"),
                Err(ExchangeError::BrokenBody(_)) => assert!(length >= head, "{length}"),
                answer => panic!("{length}: {answer:?}"),
            }
        }
        let (answer, _) = answered(b"SSH-2.0-x\r\n", false, Some(2)).await;
        assert!(
            matches!(answer, Err(ExchangeError::NoHead(_))),
            "{answer:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_handed_over_as_it_comes() {
        let (near, mut far) = duplex(64 << 10);
        let request = Request::get("/").body(Bytes::new()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(2);
        let mut pieces = Vec::new();
        let take = |status: StatusCode, piece: &[u8]| {
            pieces.push((status.as_u16(), piece.to_vec()));
            match piece {
                b"three" => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        };
        let serve = async {
            assert_ne!(far.read(&mut [0; 1024]).await.unwrap(), 0);
            for said in ["HTTP/1.1 200 OK\r\n\r\none", "two", "three"] {
                far.write_all(said.as_bytes()).await.unwrap();
                // Long after the deadline of the head.
                tokio::time::sleep(Duration::from_mins(1)).await;
            }
        };
        let (status, ()) = tokio::join!(request_stream(near, request, deadline, take), serve);
        assert_eq!(status.unwrap(), 200);
        let expected = ["one", "two", "three"].map(|piece| (200, piece.as_bytes().to_vec()));
        assert_eq!(pieces, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_at_the_deadline() {
        let began = Instant::now();
        for said in ["", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\ni"] {
            let (answer, _) = answered(said.as_bytes(), false, Some(2)).await;
            assert!(matches!(answer, Err(ExchangeError::Timeout)), "{answer:?}");
        }
        assert_eq!(began.elapsed(), Duration::from_secs(4));
        // Where the body does not matter, the head is enough.
        let said = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\ni";
        let (answer, _) = answered(said, false, None).await;
        assert!(answer.unwrap().body().is_empty());
        assert_eq!(began.elapsed(), Duration::from_secs(4));
    }
}
