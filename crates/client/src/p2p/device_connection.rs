//! One P2P connection to the device, and one QUIC stream of it for each request (RFC 9000 §2).
//!
//! Each request proves itself with a number of its own; the connection's exported keying material
//! (RFC 8446 §7.5) binds the proof to it. Dialling again belongs to `supervisor`.

use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use http_body::Body as _;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use peercam_net::p2p::{CloseReason, Connection, Stream};
use peercam_proto::credential::{
    BodyKind, EXPORTER_LABEL, EndpointId, PairingUri, Signed, Transport,
};
use tokio::sync::watch;

use crate::{
    Answer, ClientError, answer_in_time, drive,
    exchange::{ask, with_token},
    in_time,
    upload::{self, Upload},
};

/// A request to a device.
pub struct ClientRequest<'a> {
    /// `GET`, `HEAD` or `POST`.
    pub method: Method,
    /// Path and parameters, without `_token`.
    pub target: &'a str,
    /// The value of `Range`.
    pub range: Option<HeaderValue>,
    /// The value of `Content-Type`.
    pub content_type: Option<HeaderValue>,
    /// Body of the request.
    pub body: Upload,
}

impl<'a> ClientRequest<'a> {
    /// A request for something.
    pub fn get(target: &'a str) -> Self {
        Self {
            method: Method::GET,
            target,
            range: None,
            content_type: None,
            body: upload::nothing(),
        }
    }

    /// The same once more, if it only asks.
    pub(super) fn again(&self) -> Option<Self> {
        let only_asks = !does_something(&self.method) && self.body.is_end_stream();
        only_asks.then(|| Self {
            method: self.method.clone(),
            range: self.range.clone(),
            ..Self::get(self.target)
        })
    }

    /// Something that is sent.
    pub fn post(target: &'a str, body: Bytes) -> Self {
        Self::send(target, upload::whole(body))
    }

    /// Something that is sent little by little.
    pub fn send(target: &'a str, body: Upload) -> Self {
        Self {
            method: Method::POST,
            target,
            range: None,
            content_type: None,
            body,
        }
    }
}

/// Returns whether a request is never made twice: its effect the first time is not known.
fn does_something(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT)
}

/// One connection to the device, on which requests prove themselves.
pub(super) struct DeviceConnection {
    connection: Connection,
    /// This viewer, as the device sees it.
    viewer: EndpointId,
    /// Keying material that makes the connection one of a kind.
    binding: [u8; 32],
    counter: AtomicU32,
    /// Set once the device has let this viewer in.
    is_authenticated: watch::Sender<bool>,
}

impl DeviceConnection {
    pub(super) fn new(connection: Connection, viewer: EndpointId) -> Result<Self, CloseReason> {
        let binding = connection.export(EXPORTER_LABEL, b"");
        Ok(Self {
            binding: binding
                .ok_or_else(|| CloseReason::Other("it has no keying material".to_owned()))?,
            connection,
            viewer,
            counter: AtomicU32::new(0),
            is_authenticated: watch::Sender::new(false),
        })
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Returns whether the device has let this viewer in.
    pub(super) fn is_authenticated(&self) -> bool {
        *self.is_authenticated.borrow()
    }

    /// Waits until the device has let this viewer in.
    pub(super) async fn authenticated(&self) {
        let mut authenticated = self.is_authenticated.subscribe();
        // Its sender is here.
        let _ = authenticated.wait_for(|is_in| *is_in).await;
    }

    /// Sends a request on a stream of its own and waits for the head of its answer, whatever
    /// that says.
    pub(super) async fn send(
        &self,
        uri: &PairingUri,
        request: ClientRequest<'_>,
    ) -> Result<Answer, ClientError> {
        let does_something = does_something(&request.method);
        // Until there is a stream, nothing has been sent.
        let stream = in_time(self.connection.open()).await?;
        let stream = stream.map_err(ClientError::CloseReason)?;
        let sent = self.exchange(uri, stream, request).await;
        sent.map_err(|error| {
            // Where the connection is gone, that is why.
            let error = match (error, self.connection.close_reason()) {
                (ClientError::Broken, Some(lost)) => ClientError::CloseReason(lost),
                (error, _) => error,
            };
            match error {
                // That is the device's own word here, and it did nothing.
                ClientError::NotAccepted => error,
                error if does_something => error.of_post(),
                error => error,
            }
        })
    }

    async fn exchange(
        &self,
        uri: &PairingUri,
        stream: Stream,
        ClientRequest {
            method,
            target,
            range,
            content_type,
            body,
        }: ClientRequest<'_>,
    ) -> Result<Answer, ClientError> {
        let credential = &uri.credential;
        let signed = Signed {
            transport: Transport::P2p,
            device: uri.device,
            viewer: Some(self.viewer),
            binding: self.binding,
            device_key: None,
            viewer_key: None,
            // Numbers count from 1, and one is taken when its stream is there: they arrive in
            // about this order.
            counter: 1 + self.counter.fetch_add(1, Ordering::Relaxed),
            method: method.as_str(),
            target,
            range: range.as_ref().map_or(b"", |range| range.as_bytes()),
            body: if body.is_end_stream() {
                BodyKind::None
            } else {
                BodyKind::Plain
            },
            credential: credential.text(),
        };
        let token = signed.token(credential);
        let mut request = ask(method.as_str(), &with_token(target, &token), body)?;
        let trailers = HeaderValue::from_static("trailers");
        request.headers_mut().insert(header::TE, trailers);
        for (name, value) in [(header::RANGE, range), (header::CONTENT_TYPE, content_type)] {
            if let Some(value) = value {
                request.headers_mut().insert(name, value);
            }
        }
        let (mut sender, driver) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|_| ClientError::Broken)?;
        let driver = drive(driver);
        let response = answer_in_time(target, sender.send_request(request)).await?;
        let response = response.map_err(|_| ClientError::Broken)?;
        if response.status() == StatusCode::UNAUTHORIZED {
            return Err(ClientError::NotAccepted);
        }
        if !matches!(
            response.status(),
            StatusCode::FORBIDDEN | StatusCode::SERVICE_UNAVAILABLE
        ) {
            self.is_authenticated
                .send_if_modified(|is_in| !std::mem::replace(is_in, true));
        }
        Ok(Answer::plain(response, driver))
    }
}
