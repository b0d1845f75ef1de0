//! TCP listeners: accepts connections and serves HTTP/1.1 on them.
//!
//! Invariants: a connection is admitted before anything of it is read, so that its place, time and
//! memory are bounded; a panic ends one connection, or restarts one listener. Which requests are
//! let in is decided in `authenticated` and `trusted`.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Instant};

use http::{HeaderValue, Request, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use peercam_net::{
    ConnectionEntry, Connections, Standing, UnauthenticatedLimiter,
    tcp::{self, Connection, Listener},
};
use peercam_proto::{network::Peer, origin_policy::Allowed, request_line::Forms};
use peercam_task::boundary::{Panicked, Part, contain, restarting};
use tokio::{io::AsyncWriteExt, net::TcpStream, sync::watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    authenticated::{AuthenticatedConnection, TooManyAttempts},
    connection_handle::TcpHandle,
    reply,
    router::App,
    trusted::{self, LocalPermits},
};
use crate::access::{Authority, Caller, TokenVerifier};

/// The HTTP parser's buffer for a request head, and how many bytes of an answer hyper takes ahead
/// of the socket. A longer head is answered with 431.
const BUFFER: usize = 16 << 10;
/// The same where requests authenticate: before they do, they get the least that hyper takes.
pub(super) const UNAUTHENTICATED_BUFFER: usize = 8 << 10;
/// Header lines in a request.
const MAX_HEADERS: usize = 64;

/// Access rules of one listener.
#[derive(Clone)]
pub enum Listening {
    /// Open to whoever reaches it.
    Open {
        /// Origins and hosts that are let in beside programs of this machine, as they are now.
        allowed: watch::Receiver<Arc<Allowed>>,
        /// Set if it is on loopback, so that it has the routes for programs on the device itself.
        is_local: bool,
        /// Places for requests.
        permits: LocalPermits,
    },
    /// Requests must authenticate with a token.
    Token {
        /// The authority, which decides who is let in.
        authority: Arc<Authority>,
        /// Set if media may be had unencrypted.
        allow_clear_media: bool,
        /// Precedence among unauthenticated peers.
        entrance: UnauthenticatedLimiter,
    },
}

impl Listening {
    fn standing(&self, peer: Peer, now: Instant) -> Standing {
        match self {
            Self::Open { .. } => Standing::Trusted,
            Self::Token { entrance, .. } => {
                Standing::Unauthenticated(entrance.ticket(peer.source(), now))
            }
        }
    }
}

/// Accepts and serves connections until `stop` is cancelled. Connections that are open then run on
/// as tasks of `tasks`, for as long as `connections` lets them.
pub async fn serve(
    listener: Listener,
    listening: Listening,
    app: Arc<App>,
    connections: Connections,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    let name = listener.address();
    let listener = Arc::new(listener);
    let accept = || {
        accept(
            Arc::clone(&listener),
            listening.clone(),
            Arc::clone(&app),
            connections.clone(),
            stop.clone(),
            tasks.clone(),
        )
    };
    restarting(Part::Service, name, &stop, accept).await;
}

async fn accept(
    listener: Arc<Listener>,
    listening: Listening,
    app: Arc<App>,
    connections: Connections,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    loop {
        let (stream, address) = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        tcp::configure(&stream, connections.write_timeout(), app.send_buffer);
        let (peer, now) = (Peer::At(address), Instant::now());
        let standing = listening.standing(peer, now);
        let Some(activity) = connections.admit(peer, standing, now) else {
            // A stranger learns nothing, not even that the house is full.
            if standing == Standing::Trusted {
                refuse(stream);
            }
            continue;
        };
        let talk = serve_connection(
            stream,
            address,
            activity.clone(),
            Arc::clone(&app),
            listening.clone(),
        );
        let talk = tasks.spawn(contain(Part::Connection, address, talk));
        activity.served_by(talk.abort_handle());
    }
}

/// Says that there is no place, without waiting for the peer.
fn refuse(mut stream: TcpStream) {
    // A fresh socket takes a few hundred bytes at once, or the peer learns nothing.
    let mut answer = std::pin::pin!(stream.write_all(reply::NO_PLACE));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let _ = answer.as_mut().poll(&mut context);
    // Closing a socket with unread bytes resets it, and the peer would not see the answer.
    let _ = stream.try_read(&mut [0; 4096]);
}

/// Serves one connection to its end.
async fn serve_connection(
    stream: TcpStream,
    address: SocketAddr,
    activity: ConnectionEntry,
    app: Arc<App>,
    listening: Listening,
) {
    let served = match listening {
        Listening::Open {
            allowed,
            is_local,
            permits,
        } => serve_trusted(stream, address, activity, app, allowed, is_local, permits).await,
        Listening::Token {
            authority,
            allow_clear_media,
            entrance,
        } => {
            // Apart, so that open connections need not have room for it.
            Box::pin(talk_sealed(
                stream,
                address,
                activity,
                app,
                authority,
                allow_clear_media,
                entrance,
            ))
            .await
        }
    };
    if let Err(error) = served {
        tracing::debug!(peer = %address, %error, "connection broke off");
    }
}

async fn serve_trusted(
    stream: TcpStream,
    address: SocketAddr,
    activity: ConnectionEntry,
    app: Arc<App>,
    allowed: watch::Receiver<Arc<Allowed>>,
    is_local: bool,
    permits: LocalPermits,
) -> hyper::Result<()> {
    let Ok(connection) = Connection::open(stream, activity.clone()).await else {
        return Ok(());
    };
    let must_close = connection.is_repaired();
    let forms = Forms::beginning_with(connection.form());
    let peer = Arc::new(trusted::Peer {
        app,
        allowed,
        is_local,
        permits,
        caller: Caller::unauthenticated(address),
    });
    let service = service_fn(move |request: Request<Incoming>| {
        let asked_at = Instant::now();
        let serving = activity.serve(asked_at);
        let peer = Arc::clone(&peer);
        let form = forms.next(request.uri());
        async move {
            let mut response = peer.answer(request, form, asked_at).await;
            // Only the first request line is rewritten; a second one might be misread.
            if must_close {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
            response.body_mut().hold(serving);
            Ok::<_, Infallible>(response)
        }
    });
    http1(BUFFER)
        .serve_connection(TokioIo::new(connection), service)
        .await
}

async fn talk_sealed(
    stream: TcpStream,
    address: SocketAddr,
    activity: ConnectionEntry,
    app: Arc<App>,
    authority: Arc<Authority>,
    allow_clear_media: bool,
    entrance: UnauthenticatedLimiter,
) -> hyper::Result<()> {
    let verifier = match TokenVerifier::on_tcp(Arc::clone(&authority)) {
        Ok(verifier) => verifier,
        Err(error) => {
            tracing::error!(%error, "a connection cannot be made secure");
            return Ok(());
        }
    };
    let connection = Connection::untouched(stream, activity.clone());
    let handle = TcpHandle {
        peer: Peer::At(address),
        activity: activity.clone(),
        entrance,
    };
    let authenticated = Arc::new(AuthenticatedConnection::new(
        verifier,
        authority,
        allow_clear_media,
        handle,
    ));
    let served = Arc::clone(&authenticated);
    let service = service_fn(move |request| {
        let serving = activity.serve(Instant::now());
        let (app, authenticated) = (Arc::clone(&app), Arc::clone(&served));
        async move {
            let mut response = authenticated.answer(&app, request).await?;
            response.body_mut().hold(serving);
            Ok::<_, TooManyAttempts>(response)
        }
    });
    let serve = http1(UNAUTHENTICATED_BUFFER)
        // It would tell whether the device's clock is set.
        .auto_date_header(false)
        .serve_connection(TokioIo::new(connection), service);
    match contain(Part::Connection, address, serve).await {
        Ok(served) => served,
        Err(Panicked) => {
            authenticated.panicked();
            Ok(())
        }
    }
}

/// Settings of HTTP/1.1 for all connections and streams.
///
/// An EOF from the peer ends an answer (no half-close): players that stop watching close, and a
/// stream would run on for them. Slices are written as they are, so frames are not copied behind
/// their tag heads.
pub(super) fn http1(buffer: usize) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .max_buf_size(buffer)
        .max_headers(MAX_HEADERS)
        .writev(true)
        .half_close(false);
    builder
}
