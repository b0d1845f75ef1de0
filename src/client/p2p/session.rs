use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::{Ask, Identity, OnFeedback, feedback, link::Link};
use crate::{
    client::{Answer, ClientError},
    proto::credential::PairingUri,
    transport::p2p::{Endpoint, Hints, Lost, ParseRelayError, Relays, Role},
};

/// How long a request waits for a connection that is being made or made again.
const PATIENCE: Duration = Duration::from_secs(12);
/// How long it is waited before the next dial, after one, two, … that came to nothing.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
];
/// The same after the device has refused: it will hardly think otherwise soon.
const PAUSE_OF_REFUSED: Duration = Duration::from_secs(15);
/// How long a new connection waits for a request before it shows by itself who is there: the
/// device gives a peer that proves nothing little time.
const TIME_TO_ASK: Duration = Duration::from_millis(200);
/// How long the endpoint may take to tell the device that it leaves.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// What a session takes besides the URI.
pub struct Options {
    /// The key of this viewer's endpoint.
    pub identity: Identity,
    /// PEM text with the authorities of the relays' certificates, in place of those that browsers
    /// know.
    pub relay_authorities: Option<Vec<u8>>,
    /// Takes what the device says; without one, it is told that nobody listens.
    pub on_feedback: Option<Arc<dyn OnFeedback>>,
}

/// A session with a device that is kept: when its connection is lost, it dials again.
pub struct Session {
    uri: Arc<PairingUri>,
    endpoint: Endpoint,
    state: watch::Receiver<State>,
    /// Owns the connection.
    _keeper: AbortOnDropHandle<()>,
}

#[derive(Clone)]
enum State {
    /// The first dial is under way.
    Dialling,
    Up(Arc<Link>),
    Down(Down),
}

/// Why there is no connection; it is being dialled again.
#[derive(Clone, Debug)]
enum Down {
    Lost(Lost),
    NotAccepted,
    Refused { status: u16, reason: String },
}

impl From<Down> for ClientError {
    fn from(down: Down) -> Self {
        match down {
            Down::Lost(lost) => Self::NotDialled { lost },
            Down::NotAccepted => Self::NotAccepted,
            Down::Refused { status, reason } => Self::Refused { status, reason },
        }
    }
}

/// Keeps the connection.
struct Keeper {
    uri: Arc<PairingUri>,
    endpoint: Endpoint,
    hints: Hints,
    state: watch::Sender<State>,
    on_feedback: Option<Arc<dyn OnFeedback>>,
}

impl Session {
    /// Begins to dial, and keeps on until it is dropped.
    ///
    /// # Errors
    /// [`ClientError::NoAddress`] if the URI names nowhere to dial, [`ClientError::NoEndpoint`].
    pub async fn open(uri: PairingUri, options: Options) -> Result<Self, ClientError> {
        let (keeper, state) = Keeper::new(uri, options).await?;
        let (uri, endpoint) = (Arc::clone(&keeper.uri), keeper.endpoint.clone());
        let task = tokio::spawn(keeper.keep());
        Ok(Self {
            uri,
            endpoint,
            state,
            _keeper: AbortOnDropHandle::new(task),
        })
    }

    /// Waits until the device has been dialled.
    ///
    /// # Errors
    /// Why it cannot be, at the first failure.
    pub async fn connected(&self) -> Result<(), ClientError> {
        self.link(Duration::ZERO).await.map(|_| ())
    }

    /// Asks for something, or sends something; gives the answer whatever it says. Nothing is sent
    /// twice.
    ///
    /// # Errors
    /// [`ClientError`] if there was no answer.
    pub async fn send(&self, request: Ask<'_>) -> Result<Answer, ClientError> {
        let link = self.link(PATIENCE).await?;
        link.send(&self.uri, request).await
    }

    /// By which path the device is reached now, in words; `None` while it is not.
    pub fn path(&self) -> Option<String> {
        match &*self.state.borrow() {
            State::Up(link) => link.connection().path().map(|path| path.to_string()),
            State::Dialling | State::Down(_) => None,
        }
    }

    /// Tells the device that this viewer leaves.
    pub async fn close(&self) {
        // A device that does not hear of it finds out.
        let _ = tokio::time::timeout(CLOSE_TIME, self.endpoint.close()).await;
    }

    /// The connection, as soon as there is one. One that failed is waited for so long.
    async fn link(&self, patience: Duration) -> Result<Arc<Link>, ClientError> {
        let mut state = self.state.clone();
        let end = Instant::now() + patience;
        loop {
            let why = match &*state.borrow_and_update() {
                State::Up(link) if link.connection().close_reason().is_none() => {
                    return Ok(Arc::clone(link));
                }
                // It fails by itself if it does.
                State::Dialling => None,
                State::Up(_) => Some(Down::Lost(Lost::Silent)),
                State::Down(down) => Some(down.clone()),
            };
            let left = end.saturating_duration_since(Instant::now());
            let is_final = matches!(why, Some(Down::Refused { .. } | Down::NotAccepted));
            let changed = state.changed();
            let changed = match why {
                None => changed.await.is_ok(),
                Some(down) if is_final => return Err(down.into()),
                Some(down) => match tokio::time::timeout(left, changed).await {
                    Ok(changed) => changed.is_ok(),
                    Err(_) => return Err(down.into()),
                },
            };
            if !changed {
                return Err(ClientError::NotDialled {
                    lost: Lost::ClosedHere,
                });
            }
        }
    }
}

impl Keeper {
    async fn new(
        uri: PairingUri,
        options: Options,
    ) -> Result<(Self, watch::Receiver<State>), ClientError> {
        let usable = uri
            .relays
            .iter()
            .filter_map(|url| Relays::parse_url(url).ok());
        let hints = Hints {
            relays: usable.collect(),
            addresses: uri.udp.clone(),
        };
        if hints == Hints::default() {
            return Err(ClientError::NoAddress);
        }
        let mut relays = Relays::new(hints.relays.clone(), uri.relay_token.clone());
        if let Some(pem) = &options.relay_authorities {
            relays
                .trust(pem)
                .map_err(|error: ParseRelayError| ClientError::NoEndpoint(error.to_string()))?;
        }
        let endpoint = Endpoint::bind(options.identity.key(), Role::Viewer, 0, &relays)
            .await
            .map_err(|error| ClientError::NoEndpoint(error.to_string()))?;
        let state = watch::Sender::new(State::Dialling);
        let receiver = state.subscribe();
        let keeper = Self {
            uri: Arc::new(uri),
            endpoint,
            hints,
            state,
            on_feedback: options.on_feedback,
        };
        Ok((keeper, receiver))
    }

    async fn keep(self) {
        let mut failures = 0;
        loop {
            let (down, was_up) = self.connect().await;
            if matches!(down, Down::Lost(Lost::ClosedHere)) {
                return;
            }
            failures = if was_up { 0 } else { failures + 1 };
            let pause = match &down {
                Down::Refused { .. } | Down::NotAccepted => PAUSE_OF_REFUSED,
                Down::Lost(_) if was_up => Duration::ZERO,
                Down::Lost(_) => PAUSES[(failures - 1).min(PAUSES.len() - 1)],
            };
            let error = ClientError::from(down.clone());
            tracing::warn!(%error, "not connected to the device; dialling again");
            self.state.send_replace(State::Down(down));
            tokio::time::sleep(pause).await;
        }
    }

    /// Dials once and serves the connection until it is lost; gives why, and whether there was a
    /// session.
    async fn connect(&self) -> (Down, bool) {
        let dialled = self.endpoint.dial(self.uri.device, &self.hints).await;
        let link = dialled.and_then(|connection| Link::new(connection, self.endpoint.id()));
        let link = match link {
            Ok(link) => Arc::new(link),
            Err(lost) => return (Down::Lost(lost), false),
        };
        self.state.send_replace(State::Up(Arc::clone(&link)));
        let connection = link.connection();
        let hello = async {
            tokio::time::sleep(TIME_TO_ASK).await;
            // Whoever has asked for something has shown who it is.
            if link.has_asked() {
                return std::future::pending().await;
            }
            let down = match link.send(&self.uri, Ask::get("/healthz")).await {
                Ok(answer) => answer.checked().await.map(|_| ()),
                Err(error) => Err(error),
            };
            match down {
                Err(ClientError::Refused { status, reason }) => Down::Refused { status, reason },
                Err(ClientError::NotAccepted) => Down::NotAccepted,
                // That it works is the ordinary case; any other failure ends the connection too.
                Ok(()) | Err(_) => std::future::pending().await,
            }
        };
        let on_feedback: Arc<dyn OnFeedback> = match &self.on_feedback {
            Some(handler) => Arc::clone(handler),
            None => Arc::new(Nobody),
        };
        let watch = connection.watch_path(|path| {
            tracing::info!(%path, "connected to the device");
        });
        tokio::select! {
            down = hello => {
                connection.close("refused");
                (down, false)
            }
            lost = feedback::listen(connection, on_feedback) => (Down::Lost(lost), true),
            () = watch => (Down::Lost(connection.closed().await), true),
        }
    }
}

/// Nobody listens to what the device says.
struct Nobody;

impl OnFeedback for Nobody {
    fn on_feedback(&self, _message: &crate::proto::feedback::Feedback) -> bool {
        false
    }
}
