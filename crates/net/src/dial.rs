//! Dialling other programs: TCP, a Unix socket, and TLS over TCP.
//!
//! Whoever is dialled by TLS proves its name by one of the given roots; there is no way to do
//! without, and the system's roots are not read. Peers behind NATs are dialled in `p2p`.

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    path::PathBuf,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream, lookup_host},
    time::{Instant, timeout, timeout_at},
};

use super::unix;

#[cfg(feature = "tls")]
mod tls;

#[cfg(feature = "tls")]
pub use tls::{ParseRootsError, Tls};

/// Address that can be dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// Name or IP address of a host, and a TCP port.
    Tcp(Box<str>, u16),
    /// Path of a Unix socket.
    Unix(PathBuf),
    /// The same as `Tcp`, with TLS; the host's certificate is to be for that name or IP address.
    #[cfg(feature = "tls")]
    Tls(Box<str>, u16, Tls),
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address.ip().to_string().into(), address.port())
    }
}

/// Reason why nobody could be dialled.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Nobody had answered by the deadline.
    #[error("nobody answers in time")]
    Timeout,
    /// The system's reason: no such name, host, port or path, or one that refuses. For TLS also the
    /// certificate's fault.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Connection that was dialled, whatever carries it.
pub struct ClientStream(Box<dyn Carrier>);

trait Carrier: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Carrier for T {}

/// Connects to `address`, at the deadline at the latest. A name that cannot be resolved may occupy
/// a thread of the runtime's for blocking work until the system's resolver gives up.
///
/// # Errors
/// If nobody is there, in time, who can prove to be it where TLS asks for that.
pub async fn dial(address: &Address, deadline: Instant) -> Result<ClientStream, DialError> {
    let dialled = async {
        Ok(match address {
            Address::Tcp(host, port) => ClientStream::new(connect(host, *port, deadline).await?),
            Address::Unix(path) => unix::connect(path).await?.into(),
            #[cfg(feature = "tls")]
            Address::Tls(host, port, tls) => {
                let stream = connect(host, *port, deadline).await?;
                ClientStream::new(tls.handshake(host, stream).await?)
            }
        })
    };
    timeout_at(deadline, dialled)
        .await
        .unwrap_or(Err(DialError::Timeout))
}

/// Tries the host's addresses one after the other. Each gets its share of the time that is left, so
/// that an IPv6 address that leads nowhere leaves some for IPv4.
async fn connect(host: &str, port: u16, deadline: Instant) -> Result<TcpStream, DialError> {
    let addresses: Vec<_> = lookup_host((host, port)).await?.collect();
    let mut failed = DialError::Io(io::ErrorKind::NotFound.into());
    for (left, address) in (1..=addresses.len() as u32).rev().zip(&addresses) {
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Without it small messages wait for each other.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => failed = error.into(),
            Err(_) => failed = DialError::Timeout,
        }
    }
    Err(failed)
}

impl From<UnixStream> for ClientStream {
    fn from(stream: UnixStream) -> Self {
        Self::new(stream)
    }
}

impl ClientStream {
    fn new(carrier: impl Carrier + 'static) -> Self {
        Self(Box::new(carrier))
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, UnixListener},
    };

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    /// Says something to whoever comes, and hears it back.
    async fn echoes(
        address: &Address,
        accepted: impl Future<Output: AsyncRead + AsyncWrite + Unpin>,
    ) {
        let near = async {
            let mut stream = dial(address, soon()).await.unwrap();
            stream.write_all(b"hello").await.unwrap();
            stream.shutdown().await.unwrap();
            let mut heard = Vec::new();
            stream.read_to_end(&mut heard).await.unwrap();
            assert_eq!(heard, b"hello");
        };
        let far = async {
            let (mut from, mut to) = tokio::io::split(accepted.await);
            tokio::io::copy(&mut from, &mut to).await.unwrap();
            to.shutdown().await.unwrap();
        };
        tokio::join!(near, far);
    }

    #[tokio::test]
    async fn a_host_is_dialled_by_name_and_by_address() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = || async { listener.accept().await.unwrap().0 };
        echoes(&address.into(), accepted()).await;
        // Where it has an IPv6 address too, nobody is at that.
        echoes(
            &Address::Tcp("localhost".into(), address.port()),
            accepted(),
        )
        .await;
    }

    #[tokio::test]
    async fn a_unix_socket_is_dialled_by_its_path() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let address = Address::Unix(path.clone());
        let none = dial(&address, soon()).await;
        assert!(
            matches!(none, Err(DialError::Io(error)) if error.kind() == io::ErrorKind::NotFound)
        );
        let listener = UnixListener::bind(path).unwrap();
        echoes(&address, async { listener.accept().await.unwrap().0 }).await;
    }

    #[tokio::test]
    async fn nobody_at_a_port_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let none = dial(&address.into(), soon()).await;
        assert!(matches!(none, Err(DialError::Io(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn no_time_is_left_after_the_deadline() {
        // Nobody is routed to there (RFC 5737); a system that says so at once is as good.
        let address = Address::Tcp("192.0.2.1".into(), 9);
        let deadline = soon();
        let none = dial(&address, deadline).await;
        assert!(none.is_err() && Instant::now() <= deadline + Duration::from_millis(1));
    }
}
