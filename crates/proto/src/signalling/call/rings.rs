use super::Party;
use crate::{
    credential::Rank,
    error::{Error, ErrorKind},
    media::MediaTime,
    viewer::ViewerId,
};

/// Parties that are remembered. Who rang first of them is forgotten first.
const MAX_GUESTS: usize = 16;
/// A party may ring so often before it has to wait.
const FREE: u32 = 2;
/// The longest wait is the time of a ring, doubled so often.
const MAX_DOUBLINGS: u32 = 5;

/// Limiter of rings that nobody took: nobody but the owner keeps the device ringing.
///
/// A guest rings twice; from then on it waits for twice as long after each ring that nobody took,
/// up to 32 times the time of a ring. After twice that all is forgotten. Guests of one back end are
/// one party: it can make as many of them as it likes.
#[derive(Debug, Default)]
pub(super) struct Rings {
    /// Oldest first.
    guests: Vec<Guest>,
}

#[derive(Debug)]
struct Guest {
    answers: String,
    /// Viewer of the last ring.
    viewer: ViewerId,
    in_vain: u32,
    last: MediaTime,
}

impl Rings {
    /// A viewer wants to ring. It counts as in vain until it is taken.
    pub(super) fn begin(
        &mut self,
        party: Party<'_>,
        ring: i64,
        now: MediaTime,
    ) -> Result<(), Error> {
        // Without a credential nobody can be told from others, and all are programs of the device.
        let Some(answers) = party.answers.filter(|_| party.rank < Rank::Owner) else {
            return Ok(());
        };
        let since = |last| i64::try_from(now.duration_from(last).as_micros()).unwrap_or(i64::MAX);
        // Twice the longest wait: `ring` times 2 to the power of `MAX_DOUBLINGS + 1`.
        self.guests
            .retain(|guest| since(guest.last) < ring.saturating_mul(2 << MAX_DOUBLINGS));
        let known = self.guests.iter_mut();
        let Some(guest) = known.into_iter().find(|guest| guest.answers == answers) else {
            if self.guests.len() >= MAX_GUESTS {
                self.guests.remove(0);
            }
            self.guests.push(Guest {
                answers: answers.to_owned(),
                viewer: party.viewer.clone(),
                in_vain: 1,
                last: now,
            });
            return Ok(());
        };
        if guest.in_vain >= FREE {
            let doublings = (guest.in_vain - FREE + 1).min(MAX_DOUBLINGS);
            let wait = ring.saturating_mul(1 << doublings) - since(guest.last);
            if wait > 0 {
                let reason = format!(
                    "nobody took the last calls of this viewer; it may ring again in {} s",
                    (wait + 999_999) / 1_000_000
                );
                return Err(Error::new(ErrorKind::Busy, reason));
            }
        }
        guest.in_vain = guest.in_vain.saturating_add(1);
        guest.viewer = party.viewer.clone();
        guest.last = now;
        Ok(())
    }

    /// The device has taken a viewer's call.
    pub(super) fn taken(&mut self, viewer: &ViewerId) {
        self.guests.retain(|guest| guest.viewer != *viewer);
    }
}
