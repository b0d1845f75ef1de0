//! Commands that makers defined, handed to a program on the device.

use std::{
    fmt, net::SocketAddr, os::unix::fs::FileTypeExt, path::PathBuf, sync::Arc, time::Duration,
};

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
use peercam_task::boundary::{self, Guarded, Part};
use serde_json::json;
use tokio::time::Instant;

use crate::{
    access::Caller,
    device::{CustomHandler, HandlerFailure},
};

/// Timeout of a look for a program.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

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
    presence: Arc<Guarded<Presence>>,
}

/// Presence of a program, as far as whoever last looked for it knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Presence {
    #[default]
    Unknown,
    Present,
    /// Absence, for this reason: nobody listens.
    Absent(String),
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

    /// Looks whether the program is there, at the least cost to it: a connection is made while that is
    /// not known, or it was absent. Of one that was there the socket's file is looked at, and the
    /// next command tells the rest.
    pub async fn check(&self) {
        let known = self.presence.lock().clone();
        let now = match (&*self.address, known) {
            (WebhookAddress::Http(..), Presence::Present) => return,
            (WebhookAddress::Unix(path), Presence::Present) => socket_presence(path.clone()).await,
            _ => {
                // What this finds is noted.
                let _ = self.dial(Instant::now() + CHECK_TIMEOUT).await;
                return;
            }
        };
        *self.presence.lock() = now;
    }

    /// Connects to the program, and notes whether it is there.
    async fn dial(&self, deadline: Instant) -> Result<ClientStream, DialError> {
        let address = match &*self.address {
            WebhookAddress::Http(address, _) => Address::from(*address),
            WebhookAddress::Unix(path) => Address::Unix(path.clone()),
        };
        let dialled = dial(&address, deadline).await;
        let presence = match &dialled {
            Ok(_) => Presence::Present,
            Err(error) => Presence::Absent(error.to_string()),
        };
        let before = std::mem::replace(&mut *self.presence.lock(), presence.clone());
        match &presence {
            Presence::Absent(reason) if !matches!(before, Presence::Absent(_)) => {
                tracing::warn!(address = %self.address, reason, "a program that does commands is not there");
            }
            _ => {}
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
        let Presence::Absent(reason) = self.presence.lock().clone() else {
            return None;
        };
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

/// Presence of a program, by the file of its socket.
async fn socket_presence(path: PathBuf) -> Presence {
    let look = move || std::fs::metadata(path);
    match boundary::blocking(Part::Service, "a handler's socket", look).await {
        Ok(Ok(metadata)) if metadata.file_type().is_socket() => Presence::Present,
        Ok(Ok(_)) => Presence::Absent("it is no socket".to_owned()),
        Ok(Err(error)) => Presence::Absent(error.to_string()),
        Err(_) => Presence::Unknown,
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
