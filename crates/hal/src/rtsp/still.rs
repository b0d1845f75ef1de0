//! The still that a camera gives over HTTP.
//!
//! Its URL is fetched as it stands: no redirect is followed, so that user and password go to the host
//! that was configured and no other.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_auth::{ChallengeParser, DigestClient, PasswordParams};
use http_body_util::{BodyExt, Empty};
use hyper::{
    body::{Body, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use peercam_proto::text;
use peercam_task::boundary::Guarded;
use tokio::{net::TcpStream, time::Instant};
use url::{Host, Url};

use super::Credentials;
use crate::{BoxFuture, HalError, Snapshot};

/// A camera that refused the password is not asked again for so long: many lock the account after some
/// tries.
const REFUSED: Duration = Duration::from_secs(60);
/// The same for a check, which nobody waits for: else the lock would never end.
const CHECK_REFUSED: Duration = Duration::from_mins(10);
/// First bytes of a JPEG.
const START_OF_IMAGE: [u8; 2] = [0xff, 0xd8];
/// The largest head of an answer.
const HEAD: usize = 16 << 10;
/// Characters of a camera's own words that are shown.
const MAX_WORDS: usize = 200;

/// A camera's still. Whoever asks bounds the time.
pub(super) struct HttpStill {
    url: Url,
    credentials: Option<Credentials>,
    /// A larger one is not read to its end, in bytes.
    largest: usize,
    refused: Guarded<Option<Instant>>,
    /// End of the time in which no check asks it.
    left_alone: Guarded<Option<Instant>>,
    /// Set if the last that it was asked for was the beginning of a JPEG at least.
    is_fine: AtomicBool,
    /// Set if the camera has offered Digest: it gets its password in clear no more, as who is between could ask for it.
    has_digest: AtomicBool,
    has_warned: AtomicBool,
    /// Set if it was said where it redirects to.
    has_told: AtomicBool,
}

/// Answer of a camera.
enum Answer {
    /// The still, or what it says to be it.
    Still(Bytes),
    /// The camera wants to know who asks, and is at this address.
    WhoAsks(HeaderMap, SocketAddr),
}

/// Part of a still that somebody wants.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Still,
    /// The first bytes, by which it can be told that it is one.
    Start,
}

impl HttpStill {
    pub(super) fn new(url: Url, credentials: Option<Credentials>, largest: usize) -> Self {
        Self {
            url,
            credentials,
            largest,
            refused: Guarded::default(),
            left_alone: Guarded::default(),
            is_fine: AtomicBool::new(false),
            has_digest: AtomicBool::new(false),
            has_warned: AtomicBool::new(false),
            has_told: AtomicBool::new(false),
        }
    }

    /// Looks whether it would give a still: connects, and unless the last one was fine, has it begin one
    /// and goes.
    pub(super) async fn check(&self) -> Result<(), HalError> {
        let now = Instant::now();
        if self.is_fine.load(Ordering::Relaxed) {
            let connected = self.connect(None).await;
            self.is_fine.store(connected.is_ok(), Ordering::Relaxed);
            return connected.map(|_| ());
        }
        if self.left_alone.lock().is_some_and(|until| until > now) {
            return Err(failed("it refuses user and password (401)"));
        }
        let begun = self.fetch(Wanted::Start).await;
        let is_refused = self.refused.lock().is_some_and(|until| until > now);
        *self.left_alone.lock() = is_refused.then_some(now + CHECK_REFUSED);
        match begun {
            Ok(_) if !self.is_fine.load(Ordering::Relaxed) => {
                Err(failed("what it gives is no JPEG"))
            }
            begun => begun.map(|_| ()),
        }
    }

    async fn fetch(&self, wanted: Wanted) -> Result<Bytes, HalError> {
        let fetched = self.ask(wanted).await;
        let is_jpeg = |still: &Bytes| still.starts_with(&START_OF_IMAGE);
        let is_fine = fetched.as_ref().is_ok_and(is_jpeg);
        self.is_fine.store(is_fine, Ordering::Relaxed);
        fetched
    }

    async fn ask(&self, wanted: Wanted) -> Result<Bytes, HalError> {
        let until = *self.refused.lock();
        if let Some(until) = until.filter(|until| *until > Instant::now()) {
            let left = (until - Instant::now()).as_secs() + 1;
            return Err(failed(format!(
                "it refused user and password (401), and is asked again in {left} s"
            )));
        }
        let (asked, address) = match self.exchange(None, wanted).await? {
            Answer::Still(still) => return Ok(still),
            Answer::WhoAsks(asked, address) => (asked, address),
        };
        let Some(credentials) = &self.credentials else {
            let reason = "it asks for a user and a password (401), and was given none";
            return Err(failed(reason));
        };
        let shown = self.show(credentials, &asked, is_near(address.ip()))?;
        // Its name could lead elsewhere by now.
        match self.exchange(Some((shown, address)), wanted).await? {
            Answer::Still(still) => Ok(still),
            Answer::WhoAsks(..) => {
                *self.refused.lock() = Some(Instant::now() + REFUSED);
                Err(failed("it refuses user and password (401)"))
            }
        }
    }

    /// User and password as the camera asks for them: by Digest if it offers that or ever did, whether
    /// its offer can be read or not; and never in clear to somewhere on the internet.
    fn show(
        &self,
        credentials: &Credentials,
        asked: &HeaderMap,
        is_near: bool,
    ) -> Result<HeaderValue, HalError> {
        let offers = asked.get_all(header::WWW_AUTHENTICATE).iter();
        let offers = offers.filter_map(|offer| offer.to_str().ok());
        let offers = offers.flat_map(|offer| ChallengeParser::new(offer).flatten());
        let (mut digests, mut has_basic) = (Vec::new(), false);
        for offer in offers {
            has_basic |= offer.scheme.eq_ignore_ascii_case("basic");
            if offer.scheme.eq_ignore_ascii_case("digest") {
                digests.extend(DigestClient::try_from(&offer));
            }
        }
        let (user, password) = (&*credentials.user, credentials.password.expose());
        let shown = match digests.first_mut() {
            Some(digest) => digest
                .respond(&PasswordParams {
                    username: user,
                    password,
                    uri: self.target(),
                    method: "GET",
                    body: Some(&[]),
                })
                .map_err(|_| failed("its way to ask for a password (Digest) is not known"))?,
            None if digest_offers(asked).any(|offer| !offer.as_bytes().is_ascii()) => {
                return Err(failed(
                    "what it asks for a password with (Digest) is not plain ASCII; rename its realm, which may be the camera's name",
                ));
            }
            None if digest_offers(asked).next().is_some() => {
                return Err(failed(
                    "its way to ask for a password (Digest) is not known",
                ));
            }
            None if has_basic && self.has_digest.load(Ordering::Relaxed) => {
                return Err(failed(
                    "it asks for its password in clear (Basic), and asked by Digest before; if that is as it should be, start peercam again",
                ));
            }
            None if has_basic && is_near => {
                if !self.has_warned.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        camera = super::shown(&self.url),
                        "the camera asks for its password in clear (Basic) and gets it: whoever is on the way reads it"
                    );
                }
                http_auth::basic::encode_credentials(user, password)
            }
            None if has_basic => {
                return Err(failed(
                    "it asks for its password in clear (Basic), which is not sent over the internet; have it ask by Digest",
                ));
            }
            None => {
                return Err(failed(
                    "it asks for a user in a way that is not known (401)",
                ));
            }
        };
        let mut shown =
            HeaderValue::try_from(shown).map_err(|_| failed("user or password is no text"))?;
        shown.set_sensitive(true);
        Ok(shown)
    }

    /// Path and query.
    fn target(&self) -> &str {
        &self.url[url::Position::BeforePath..url::Position::AfterQuery]
    }

    /// Connects to this address, or to wherever the host's name leads.
    async fn connect(&self, address: Option<SocketAddr>) -> Result<TcpStream, HalError> {
        let port = self.url.port_or_known_default().unwrap_or(80);
        let connected = match (address, self.url.host()) {
            (Some(address), _) => TcpStream::connect(address).await,
            (None, Some(Host::Ipv4(address))) => TcpStream::connect((address, port)).await,
            (None, Some(Host::Ipv6(address))) => TcpStream::connect((address, port)).await,
            (None, Some(Host::Domain(name))) => TcpStream::connect((name, port)).await,
            (None, None) => return Err(failed("its URL has no host")),
        };
        connected.map_err(|error| failed(format!("it cannot be reached: {error}")))
    }

    /// Asks once, on a connection of its own; user and password go to the address that they are for.
    async fn exchange(
        &self,
        shown: Option<(HeaderValue, SocketAddr)>,
        wanted: Wanted,
    ) -> Result<Answer, HalError> {
        let (shown, address) = shown.unzip();
        let stream = self.connect(address).await?;
        let address = stream.peer_addr();
        let address = address.map_err(|error| failed(format!("it cannot be reached: {error}")))?;
        let broken = |error: hyper::Error| {
            let words = text::line(&error.to_string(), MAX_WORDS);
            failed(format!("its answer broke off: {words}"))
        };
        let (mut sender, driver) = http1::Builder::new()
            .max_buf_size(HEAD)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        let host = &self.url[url::Position::BeforeHost..url::Position::AfterPort];
        let mut request = Request::get(self.target())
            .header(header::HOST, host)
            .header(header::ACCEPT, "image/jpeg")
            .header(
                header::USER_AGENT,
                concat!("peercam/", env!("CARGO_PKG_VERSION")),
            )
            .header(header::CONNECTION, "close");
        if let Some(shown) = shown {
            request = request.header(header::AUTHORIZATION, shown);
        }
        let request = request.body(Empty::<Bytes>::new());
        let request = request.map_err(|_| failed("its URL cannot be asked for"))?;
        let answer = async {
            let response = sender.send_request(request).await.map_err(broken)?;
            if digest_offers(response.headers()).next().is_some() {
                self.has_digest.store(true, Ordering::Relaxed);
            }
            match response.status() {
                StatusCode::OK => self.read(response, wanted).await.map(Answer::Still),
                StatusCode::UNAUTHORIZED => {
                    Ok(Answer::WhoAsks(response.headers().clone(), address))
                }
                StatusCode::NOT_FOUND => Err(failed(
                    "it has no such still (404); the path of its URL is wrong",
                )),
                status if status.is_redirection() => Err(self.redirected(&response)),
                status => Err(failed(format!(
                    "it refuses the request ({})",
                    status.as_u16()
                ))),
            }
        };
        tokio::select! {
            answer = answer => answer,
            // It ends with the connection only, and then the answer tells.
            never = async { drop(driver.await); std::future::pending().await } => never,
        }
    }

    async fn read(&self, response: Response<Incoming>, wanted: Wanted) -> Result<Bytes, HalError> {
        let mut body = response.into_body();
        let most = self.largest;
        let endless = || failed(format!("the still does not end after {most} bytes"));
        if body.size_hint().lower() > most as u64 {
            return Err(endless());
        }
        let room = match wanted {
            // It never grows into another one, and takes no more than is written to it.
            Wanted::Still => most,
            Wanted::Start => 0,
        };
        let mut still = Vec::with_capacity(room);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| failed("the still broke off"))?;
            let data = frame.into_data().unwrap_or_default();
            if still.len() + data.len() > most {
                return Err(endless());
            }
            still.extend_from_slice(&data);
            if wanted == Wanted::Start && still.len() >= START_OF_IMAGE.len() {
                break;
            }
        }
        still.shrink_to_fit();
        Ok(still.into())
    }

    /// Logs where a redirect goes, and makes an error that does not say it: a viewer is to learn of no other host. What may be secret in it is for
    /// nobody.
    fn redirected(&self, response: &Response<Incoming>) -> HalError {
        if !self.has_told.swap(true, Ordering::Relaxed) {
            let to = response.headers().get(header::LOCATION);
            let to = to.and_then(|to| self.url.join(to.to_str().ok()?).ok());
            let to = to.map_or_else(
                || "somewhere".to_owned(),
                |to| text::line(&to.origin().ascii_serialization(), MAX_WORDS),
            );
            tracing::warn!(
                camera = super::shown(&self.url),
                to,
                "the camera redirects who asks for its still, which is not followed: the URL is to name the still itself"
            );
        }
        let status = response.status().as_u16();
        failed(format!(
            "it redirects ({status}), which is not followed; the log says where to, and the URL is to name the still itself"
        ))
    }
}

impl Snapshot for HttpStill {
    fn capture(&self) -> BoxFuture<'_, Result<Bytes, HalError>> {
        Box::pin(self.fetch(Wanted::Still))
    }
}

/// Reads the address of a still.
///
/// # Errors
/// What is wrong with it, as a sentence.
pub fn parse_jpeg_url(text: &str) -> Result<Url, String> {
    const NEEDED: &str = "\"http://HOST[:PORT]/PATH\" is needed";
    let url = Url::parse(text).map_err(|error| format!("{NEEDED}: {error}"))?;
    if url.scheme() == "https" {
        return Err("HTTP over TLS (https) is not supported; http is".to_owned());
    }
    if url.scheme() != "http" {
        return Err(NEEDED.to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "a URL is logged, so user and password belong in keys of their own, user and password"
                .to_owned(),
        );
    }
    Ok(url)
}

/// Reads the address of a still of a camera that has another address too.
///
/// # Errors
/// What is wrong with it, as a sentence.
pub fn parse_still_url(text: &str, camera: &Url) -> Result<Url, String> {
    let url = parse_jpeg_url(text)?;
    // The camera's password goes there.
    let is_same = match (url.host(), camera.host()) {
        // What is no scheme of the web keeps its host as it is written.
        (Some(host), Some(other)) => host.to_string().eq_ignore_ascii_case(&other.to_string()),
        _ => false,
    };
    if is_same {
        Ok(url)
    } else {
        Err("it must be at the host of url, because the camera's password goes there".to_owned())
    }
}

/// The offers in which there is one of Digest, as far as bytes tell: also where it cannot be read.
fn digest_offers(asked: &HeaderMap) -> impl Iterator<Item = &HeaderValue> {
    const SCHEME: &[u8] = b"digest";
    let offers = asked.get_all(header::WWW_AUTHENTICATE).into_iter();
    offers.filter(|offer| {
        let mut words = offer.as_bytes().windows(SCHEME.len());
        words.any(|word| word.eq_ignore_ascii_case(SCHEME))
    })
}

/// Returns whether an address is one of this machine, a home or an office, and not of the internet.
fn is_near(address: IpAddr) -> bool {
    const SHARED: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 0);
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let is_shared = address.to_bits() & 0xffc0_0000 == SHARED.to_bits();
            address.is_loopback() || address.is_private() || address.is_link_local() || is_shared
        }
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}

fn failed(reason: impl Into<String>) -> HalError {
    HalError::Failed(reason.into())
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    #[tokio::test]
    async fn what_is_shown_goes_to_the_address_that_asked_for_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        // A name that leads nowhere, any more.
        let url = Url::parse("http://camera.invalid/still.jpg").expect("a URL");
        let still = HttpStill::new(url, None, 100);
        let serve = async {
            let (mut stream, _) = listener.accept().await.expect("it comes here");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.expect("a head"));
            }
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nit";
            stream.write_all(answer).await.expect("it is heard");
            String::from_utf8(head).expect("text")
        };
        let shown = HeaderValue::from_static("Basic x");
        let (answer, head) =
            tokio::join!(still.exchange(Some((shown, address)), Wanted::Still), serve);
        assert!(matches!(answer, Ok(Answer::Still(still)) if &still[..] == b"it"));
        assert!(head.contains("host: camera.invalid\r\n"), "{head}");
        assert!(head.contains("authorization: Basic x\r\n"), "{head}");
    }
}
