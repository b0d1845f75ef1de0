//! To a listener of the device: a challenge, and records.

use std::{io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use peercam_proto::{
    cookie,
    credential::{BodyKind, PairingUri, Signed, Transport},
    encoding::exactly,
    sealed::{Exchange, Keys, Opener, Sealer},
};
use peercam_task::boundary;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use zeroize::Zeroizing;

use super::{
    Answer, ClientError, answer_in_time, ask, drive, in_time,
    upload::{self, Upload},
    with_token,
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
/// A longer cookie is not brought back.
const MAX_COOKIE: usize = 256;
/// How long one address may take to be connected to.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A TCP connection to a device, on which requests prove themselves. One request at a time.
pub struct Connection {
    uri: PairingUri,
    address: SocketAddr,
    sender: SendRequest<Upload>,
    /// Owns the connection: dropping it closes it.
    _task: boundary::Task,
    exchange: Exchange,
    challenge: Challenge,
    shared: Zeroizing<[u8; 32]>,
    counter: u32,
    /// The device ended it in place of an answer.
    is_cut_off: bool,
}

/// What goes with a request.
enum Sent<'a> {
    Nothing,
    Whole(&'a [u8]),
    Stream(Upload),
}

/// What the device contributed to this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Challenge {
    binding: [u8; 32],
    device_key: [u8; 32],
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

    /// Asks what costs nothing and may be asked twice.
    async fn prove(&mut self) -> Result<(), ClientError> {
        match self.exchange("GET", "/healthz", Sent::Nothing).await {
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
        let not_it = |_| ClientError::NotTheDevice(address);
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(not_it)?;
        let task = drive(connection);
        let mut request = ask("GET", "/", upload::nothing())?;
        if let Some(cookie) = cookie {
            let headers = request.headers_mut();
            headers.insert(cookie::HEADER, cookie.clone());
        }
        let answer = in_time(sender.send_request(request)).await?;
        let answer = answer.map_err(|error| match is_cut_off(&error) {
            true => Opening::CutOff,
            false => not_it(error).into(),
        })?;
        // The first one is the oldest, and counts first.
        if let (None, Some(given)) = (&cookie, answer.headers().get(cookie::HEADER)) {
            *cookie = Some(given.clone()).filter(|given| given.len() <= MAX_COOKIE);
        }
        let challenge = answer
            .headers()
            .get(header::WWW_AUTHENTICATE)
            .filter(|_| answer.status() == StatusCode::UNAUTHORIZED)
            .and_then(|value| Challenge::parse(value.to_str().ok()?))
            .ok_or(ClientError::NotTheDevice(address))?;
        in_time(finish(answer.into_body())).await??;
        let mut random = Zeroizing::new([0; 32]);
        getrandom::fill(&mut random[..]).map_err(|_| ClientError::Random)?;
        let exchange = Exchange::new(*random);
        let shared = exchange
            .agree(challenge.device_key)
            .ok_or(ClientError::NotTheDevice(address))?;
        Ok(Self {
            uri: uri.clone(),
            address,
            sender,
            _task: task,
            exchange,
            challenge,
            shared,
            counter: 0,
            is_cut_off: false,
        })
    }

    /// The address that it is connected to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Asks for something: `target` is a path with its parameters, without `_token`. If the connection
    /// is cut off before it has proved itself, that is tried once more on another one.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with the device's own reason; any other [`ClientError`] if there
    /// was no authentic answer.
    pub async fn get(&mut self, target: &str) -> Result<Answer, ClientError> {
        let is_first = self.counter == 0;
        let answer = self.exchange("GET", target, Sent::Nothing).await;
        if !(is_first && self.is_cut_off) {
            return answer;
        }
        *self = Self::open_soon(self.address, &self.uri).await?;
        self.exchange("GET", target, Sent::Nothing).await
    }

    /// Sends something in a sealed body. It is never sent twice.
    ///
    /// # Errors
    /// As [`Connection::get`]; [`ClientError::OutcomeUnknown`] if no answer came.
    pub async fn post(&mut self, target: &str, body: &[u8]) -> Result<Answer, ClientError> {
        let sent = self.exchange("POST", target, Sent::Whole(body)).await;
        sent.map_err(ClientError::of_post)
    }

    /// Sends something that comes little by little.
    ///
    /// # Errors
    /// As [`Connection::post`].
    pub async fn send(&mut self, target: &str, body: Upload) -> Result<Answer, ClientError> {
        let sent = self.exchange("POST", target, Sent::Stream(body)).await;
        sent.map_err(ClientError::of_post)
    }

    async fn exchange(
        &mut self,
        method: &'static str,
        target: &str,
        body: Sent<'_>,
    ) -> Result<Answer, ClientError> {
        self.counter += 1;
        let credential = &self.uri.credential;
        let signed = Signed {
            transport: Transport::Tcp,
            device: self.uri.device,
            viewer: None,
            binding: self.challenge.binding,
            device_key: Some(self.challenge.device_key),
            viewer_key: Some(self.exchange.public()),
            counter: self.counter,
            method,
            target,
            range: b"",
            body: match body {
                Sent::Nothing => BodyKind::None,
                Sent::Whole(_) | Sent::Stream(_) => BodyKind::Records,
            },
            credential: credential.text(),
        };
        let token = signed.token(credential);
        let Keys {
            request: sealing,
            response: opening,
        } = Keys::derive(
            &credential.session_key(),
            &self.shared,
            &signed.transcript(),
        );
        let body = match body {
            Sent::Nothing => upload::nothing(),
            Sent::Whole(mut bytes) => upload::whole(Sealer::new(sealing).last(&mut bytes)),
            Sent::Stream(body) => upload::sealed(body, Sealer::new(sealing)),
        };
        let request = ask(method, &with_token(target, &token), body)?;
        let answer = answer_in_time(target, self.sender.send_request(request))
            .await?
            .map_err(|error| {
                self.is_cut_off = is_cut_off(&error);
                ClientError::Broken
            })?;
        // Outside of the records everything is a hint, and this one only says that none will come.
        if answer.status() == StatusCode::UNAUTHORIZED {
            return Err(ClientError::NotAccepted);
        }
        Answer::sealed(answer.into_body(), Opener::response(opening))
            .await?
            .checked()
            .await
    }
}

/// Why a connection was not opened.
enum Opening {
    /// The other end ended it before it answered.
    CutOff,
    /// Anything else.
    Failed(ClientError),
}

impl From<ClientError> for Opening {
    fn from(error: ClientError) -> Self {
        Self::Failed(error)
    }
}

/// Whether the other end ended the connection in place of an answer.
fn is_cut_off(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error);
    let io = source.and_then(|source| source.downcast_ref::<io::Error>());
    let is_reset = io.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionReset);
    error.is_incomplete_message() || error.is_closed() || error.is_canceled() || is_reset
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

/// Reads the rest of a short body, so that the connection can be used again.
async fn finish(mut body: Incoming) -> Result<(), ClientError> {
    use http_body_util::BodyExt;
    const AT_MOST: usize = 4096;
    let mut seen = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ClientError::Broken)?;
        seen += frame.data_ref().map_or(0, Bytes::len);
        if seen > AT_MOST {
            return Err(ClientError::Broken);
        }
    }
    Ok(())
}

impl Challenge {
    /// Reads `Peercam v="1", b="…", d="…"`; parameters that later versions may add are ignored.
    fn parse(text: &str) -> Option<Self> {
        let parameters = text.strip_prefix("Peercam ")?;
        let value = |name: &str| {
            let mut values = parameters.split(',').filter_map(|parameter| {
                let (found, value) = parameter.trim().split_once('=')?;
                let value = value.strip_prefix('"')?.strip_suffix('"')?;
                (found == name).then_some(value)
            });
            let value = values.next();
            value.filter(|_| values.next().is_none())
        };
        let key = |name: &str| exactly(value(name)?);
        (value("v")? == "1").then_some(Self {
            binding: key("b")?,
            device_key: key("d")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_strictly() {
        let key = "REREREREREREREREREREREREREREREREREREREREREQ";
        let good = format!("Peercam v=\"1\", b=\"{key}\", d=\"{key}\"");
        let expected = Challenge {
            binding: [0x44; 32],
            device_key: [0x44; 32],
        };
        assert_eq!(Challenge::parse(&good), Some(expected));
        assert_eq!(
            Challenge::parse(&format!("{good}, x=\"y\"")),
            Some(expected)
        );
        for bad in [
            String::new(),
            good.replace("Peercam", "Basic"),
            good.replace("v=\"1\"", "v=\"2\""),
            good.replace("b=", "c="),
            good.replace('"', ""),
            format!("{good}, d=\"{key}\""),
            good.replace(key, "REQ"),
        ] {
            assert_eq!(Challenge::parse(&bad), None, "{bad}");
        }
    }
}
