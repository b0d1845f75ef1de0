//! A viewer over whichever of P2P and TCP answers first.

use bytes::Bytes;
use peercam_proto::credential::PairingUri;

use super::p2p::{ClientRequest, Options, Session};
use super::{Answer, ClientError, tcp, upload::Upload};

/// Head start of P2P before a listener on the network is tried too.
const HEAD_START: std::time::Duration = std::time::Duration::from_secs(2);

/// Path that costs the device nothing, and that every viewer may ask for.
const HEALTH: &str = "/healthz";
/// Timeout of asking why something broke off.
const EXPLAIN_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(3);

/// A viewer that asks a few things and goes: over P2P where the URI says how to dial, else over
/// TCP. Both know the device by its key or the credential, so neither is weaker.
pub enum Viewer {
    /// Over P2P.
    P2p(Session),
    /// Over TCP, to a listener.
    Tcp(Box<tcp::Connection>),
}

impl Viewer {
    /// Connects over TCP.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn over_tcp(uri: PairingUri) -> Result<Self, ClientError> {
        let connection = tcp::Connection::open(uri).await?;
        Ok(Self::Tcp(Box::new(connection)))
    }

    /// Connects.
    ///
    /// # Errors
    /// [`ClientError`]: what was tried first, if nothing works.
    pub async fn open(uri: PairingUri, options: Options) -> Result<Self, ClientError> {
        if uri.relays.is_empty() && uri.udp.is_empty() {
            return Self::over_tcp(uri).await;
        }
        let session = Session::open(uri.clone(), options).await?;
        let has_listener = !uri.lan.is_empty();
        let mut failed = ClientError::NoAddress;
        let by_p2p = async {
            let connected = session.connected().await;
            connected.map_err(|error| failed = error)
        };
        let by_tcp = async {
            tokio::time::sleep(HEAD_START).await;
            Self::over_tcp(uri).await
        };
        let by_tcp = tokio::select! {
            Ok(()) = by_p2p => None,
            Ok(viewer) = by_tcp, if has_listener => Some(Ok(viewer)),
            else => Some(Err(failed)),
        };
        match by_tcp {
            None => Ok(Self::P2p(session)),
            Some(other) => {
                session.close().await;
                other
            }
        }
    }

    /// Asks for something.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with the device's own reason; any other [`ClientError`] if there
    /// was no authentic answer.
    pub async fn get(&mut self, target: &str) -> Result<Answer, ClientError> {
        match self {
            Self::P2p(session) => {
                session
                    .send(ClientRequest::get(target))
                    .await?
                    .checked()
                    .await
            }
            Self::Tcp(connection) => connection.get(target).await,
        }
    }

    /// Asks for media. Over P2P its body goes on when the connection is lost and made again.
    ///
    /// # Errors
    /// As [`Viewer::get`].
    pub async fn media(&mut self, target: &str) -> Result<Answer, ClientError> {
        match self {
            Self::P2p(session) => session.media(target, None).await?.checked().await,
            Self::Tcp(connection) => connection.get(target).await,
        }
    }

    /// Sends something. It is never sent twice.
    ///
    /// # Errors
    /// As [`Viewer::get`]; [`ClientError::OutcomeUnknown`] if no answer came.
    pub async fn post(&mut self, target: &str, body: &[u8]) -> Result<Answer, ClientError> {
        match self {
            Self::P2p(session) => {
                let request = ClientRequest::post(target, Bytes::copy_from_slice(body));
                session.send(request).await?.checked().await
            }
            Self::Tcp(connection) => connection.post(target, body).await,
        }
    }

    /// Sends something that comes little by little. It is never sent twice.
    ///
    /// # Errors
    /// As [`Viewer::post`].
    pub async fn send(&mut self, target: &str, body: Upload) -> Result<Answer, ClientError> {
        match self {
            Self::P2p(session) => {
                let request = ClientRequest::send(target, body);
                session.send(request).await?.checked().await
            }
            Self::Tcp(connection) => connection.send(target, body).await,
        }
    }

    /// Returns why something broke off in the middle. The device is asked, which may have ended this
    /// viewer's access; if it says nothing, the failure is what is known.
    pub async fn explain(&mut self, failure: ClientError) -> ClientError {
        if !failure.is_break() {
            return failure;
        }
        let asked = async {
            match self {
                Self::P2p(session) => {
                    let answer = session.send(ClientRequest::get(HEALTH)).await?;
                    answer.checked().await
                }
                Self::Tcp(connection) => {
                    let mut again = connection.again().await?;
                    again.get(HEALTH).await
                }
            }
        };
        match tokio::time::timeout(EXPLAIN_TIMEOUT, asked).await {
            Ok(Err(error @ (ClientError::Refused { .. } | ClientError::NotAccepted))) => error,
            _ => failure,
        }
    }

    /// Returns whether the viewer finds out by itself that the device is gone, and dials again.
    pub fn is_kept(&self) -> bool {
        match self {
            Self::P2p(_) => true,
            Self::Tcp(_) => false,
        }
    }

    /// Leaves, so that the device knows at once.
    pub async fn close(&self) {
        if let Self::P2p(session) = self {
            session.close().await;
        }
    }
}
