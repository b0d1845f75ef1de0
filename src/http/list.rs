//! Lists that are longer than an answer that is made as a whole.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;

use super::router::COMMAND_TIME;
use crate::device::Listing;

type Reading = Pin<Box<dyn Future<Output = (Option<String>, Listing)> + Send>>;

/// A list, read as its viewer takes it: one piece of it is in memory, and nothing is read for who
/// does not take that.
pub(super) struct ListBody(State);

enum State {
    /// The piece that comes next, and the rest.
    Read(Bytes, Listing),
    /// The rest, once the piece before it was taken.
    Taken(Listing),
    /// The rest, of which the next piece is being read.
    Reading(Reading),
    Over,
}

impl ListBody {
    /// A list that begins with this text.
    pub(super) fn new(text: String, rest: Listing) -> Self {
        Self(State::Read(text.into(), rest))
    }

    /// The next piece; `None` at the end.
    pub(super) fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            self.0 = match std::mem::replace(&mut self.0, State::Over) {
                State::Read(piece, rest) => {
                    if !rest.is_over() {
                        self.0 = State::Taken(rest);
                    }
                    return Poll::Ready(Some(piece));
                }
                State::Taken(rest) => State::Reading(Box::pin(read(rest))),
                State::Reading(mut reading) => {
                    let read = reading.as_mut().poll(context);
                    if read.is_pending() {
                        self.0 = State::Reading(reading);
                    }
                    match ready!(read) {
                        (Some(text), rest) => State::Read(text.into(), rest),
                        (None, _) => State::Over,
                    }
                }
                State::Over => return Poll::Ready(None),
            };
        }
    }

    /// Returns whether nothing more will come.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.0, State::Over)
    }
}

/// The next piece. A card that fails in the middle ends the list, which says so.
async fn read(mut rest: Listing) -> (Option<String>, Listing) {
    let piece = match tokio::time::timeout(COMMAND_TIME, rest.next()).await {
        Ok(Ok(piece)) => piece,
        Ok(Err(error)) => Some(rest.broken(error.reason())),
        Err(_) => Some(rest.broken("the recordings do not answer")),
    };
    (piece, rest)
}
