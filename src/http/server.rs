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

/// The HTTP parser's buffer for a request head, and how many bytes of an answer hyper takes ahead
/// of the socket. A longer head is answered with 431.
const BUFFER: usize = 16 << 10;
/// Header lines in a request.
const MAX_HEADERS: usize = 64;
/// A pause after the system refused to accept, so that running out of descriptors does not become
/// a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts and serves connections until `stop` is cancelled. Connections that are open then run on
/// as tasks of `tasks`, for as long as `connections` lets them.
pub async fn serve(
    listener: Listener,
    listening: Listening,
    app: Arc<App>,
    connections: Connections,
    (stop, tasks): (CancellationToken, TaskTracker),
) {
    let listening = Arc::new(listening);
    let mut is_refused = false;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if !std::mem::replace(&mut is_refused, true) {
                    tracing::warn!(%error, "cannot accept connections; is the limit of open files too low?");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        is_refused = false;
        tcp::configure(&stream, connections.write_timeout());
        let Some(activity) = connections.admit(address, Instant::now()) else {
            refuse(stream);
            continue;
        };
        let talk = talk(
            stream,
            address,
            activity.clone(),
            Arc::clone(&app),
            Arc::clone(&listening),
        );
        activity.served_by(tasks.spawn(talk).abort_handle());
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
async fn talk(
    stream: TcpStream,
    address: SocketAddr,
    activity: Activity,
    app: Arc<App>,
    listening: Arc<Listening>,
) {
    let Ok(connection) = Connection::open(stream, activity.clone()).await else {
        return;
    };
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
    if let Err(error) = serving.await {
        tracing::debug!(peer = %address, %error, "connection broke off");
    }
}
