use std::{
    pin::Pin,
    task::{Context, Poll},
};

use peercam_net::permits::{Ending, Permit};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::RequestGuard;

/// Places of a viewer that is being sent media, or talks. Dropping them gives all back.
pub struct StreamPermit {
    /// Places among all viewers, and among those that are sent the same; who talks needs none.
    permits: Vec<(Permit, Pin<Box<WaitForCancellationFutureOwned>>)>,
    /// Presence: the device counts as attended.
    _attending: RequestGuard,
    has_ended: bool,
}

impl StreamPermit {
    pub(crate) fn new(permits: Vec<Permit>, guard: RequestGuard) -> Self {
        let permits = permits.into_iter().map(|permit| {
            let ends = Box::pin(permit.ends());
            (permit, ends)
        });
        Self {
            permits: permits.collect(),
            _attending: guard,
            has_ended: false,
        }
    }

    /// Polls for the reason why its holder has to go; pending while it need not, and once it was
    /// told.
    pub fn poll_ended(&mut self, context: &mut Context<'_>) -> Poll<&'static str> {
        if self.has_ended {
            return Poll::Pending;
        }
        for (permit, ends) in &mut self.permits {
            if ends.as_mut().poll(context).is_ready() {
                self.has_ended = true;
                return Poll::Ready(permit.why());
            }
        }
        Poll::Pending
    }

    /// Tells whoever serves its holder when that has to go.
    pub fn endings(&self) -> Vec<Ending> {
        let permits = self.permits.iter();
        permits.map(|(permit, _)| permit.ending()).collect()
    }

    /// Returns whether its holder was told to go.
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }
}
