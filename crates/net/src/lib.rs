//! Connections: listening and dialling, who may hold how many, and one-shot requests.
//!
//! Belongs here: sockets, their options and time-outs, how many there may be. Does not belong
//! here: what is said over them.
//!
//! - [`tcp`] accepts plain connections, [`unix`] those of programs of one user, [`p2p`] those of
//!   endpoints behind NATs (feature `p2p`).
//! - [`Connections`], [`UnauthenticatedLimiter`] and [`permits`] bound them, and decide who goes for whom.
//! - [`dial`] connects to another program (by TLS with the feature `tls`), and [`request_once`]
//!   exchanges one request and its answer over any byte stream.
//!
//! ```
//! use std::time::Duration;
//! use bytes::Bytes;
//! use http::Request;
//! use peercam_net::{Address, Limits, dial, request_once};
//! use tokio::{io::{AsyncReadExt, AsyncWriteExt}, net::TcpListener, time::Instant};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let address = Address::from(listener.local_addr()?);
//! let limits = Limits {
//!     body: Some(1024),
//!     deadline: Instant::now() + Duration::from_secs(5),
//! };
//! let ask = async {
//!     let stream = dial(&address, limits.deadline).await?;
//!     let request = Request::get("/").header("host", "localhost").body(Bytes::new())?;
//!     let answer = request_once(stream, request, limits).await?;
//!     assert_eq!(answer.body(), "hello");
//!     Ok(())
//! };
//! let serve = async {
//!     let (mut stream, _) = listener.accept().await?;
//!     stream.read(&mut [0; 1024]).await?;
//!     let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
//!     stream.write_all(answer).await?;
//!     Ok(stream)
//! };
//! let (asked, served): (Result<(), Box<dyn std::error::Error>>, std::io::Result<_>) =
//!     tokio::join!(ask, serve);
//! asked?;
//! served?;
//! # Ok(())
//! # }
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod connections;
mod dial;
mod entrance;
mod exchange;
mod metrics;
#[cfg(feature = "p2p")]
pub mod p2p;
pub mod permits;
mod port;
pub mod socket_table;
mod sources;
pub mod tcp;
pub mod unix;

pub use connections::{
    ConnectionEntry, Connections, Serving, Standing, Timeouts, UnauthenticatedLimits, sweep,
};
pub use dial::{Address, ClientStream, DialError, dial};
#[cfg(feature = "tls")]
pub use dial::{ParseRootsError, Tls};
pub use entrance::{ProvenSources, Ticket, UnauthenticatedLimiter};
pub use exchange::{ExchangeError, Limits, request_once, request_stream};
pub use metrics::{Metrics, ReasonCounter};
pub use port::{Occupant, PortError, ReservedUdpPort};
