//! TCP: listening, socket options, and the first request line.

use std::{
    borrow::Cow,
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use peercam_proto::request_line::{self, Form};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};

use super::{
    ConnectionEntry,
    port::{PortError, Protocol},
};

/// Bytes that may wait unsent in the kernel for one peer: enough for a quarter of a second at
/// 4 Mbit/s, so that a viewer that is slow skips early instead of watching old pictures.
const MAX_UNSENT: u32 = 128 << 10;

/// Pause after the system refused to accept, so that running out of descriptors does not become a
/// busy loop.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound TCP socket.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    /// The system refused to accept the last peer, which the log knows.
    is_refused: AtomicBool,
}

impl Listener {
    /// Binds `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// [`PortError`], such as that another program has it.
    pub async fn bind(address: SocketAddr) -> Result<Self, PortError> {
        let failed = |error| PortError::new(Protocol::Tcp, address, error);
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        Ok(Self {
            socket,
            address,
            is_refused: AtomicBool::new(false),
        })
    }

    /// The address it is bound to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for a peer, for as long as the system accepts none. Cancel-safe.
    pub async fn accept(&self) -> (TcpStream, SocketAddr) {
        loop {
            match self.socket.accept().await {
                Ok(accepted) => {
                    self.is_refused.store(false, Ordering::Relaxed);
                    return accepted;
                }
                Err(error) => {
                    if !self.is_refused.swap(true, Ordering::Relaxed) {
                        tracing::warn!(%error, "cannot accept connections; is the limit of open files too low?");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Addresses at which peers on the network can reach a bound one: itself, or if it is all addresses
/// of the machine, those by which the machine would leave towards the internet. Nothing is sent.
pub fn reachable(address: SocketAddr) -> Vec<SocketAddr> {
    if !address.ip().is_unspecified() {
        return vec![address];
    }
    // Addresses for documentation (RFC 5737, RFC 3849).
    let probes: [(SocketAddr, SocketAddr); 2] = [
        (
            SocketAddr::from(([0, 0, 0, 0], 0)),
            SocketAddr::from(([192, 0, 2, 1], 9)),
        ),
        (
            SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, 0)),
            SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 9)),
        ),
    ];
    let families = probes
        .into_iter()
        .filter(|(from, _)| address.is_ipv6() || from.is_ipv4());
    families
        .filter_map(|(from, to)| {
            let socket = std::net::UdpSocket::bind(from).ok()?;
            socket.connect(to).ok()?;
            let local = socket.local_addr().ok()?;
            Some(SocketAddr::new(local.ip(), address.port()))
        })
        .collect()
}

/// Options of an accepted socket, for which the kernel keeps at most `send_buffer` bytes that were
/// sent (`None`: as much as it likes). One that it does not know is done without.
pub fn configure(socket: &TcpStream, write_timeout: Duration, send_buffer: Option<usize>) {
    const KEEPALIVE_AFTER: Duration = Duration::from_secs(15);
    let options = SockRef::from(socket);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_AFTER);
    let results = [
        options.set_tcp_nodelay(true),
        options.set_tcp_keepalive(&keepalive),
        options.set_tcp_user_timeout(Some(write_timeout)),
        options.set_tcp_notsent_lowat(MAX_UNSENT),
        // The kernel takes twice as much, for what it adds to each packet.
        send_buffer.map_or(Ok(()), |bytes| options.set_send_buffer_size(bytes / 2)),
    ];
    for error in results.into_iter().filter_map(Result::err) {
        tracing::debug!(%error, "socket option not set");
    }
}

/// A connection whose first request line has been read and, if need be, repaired.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// Read already, to be read again.
    prefix: Bytes,
    activity: ConnectionEntry,
    /// Form of the first request line, as it came.
    form: Form,
    repaired: bool,
    /// The last write had to wait.
    write_blocked: bool,
}

impl Connection {
    /// Reads the first request line.
    ///
    /// # Errors
    /// Whatever the system says.
    pub async fn open(mut stream: TcpStream, activity: ConnectionEntry) -> io::Result<Self> {
        let mut buffer = BytesMut::with_capacity(1024);
        let end = loop {
            // Empty lines before the request line are ignored (RFC 9112 §2.2).
            let blank = buffer
                .iter()
                .take_while(|byte| matches!(byte, b'\r' | b'\n'))
                .count();
            buffer.advance(blank);
            if let Some(end) = buffer.iter().position(|&byte| byte == b'\n') {
                break end + 1;
            }
            // Too long a line, or a peer that has left: the HTTP parser is the one to say so.
            if buffer.len() > request_line::MAX_REQUEST_LINE
                || stream.read_buf(&mut buffer).await? == 0
            {
                break 0;
            }
        };
        let line = buffer.split_to(end);
        let form = Form::from_line(&line);
        let rewritten = match request_line::rewrite(&line) {
            Cow::Borrowed(_) => None,
            Cow::Owned(rewritten) => Some(rewritten),
        };
        let repaired = rewritten.is_some();
        let mut prefix = rewritten.map_or(line, |rewritten| BytesMut::from(&rewritten[..]));
        prefix.unsplit(buffer);
        Ok(Self {
            stream,
            prefix: prefix.freeze(),
            activity,
            form,
            repaired,
            write_blocked: false,
        })
    }

    /// A connection whose first request line is left as it is: where requests are signed, the bytes
    /// that were sent are the ones that count.
    pub fn untouched(stream: TcpStream, activity: ConnectionEntry) -> Self {
        Self {
            stream,
            prefix: Bytes::new(),
            activity,
            form: Form::Origin,
            repaired: false,
            write_blocked: false,
        }
    }

    /// Returns whether the first request line had to be rewritten. Later ones are not, so the
    /// connection must end after the first answer.
    pub fn is_repaired(&self) -> bool {
        self.repaired
    }

    /// The form of the first request line, which a repair takes away.
    pub fn form(&self) -> Form {
        self.form.clone()
    }

    fn noted<T>(&mut self, result: Poll<T>) -> Poll<T> {
        if result.is_pending() != self.write_blocked {
            self.write_blocked = result.is_pending();
            self.activity.note_write(self.write_blocked);
        }
        result
    }
}

impl Drop for Connection {
    /// One that is ended while its peer does not read is reset: the system would keep what was
    /// sent.
    fn drop(&mut self) {
        if self.write_blocked && self.activity.has_ended() {
            // What it keeps then is bounded by its own time-out.
            let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.prefix.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let count = self.prefix.len().min(buffer.remaining());
        buffer.put_slice(&self.prefix.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.noted(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.noted(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
