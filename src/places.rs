//! Places where there are few: for media, talks, programs that wait. One rule for all of them.
//!
//! Belongs here: who gets a place, and who has to go for it. Does not belong here: what a place is
//! for, and what its holder is told in which words.

use std::{
    collections::VecDeque,
    sync::{Arc, MutexGuard, OnceLock},
};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::{boundary::Guarded, proto::credential::Rank};

/// How many of those that had to go are remembered, to be told why when they come again; the
/// longest gone is forgotten.
const MAX_DISPLACED: usize = 16;

/// Why somebody lost its place.
pub const FOR_THE_OWNER: &str = "the device's owner needed this place";
/// The same, to somebody else of the same party.
pub const FOR_ITS_OWN: &str = "this viewer needed this place for something else";

/// A number of places, and who has them.
///
/// Bound: `max`. Whoever finds none gets that of somebody of a lower [`Rank`]: of the lowest there
/// is the newest of the party that has most. Who is not the owner has at most its share.
#[derive(Clone, Debug)]
pub struct Places {
    table: Arc<Guarded<Table>>,
    max: usize,
}

#[derive(Debug, Default)]
struct Table {
    /// Oldest first.
    taken: Vec<Taken>,
    displaced: VecDeque<Arc<str>>,
    /// Those that gave their place for another of their party and have not gone yet: they may still
    /// hold what the place was for. One of each party.
    leaving: Vec<(Arc<str>, CancellationToken)>,
    next_serial: u64,
}

#[derive(Debug)]
struct Taken {
    serial: u64,
    claim: Claim,
    end: End,
    gone: CancellationToken,
}

/// Somebody's claim to a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What it weighs.
    pub rank: Rank,
    /// What tells the party from others.
    pub whose: Arc<str>,
    /// How many places the party may have, if it is not the owner.
    pub share: usize,
    /// Whether one of the party's own places may go for it: the oldest where it has its share, the
    /// newest where there is no other.
    pub replaces_own: bool,
}

impl Claim {
    fn may_replace(&self, taken: &Taken) -> bool {
        let is_own = taken.claim.whose == self.whose && taken.claim.rank == self.rank;
        self.replaces_own && is_own
    }
}

/// There is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPlace {
    /// The party has its share.
    Share,
    /// All are taken by others that weigh as much.
    Full,
    /// The same, and this party has lost one to somebody who weighs more.
    Displaced,
}

/// A place that was taken. Dropping it frees it.
#[derive(Debug)]
pub struct Place {
    places: Places,
    serial: u64,
    end: End,
    gone: CancellationToken,
    /// Set off when the holder that had to go has gone.
    vacated: Option<CancellationToken>,
}

/// Tells a holder that it has to go, and why.
#[derive(Clone, Debug, Default)]
struct End {
    token: CancellationToken,
    why: Arc<OnceLock<&'static str>>,
}

impl End {
    fn set_off(&self, why: &'static str) {
        // The first reason is the one that counts.
        let _ = self.why.set(why);
        self.token.cancel();
    }
}

impl Places {
    /// So many places.
    pub fn new(max: usize) -> Self {
        Self {
            // Each claim is by itself, and goes with its place.
            table: Arc::new(Guarded::whole(Table::default())),
            max,
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock()
    }

    /// Takes a place. Somebody who has to go for it is told at once, and may hold on to what the
    /// place is for until then: [`Place::vacated`].
    ///
    /// # Errors
    /// [`NoPlace`].
    pub fn take(&self, claim: Claim) -> Result<Place, NoPlace> {
        let mut table = self.table();
        let vacated = table.make_room(&claim, self.max)?;
        table.displaced.retain(|known| *known != claim.whose);
        let serial = table.next_serial;
        table.next_serial += 1;
        let (end, gone) = (End::default(), CancellationToken::new());
        table.taken.push(Taken {
            serial,
            claim,
            end: end.clone(),
            gone: gone.clone(),
        });
        Ok(Place {
            places: self.clone(),
            serial,
            end,
            gone,
            vacated,
        })
    }

    /// Whether somebody of this rank would get a place, if it had not its share.
    pub fn has_one_for(&self, rank: Rank) -> bool {
        let table = self.table();
        table.taken.len() < self.max || table.taken.iter().any(|taken| taken.claim.rank < rank)
    }

    /// Has a party's holders go.
    pub fn end_of(&self, whose: &str, why: &'static str) {
        let table = self.table();
        let own = table
            .taken
            .iter()
            .filter(|taken| *taken.claim.whose == *whose);
        own.for_each(|taken| taken.end.set_off(why));
    }

    /// Has everybody go.
    pub fn end_all(&self, why: &'static str) {
        let table = self.table();
        table.taken.iter().for_each(|taken| taken.end.set_off(why));
    }

    /// Has the one go that has been there longest, and frees its place.
    pub fn end_oldest(&self, why: &'static str) {
        let mut table = self.table();
        if !table.taken.is_empty() {
            table.taken.remove(0).end.set_off(why);
        }
    }

    /// Places that are taken.
    pub fn count(&self) -> usize {
        self.table().taken.len()
    }

    /// How many there are.
    pub fn max(&self) -> usize {
        self.max
    }
}

impl Table {
    fn make_room(
        &mut self,
        claim: &Claim,
        max: usize,
    ) -> Result<Option<CancellationToken>, NoPlace> {
        if claim.rank < Rank::Owner && self.count_of(&claim.whose) >= claim.share {
            let oldest = self.taken.iter().position(|taken| claim.may_replace(taken));
            return self.replace(oldest, NoPlace::Share);
        }
        if self.taken.len() < max {
            return Ok(None);
        }
        let lower = self.taken.iter().enumerate();
        let lower = lower.filter(|(_, taken)| taken.claim.rank < claim.rank);
        let victim = lower.max_by_key(|(index, taken)| {
            let most = self.count_of(&taken.claim.whose);
            (std::cmp::Reverse(taken.claim.rank), most, *index)
        });
        let Some((index, _)) = victim else {
            let newest = self
                .taken
                .iter()
                .rposition(|taken| claim.may_replace(taken));
            let why = match self.displaced.contains(&claim.whose) {
                true => NoPlace::Displaced,
                false => NoPlace::Full,
            };
            return self.replace(newest, why);
        };
        let victim = self.taken.remove(index);
        victim.end.set_off(FOR_THE_OWNER);
        if self.displaced.len() >= MAX_DISPLACED {
            self.displaced.pop_front();
        }
        self.displaced.push_back(victim.claim.whose);
        Ok(Some(victim.gone))
    }

    /// Has a holder go for another one of its party, if there is such a holder and none before it is
    /// still leaving.
    fn replace(
        &mut self,
        index: Option<usize>,
        otherwise: NoPlace,
    ) -> Result<Option<CancellationToken>, NoPlace> {
        self.leaving.retain(|(_, gone)| !gone.is_cancelled());
        let is_leaving = |whose: &str| self.leaving.iter().any(|(leaving, _)| **leaving == *whose);
        let index = index.filter(|index| !is_leaving(&self.taken[*index].claim.whose));
        let before = self.taken.remove(index.ok_or(otherwise)?);
        before.end.set_off(FOR_ITS_OWN);
        self.leaving.push((before.claim.whose, before.gone.clone()));
        Ok(Some(before.gone))
    }

    fn count_of(&self, whose: &str) -> usize {
        let own = self
            .taken
            .iter()
            .filter(|taken| *taken.claim.whose == *whose);
        own.count()
    }
}

impl Place {
    /// Waits until its holder has to go; gives the reason.
    pub async fn ended(&self) -> &'static str {
        self.end.token.cancelled().await;
        self.why()
    }

    /// The same, to be polled by one that has no place for borrowing.
    pub fn ending(&self) -> WaitForCancellationFutureOwned {
        self.end.token.clone().cancelled_owned()
    }

    /// Why its holder has to go.
    pub fn why(&self) -> &'static str {
        self.end.why.get().copied().unwrap_or(FOR_THE_OWNER)
    }

    /// Waits until the holder that had to go for this one has gone; gives whether there was one.
    pub async fn vacated(&self) -> bool {
        match &self.vacated {
            Some(vacated) => {
                vacated.cancelled().await;
                true
            }
            None => false,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.places.table();
        table.taken.retain(|taken| taken.serial != self.serial);
        drop(table);
        self.gone.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(rank: Rank, whose: &str) -> Claim {
        Claim {
            rank,
            whose: whose.into(),
            share: 2,
            replaces_own: false,
        }
    }

    fn has_ended(place: &Place) -> bool {
        place.end.token.is_cancelled()
    }

    #[test]
    fn a_place_comes_back() {
        let places = Places::new(2);
        let one = places.take(claim(Rank::Guest, "a")).expect("free");
        let _two = places.take(claim(Rank::Guest, "b")).expect("free");
        let full = places.take(claim(Rank::Guest, "c")).expect_err("full");
        assert_eq!(full, NoPlace::Full);
        drop(one);
        assert_eq!(places.count(), 1);
        assert!(places.take(claim(Rank::Guest, "c")).is_ok());
    }

    #[test]
    fn who_weighs_more_gets_the_newest_place_of_the_one_that_has_most() {
        use Rank::{Admin, Guest, Owner};
        // Who has places, oldest first; who comes; whose place it gets: its number in the row.
        type Row<'a> = (&'a [(Rank, &'a str)], Rank, Result<usize, NoPlace>);
        #[rustfmt::skip]
        let table: [Row<'_>; 9] = [
            (&[(Guest, "a"), (Guest, "b"), (Guest, "b")], Owner, Ok(2)),
            (&[(Guest, "b"), (Guest, "b"), (Guest, "a")], Owner, Ok(1)),
            (&[(Guest, "a"), (Admin, "s"), (Admin, "s")], Owner, Ok(0)),
            (&[(Guest, "a"), (Admin, "s"), (Admin, "s")], Admin, Ok(0)),
            (&[(Owner, "o"), (Admin, "s"), (Owner, "o")], Owner, Ok(1)),
            (&[(Owner, "o"), (Admin, "s"), (Owner, "o")], Admin, Err(NoPlace::Full)),
            (&[(Owner, "o"), (Owner, "o"), (Owner, "o")], Owner, Err(NoPlace::Full)),
            (&[(Guest, "a"), (Guest, "a"), (Guest, "b")], Guest, Err(NoPlace::Full)),
            (&[(Guest, "a")], Owner, Ok(0)),
        ];
        for (holders, newcomer, expected) in table {
            let places = Places::new(holders.len());
            let held: Vec<_> = holders
                .iter()
                .map(|(rank, whose)| places.take(claim(*rank, whose)).expect("free"))
                .collect();
            let found = places.has_one_for(newcomer);
            let taken = places.take(claim(newcomer, "newcomer"));
            assert_eq!(found, taken.is_ok(), "{holders:?}");
            let ended: Vec<_> = (0..held.len()).filter(|at| has_ended(&held[*at])).collect();
            match expected {
                Ok(index) => assert!(taken.is_ok() && ended == [index], "{holders:?}: {ended:?}"),
                Err(why) => assert!(taken.is_err_and(|found| found == why) && ended.is_empty()),
            }
            assert_eq!(places.count(), places.max());
        }
    }

    #[test]
    fn whoever_had_to_go_is_told_when_it_comes_again() {
        let places = Places::new(1);
        let guest = places.take(claim(Rank::Guest, "a")).expect("free");
        let owner = places.take(claim(Rank::Owner, "o")).expect("displaces");
        assert!(has_ended(&guest) && guest.why() == FOR_THE_OWNER);
        drop(guest);
        assert_eq!(places.count(), 1, "it frees nobody else's place");
        let again = places.take(claim(Rank::Guest, "a")).err();
        assert_eq!(again, Some(NoPlace::Displaced));
        drop(owner);
        drop(places.take(claim(Rank::Guest, "a")).expect("free"));
        let _owner = places.take(claim(Rank::Owner, "o")).expect("free");
        let again = places.take(claim(Rank::Guest, "a")).err();
        assert_eq!(again, Some(NoPlace::Full), "that was another time");
    }

    #[test]
    fn a_share_is_for_guests() {
        let places = Places::new(9);
        let take = |rank| {
            let taken = (0..5).map(|_| places.take(claim(rank, "x")));
            taken.filter_map(Result::ok).collect::<Vec<_>>()
        };
        let guests = take(Rank::Guest);
        assert_eq!(guests.len(), 2);
        drop(guests);
        assert_eq!(take(Rank::Owner).len(), 5);
    }

    #[tokio::test]
    async fn a_place_is_vacated_when_its_old_holder_has_gone() {
        let places = Places::new(1);
        let guest = places.take(claim(Rank::Guest, "a")).expect("free");
        let owner = places.take(claim(Rank::Owner, "o")).expect("displaces");
        let leaves = async {
            assert_eq!(guest.ended().await, FOR_THE_OWNER);
            drop(guest);
        };
        let (was_taken, ()) = tokio::join!(owner.vacated(), leaves);
        assert!(was_taken);
    }

    #[test]
    fn a_party_may_give_its_own_place_for_another() {
        let places = Places::new(1);
        let replacing = |whose: &str| Claim {
            replaces_own: true,
            ..claim(Rank::Guest, whose)
        };
        let first = places.take(replacing("a")).expect("free");
        assert_eq!(places.take(replacing("b")).err(), Some(NoPlace::Full));
        let second = places.take(replacing("a")).expect("its own");
        assert_eq!(first.why(), FOR_ITS_OWN);
        drop(first);
        assert_eq!(places.count(), 1);
        drop(second);
        assert!(places.take(replacing("b")).is_ok());
    }

    #[test]
    fn a_party_with_a_small_share_changes_what_it_has() {
        let places = Places::new(4);
        let of = |replaces_own| Claim {
            share: 1,
            replaces_own,
            ..claim(Rank::Guest, "a")
        };
        let first = places.take(of(true)).expect("free");
        assert_eq!(places.take(of(false)).err(), Some(NoPlace::Share));
        let second = places.take(of(true)).expect("instead of the first");
        assert_eq!((first.why(), places.count()), (FOR_ITS_OWN, 1));
        let early = places.take(of(true));
        assert_eq!(
            early.err(),
            Some(NoPlace::Share),
            "while the first is leaving"
        );
        drop(first);
        assert_eq!(places.count(), 1, "which frees nobody else's");
        drop(second);
    }
}
