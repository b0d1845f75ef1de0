//! Connections to the control socket: few, each for one request.
//!
//! Invariants: only the daemon's own user and root are answered; a program that does not ask, or does
//! not read its answer, has its place for [`REQUEST_TIME`] at most, and one that follows what happens
//! and does not read for [`WRITE_TIME`]. No connection takes a place of viewers.

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use peercam_net::unix::Listener;
use peercam_proto::{
    error::{Error, ErrorKind},
    refusal::refusal,
};
use peercam_task::boundary::{Part, contain, restarting};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::UnixStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{Sleep, sleep, timeout},
};

use super::router::Control;

/// Connections at a time; a further one is refused.
const MAX_CONNECTIONS: usize = 4;
/// Timeout of a request with its answer, if that has an end.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// Timeout of a write of which the peer takes nothing.
const WRITE_TIME: Duration = Duration::from_secs(20);
/// Timeout of a refusal, and how many bytes of its request are read, so that it is seen.
const REFUSAL_TIME: Duration = Duration::from_secs(1);
const MAX_UNREAD: u64 = 64 << 10;
/// Timeout, at the end of the daemon, for answers under way.
const END_TIME: Duration = Duration::from_secs(1);
/// The HTTP parser's buffer: the least that hyper takes.
const BUFFER: usize = 8 << 10;
/// Name of the socket in the log.
const NAME: &str = "control socket";

/// Answers whoever connects, until the end of the daemon.
pub async fn serve(listener: Listener, control: Arc<Control>) {
    let accept = || accept(&listener, &control);
    restarting(Part::Service, NAME, &control.stop, accept).await;
}

async fn accept(listener: &Listener, control: &Arc<Control>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut served = JoinSet::new();
    loop {
        let (stream, uid) = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = served.join_next(), if !served.is_empty() => continue,
            () = control.stop.cancelled() => break,
        };
        match admit(uid, &places) {
            Ok(place) => {
                let serve = serve_connection(stream, Arc::clone(control), place);
                served.spawn(contain(Part::Connection, NAME, serve));
            }
            Err(error) => {
                let reason = error.reason();
                tracing::warn!(uid, reason, "a connection to the control socket is refused");
                // Of those who come in crowds not all are told.
                if served.len() < 2 * MAX_CONNECTIONS {
                    served.spawn(contain(Part::Connection, NAME, refuse(stream, error)));
                }
            }
        }
    }
    let ended = async { while served.join_next().await.is_some() {} };
    // Who has not read its answer by then has none.
    let _ = timeout(END_TIME, ended).await;
}

/// Lets in a program of the daemon's own user or of root, if there is a place for it.
fn admit(uid: u32, places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Error> {
    let own = rustix::process::geteuid().as_raw();
    if uid != own && uid != 0 {
        let reason =
            format!("this socket is for user {own}, as whom the daemon runs, and for root");
        return Err(Error::new(ErrorKind::Forbidden, reason));
    }
    let place = Arc::clone(places).try_acquire_owned();
    place.map_err(|_| {
        let reason = format!(
            "{MAX_CONNECTIONS} programs are connected to the control socket; try again when one of them has ended"
        );
        Error::new(ErrorKind::Full, reason)
    })
}

/// Says why somebody is not let in, whatever it asks.
async fn refuse(mut stream: UnixStream, error: Error) {
    let (status, text) = refusal(&error);
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
        text.len()
    );
    let said = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        // A socket that is closed with bytes unread resets the peer, who may not have read it yet.
        tokio::io::copy(&mut stream.take(MAX_UNREAD), &mut tokio::io::sink()).await
    };
    // Whoever does not hear of it finds out.
    let _ = timeout(REFUSAL_TIME, said).await;
}

async fn serve_connection(stream: UnixStream, control: Arc<Control>, _place: OwnedSemaphorePermit) {
    let is_endless = Arc::new(AtomicBool::new(false));
    let noted = Arc::clone(&is_endless);
    let service = service_fn(move |request: Request<Incoming>| {
        let (control, noted) = (Arc::clone(&control), Arc::clone(&noted));
        async move {
            let response = control.answer(request).await;
            noted.store(response.body().is_endless(), Ordering::Relaxed);
            Ok::<_, Infallible>(response)
        }
    });
    let mut http = http1::Builder::new();
    http.max_buf_size(BUFFER).keep_alive(false);
    let stream = TimedWrites {
        stream,
        blocked: None,
    };
    let served = http.serve_connection(TokioIo::new(stream), service);
    let took_too_long = async {
        sleep(REQUEST_TIME).await;
        if is_endless.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        served = served => if let Err(error) = served {
            tracing::debug!(%error, "a connection to the control socket broke off");
        },
        () = took_too_long => tracing::debug!("a connection to the control socket took too long"),
    }
}

/// A connection that breaks off when its peer has taken nothing for [`WRITE_TIME`].
struct TimedWrites {
    stream: UnixStream,
    /// Runs while a write waits.
    blocked: Option<Pin<Box<Sleep>>>,
}

impl AsyncRead for TimedWrites {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for TimedWrites {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        if written.is_ready() {
            self.blocked = None;
            return written;
        }
        let blocked = self
            .blocked
            .get_or_insert_with(|| Box::pin(sleep(WRITE_TIME)));
        ready!(blocked.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_for_20_s_is_written_to_no_more() {
        let (near, far) = UnixStream::pair().expect("sockets");
        let mut near = TimedWrites {
            stream: near,
            blocked: None,
        };
        let began = Instant::now();
        let full = async { while near.write_all(&[0; 1 << 16]).await.is_ok() {} };
        full.await;
        assert_eq!(began.elapsed(), WRITE_TIME);
        // Who reads in time has that long anew each time.
        let drain = || while far.try_read(&mut [0; 1 << 16]).is_ok() {};
        drain();
        near.blocked = None;
        let read = async {
            for _ in 0..3 {
                sleep(WRITE_TIME * 3 / 4).await;
                drain();
            }
        };
        let write = async { while near.write_all(&[0; 1 << 16]).await.is_ok() {} };
        tokio::select! {
            () = write => panic!("it was ended"),
            () = read => {}
        }
    }

    #[test]
    fn another_user_is_not_let_in_nor_one_too_many() {
        let own = rustix::process::geteuid().as_raw();
        let places = Arc::new(Semaphore::new(2));
        let _held = [own, 0].map(|uid| admit(uid, &places).expect("room"));
        let full = admit(own, &places).expect_err("all places are taken");
        assert_eq!(full.kind(), ErrorKind::Full);
        let foreign = admit(own + 1, &places).expect_err("another user");
        assert_eq!(foreign.kind(), ErrorKind::Forbidden);
    }
}
