//! Viewers over P2P: the client library, and one whose every byte a test can bend.

use std::sync::{Arc, Mutex};

use peercam_client::p2p::{Identity, OnFeedback, Options, Session};
use peercam_net::p2p::{CloseReason, Connection, Endpoint, Hints, Relays, Role};
use peercam_proto::{
    credential::{BodyKind, EndpointId, PairingUri, Secret, Signed, Transport},
    feedback::Feedback,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    paired::Device,
    support::{Answer, HANG},
};

/// A device with P2P on a free port.
pub(crate) fn device(extra: &str) -> Device {
    Device::start(&format!("[p2p]\nport = 0\n{extra}"))
}

/// A session of the client library.
pub(crate) async fn session(uri: &PairingUri) -> Session {
    session_with(uri, Identity::random().unwrap(), None).await
}

pub(crate) async fn session_with(
    uri: &PairingUri,
    identity: Identity,
    on_feedback: Option<Arc<dyn OnFeedback>>,
) -> Session {
    let options = Options {
        identity,
        relay_authorities: None,
        on_feedback,
    };
    let session = Session::open(uri.clone(), options).await.unwrap();
    session.connected().await.unwrap();
    session
}

/// Keeps what a device says.
#[derive(Default)]
pub(crate) struct PlayedAudio(Mutex<Vec<String>>);

impl PlayedAudio {
    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl OnFeedback for PlayedAudio {
    fn on_feedback(&self, message: &Feedback) -> bool {
        self.0.lock().unwrap().push(message.text().to_owned());
        true
    }
}

/// A peer that dials and then does as it likes.
pub(crate) struct RawPeer {
    /// Dropping it would close its connections.
    _endpoint: Endpoint,
    pub(crate) id: EndpointId,
    pub(crate) connection: Connection,
}

pub(crate) async fn endpoint(key: u8) -> Endpoint {
    bound(key, Role::Viewer).await
}

/// An endpoint that is dialled, and nothing else of a device.
pub(crate) async fn device_endpoint(key: u8) -> Endpoint {
    let send_window = peercam_net::p2p::SEND_WINDOW;
    bound(key, Role::Device { send_window }).await
}

async fn bound(key: u8, role: Role) -> Endpoint {
    let key = Secret::new([key; 32]);
    Endpoint::bind(&key, role, 0, &Relays::default())
        .await
        .unwrap()
}

impl RawPeer {
    pub(crate) async fn dial(uri: &PairingUri, key: u8) -> Self {
        let endpoint = endpoint(key).await;
        let connection = Self::dial_from(&endpoint, uri).await.unwrap();
        Self {
            id: endpoint.id(),
            _endpoint: endpoint,
            connection,
        }
    }

    pub(crate) async fn dial_from(
        endpoint: &Endpoint,
        uri: &PairingUri,
    ) -> Result<Connection, CloseReason> {
        let hints = Hints {
            relays: Vec::new(),
            addresses: uri.udp.clone(),
        };
        endpoint.dial(uri.device, &hints).await
    }

    /// The target with a token for this connection.
    pub(crate) fn signed(
        &self,
        uri: &PairingUri,
        counter: u32,
        (method, target): (&str, &str),
        body: BodyKind,
    ) -> String {
        let binding = self.connection.export(b"EXPORTER-peercam-http/1", b"");
        let signed = Signed {
            transport: Transport::P2p,
            device: uri.device,
            viewer: Some(self.id),
            binding: binding.unwrap(),
            device_key: None,
            viewer_key: None,
            counter,
            method,
            target,
            range: b"",
            body,
            credential: uri.credential.text(),
        };
        let token = signed.token(&uri.credential);
        match target.split_once('?') {
            None => format!("{target}?_token={token}"),
            Some((path, rest)) => format!("{path}?_token={token}&{rest}"),
        }
    }

    /// Asks for something with a token.
    pub(crate) async fn get(&self, uri: &PairingUri, counter: u32, target: &str) -> Option<Answer> {
        let target = self.signed(uri, counter, ("GET", target), BodyKind::None);
        self.raw(&format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"))
            .await
    }

    /// Sends text on a stream of its own and reads to the end of the answer; `None` if there is
    /// none.
    pub(crate) async fn raw(&self, text: &str) -> Option<Answer> {
        let mut stream = tokio::time::timeout(HANG, self.connection.open())
            .await
            .expect("it does not hang")
            .ok()?;
        stream.write_all(text.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        let read = tokio::time::timeout(HANG, stream.read_to_end(&mut answer)).await;
        // What came before a break still counts.
        let _ = read.expect("it does not hang");
        Answer::parse(&answer)
    }
}
