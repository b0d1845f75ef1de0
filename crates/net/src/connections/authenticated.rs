use std::{cmp::Reverse, sync::Arc, time::Instant};

use peercam_proto::credential::Rank;

use super::{Authentication, Connections, Shared, enumerated};
use crate::permits::lent;

impl Connections {
    /// Gives a peer that has proved itself a place among those that have.
    pub(super) fn admit_authenticated(
        &self,
        shared: &Arc<Shared>,
        rank: Rank,
        answers: &Arc<str>,
        now: Instant,
    ) -> bool {
        let mut open = self.open();
        let proved: Vec<_> = enumerated(&open)
            .filter(|(_, connection)| !Arc::ptr_eq(connection, shared))
            .filter_map(|(index, connection)| {
                let state = connection.lock();
                let (rank, answers) = match &state.who {
                    Authentication::Proved(rank, answers) if !state.ended => {
                        (*rank, Arc::clone(answers))
                    }
                    _ => return None,
                };
                let idle = state.idle(now);
                drop(state);
                Some((rank, answers, idle, index, connection))
            })
            .collect();
        // The rest is for those that want to prove themselves: with no room for them the owner
        // could not.
        let places = self.max.saturating_sub(self.unauthenticated.reserved);
        if proved.len() >= places {
            let taken: Vec<_> = proved
                .iter()
                .map(|(rank, answers, ..)| (*rank, &**answers))
                .collect();
            let most = |of: &str| taken.iter().filter(|(_, answers)| *answers == of).count();
            let lesser = proved
                .iter()
                .filter(|(other, _, idle, ..)| *other < rank || *other == rank && idle.is_some());
            // Of the lowest; rather one that is asked nothing, and then the oldest; of others the
            // newest of those for whom one answers that have most.
            let victim = lesser.min_by_key(|(rank, answers, idle, index, _)| match idle {
                Some(idle) => (*rank, false, Some(*idle), Reverse((0, 0))),
                None => (*rank, true, None, Reverse((most(answers), *index))),
            });
            let beyond = || proved.get(lent(&taken, places, rank, answers)?);
            let Some((.., index, victim)) = victim.or_else(beyond) else {
                return false;
            };
            victim.end("displaced");
            open.remove(*index);
        }
        shared.lock().who = Authentication::Proved(rank, Arc::clone(answers));
        true
    }
}
