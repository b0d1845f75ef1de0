//! Bodies of requests: in clear, or sealed in records.
//!
//! Invariants: a body that is read as a whole is bounded in bytes and time, and nothing of a sealed
//! one is given out before its last record has come; one that is read in pieces keeps no more than
//! the record that is coming.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame, Incoming};
use peercam_proto::{
    error::{Error, ErrorKind},
    sealed::{Broken, Opener, Record},
};

/// The longest body of a `/command`, in bytes.
const MAX_COMMAND_BODY: usize = 16 << 10;

/// A request's body, as it comes.
pub(super) struct RequestBody {
    /// `None` once it was taken elsewhere.
    incoming: Option<Incoming>,
    /// Opener of a sealed body. Boxed, because bodies are handed on several times.
    opener: Option<Box<Opener>>,
}

impl RequestBody {
    /// A body in clear.
    pub(super) fn clear(incoming: Incoming) -> Self {
        Self {
            incoming: Some(incoming),
            opener: None,
        }
    }

    /// A sealed body.
    pub(super) fn sealed(incoming: Incoming, opener: Opener) -> Self {
        Self {
            incoming: Some(incoming),
            opener: Some(Box::new(opener)),
        }
    }

    /// The body, to be read elsewhere. Nothing comes of what is left here.
    pub(super) fn take(&mut self) -> Self {
        Self {
            incoming: self.incoming.take(),
            opener: self.opener.take(),
        }
    }

    fn is_end_stream(&self) -> bool {
        let incoming = self.incoming.as_ref();
        incoming.is_none_or(Incoming::is_end_stream)
    }

    async fn frame(&mut self) -> Option<Result<Frame<Bytes>, hyper::Error>> {
        self.incoming.as_mut()?.frame().await
    }

    /// Length in bytes, if its head says so.
    pub(super) fn length(&self) -> Option<u64> {
        self.incoming.as_ref()?.size_hint().exact()
    }

    /// The whole body, which must come within `timeout`. Of a sealed one nothing is given out
    /// before its last record has come.
    pub(super) async fn read(&mut self, timeout: Duration) -> Result<Bytes, Error> {
        let timed_out = || Error::new(ErrorKind::Timeout, "the body did not come in time");
        let read = within(timeout, pin!(self.read_all())).await;
        let result = read.unwrap_or_else(|_| Err(timed_out()));
        if result.is_err() {
            self.discard().await;
        }
        result
    }

    async fn read_all(&mut self) -> Result<Bytes, Error> {
        let mut bytes = BytesMut::new();
        while let Some(frame) = self.frame().await {
            let frame =
                frame.map_err(|_| Error::bad_request("the body broke off or is damaged"))?;
            let data = frame.into_data().unwrap_or_default();
            let is_all = bytes.is_empty() && self.is_end_stream();
            // The usual command comes in one frame: it is handed on without a copy.
            if is_all && self.opener.is_none() && data.len() <= MAX_COMMAND_BODY {
                return Ok(data);
            }
            self.append(&data, &mut bytes)?;
            // A body that is too long is not read to its end.
            if bytes.len() > MAX_COMMAND_BODY {
                let reason = format!("the body is longer than {MAX_COMMAND_BODY} bytes");
                return Err(Error::new(ErrorKind::TooLarge, reason));
            }
        }
        if let Some(opener) = &mut self.opener {
            opener.finish().map_err(broken)?;
        }
        Ok(bytes.freeze())
    }

    /// The next piece, as it comes; `None` at the end. Cancel-safe.
    pub(super) async fn next_piece(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let Some(frame) = self.frame().await else {
                if let Some(opener) = &mut self.opener {
                    opener.finish().map_err(broken)?;
                }
                return Ok(None);
            };
            let frame =
                frame.map_err(|_| Error::bad_request("the body broke off or is damaged"))?;
            let data = frame.into_data().unwrap_or_default();
            if self.opener.is_none() {
                return Ok(Some(data));
            }
            let mut plain = BytesMut::new();
            self.append(&data, &mut plain)?;
            if !plain.is_empty() {
                return Ok(Some(plain.freeze()));
            }
        }
    }

    /// Reads a little more of a body that is refused: a peer that is still sending when the
    /// connection closes would see a reset instead of the reason (RFC 9112 §9.6).
    pub(super) async fn discard(&mut self) {
        const AT_MOST: usize = 256 << 10;
        const FOR: Duration = Duration::from_secs(1);
        let discard = async {
            let mut discarded = 0;
            while let Some(Ok(frame)) = self.frame().await
                && discarded < AT_MOST
            {
                discarded += frame.data_ref().map_or(0, Bytes::len);
            }
        };
        // Whether it came to its end makes no difference.
        let _ = tokio::time::timeout(FOR, discard).await;
    }

    fn append(&mut self, data: &[u8], bytes: &mut BytesMut) -> Result<(), Error> {
        let Some(opener) = &mut self.opener else {
            bytes.extend_from_slice(data);
            return Ok(());
        };
        opener.feed(data);
        while let Some(record) = opener.next_record().map_err(broken)? {
            match record {
                Record::Data(plain) | Record::Last(plain) => bytes.extend_from_slice(&plain),
                // A request has none; the opener refuses it.
                Record::Head(_) => {}
            }
        }
        Ok(())
    }
}

/// Output of a future, if it comes within this time. Most are ready at once, and need no timer.
pub(super) async fn within<F: Future>(
    time: Duration,
    mut future: Pin<&mut F>,
) -> Result<F::Output, tokio::time::error::Elapsed> {
    match poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await {
        Poll::Ready(output) => Ok(output),
        Poll::Pending => tokio::time::timeout(time, future).await,
    }
}

fn broken(error: Broken) -> Error {
    Error::bad_request(format!("{error}; nothing was done"))
}
