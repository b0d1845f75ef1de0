//! Places where there are few: for media, talks, programs that wait. One rule for all of them.
//!
//! Belongs here: who gets a place, and who has to go for it. Does not belong here: what a place is
//! for, and what its holder is told in which words.

use std::{
    collections::VecDeque,
    sync::{Arc, MutexGuard, OnceLock},
};

use peercam_proto::credential::Rank;
use peercam_task::boundary::Guarded;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Number of those that had to go that are remembered, to be told why when they come again; the
/// longest gone is forgotten.
const MAX_DISPLACED: usize = 16;

/// Reason to give for a place that went to the owner.
const FOR_THE_OWNER: &str = "the device's owner needed this place";
/// Reason to give where a back end's viewers have more places than they keep.
const FOR_OTHERS: &str =
    "somebody else needed this place: those whom one back end lets in keep two thirds of them";
/// Reason to give for a place that went to another claim of the same party.
const FOR_ITS_OWN: &str = "this viewer needed this place for something else";

/// A number of places, and who has them.
///
/// Bound: `max`. Whoever finds none gets that of somebody of a lower [`Rank`]: of the lowest there
/// is the newest of the party that has most. Who is not the owner has at most its share. Those for
/// whom one party answers may have all places together, and keep [two thirds](kept) against others
/// that weigh as much.
#[derive(Clone, Debug)]
pub struct Permits {
    table: Arc<Guarded<Table>>,
    max: usize,
}

#[derive(Debug, Default)]
struct Table {
    /// Oldest first.
    taken: Vec<Taken>,
    displaced: VecDeque<Arc<str>>,
    /// Holders that gave their place for another of their party and have not gone yet: they may
    /// still hold what the place was for. One of each party.
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

/// Claim to a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Rank by which claims displace each other.
    pub rank: Rank,
    /// Identity of the party.
    pub whose: Arc<str>,
    /// Identity that answers for the party: its own, or that of the back end that made it, among as
    /// many as it liked.
    pub answers: Arc<str>,
    /// Number of places that the party may have, if it is not the owner.
    pub share: usize,
    /// Set if one of the party's own places may go for it: the oldest where it has its share, the
    /// newest where there is no other.
    pub replaces_own: bool,
}

impl Claim {
    fn may_replace(&self, taken: &Taken) -> bool {
        let is_own = taken.claim.whose == self.whose && taken.claim.rank == self.rank;
        self.replaces_own && is_own
    }
}

/// Returns how many of so many places those for whom one party answers keep against others.
pub const fn kept(max: usize) -> usize {
    max - max / 3
}

/// Returns the place that a claim gets that finds none, where nobody weighs less: the newest of
/// those for whom another party answers, if they have more than they keep. An owner keeps all.
///
/// `taken` says of each place what its holder weighs and who answers for it, oldest first.
pub fn lent(taken: &[(Rank, &str)], max: usize, rank: Rank, answers: &str) -> Option<usize> {
    let of = |party: &str| taken.iter().filter(|(_, other)| *other == party).count();
    let others = taken.iter().enumerate().filter(|(_, (other_rank, other))| {
        *other_rank <= rank && *other_rank < Rank::Owner && *other != answers
    });
    let most = others.map(|(index, (_, other))| (of(other), index)).max()?;
    (most.0 > kept(max)).then_some(most.1)
}

/// Reason why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPermit {
    /// The party has its share.
    Share,
    /// All are taken by others that weigh as much.
    Full,
    /// The same, and this party has lost one to somebody who weighs more.
    Displaced,
}

/// A place that was taken. Dropping it frees it.
#[derive(Debug)]
pub struct Permit {
    permits: Permits,
    serial: u64,
    end: End,
    gone: CancellationToken,
    /// Set off when the holder that had to go has gone.
    vacated: Option<CancellationToken>,
}

/// Tells that a holder has to go, to whoever sees to it.
#[derive(Clone, Debug)]
pub struct Ending(CancellationToken);

impl Ending {
    /// Returns whether it has to.
    pub(crate) fn has_begun(&self) -> bool {
        self.0.is_cancelled()
    }
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

impl Permits {
    /// A table of so many places.
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
    /// place is for until then: [`Permit::vacated`].
    ///
    /// # Errors
    /// [`NoPermit`].
    pub fn take(&self, claim: Claim) -> Result<Permit, NoPermit> {
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
        Ok(Permit {
            permits: self.clone(),
            serial,
            end,
            gone,
            vacated,
        })
    }

    /// Returns whether somebody of this rank, for whom this party answers, would get a place, if it
    /// had not its share.
    pub fn has_one_for(&self, rank: Rank, answers: &str) -> bool {
        let table = self.table();
        table.taken.len() < self.max
            || table.taken.iter().any(|taken| taken.claim.rank < rank)
            || table.lent(rank, answers, self.max).is_some()
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

    /// Number of places, taken or not.
    pub fn max(&self) -> usize {
        self.max
    }
}

impl Table {
    fn make_room(
        &mut self,
        claim: &Claim,
        max: usize,
    ) -> Result<Option<CancellationToken>, NoPermit> {
        if claim.rank < Rank::Owner && self.count_of(&claim.whose) >= claim.share {
            let oldest = self.taken.iter().position(|taken| claim.may_replace(taken));
            return self.replace(oldest, NoPermit::Share);
        }
        if self.taken.len() < max {
            return Ok(None);
        }
        let lower = self.taken.iter().enumerate();
        let lower = lower.filter(|(_, taken)| taken.claim.rank < claim.rank);
        let victim = lower.max_by_key(|(index, taken)| {
            let Claim { rank, whose, .. } = &taken.claim;
            let most = (
                self.answered_for(&taken.claim.answers),
                self.count_of(whose),
            );
            // Of the lowest rank; of these, of whom a back end lets in that has most, and then of
            // the party that has most; of its places the newest.
            (std::cmp::Reverse(*rank), most, *index)
        });
        let Some((index, _)) = victim else {
            let newest = self
                .taken
                .iter()
                .rposition(|taken| claim.may_replace(taken));
            let lent = self.lent(claim.rank, &claim.answers, max);
            if let Some(index) = lent.filter(|_| newest.is_none()) {
                let victim = self.taken.remove(index);
                victim.end.set_off(FOR_OTHERS);
                return Ok(Some(victim.gone));
            }
            let why = if self.displaced.contains(&claim.whose) {
                NoPermit::Displaced
            } else {
                NoPermit::Full
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

    /// Has a holder go for another one of its party, if there is such a holder and none before it
    /// is still leaving.
    fn replace(
        &mut self,
        index: Option<usize>,
        otherwise: NoPermit,
    ) -> Result<Option<CancellationToken>, NoPermit> {
        self.leaving.retain(|(_, gone)| !gone.is_cancelled());
        let is_leaving = |whose: &str| self.leaving.iter().any(|(leaving, _)| **leaving == *whose);
        let index = index.filter(|index| !is_leaving(&self.taken[*index].claim.whose));
        let before = self.taken.remove(index.ok_or(otherwise)?);
        before.end.set_off(FOR_ITS_OWN);
        self.leaving.push((before.claim.whose, before.gone.clone()));
        Ok(Some(before.gone))
    }

    fn lent(&self, rank: Rank, answers: &str, max: usize) -> Option<usize> {
        let taken = self.taken.iter();
        let taken: Vec<_> = taken
            .map(|taken| (taken.claim.rank, &*taken.claim.answers))
            .collect();
        lent(&taken, max, rank, answers)
    }

    fn answered_for(&self, answers: &str) -> usize {
        let taken = self.taken.iter();
        taken
            .filter(|taken| *taken.claim.answers == *answers)
            .count()
    }

    fn count_of(&self, whose: &str) -> usize {
        let own = self
            .taken
            .iter()
            .filter(|taken| *taken.claim.whose == *whose);
        own.count()
    }
}

impl Permit {
    /// Waits until its holder has to go; gives the reason.
    pub async fn ended(&self) -> &'static str {
        self.end.token.cancelled().await;
        self.why()
    }

    /// The same, to be polled by one that has no place for borrowing.
    pub fn ends(&self) -> WaitForCancellationFutureOwned {
        self.end.token.clone().cancelled_owned()
    }

    /// The same, to be looked at by somebody else.
    pub fn ending(&self) -> Ending {
        Ending(self.end.token.clone())
    }

    /// Returns why its holder has to go.
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

impl Drop for Permit {
    fn drop(&mut self) {
        let mut table = self.permits.table();
        table.taken.retain(|taken| taken.serial != self.serial);
        drop(table);
        self.gone.cancel();
    }
}

#[cfg(test)]
mod tests;
