//! A bidirectional QUIC stream as `AsyncRead` and `AsyncWrite`.
//!
//! It ends by being shut down and acknowledged, or it is reset: a peer never takes a part for the
//! whole.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use iroh::endpoint::{RecvStream, SendStream, VarInt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::ConnectionEntry;

/// Media, stills and what else is long wait for everything else: other answers are short, and
/// people wait for them. Among each other they take turns.
const PRIORITY_OF_LONG: i32 = -1;
/// Error code of a stream that was given up before its end.
const GIVEN_UP: VarInt = VarInt::from_u32(1);

type BoxFuture = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

/// A bi-stream: one HTTP exchange. It is shut down when the other end has everything: only then
/// may its connection be closed.
///
/// Dropped before it was shut down, it is reset, so that nobody takes what came for the whole.
pub struct Stream {
    send: SendStream,
    receive: RecvStream,
    is_shut_down: bool,
    /// Waits until the other end has everything.
    taken: Option<BoxFuture>,
    activity: Option<ConnectionEntry>,
    write_blocked: bool,
    is_long: IsLong,
}

/// Marks a stream as one that carries a long answer, from where that is known.
#[derive(Clone, Debug, Default)]
pub struct IsLong(Arc<AtomicBool>);

impl IsLong {
    /// Lets everything else go first from now on.
    pub fn mark(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Stream {
    pub(super) fn new((send, receive): (SendStream, RecvStream)) -> Self {
        Self {
            send,
            receive,
            is_shut_down: false,
            taken: None,
            activity: None,
            write_blocked: false,
            is_long: IsLong::default(),
        }
    }

    /// Has writes that wait noted in `activity`.
    #[must_use]
    pub fn watched_by(mut self, activity: ConnectionEntry) -> Self {
        self.activity = Some(activity);
        self
    }

    /// Returns the handle with which the stream can be marked later.
    pub fn is_long(&self) -> IsLong {
        self.is_long.clone()
    }

    fn noted<T>(&mut self, result: Poll<T>) -> Poll<T> {
        if result.is_pending() != self.write_blocked {
            self.write_blocked = result.is_pending();
            if let Some(activity) = &self.activity {
                activity.note_write(self.write_blocked);
            }
        }
        result
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        AsyncRead::poll_read(Pin::new(&mut self.receive), context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_long.0.swap(false, Ordering::AcqRel) {
            // It fails for a stream that is closed, which the write tells too.
            let _ = self.send.set_priority(PRIORITY_OF_LONG);
        }
        let mut written = 0;
        for slice in slices.iter().filter(|slice| !slice.is_empty()) {
            match AsyncWrite::poll_write(Pin::new(&mut self.send), context, slice) {
                Poll::Ready(Ok(count)) => {
                    written += count;
                    if count < slice.len() {
                        break;
                    }
                }
                // What went before is told first; what is wrong comes again.
                _ if written > 0 => break,
                result => return self.noted(result),
            }
        }
        self.noted(Poll::Ready(Ok(written)))
    }

    /// Otherwise hyper would copy every picture, for each viewer, into a buffer of its own.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(&mut self.send), context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.is_shut_down, true) {
            ready!(AsyncWrite::poll_shutdown(Pin::new(&mut self.send), context))?;
        }
        let Self { send, taken, .. } = &mut *self;
        let taken = taken.get_or_insert_with(|| {
            let stopped = send.stopped();
            // However it ends, nothing more is to be done for it.
            Box::pin(async move { drop(stopped.await) })
        });
        let result = taken.as_mut().poll(context);
        self.noted(result).map(Ok)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // Both fail for what has ended already.
        if !self.is_shut_down {
            let _ = self.send.reset(GIVEN_UP);
        }
        let _ = self.receive.stop(GIVEN_UP);
    }
}
