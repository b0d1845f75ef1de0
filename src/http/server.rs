use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    reply,
    router::{App, Listening, Peer},
};
use crate::transport::{
    Activity, Connections,
    tcp::{self, Connection, Listener},
};

/// How long a peer may take to send a request body, if nothing else is configured.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The HTTP parser's buffer for a request head, and how many bytes of an answer hyper takes ahead
/// of the socket. A longer head is answered with 431.
const BUFFER: usize = 16 << 10;
/// Header lines in a request.
const MAX_HEADERS: usize = 64;
/// A pause after the system refused to accept, so that running out of descriptors does not become
/// a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts and serves connections until `stop` is cancelled, then returns; connections that are
/// open finish what they are answering and run on as tasks of `tasks`.
pub async fn serve(
    listener: Listener,
    listening: Listening,
    app: Arc<App>,
    connections: Connections,
    write_timeout: Duration,
    (stop, tasks): (CancellationToken, TaskTracker),
) {
    let listening = Arc::new(listening);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections; is the limit of open files too low?");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        tcp::configure(&stream, write_timeout);
        let Some(activity) = connections.admit(Instant::now()) else {
            app.metrics.ended("no place");
            refuse(stream);
            continue;
        };
        let (app, listening, stop) = (Arc::clone(&app), Arc::clone(&listening), stop.clone());
        tasks.spawn(async move {
            let metrics = app.metrics.clone();
            metrics.connections.inc();
            let ended = activity.clone();
            tokio::select! {
                () = talk(stream, address, activity, app, listening, stop) => {}
                reason = ended.ended() => {
                    tracing::debug!(peer = %address, reason, "connection ended");
                    metrics.ended(reason);
                }
            }
            metrics.connections.dec();
        });
    }
}

/// Says that there is no place, without waiting for the peer.
fn refuse(mut stream: TcpStream) {
    // A fresh socket takes a few hundred bytes at once, or the peer learns nothing.
    let mut answer = std::pin::pin!(stream.write_all(reply::NO_PLACE));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let _ = answer.as_mut().poll(&mut context);
}

/// Serves one connection to its end.
async fn talk(
    stream: TcpStream,
    address: SocketAddr,
    activity: Activity,
    app: Arc<App>,
    listening: Arc<Listening>,
    stop: CancellationToken,
) {
    let opened = tokio::select! {
        opened = Connection::open(stream, activity.clone()) => opened,
        () = stop.cancelled() => return,
    };
    let Ok(connection) = opened else { return };
    let peer = Peer {
        address,
        close: connection.is_repaired(),
    };
    let service = service_fn(move |request| {
        let serving = activity.serve();
        let answer = Arc::clone(&app).answer(Arc::clone(&listening), peer, request);
        async move { Ok::<_, Infallible>(answer.await.map(|body| body.holding(serving))) }
    });
    let serving = http1::Builder::new()
        .max_buf_size(BUFFER)
        .max_headers(MAX_HEADERS)
        .writev(true)
        .half_close(false)
        .serve_connection(TokioIo::new(connection), service);
    let mut serving = std::pin::pin!(serving);
    let result = tokio::select! {
        result = serving.as_mut() => result,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(peer = %address, %error, "connection broke off");
    }
}
