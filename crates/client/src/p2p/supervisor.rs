//! The task that keeps a session's connection: it dials until the device answers, notices silence,
//! dials beside it, and looks for a way around the relay.
//!
//! At most [`MAX_DIALS`] dials run at a time. Requests belong to `device_connection`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use peercam_net::p2p::{CloseReason, Connection, Endpoint, Hints, Path};
use peercam_proto::{credential::PairingUri, feedback::Feedback};
use peercam_task::boundary::{Part, contain};
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{ClientRequest, OnFeedback, device_connection::DeviceConnection, feedback};
use crate::ClientError;

/// A connection on which nothing came for this long may be dead: the device is dialled beside it.
/// It sends something every second, so a stream that stands still is no silence.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(4);
/// Interval at which that is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// A device that does not answer is dialled again beside the dial that waits: QUIC repeats itself
/// ever more slowly, and a device that starts is to be found at once.
const STAGGER: Duration = Duration::from_secs(1);
/// Dials at a time.
const MAX_DIALS: usize = 4;
/// Time during which the device is dialled with all haste.
const FAST_RETRY_FOR: Duration = Duration::from_secs(30);
/// The pause between dials after that.
const PAUSE: Duration = Duration::from_secs(5);
/// The same after the device has refused: it will hardly think otherwise soon.
const PAUSE_OF_REFUSED: Duration = Duration::from_secs(15);
/// Time that a new connection waits for a request before it shows by itself who is there: the
/// device gives a peer that proves nothing little time.
const TIME_TO_ASK: Duration = Duration::from_millis(200);
/// Pauses before a way around the relay is looked for again, each after the one before; then once
/// a minute.
const SEEK_AFTER: [u64; 10] = [1, 1, 2, 3, 3, 3, 3, 5, 10, 30];
/// The same when that did not help.
const SEEK_PAUSE: Duration = Duration::from_secs(60);
/// Timeout of finding a way around the relay.
const SEEK_TIME: Duration = Duration::from_secs(3);

/// State of the connection.
#[derive(Clone)]
pub(super) enum State {
    /// The first dial is under way.
    Dialling,
    Up(Arc<DeviceConnection>),
    Down(Down),
}

/// Reason that there is no connection; the device is being dialled again.
#[derive(Clone, Debug)]
pub(super) enum Down {
    CloseReason(CloseReason),
    NotAccepted,
    Refused { status: u16, reason: String },
}

impl Down {
    /// Interval at which the device is dialled again at the latest.
    pub(super) fn pause(&self) -> Duration {
        match self {
            Self::CloseReason(_) => PAUSE,
            Self::NotAccepted | Self::Refused { .. } => PAUSE_OF_REFUSED,
        }
    }
}

impl From<Down> for ClientError {
    fn from(down: Down) -> Self {
        match down {
            Down::CloseReason(lost) => Self::NotDialled { lost },
            Down::NotAccepted => Self::NotAccepted,
            Down::Refused { status, reason } => Self::Refused { status, reason },
        }
    }
}

/// Keeps a session's connection: dials, watches over what it has, and dials again.
pub(super) struct Supervisor {
    pub(super) uri: Arc<PairingUri>,
    pub(super) endpoint: Endpoint,
    pub(super) hints: Hints,
    pub(super) state: watch::Sender<State>,
    pub(super) on_feedback: Option<Arc<dyn OnFeedback>>,
    /// The session has been closed.
    pub(super) closed: CancellationToken,
}

/// Step after a connection.
enum Next {
    /// A better one, which is there already.
    Replaced(Arc<DeviceConnection>),
    /// None.
    Nothing(Down),
}

impl Supervisor {
    pub(super) async fn keep(self) {
        let closed = self.closed.clone();
        tokio::select! {
            () = self.keep_connected() => {}
            () = closed.cancelled() => {}
        }
    }

    async fn keep_connected(&self) {
        let mut device = self.dial().await;
        loop {
            self.state.send_replace(State::Up(Arc::clone(&device)));
            let began = Instant::now();
            match self.watch_over(&device).await {
                Next::Replaced(new) => {
                    tracing::debug!("the device was dialled again");
                    // What waits on the old one fails now, and is asked for again.
                    device.connection().close("replaced");
                    device = new;
                }
                Next::Nothing(down) => {
                    let is_refused = !matches!(down, Down::CloseReason(_));
                    device.connection().close("refused");
                    self.say_down(down);
                    if is_refused {
                        tokio::time::sleep(PAUSE_OF_REFUSED).await;
                    } else if began.elapsed() < STAGGER {
                        // A device that closes at once is not helped by haste.
                        tokio::time::sleep(STAGGER).await;
                    }
                    device = self.dial().await;
                }
            }
        }
    }

    fn say_down(&self, down: Down) {
        let error = ClientError::from(down.clone());
        tracing::debug!(%error, "not connected to the device; dialling");
        self.state.send_replace(State::Down(down));
    }

    /// Dials until there is a connection. Failures are published, unless there is a connection
    /// still.
    async fn dial(&self) -> Arc<DeviceConnection> {
        let began = Instant::now();
        let mut dials = JoinSet::new();
        loop {
            if dials.len() < MAX_DIALS {
                let (endpoint, hints) = (self.endpoint.clone(), self.hints.clone());
                let device = self.uri.device;
                let dial = async move { endpoint.dial(device, &hints).await };
                dials.spawn(contain(Part::Connection, "dialling the device", dial));
            }
            let pause = if began.elapsed() < FAST_RETRY_FOR {
                STAGGER
            } else {
                PAUSE
            };
            let pause = tokio::time::sleep(pause);
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    Some(dialled) = dials.join_next() => {
                        let dialled = match dialled {
                            Ok(Ok(dialled)) => dialled,
                            Ok(Err(error)) => Err(CloseReason::Other(error.to_string())),
                            Err(error) => Err(CloseReason::Other(error.to_string())),
                        };
                        let device = dialled
                            .and_then(|connection| DeviceConnection::new(connection, self.endpoint.id()));
                        match device {
                            Ok(device) => return Arc::new(device),
                            Err(lost) => self.note_failure(lost),
                        }
                    }
                    () = &mut pause => break,
                }
            }
        }
    }

    fn note_failure(&self, lost: CloseReason) {
        match &*self.state.borrow() {
            State::Up(_) => return,
            State::Down(Down::CloseReason(known)) if *known == lost => return,
            State::Dialling | State::Down(_) => {}
        }
        self.say_down(Down::CloseReason(lost));
    }

    /// Serves a connection until it is lost, or there is a better one.
    async fn watch_over(&self, device: &DeviceConnection) -> Next {
        let connection = device.connection();
        let on_feedback: Arc<dyn OnFeedback> = match &self.on_feedback {
            Some(handler) => Arc::clone(handler),
            None => Arc::new(Nobody),
        };
        let say_path = connection.watch_path(|path| {
            tracing::debug!(%path, "connected to the device");
        });
        tokio::select! {
            down = self.authenticate(device) => Next::Nothing(down),
            lost = feedback::listen(connection, on_feedback) => Next::Nothing(Down::CloseReason(lost)),
            new = self.dial_when_silent(connection) => Next::Replaced(new),
            () = say_path => Next::Nothing(Down::CloseReason(connection.closed().await)),
            never = self.seek_direct(connection) => match never {},
        }
    }

    /// Shows the device who is there, unless a request does. Ends only if it is refused.
    async fn authenticate(&self, device: &DeviceConnection) -> Down {
        tokio::time::sleep(TIME_TO_ASK).await;
        if device.is_authenticated() {
            return std::future::pending().await;
        }
        let answered = match device.send(&self.uri, ClientRequest::get("/healthz")).await {
            Ok(answer) => answer.checked().await.map(|_| ()),
            Err(error) => Err(error),
        };
        match answered {
            Err(ClientError::Refused { status, reason }) => Down::Refused { status, reason },
            Err(ClientError::NotAccepted) => Down::NotAccepted,
            // That it works is the ordinary case; any other failure ends the connection too.
            Ok(()) | Err(_) => std::future::pending().await,
        }
    }

    /// Dials beside a connection that has become silent. Ends when that has led to a new one
    /// before anything came on the old one.
    async fn dial_when_silent(&self, connection: &Connection) -> Arc<DeviceConnection> {
        loop {
            let count = silent_for(connection, SILENCE_TIMEOUT).await;
            tracing::debug!("nothing comes from the device; dialling it beside");
            tokio::select! {
                device = self.dial() => return device,
                () = more_than(connection, count) => {}
            }
        }
    }

    /// Looks for a way around the relay for as long as there is none: a second connection has the
    /// two ends try their addresses anew. It carries no request.
    async fn seek_direct(&self, connection: &Connection) -> std::convert::Infallible {
        let is_direct = || connection.path().as_ref().is_none_or(Path::is_direct);
        loop {
            let mut pauses = SEEK_AFTER.into_iter().map(Duration::from_secs);
            while !is_direct() {
                tokio::time::sleep(pauses.next().unwrap_or(SEEK_PAUSE)).await;
                if is_direct() {
                    break;
                }
                let Ok(second) = self.endpoint.dial(self.uri.device, &self.hints).await else {
                    continue;
                };
                let end = Instant::now() + SEEK_TIME;
                while !is_direct() && Instant::now() < end {
                    tokio::time::sleep(POLL_INTERVAL).await;
                }
                second.close("looked for a path");
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

/// Waits until nothing has come for so long; gives the count of what came.
async fn silent_for(connection: &Connection, time: Duration) -> u64 {
    let (mut count, mut since) = (connection.traffic().datagrams, Instant::now());
    while since.elapsed() < time {
        tokio::time::sleep(POLL_INTERVAL).await;
        let now = connection.traffic().datagrams;
        if now != count {
            (count, since) = (now, Instant::now());
        }
    }
    count
}

/// Waits until more has come than that.
async fn more_than(connection: &Connection, count: u64) {
    while connection.traffic().datagrams == count {
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// A viewer without a listener for what the device says.
struct Nobody;

impl OnFeedback for Nobody {
    fn on_feedback(&self, _message: &Feedback) -> bool {
        false
    }
}
