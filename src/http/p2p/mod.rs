//! Requests over P2P: the same authentication and the same router as over TCP, one exchange on a stream.

mod notifier;
mod peers;

use std::{error::Error, sync::Arc, time::Instant};

use http::{HeaderValue, header};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use peercam_net::{
    ConnectionEntry, Connections, ProvenSources, Standing,
    p2p::{
        CloseReason, Connection, Endpoint, HandshakeDecision, HandshakeLimiter, Incoming, Stream,
    },
};
use peercam_proto::{
    credential::{EndpointId, Transport},
    farewell,
    network::Peer,
    text::Printable,
};
use peercam_task::{
    boundary::{self, Backoff, Guarded, Panicked, Part, contain},
    registry::Entry,
};
use tokio::task::JoinSet;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use notifier::PeerNotifier;
pub use peers::Peers;

use super::{
    authenticated::{AuthenticatedConnection, TooManyAttempts},
    connection_handle::{ConnectionHandle, no_place},
    router::App,
    server::{UNAUTHENTICATED_BUFFER, http1},
};
use crate::{
    access::{Authority, ExportError, SecureChannel, Session, TokenVerifier},
    events::ViewerPath,
};

/// Service of requests over P2P.
#[derive(Clone)]
pub struct Service {
    /// The endpoint that is dialled.
    pub endpoint: Endpoint,
    /// The authority, which decides who is let in.
    pub authority: Arc<Authority>,
    /// Services that requests reach.
    pub app: Arc<App>,
    /// Places for connections, and time for unauthenticated ones.
    pub connections: Connections,
    /// Places for requests, and their time-outs.
    pub streams: Connections,
    /// Sources at which viewers authenticated lately.
    pub known: ProvenSources,
    /// Connections of the viewers that are there.
    pub peers: Peers,
}

impl Service {
    /// Accepts and serves peers until `stop` is cancelled, and refuses them from then on. Those that
    /// are there then run on as tasks of `tasks` until what they are being sent has ended.
    pub async fn serve(self, stop: CancellationToken, tasks: TaskTracker) {
        let mut pause = Backoff::default();
        loop {
            let began = Instant::now();
            let accept = self.accept(&stop, &tasks);
            // What it waited for may be what has panicked.
            let _ = contain(Part::Service, "P2P", accept).await;
            while !stop.is_cancelled() {
                let pause = pause.after(began.elapsed());
                tracing::error!(?pause, "the P2P endpoint has ended; it is made anew");
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = stop.cancelled() => break,
                }
                match contain(Part::Service, "P2P", self.endpoint.renew()).await {
                    Ok(Ok(())) => break,
                    Ok(Err(error)) => tracing::error!(%error, "P2P is off for now"),
                    Err(_) => {}
                }
            }
            if stop.is_cancelled() {
                return self.turn_away().await;
            }
            tracing::info!("P2P is back");
        }
    }

    /// Refuses whoever dials, until the endpoint is no more: they shall not wait for an answer.
    async fn turn_away(&self) {
        while let Some(incoming) = self.endpoint.accept().await {
            incoming.refuse();
        }
    }

    /// Accepts peers until `stop` is cancelled, or the endpoint is no more, or may be in a state
    /// that nobody knows.
    async fn accept(&self, stop: &CancellationToken, tasks: &TaskTracker) {
        let mut handshakes = HandshakeLimiter::new(self.known.clone(), Instant::now());
        let panics = boundary::library_panics();
        loop {
            let incoming = tokio::select! {
                incoming = self.endpoint.accept() => incoming,
                () = boundary::library_panicked(panics) => return,
                () = stop.cancelled() => return,
            };
            let Some(incoming) = incoming else { return };
            let now = Instant::now();
            let unauthenticated = self.connections.unauthenticated();
            let attempt = (incoming.peer().source(), incoming.has_address());
            let ticket = match handshakes.next(attempt, unauthenticated, now) {
                HandshakeDecision::Accept(ticket) => ticket,
                HandshakeDecision::Retry => {
                    // A Retry (RFC 9000 §8.1.2), which costs no state.
                    incoming.ask_for_address();
                    continue;
                }
                HandshakeDecision::Ignore => {
                    incoming.ignore();
                    continue;
                }
            };
            let peer = incoming.peer();
            let Some(activity) =
                self.connections
                    .admit(peer, Standing::Unauthenticated(ticket), now)
            else {
                incoming.ignore();
                continue;
            };
            let serving = self
                .clone()
                .serve_connection(incoming, activity.clone(), stop.clone());
            let serving = tasks.spawn(contain(Part::Connection, peer, serving));
            activity.served_by(serving.abort_handle());
        }
    }

    /// Serves one connection to its end.
    async fn serve_connection(
        self,
        incoming: Incoming,
        activity: ConnectionEntry,
        stop: CancellationToken,
    ) {
        // It is never ended for waiting: how long a peer may be silent is QUIC's to say.
        let _serving = activity.serve(Instant::now());
        let connection = match incoming.accept().await {
            Ok(connection) => connection,
            Err(error) => {
                tracing::debug!(%error, "a handshake came to nothing");
                return;
            }
        };
        let endpoint = connection.peer();
        let verifier =
            match TokenVerifier::on_p2p(Arc::clone(&self.authority), &Channel(&connection)) {
                Ok(verifier) => verifier,
                Err(error) => {
                    tracing::error!(%error, "a connection cannot be made secure");
                    return;
                }
            };
        let handle = P2pHandle {
            connection: connection.clone(),
            activity,
            peers: self.peers.clone(),
            known: self.known.clone(),
            entry: Guarded::default(),
        };
        let authenticated = Arc::new(AuthenticatedConnection::new(
            verifier,
            Arc::clone(&self.authority),
            true,
            handle,
        ));
        let began = Instant::now();
        tracing::debug!(%endpoint, "a peer is connected");
        let lost = tokio::select! {
            lost = self.serve_streams(&connection, &authenticated, stop) => lost,
            () = self.watch_path(&connection, &authenticated) => connection.closed().await,
        };
        self.peers.closed(&lost);
        // Strangers shall not fill the log.
        let Some(viewer) = authenticated.viewer() else {
            tracing::debug!(%endpoint, reason = %lost, "a peer that proved nothing is gone");
            return;
        };
        let traffic = connection.traffic();
        tracing::info!(
            viewer, %endpoint, reason = %lost, seconds = began.elapsed().as_secs(),
            sent = traffic.sent, received = traffic.received, lost_packets = traffic.lost,
            "viewer's connection ended"
        );
    }

    /// Notes by which path the peer is reached, until its connection is no more.
    async fn watch_path(&self, connection: &Connection, authenticated: &AuthenticatedConnection) {
        let mut is_first = true;
        let watch = connection.watch_path(|path| {
            if std::mem::take(&mut is_first) {
                return;
            }
            self.peers.path_changed();
            if let Some(viewer) = authenticated.viewer() {
                tracing::info!(viewer, %path, "viewer's path changed");
            }
        });
        watch.await;
    }

    /// Serves streams until the connection is no more, or until `stop` is cancelled and what was
    /// under way has ended.
    async fn serve_streams(
        &self,
        connection: &Connection,
        authenticated: &Arc<AuthenticatedConnection>,
        stop: CancellationToken,
    ) -> CloseReason {
        let mut requests = JoinSet::new();
        loop {
            tokio::select! {
                stream = connection.accept() => match stream {
                    Ok(stream) => {
                        self.serve_stream(stream, stop.clone(), connection, authenticated, &mut requests);
                    }
                    Err(lost) => return lost,
                },
                Some(_) = requests.join_next() => {}
                () = stop.cancelled() => break,
            }
        }
        while requests.join_next().await.is_some() {}
        connection.close_for_shutdown();
        connection.closed().await
    }

    fn serve_stream(
        &self,
        stream: Stream,
        stop: CancellationToken,
        connection: &Connection,
        authenticated: &Arc<AuthenticatedConnection>,
        requests: &mut JoinSet<()>,
    ) {
        let peer = connection.peer_address();
        // Dropped, it is reset (RFC 9000 §19.4): the peer sees that nothing was done.
        let Some(place) = authenticated.take_request() else {
            return;
        };
        let admitted = self.streams.admit(peer, Standing::Trusted, Instant::now());
        let Some(activity) = admitted else { return };
        let (app, authenticated) = (Arc::clone(&self.app), Arc::clone(authenticated));
        let connection = connection.clone();
        let (stream, served) = (stream.watched_by(activity.clone()), activity.clone());
        let name = connection.peer();
        let request = async move {
            let _place = place;
            let answer = exchange(stream, stop, served, app, Arc::clone(&authenticated));
            match contain(Part::Request, name, answer).await {
                Ok(Ok(())) => {}
                Ok(Err(TooManyAttempts)) => connection.close("no proof after several tries"),
                Err(Panicked) => authenticated.panicked(),
            }
        };
        activity.served_by(requests.spawn(request));
    }
}

/// Answers the one request of a stream. An error is a peer that is answered no more.
async fn exchange(
    stream: Stream,
    stop: CancellationToken,
    activity: ConnectionEntry,
    app: Arc<App>,
    authenticated: Arc<AuthenticatedConnection>,
) -> Result<(), TooManyAttempts> {
    let is_long = stream.is_long();
    let service = service_fn(move |request: hyper::Request<_>| {
        let serving = activity.serve(Instant::now());
        let (app, authenticated, is_long) = (
            Arc::clone(&app),
            Arc::clone(&authenticated),
            is_long.clone(),
        );
        let stop = stop.clone();
        async move {
            let answer = authenticated.answer(&app, request).await;
            answer.map(|mut response| {
                if response.body().is_long() {
                    is_long.mark();
                }
                let body = response.body_mut();
                body.hold(serving);
                if body.tell_of(stop) {
                    let end = HeaderValue::from(farewell::END);
                    response.headers_mut().insert(header::TRAILER, end);
                }
                response
            })
        }
    });
    let served = http1(UNAUTHENTICATED_BUFFER)
        // One request on a stream: the end of its answer is the end of the stream.
        .keep_alive(false)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    let Err(error) = served else { return Ok(()) };
    tracing::debug!(%error, "a request broke off");
    if error
        .source()
        .is_some_and(<dyn Error>::is::<TooManyAttempts>)
    {
        return Err(TooManyAttempts);
    }
    Ok(())
}

/// A P2P connection as a [`SecureChannel`], for the verifier.
struct Channel<'a>(&'a Connection);

impl SecureChannel for Channel<'_> {
    fn peer(&self) -> EndpointId {
        self.0.peer()
    }

    fn export(&self, label: &[u8], context: &[u8]) -> Result<[u8; 32], ExportError> {
        self.0.export(label, context).ok_or(ExportError)
    }
}

/// A P2P connection, as requests on it are authenticated.
struct P2pHandle {
    connection: Connection,
    activity: ConnectionEntry,
    peers: Peers,
    known: ProvenSources,
    /// Entry among the peers, by which the viewer of this connection can be told something.
    entry: Guarded<Option<Entry<peers::Peer>>>,
}

impl ConnectionHandle for P2pHandle {
    fn transport(&self) -> Transport {
        Transport::P2p
    }

    fn peer(&self) -> Peer {
        self.connection.peer_address()
    }

    fn path(&self) -> ViewerPath {
        match self.connection.path() {
            Some(path) if path.is_direct() => ViewerPath::Direct,
            Some(_) | None => ViewerPath::Relay,
        }
    }

    fn ending(&self) -> Box<dyn Fn(&'static str) + Send + Sync> {
        let connection = self.connection.clone();
        Box::new(move |reason| connection.close(reason))
    }

    fn entered(&self, session: &Session) -> Result<(), peercam_proto::error::Error> {
        let (holder, now) = (session.holder(), Instant::now());
        let answers = holder.answers();
        if !self.activity.proved(holder.rank(), &answers, now) {
            return Err(no_place());
        }
        self.known.note(self.peer().source(), &answers, now);
        self.connection.give_room();
        let entry = self
            .peers
            .enter(session.id().clone(), self.connection.clone());
        let path = self.connection.path().map(|path| path.to_string());
        tracing::info!(
            viewer = %Printable(&session.holder().claims.name), session = session.id().as_str(),
            endpoint = %self.connection.peer(), path, rtt = ?self.connection.rtt(),
            "viewer connected"
        );
        *self.entry.lock() = Some(entry);
        Ok(())
    }
}
