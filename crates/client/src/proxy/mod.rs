//! The app's side: players and scripts on this machine talk plain HTTP to it, and it talks to the
//! device.

mod events;
mod passed;
mod poster;
mod requests;
mod tail;

use std::{convert::Infallible, net::SocketAddr, pin::pin, sync::Arc, time::Instant};

use http::{HeaderValue, Request, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use peercam_net::{
    ConnectionEntry, Connections, Metrics, PortError, Standing, Timeouts, socket_table, sweep,
    tcp::{self, Connection, Listener},
};
use peercam_proto::{network::Peer, origin_policy::Allowed, request_line::Forms};
use peercam_task::boundary::{self, Part, contain};
use tokio::{net::TcpStream, task::JoinSet};

pub use events::Events;
pub use poster::{FeedbackUrl, ParseFeedbackUrlError};

use self::{requests::Player, tail::Tail};
use super::p2p::Session;

/// Connections of players at a time.
const MAX_CONNECTIONS: usize = 64;
/// A player's request head, and how much of an answer hyper takes ahead of it, in bytes.
const BUFFER: usize = 16 << 10;

/// Options of a proxy.
#[derive(Clone, Default)]
pub struct Rules {
    /// Players that are let in beside programs of this machine.
    pub allowed: Arc<Allowed>,
    /// Other users of this machine may use it.
    pub any_user: bool,
    /// Set if the proxy may be reached from other machines, by anybody and without encryption.
    pub allow_insecure_lan: bool,
    /// Feedback of the device.
    pub events: Events,
    /// URL to post that to.
    pub feedback_url: Option<FeedbackUrl>,
}

/// Reason that a proxy does not listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The port cannot be had.
    #[error("{0}")]
    Port(PortError),
    /// The address is one that others reach, and the rules do not allow that.
    #[error(
        "whoever reaches this proxy watches with your credential, so it must be on loopback (127.0.0.1 or [::1]); --allow-insecure-lan lets everybody"
    )]
    NotLoopback,
}

/// A proxy that is bound.
pub struct Proxy {
    listener: Listener,
    rules: Rules,
}

impl Proxy {
    /// Binds the address.
    ///
    /// # Errors
    /// [`BindError`].
    pub async fn bind(address: SocketAddr, rules: Rules) -> Result<Self, BindError> {
        let listener = Listener::bind(address).await.map_err(BindError::Port)?;
        let is_loopback = listener.address().ip().to_canonical().is_loopback();
        if !is_loopback && !rules.allow_insecure_lan {
            return Err(BindError::NotLoopback);
        }
        Ok(Self { listener, rules })
    }

    /// The address that it is bound to.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Serves until it is dropped.
    pub async fn serve(self, session: Session) {
        let Self { listener, rules } = self;
        let connections =
            Connections::new(MAX_CONNECTIONS, Timeouts::default(), Metrics::default());
        let mut tasks = JoinSet::new();
        if let Some(url) = rules.feedback_url.clone() {
            let post = poster::post_all(url, rules.events.subscribe_for_good());
            tasks.spawn(contain(Part::Service, "feedback", post));
        }
        let mut sweep = pin!(sweep(vec![connections.clone()]));
        loop {
            let (stream, address) = tokio::select! {
                accepted = listener.accept() => accepted,
                () = &mut sweep => continue,
                Some(_) = tasks.join_next() => continue,
            };
            tcp::configure(&stream, connections.write_timeout(), None);
            let peer = Peer::At(address);
            let admitted = connections.admit(peer, Standing::Trusted, Instant::now());
            let Some(activity) = admitted else { continue };
            let talk = serve_connection(
                stream,
                listener.address(),
                address,
                activity.clone(),
                session.clone(),
                rules.clone(),
            );
            activity.served_by(tasks.spawn(contain(Part::Connection, address, talk)));
        }
    }
}

async fn serve_connection(
    stream: TcpStream,
    own: SocketAddr,
    peer: SocketAddr,
    activity: ConnectionEntry,
    session: Session,
    rules: Rules,
) {
    let is_own = rules.any_user || rules.allow_insecure_lan || is_own_user(peer, own).await;
    let Ok(connection) = Connection::open(stream, activity.clone()).await else {
        return;
    };
    // Other users of the machine get their answer and no more.
    let must_close = connection.is_repaired() || !is_own;
    let forms = Forms::beginning_with(connection.form());
    let player = Arc::new(Player {
        session,
        rules,
        tail: Tail::default(),
        is_own,
    });
    let (served, leaving) = (Arc::clone(&player), activity.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let form = forms.next(request.uri());
        let serving = activity.serve(Instant::now());
        let player = Arc::clone(&served);
        async move {
            let mut response = player.answer(request, form).await;
            if must_close {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
            Ok::<_, Infallible>(response.map(|body| Held {
                body,
                _serving: serving,
            }))
        }
    });
    let served = http1::Builder::new()
        .max_buf_size(BUFFER)
        .writev(true)
        .half_close(false)
        .serve_connection(TokioIo::new(connection), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%peer, %error, "connection broke off");
    }
    let _serving = leaving.serve(Instant::now());
    player.tail.finish().await;
}

/// Returns whether the program at the other end is one of the user who runs this one.
async fn is_own_user(peer: SocketAddr, own: SocketAddr) -> bool {
    let look = move || socket_table::user_of(peer, own);
    let found = boundary::blocking(Part::Connection, peer, look).await;
    found.ok().flatten() == Some(rustix::process::getuid().as_raw())
}

/// A body that keeps its connection marked as being served.
struct Held {
    body: requests::ProxyBody,
    _serving: peercam_net::Serving,
}

impl http_body::Body for Held {
    type Data = bytes::Bytes;
    type Error = super::ClientError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, super::ClientError>>> {
        std::pin::Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
