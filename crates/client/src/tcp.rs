//! TCP connections to a listener of the device: dialling, again where strangers flood it, and the
//! time-outs of what `exchange` does on them.
//!
//! No POST is made on a second connection after the first took it.

use std::{io, net::SocketAddr, time::Duration};

use http::{HeaderValue, Method};
use peercam_proto::credential::PairingUri;
use peercam_task::boundary;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

use super::{
    Answer, ClientError, answer_in_time, drive,
    exchange::{self, ChallengeError, Payload, RequestError, Requester},
    in_time,
    upload::Upload,
};

/// A silent device is asked so often whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// Pauses before a connection is tried again that the device had no place for: strangers flood it.
/// In a second its cookie counts.
const AGAIN_AFTER: [Duration; 5] = [
    Duration::from_millis(50),
    Duration::from_millis(150),
    Duration::from_millis(300),
    Duration::from_millis(500),
    Duration::from_millis(500),
];
/// Timeout of connecting to one address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A TCP connection to a device, on which requests prove themselves. One request at a time.
pub struct Connection {
    uri: PairingUri,
    address: SocketAddr,
    requester: Requester,
    /// Owns the connection: dropping it closes it.
    _task: boundary::Task,
    /// The device ended it in place of an answer.
    is_cut_off: bool,
}

impl Connection {
    /// Connects to the first of the URI's addresses that answers, and asks for its challenge.
    ///
    /// # Errors
    /// [`ClientError`], before anything that depends on the credential was sent.
    pub async fn open(uri: PairingUri) -> Result<Self, ClientError> {
        let mut last = None;
        for address in &uri.lan {
            match Self::open_soon(*address, &uri).await {
                // A device that answers is the device, even if others answered before.
                Ok(connection) => return Ok(connection),
                Err(error) => last = Some(ClientError::worse(last, error)),
            }
        }
        Err(last.unwrap_or(ClientError::NoAddress))
    }

    /// Connects, again and again for a moment if the connection is cut off before it is answered: so
    /// a device makes room where strangers flood it. One that was cut off once proves itself at
    /// once, so that what is asked of it then is not lost.
    async fn open_soon(address: SocketAddr, uri: &PairingUri) -> Result<Self, ClientError> {
        let mut cookie = None;
        let mut opened = Self::open_at(address, uri, &mut cookie).await;
        for pause in AGAIN_AFTER {
            match &opened {
                Err(Opening::CutOff) => {}
                _ => break,
            }
            tokio::time::sleep(pause).await;
            opened = Self::open_at(address, uri, &mut cookie).await;
            if let Ok(connection) = &mut opened
                && connection.prove().await.is_err()
            {
                opened = Err(Opening::CutOff);
            }
        }
        opened.map_err(|error| match error {
            Opening::CutOff => ClientError::NotTheDevice(address),
            Opening::Failed(error) => error,
        })
    }

    /// Another connection to the same address.
    pub(super) async fn again(&self) -> Result<Self, ClientError> {
        Self::open_soon(self.address, &self.uri).await
    }

    /// Asks what costs nothing and may be asked twice.
    async fn prove(&mut self) -> Result<(), ClientError> {
        match self
            .exchange(&Method::GET, "/healthz", Payload::Nothing)
            .await
        {
            // It is the device that says so.
            Ok(_) | Err(ClientError::Refused { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn open_at(
        address: SocketAddr,
        uri: &PairingUri,
        cookie: &mut Option<HeaderValue>,
    ) -> Result<Self, Opening> {
        let stream = dial(address).await?;
        let untold = |error| Opening::of(error, address);
        let (unproven, driver) = exchange::begin(stream).await.map_err(untold)?;
        let task = drive(driver);
        let challenge = unproven.challenge(uri.device, uri.credential.clone(), cookie.as_ref());
        let requester = in_time(challenge).await?.map_err(untold)?;
        // The first one is the oldest, and counts first.
        if cookie.is_none() {
            *cookie = requester.cookie().cloned();
        }
        Ok(Self {
            uri: uri.clone(),
            address,
            requester,
            _task: task,
            is_cut_off: false,
        })
    }

    /// Asks for something: `target` is a path with its parameters, without `_token`. If the connection
    /// is cut off before it has proved itself, that is tried once more on another one.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with the device's own reason; any other [`ClientError`] if there
    /// was no authentic answer.
    pub async fn get(&mut self, target: &str) -> Result<Answer, ClientError> {
        let is_first = self.requester.requests() == 0;
        let answer = self.exchange(&Method::GET, target, Payload::Nothing).await;
        if !(is_first && self.is_cut_off) {
            return answer;
        }
        *self = Self::open_soon(self.address, &self.uri).await?;
        self.exchange(&Method::GET, target, Payload::Nothing).await
    }

    /// Sends something in a sealed body. It is never sent twice.
    ///
    /// # Errors
    /// As [`Connection::get`]; [`ClientError::OutcomeUnknown`] if no answer came.
    pub async fn post(&mut self, target: &str, body: &[u8]) -> Result<Answer, ClientError> {
        let sent = self
            .exchange(&Method::POST, target, Payload::Whole(body))
            .await;
        sent.map_err(ClientError::of_post)
    }

    /// Sends something that comes little by little.
    ///
    /// # Errors
    /// As [`Connection::post`].
    pub async fn send(&mut self, target: &str, body: Upload) -> Result<Answer, ClientError> {
        let sent = self
            .exchange(&Method::POST, target, Payload::Stream(body))
            .await;
        sent.map_err(ClientError::of_post)
    }

    async fn exchange(
        &mut self,
        method: &Method,
        target: &str,
        payload: Payload<'_>,
    ) -> Result<Answer, ClientError> {
        let request = self.requester.request(method, target, payload);
        let answer = answer_in_time(target, request).await?;
        let answer = answer.inspect_err(|error| {
            self.is_cut_off = *error == RequestError::CutOff;
        })?;
        Answer::sealed(answer).await?.checked().await
    }
}

/// Failure of opening a connection.
enum Opening {
    /// The other end ended it before it answered.
    CutOff,
    /// Anything else.
    Failed(ClientError),
}

impl Opening {
    fn of(error: ChallengeError, address: SocketAddr) -> Self {
        Self::Failed(match error {
            ChallengeError::CutOff => return Self::CutOff,
            ChallengeError::NotTheDevice => ClientError::NotTheDevice(address),
            ChallengeError::Broken => ClientError::Broken,
            ChallengeError::Random => ClientError::Random,
        })
    }
}

impl From<ClientError> for Opening {
    fn from(error: ClientError) -> Self {
        Self::Failed(error)
    }
}

async fn dial(address: SocketAddr) -> Result<TcpStream, ClientError> {
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
    let stream = match connected {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(ClientError::Unreachable(vec![(address, error)])),
        Err(_) => {
            let error = io::ErrorKind::TimedOut.into();
            return Err(ClientError::Unreachable(vec![(address, error)]));
        }
    };
    let _ = stream.set_nodelay(true);
    // A device that has gone while it was talked to is noticed.
    let alive = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE);
    let _ = SockRef::from(&stream).set_tcp_keepalive(&alive);
    Ok(stream)
}
