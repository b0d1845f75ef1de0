//! Commands that makers defined, handed to a program on the device.

use std::{fmt, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use peercam_hal::BoxFuture;
use peercam_net::{Address, ClientStream, DialError, ExchangeError, Limits, dial, request_once};
use peercam_proto::{
    command::{CustomCommand, MAX_REPLY},
    credential::Scope,
    error::{Error, ErrorKind},
    media::ChannelId,
};
use serde_json::json;
use tokio::time::Instant;

use super::presence::{Presence, is_absence};
use crate::{
    access::Caller,
    device::{CustomHandler, HandlerFailure},
};

/// Address of a program on the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebhookAddress {
    /// HTTP on loopback: address and path.
    Http(SocketAddr, String),
    /// HTTP on a Unix socket.
    Unix(PathBuf),
}

/// A program on the device that does commands.
///
/// It is sent `POST` with `{"name":…,"cmd":…,"channel":…,"caller":…,"scopes":[…],"issuer":…,
/// "credential":…}`, where `cmd` is JSON, written anew from what came, or other text as it came, and
/// the last two are null where nothing had to be proved. It answers 200 with what the viewer is told:
/// at most 16 KiB of text.
#[derive(Clone, Debug)]
pub struct CommandWebhook {
    address: Arc<WebhookAddress>,
    timeout: Duration,
    presence: Arc<Presence>,
}

impl CommandWebhook {
    /// The program at this address, which has so long to answer.
    pub fn new(address: WebhookAddress, timeout: Duration) -> Self {
        Self {
            address: Arc::new(address),
            timeout,
            presence: Arc::default(),
        }
    }

    /// Looks whether the program is there, without connecting to it.
    pub async fn check(&self) {
        self.presence.look(&self.address).await;
    }

    /// Connects to the program, and notes whether it is there, if that tells.
    async fn dial(&self, deadline: Instant) -> Result<ClientStream, DialError> {
        let address = match &*self.address {
            WebhookAddress::Http(address, _) => Address::from(*address),
            WebhookAddress::Unix(path) => Address::Unix(path.clone()),
        };
        let dialled = dial(&address, deadline).await;
        match &dialled {
            Ok(_) => self.presence.reached(),
            Err(DialError::Io(error)) if is_absence(error) => {
                let reason = error.to_string();
                if self.presence.missed(&self.address, reason).await {
                    tracing::warn!(address = %self.address, %error, "a program that does commands is not there");
                }
            }
            Err(_) => {}
        }
        dialled
    }

    async fn ask(&self, text: String) -> Result<String, Error> {
        let (host, path) = match &*self.address {
            WebhookAddress::Http(address, path) => (&*address.to_string(), &**path),
            WebhookAddress::Unix(_) => ("localhost", "/"),
        };
        let limits = Limits {
            body: Some(MAX_REPLY),
            deadline: Instant::now() + self.timeout,
        };
        let stream = self.dial(limits.deadline).await;
        let stream = stream.map_err(|error| match error {
            DialError::Timeout => self.silent(),
            DialError::Io(error) => not_there(&error),
        })?;
        let request = Request::post(path)
            .header(header::HOST, host)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONNECTION, "close")
            .body(Bytes::from(text))
            .map_err(|_| broken())?;
        let answer = request_once(stream, request, limits).await;
        let (head, body) = answer
            .map_err(|error| match error {
                ExchangeError::Timeout => self.silent(),
                _ => broken(),
            })?
            .into_parts();
        if head.status != StatusCode::OK {
            let status = head.status;
            let reason = format!("the program on the device that does this refused it ({status})");
            return Err(Error::new(ErrorKind::BadAnswer, reason));
        }
        let text = std::str::from_utf8(&body).map_err(|_| broken())?;
        Ok(text.trim_end_matches('\0').to_owned())
    }

    fn silent(&self) -> Error {
        let reason = format!(
            "the program on the device that does this did not answer within {} s",
            self.timeout.as_secs_f64()
        );
        Error::new(ErrorKind::NoAnswer, reason)
    }
}

impl CustomHandler for CommandWebhook {
    fn handle<'a>(
        &'a self,
        caller: &'a Caller,
        channel: ChannelId,
        command: &'a CustomCommand,
    ) -> BoxFuture<'a, Result<String, Error>> {
        let holder = caller.holder();
        let scopes: Vec<_> = caller.scopes().iter().map(Scope::as_str).collect();
        let text = json!({
            "name": command.name(),
            "cmd": command.text,
            "channel": channel.0,
            "caller": caller.name(),
            "scopes": scopes,
            "issuer": holder.map(|holder| &*holder.issuer),
            "credential": holder.map(|holder| holder.claims.id.to_string()),
        });
        Box::pin(async move {
            let answer = self.ask(text.to_string()).await;
            if let Err(error) = &answer {
                tracing::warn!(
                    name = command.name(),
                    reason = error.reason(),
                    "a command was not done"
                );
            }
            answer
        })
    }

    fn failure(&self) -> Option<HandlerFailure> {
        let reason = self.presence.absence()?;
        Some(HandlerFailure {
            what: "the program that does these commands is not there".to_owned(),
            place: format!("{}: {reason}", self.address),
        })
    }
}

impl fmt::Display for WebhookAddress {
    /// Writes the address without the path of a URL, which may have a password in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(address, _) => write!(f, "http://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

fn not_there(error: &std::io::Error) -> Error {
    let reason = format!("the program on the device that does this is not there ({error})");
    Error::new(ErrorKind::BadAnswer, reason)
}

fn broken() -> Error {
    let reason =
        "the program on the device that does this gave no answer of at most 16 KiB of text";
    Error::new(ErrorKind::BadAnswer, reason)
}
