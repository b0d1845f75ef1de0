//! An authenticated exchange with a device's listener, over any stream: a challenge, a proof, and
//! sealed requests and answers.
//!
//! The caller makes the stream, polls the driver and bounds each wait: no socket, clock or file is
//! known here, and a test holds that. What is not sealed with the credential's keys is a hint only.

mod body;
mod challenge;
mod request;

use std::io;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use peercam_proto::{
    cookie,
    credential::{BodyKind, Credential, EndpointId, Signed, Transport},
    sealed::{self, Head, Keys, Opener, Sealer},
};
use tokio::io::{AsyncRead, AsyncWrite};
use zeroize::Zeroizing;

use crate::upload::{self, Upload};

pub use body::Body;
use challenge::Challenge;
pub(crate) use request::{ask, with_token};

/// The longest cookie that is brought back, in bytes.
const MAX_COOKIE: usize = 256;
/// The longest body of a challenge, in bytes.
const MAX_CHALLENGE: usize = 4096;

/// Failure to get a challenge. Nothing that depends on the credential was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    /// The other end closed the stream in place of an answer: a device has no place for it now.
    #[error("the stream was closed in place of a challenge")]
    CutOff,
    /// The other end is no listener with `access = "token"`.
    #[error("the other end gives no challenge")]
    NotTheDevice,
    /// The challenge broke off, or goes on and on.
    #[error("the challenge was cut off, or is too long")]
    Broken,
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

/// Failure to get an authentic answer, or the rest of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The other end closed the stream in place of an answer.
    #[error("the stream was closed in place of an answer")]
    CutOff,
    /// The proof was not accepted, or somebody in between says so.
    #[error("the credential is not accepted")]
    NotAccepted,
    /// The bytes are not those that the device sealed.
    #[error("the answer was cut off or changed on its way")]
    Broken,
    /// The request cannot be written.
    #[error("the request cannot be written: {0}")]
    BadTarget(&'static str),
}

/// Begins HTTP on a stream. The second value drives the stream: it must be polled, by a task as a
/// rule, and closes the stream when it is dropped.
///
/// # Errors
/// [`ChallengeError::NotTheDevice`].
pub async fn begin<T>(
    stream: T,
) -> Result<(Unproven, impl Future<Output = ()> + Send + use<T>), ChallengeError>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|_| ChallengeError::NotTheDevice)?;
    // How it ended is seen by whoever waits for an answer.
    let driver = async { drop(connection.await) };
    Ok((Unproven { sender }, driver))
}

/// A stream on which nothing was asked yet.
pub struct Unproven {
    sender: SendRequest<Upload>,
}

impl Unproven {
    /// Asks for the challenge. A `cookie` that the same listener gave on an earlier stream makes it
    /// keep this one where strangers flood it.
    ///
    /// # Errors
    /// [`ChallengeError`].
    pub async fn challenge(
        mut self,
        device: EndpointId,
        credential: Credential,
        cookie: Option<&HeaderValue>,
    ) -> Result<Requester, ChallengeError> {
        let mut request =
            ask("GET", "/", upload::nothing()).map_err(|_| ChallengeError::NotTheDevice)?;
        if let Some(cookie) = cookie {
            let headers = request.headers_mut();
            headers.insert(cookie::HEADER, cookie.clone());
        }
        let answer = self.sender.send_request(request).await.map_err(|error| {
            if is_cut_off(&error) {
                ChallengeError::CutOff
            } else {
                ChallengeError::NotTheDevice
            }
        })?;
        let cookie = answer.headers().get(cookie::HEADER);
        let cookie = cookie.filter(|cookie| cookie.len() <= MAX_COOKIE).cloned();
        let challenge = answer
            .headers()
            .get(header::WWW_AUTHENTICATE)
            .filter(|_| answer.status() == StatusCode::UNAUTHORIZED)
            .and_then(|value| Challenge::parse(value.to_str().ok()?))
            .ok_or(ChallengeError::NotTheDevice)?;
        finish(answer.into_body()).await?;
        let mut random = Zeroizing::new([0; 32]);
        getrandom::fill(&mut random[..]).map_err(|_| ChallengeError::Random)?;
        let exchange = sealed::Exchange::new(*random);
        let shared = exchange
            .agree(challenge.device_key)
            .ok_or(ChallengeError::NotTheDevice)?;
        Ok(Requester {
            sender: self.sender,
            device,
            credential,
            cookie,
            viewer_key: exchange.public(),
            challenge,
            shared,
            counter: 0,
        })
    }
}

/// The viewer's end of a stream whose challenge is known: each request proves the credential. One
/// request at a time.
pub struct Requester {
    sender: SendRequest<Upload>,
    device: EndpointId,
    credential: Credential,
    cookie: Option<HeaderValue>,
    viewer_key: [u8; 32],
    challenge: Challenge,
    shared: Zeroizing<[u8; 32]>,
    counter: u32,
}

/// The body of a request.
pub enum Payload<'a> {
    /// None.
    Nothing,
    /// Bytes that are there.
    Whole(&'a [u8]),
    /// Bytes that come little by little.
    Stream(Upload),
}

impl Requester {
    /// The cookie that came with the challenge.
    pub fn cookie(&self) -> Option<&HeaderValue> {
        self.cookie.as_ref()
    }

    /// Number of requests that were made.
    pub fn requests(&self) -> u32 {
        self.counter
    }

    /// Sends a request and waits until its answer begins. `target` is a path with its parameters,
    /// without `_token`.
    ///
    /// # Errors
    /// [`RequestError`]. What a request that carries something did is not known then, except
    /// after [`RequestError::BadTarget`].
    pub async fn request(
        &mut self,
        method: &Method,
        target: &str,
        payload: Payload<'_>,
    ) -> Result<Unopened, RequestError> {
        self.counter += 1;
        let credential = &self.credential;
        let signed = Signed {
            transport: Transport::Tcp,
            device: self.device,
            viewer: None,
            binding: self.challenge.binding,
            device_key: Some(self.challenge.device_key),
            viewer_key: Some(self.viewer_key),
            counter: self.counter,
            method: method.as_str(),
            target,
            range: b"",
            body: match payload {
                Payload::Nothing => BodyKind::None,
                Payload::Whole(_) | Payload::Stream(_) => BodyKind::Records,
            },
            credential: credential.text(),
        };
        let token = signed.token(credential);
        let keys = Keys::derive(
            &credential.session_key(),
            &self.shared,
            &signed.transcript(),
        );
        let body = match payload {
            Payload::Nothing => upload::nothing(),
            Payload::Whole(mut bytes) => upload::whole(Sealer::new(keys.request).last(&mut bytes)),
            Payload::Stream(body) => request::sealed(body, Sealer::new(keys.request)),
        };
        let request = ask(method.as_str(), &with_token(target, &token), body)?;
        let answer = self.sender.send_request(request).await.map_err(|error| {
            if is_cut_off(&error) {
                RequestError::CutOff
            } else {
                RequestError::Broken
            }
        })?;
        // Outside of the records everything is a hint, and this one only says that none will come.
        if answer.status() == StatusCode::UNAUTHORIZED {
            return Err(RequestError::NotAccepted);
        }
        let opener = Opener::response(keys.response);
        Ok(Unopened(Body::new(answer.into_body(), opener)))
    }
}

/// An answer that has begun, of which nothing is authentic yet.
pub struct Unopened(Body);

impl Unopened {
    /// Waits for the sealed head. Status and headers are those that the device sealed.
    ///
    /// # Errors
    /// [`RequestError::Broken`].
    pub async fn head(mut self) -> Result<Response<Body>, RequestError> {
        let Head { status, headers } = self.0.head().await?;
        let headers = headers.iter().filter_map(|(name, value)| {
            Some((
                HeaderName::from_bytes(name.as_bytes()).ok()?,
                HeaderValue::from_str(value).ok()?,
            ))
        });
        let headers: HeaderMap = headers.collect();
        let mut response = Response::new(self.0);
        *response.status_mut() = StatusCode::from_u16(status).map_err(|_| RequestError::Broken)?;
        *response.headers_mut() = headers;
        Ok(response)
    }
}

/// Returns whether the other end closed the stream in place of an answer.
fn is_cut_off(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error);
    let io = source.and_then(|source| source.downcast_ref::<io::Error>());
    let is_reset = io.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionReset);
    error.is_incomplete_message() || error.is_closed() || error.is_canceled() || is_reset
}

/// Reads the rest of a short body, so that the stream can be used again.
async fn finish(mut body: Incoming) -> Result<(), ChallengeError> {
    let mut seen = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ChallengeError::Broken)?;
        seen += frame.data_ref().map_or(0, Bytes::len);
        if seen > MAX_CHALLENGE {
            return Err(ChallengeError::Broken);
        }
    }
    Ok(())
}
