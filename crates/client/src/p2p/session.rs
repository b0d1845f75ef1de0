//! A session with a device: one endpoint, a connection that is kept, requests that wait for it.
//!
//! A request that only asks is made once more after a loss; one that sends something never is.
//! Dialling belongs to `supervisor`, bodies that go on after a loss to `resume`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use peercam_net::p2p::{CloseReason, Endpoint, Hints, Path, Relays, Role};
use peercam_proto::credential::PairingUri;
use peercam_task::boundary::{self, Part};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    ClientRequest, Identity, OnFeedback,
    device_connection::DeviceConnection,
    supervisor::{Down, State, Supervisor},
};
use crate::{Answer, ClientError};

/// Time that a request waits for a connection that is being made or made again.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(12);
/// Time during which the first dials may fail: a device under attack may not take the first one.
const FIRST_PATIENCE: Duration = Duration::from_secs(3);
/// Timeout of telling the device that it leaves.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// Options of a session.
pub struct Options {
    /// The key of this viewer's endpoint.
    pub identity: Identity,
    /// PEM text with the authorities of the relays' certificates, in place of those that browsers
    /// know.
    pub relay_authorities: Option<Vec<u8>>,
    /// Takes what the device says; without one, it is told that nobody listens.
    pub on_feedback: Option<Arc<dyn OnFeedback>>,
}

/// A session with a device that is kept: when its connection is lost, it dials again. It ends when
/// its last handle is dropped.
#[derive(Clone)]
pub struct Session {
    shared: Arc<Shared>,
}

struct Shared {
    uri: Arc<PairingUri>,
    endpoint: Endpoint,
    state: watch::Receiver<State>,
    closed: CancellationToken,
    /// Owns the connection.
    _keeper: boundary::Task,
}

/// State of a session's connection, for people.
#[derive(Debug)]
pub enum Link {
    /// The device is dialled for the first time.
    Looking,
    /// The device has let this viewer in.
    Connected {
        /// Way to it.
        path: Path,
        /// Round trip time of that way.
        rtt: Option<Duration>,
    },
    /// No connection; the device is dialled again.
    Away {
        /// Reason.
        error: ClientError,
        /// Interval at which it is dialled at the latest.
        again: Duration,
    },
}

impl Session {
    /// Begins to dial.
    ///
    /// # Errors
    /// [`ClientError::NoAddress`] if the URI names nowhere to dial, [`ClientError::NoEndpoint`].
    pub async fn open(uri: PairingUri, options: Options) -> Result<Self, ClientError> {
        let usable = uri.relays.iter();
        let usable = usable.filter_map(|url| Relays::parse_url(url).ok());
        let hints = Hints {
            relays: usable.collect(),
            addresses: uri.udp.clone(),
        };
        if hints == Hints::default() {
            return Err(ClientError::NoAddress);
        }
        let authorities = options.relay_authorities.as_deref();
        let relays = Relays::new(hints.relays.clone(), uri.relay_token.clone(), authorities)
            .map_err(|error| ClientError::NoEndpoint(error.to_string()))?;
        let endpoint = Endpoint::bind(options.identity.key(), Role::Viewer, 0, &relays)
            .await
            .map_err(|error| ClientError::NoEndpoint(error.to_string()))?;
        let sender = watch::Sender::new(State::Dialling);
        let (uri, state) = (Arc::new(uri), sender.subscribe());
        let closed = CancellationToken::new();
        let supervisor = Supervisor {
            uri: Arc::clone(&uri),
            endpoint: endpoint.clone(),
            hints,
            state: sender,
            on_feedback: options.on_feedback,
            closed: closed.clone(),
        };
        let shared = Shared {
            uri,
            endpoint,
            state,
            closed,
            _keeper: boundary::spawn(Part::Connection, "to the device", supervisor.keep()),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Waits until the device has been dialled.
    ///
    /// # Errors
    /// Why it cannot be. A failure that comes at once is not the last try.
    pub async fn connected(&self) -> Result<(), ClientError> {
        self.device(FIRST_PATIENCE).await.map(|_| ())
    }

    /// Asks for something, or sends something; gives the answer whatever it says. What only asks
    /// is asked again if its connection is lost before the answer; what is sent never is.
    ///
    /// # Errors
    /// [`ClientError`] if there was no answer.
    pub async fn send(&self, request: ClientRequest<'_>) -> Result<Answer, ClientError> {
        let again = request.again();
        let device = self.device(CONNECTION_TIMEOUT).await?;
        let sent = device.send(&self.shared.uri, request).await;
        match (sent, again) {
            (Err(ClientError::CloseReason(_)), Some(again)) => {
                let device = self.device(CONNECTION_TIMEOUT).await?;
                device.send(&self.shared.uri, again).await
            }
            (sent, _) => sent,
        }
    }

    /// The path by which the device is reached now, in words; `None` while it is not.
    pub fn path(&self) -> Option<String> {
        match &*self.shared.state.borrow() {
            State::Up(device) => device.connection().path().map(|path| path.to_string()),
            State::Dialling | State::Down(_) => None,
        }
    }

    /// Calls `changed` with the state of the connection, now and whenever it is another one. A
    /// device that does not answer for a while counts as away. Never returns while the session is
    /// kept.
    pub async fn watch(&self, mut changed: impl FnMut(Link)) {
        let mut state = self.shared.state.clone();
        let away = |down: Down| Link::Away {
            again: down.pause(),
            error: down.into(),
        };
        loop {
            let now = state.borrow_and_update().clone();
            match now {
                State::Dialling => {
                    changed(Link::Looking);
                    match tokio::time::timeout(FIRST_PATIENCE, state.changed()).await {
                        Ok(Ok(())) => continue,
                        Ok(Err(_)) => return,
                        Err(_) => changed(away(Down::CloseReason(CloseReason::Silent))),
                    }
                }
                State::Down(down) => changed(away(down)),
                State::Up(device) => {
                    let connection = device.connection();
                    let connected = |path: &Path| {
                        let (path, rtt) = (path.clone(), connection.rtt());
                        changed(Link::Connected { path, rtt });
                    };
                    let paths = async {
                        device.authenticated().await;
                        connection.watch_path(connected).await;
                    };
                    tokio::select! {
                        () = paths => {}
                        changed = state.changed() => match changed {
                            Ok(()) => continue,
                            Err(_) => return,
                        },
                    }
                }
            }
            if state.changed().await.is_err() {
                return;
            }
        }
    }

    /// Ends the session, and tells the device.
    pub async fn close(&self) {
        self.shared.closed.cancel();
        // A device that does not hear of it finds out.
        let _ = tokio::time::timeout(CLOSE_TIME, self.shared.endpoint.close()).await;
    }

    /// The connection, as soon as there is one. One that failed is waited for so long.
    async fn device(&self, patience: Duration) -> Result<Arc<DeviceConnection>, ClientError> {
        let mut state = self.shared.state.clone();
        let end = Instant::now() + patience;
        loop {
            let why = match &*state.borrow_and_update() {
                State::Up(device) if device.connection().close_reason().is_none() => {
                    return Ok(Arc::clone(device));
                }
                // It fails by itself if it does.
                State::Dialling => None,
                State::Up(_) => Some(Down::CloseReason(CloseReason::Silent)),
                State::Down(down) => Some(down.clone()),
            };
            let is_final = matches!(why, Some(Down::Refused { .. } | Down::NotAccepted));
            let left = end.saturating_duration_since(Instant::now());
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
                    lost: CloseReason::ClosedHere,
                });
            }
        }
    }
}
