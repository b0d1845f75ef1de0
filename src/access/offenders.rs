//! The circuit breaker for credentials whose requests make the daemon panic.
//!
//! Invariant: nobody is shut out for another's faults. A credential from pairing stands for itself;
//! those of a back end stand together only at a count that none of its viewers reaches alone.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use peercam_proto::credential::{CredentialId, Issuer};

use super::{holder::Holder, recent::Recent};

/// Faults within a minute that close a credential for a minute.
const MAX_FAULTS: usize = 3;
/// Faults that close all credentials of one back end, which can make as many as it likes: more than
/// one viewer of it can cause, who is closed before.
const MOST_OF_BACK_END: usize = 3 * MAX_FAULTS;
const MINUTE: Duration = Duration::from_secs(60);
/// Credentials and back ends that are known for it.
const KNOWN: usize = 64;

/// Credentials whose requests have made the daemon panic. Pure but for being told the time.
#[derive(Debug)]
pub(super) struct Offenders(Recent<Offender, Faults>);

/// Source of faults: a credential, or without an id the back end that made it.
#[derive(Debug, PartialEq, Eq)]
struct Offender {
    issuer: String,
    /// Issuers choose ids as they like.
    id: Option<CredentialId>,
}

/// Times of the newest faults, oldest first.
#[derive(Debug, Default)]
struct Faults(VecDeque<Instant>);

/// Credentials that are not let in for a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// One credential.
    Credential,
    /// All that one back end has made.
    BackEnd,
}

impl Default for Offenders {
    fn default() -> Self {
        Self(Recent::new(KNOWN))
    }
}

impl Offenders {
    /// Notes a fault; returns who is closed from now on.
    pub(super) fn note(&mut self, holder: &Holder, now: Instant) -> Option<Closed> {
        let mut note = |id, most| {
            let issuer = holder.issuer.clone();
            let faults = self.0.note(Offender { issuer, id }, now);
            faults.note(most, now);
            faults.are_too_many(most, now)
        };
        let is_closed = note(Some(holder.claims.id), MAX_FAULTS);
        let is_of_back_end = holder.issuer != Issuer::LOCAL;
        if is_of_back_end && note(None, MOST_OF_BACK_END) {
            return Some(Closed::BackEnd);
        }
        is_closed.then_some(Closed::Credential)
    }

    /// Returns the closing that a credential is under now, if any.
    pub(super) fn closed(&self, holder: &Holder, now: Instant) -> Option<Closed> {
        let are_too_many = |id: Option<CredentialId>, most| {
            let is_it = |known: &Offender| known.id == id && known.issuer == holder.issuer;
            let faults = self.0.get(is_it);
            faults.is_some_and(|faults| faults.are_too_many(most, now))
        };
        if are_too_many(None, MOST_OF_BACK_END) {
            return Some(Closed::BackEnd);
        }
        are_too_many(Some(holder.claims.id), MAX_FAULTS).then_some(Closed::Credential)
    }
}

impl Faults {
    fn note(&mut self, most: usize, now: Instant) {
        if self.0.len() == most {
            self.0.pop_front();
        }
        self.0.push_back(now);
    }

    fn are_too_many(&self, most: usize, now: Instant) -> bool {
        let (Some(first), Some(last)) = (self.0.front(), self.0.back()) else {
            return false;
        };
        self.0.len() == most
            && last.saturating_duration_since(*first) < MINUTE
            && now.saturating_duration_since(*last) < MINUTE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peercam_proto::credential::{Channels, Claims, Scopes};

    fn of(issuer: &str, number: u8) -> Holder {
        let claims = Claims {
            id: CredentialId::new([number; 16]),
            name: "guest".to_owned(),
            scopes: Scopes::ALL,
            channels: Channels::All,
            expires: None,
            peer: None,
        };
        Holder {
            rights: claims.rights(),
            issuer: issuer.to_owned(),
            epoch: 0,
            claims,
        }
    }

    fn holder(number: u8) -> Holder {
        of(Issuer::LOCAL, number)
    }

    #[test]
    fn three_faults_within_a_minute_close_a_credential_for_a_minute() {
        let mut offenders = Offenders::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let closed = Some(Closed::Credential);
        assert_eq!(offenders.note(&holder(1), at(0)), None);
        assert_eq!(offenders.note(&holder(1), at(30)), None);
        let late = offenders.note(&holder(1), at(61));
        assert_eq!(late, None, "the first is long ago");
        assert_eq!(offenders.note(&holder(1), at(70)), closed);
        assert_eq!(offenders.closed(&holder(1), at(129)), closed);
        assert_eq!(offenders.closed(&holder(1), at(130)), None);
        assert_eq!(offenders.closed(&holder(2), at(71)), None, "another one");
        assert_eq!(offenders.closed(&of("shop", 1), at(71)), None, "nor this");
    }

    #[test]
    fn a_back_end_that_makes_a_credential_for_each_fault_is_closed_and_one_of_its_viewers_closes_no_other()
     {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut offenders = Offenders::default();
        let noted = (0..9).map(|number| offenders.note(&of("shop", number), at(number.into())));
        let noted: Vec<_> = noted.collect();
        assert!(noted[..8].iter().all(Option::is_none));
        assert_eq!(noted[8], Some(Closed::BackEnd));
        assert_eq!(offenders.closed(&of("shop", 99), at(67)), noted[8]);
        assert_eq!(offenders.closed(&of("shop", 99), at(68)), None);
        assert_eq!(offenders.closed(&of("other", 1), at(9)), None);
        assert_eq!(offenders.closed(&holder(1), at(9)), None);
        // As often as it is let in.
        let mut offenders = Offenders::default();
        for second in 0..3600 {
            let (bad, now) = (of("shop", 1), at(second));
            if offenders.closed(&bad, now).is_none() {
                offenders.note(&bad, now);
            }
            assert_eq!(offenders.closed(&of("shop", 2), now), None);
        }
        // Of those paired here each is by itself.
        for number in 0..=255 {
            offenders.note(&holder(number), at(4000));
        }
        assert_eq!(offenders.closed(&holder(7), at(4000)), None);
    }
}
