use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::{device::Attending, places::Place};

/// What a viewer holds while it is being sent media, or talks. Dropping it gives all back.
pub(super) struct Seat {
    /// Among all viewers; who talks needs none.
    place: Option<(Place, Pin<Box<WaitForCancellationFutureOwned>>)>,
    /// It is there.
    _attending: Attending,
    has_ended: bool,
}

impl Seat {
    pub(super) fn new(place: Option<Place>, attending: Attending) -> Self {
        Self {
            place: place.map(|place| {
                let ending = Box::pin(place.ending());
                (place, ending)
            }),
            _attending: attending,
            has_ended: false,
        }
    }

    /// Why its holder has to go; pending while it need not, and once it was told.
    pub(super) fn poll_ended(&mut self, context: &mut Context<'_>) -> Poll<&'static str> {
        let Some((place, ending)) = &mut self.place else {
            return Poll::Pending;
        };
        if self.has_ended || ending.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        self.has_ended = true;
        Poll::Ready(place.why())
    }

    /// Whether its holder was told to go.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }
}
