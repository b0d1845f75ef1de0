use std::{cmp::Reverse, sync::Arc};

use super::{Connections, Shared, Who, enumerated};
use crate::proto::credential::Rank;

impl Connections {
    /// Gives a peer that has proved itself a place among those that have.
    pub(super) fn prove(&self, shared: &Arc<Shared>, rank: Rank, whose: &Arc<str>) -> bool {
        let mut open = self.open();
        let proved: Vec<_> = enumerated(&open)
            .filter(|(_, connection)| !Arc::ptr_eq(connection, shared))
            .filter_map(|(index, connection)| {
                let state = connection.lock();
                let (rank, whose) = match &state.who {
                    Who::Proved(rank, whose) if !state.ended => (*rank, Arc::clone(whose)),
                    _ => return None,
                };
                let waits = state.waiting_since();
                drop(state);
                Some((rank, whose, waits, index, connection))
            })
            .collect();
        if proved.len() + self.nobodies.reserved >= self.max {
            let most = |of: &Arc<str>| proved.iter().filter(|(_, whose, ..)| whose == of).count();
            let lesser = proved
                .iter()
                .filter(|(other, _, waits, ..)| *other < rank || *other == rank && waits.is_some());
            // Of the lowest; rather one that is asked nothing, and then the oldest; of others the
            // newest of the one that has most.
            let victim = lesser.min_by_key(|(rank, whose, waits, index, _)| match waits {
                Some(since) => (*rank, false, Some(*since), Reverse((0, 0))),
                None => (*rank, true, None, Reverse((most(whose), *index))),
            });
            let Some((.., index, victim)) = victim else {
                return false;
            };
            victim.end("displaced");
            open.swap_remove(*index);
        }
        shared.lock().who = Who::Proved(rank, Arc::clone(whose));
        true
    }
}
