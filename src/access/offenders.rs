use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::holder::Holder;
use crate::proto::credential::CredentialId;

/// So many faults within a minute close a credential for a minute.
const MOST: usize = 3;
const MINUTE: Duration = Duration::from_secs(60);
/// Credentials that are known for it; the one that was quiet for longest is forgotten.
const KNOWN: usize = 64;

/// Credentials whose requests have made the daemon panic. Pure but for being told the time.
#[derive(Debug, Default)]
pub(super) struct Offenders(Vec<Offender>);

#[derive(Debug)]
struct Offender {
    /// Issuers choose ids as they like.
    issuer: String,
    id: CredentialId,
    /// The newest ones.
    faults: VecDeque<Instant>,
}

impl Offenders {
    /// Notes one; whether the credential is closed from now on.
    pub(super) fn note(&mut self, holder: &Holder, now: Instant) -> bool {
        let index = match self.find(holder) {
            Some(index) => index,
            None => {
                if self.0.len() >= KNOWN {
                    let quietest = (0..KNOWN).min_by_key(|index| self.0[*index].faults.back());
                    self.0.swap_remove(quietest.unwrap_or_default());
                }
                self.0.push(Offender {
                    issuer: holder.issuer.clone(),
                    id: holder.claims.id,
                    faults: VecDeque::with_capacity(MOST),
                });
                self.0.len() - 1
            }
        };
        let faults = &mut self.0[index].faults;
        if faults.len() == MOST {
            faults.pop_front();
        }
        faults.push_back(now);
        is_closed(faults, now)
    }

    /// Whether a credential is closed now.
    pub(super) fn is_closed(&self, holder: &Holder, now: Instant) -> bool {
        self.find(holder)
            .is_some_and(|index| is_closed(&self.0[index].faults, now))
    }

    fn find(&self, holder: &Holder) -> Option<usize> {
        let is_it =
            |known: &Offender| known.id == holder.claims.id && known.issuer == holder.issuer;
        self.0.iter().position(is_it)
    }
}

fn is_closed(faults: &VecDeque<Instant>, now: Instant) -> bool {
    let (Some(first), Some(last)) = (faults.front(), faults.back()) else {
        return false;
    };
    faults.len() == MOST
        && last.saturating_duration_since(*first) < MINUTE
        && now.saturating_duration_since(*last) < MINUTE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::credential::{Channels, Claims, Scopes};

    fn holder(number: u8) -> Holder {
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
            issuer: "local".to_owned(),
            epoch: 0,
            claims,
        }
    }

    #[test]
    fn three_faults_within_a_minute_close_a_credential_for_a_minute() {
        let mut offenders = Offenders::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!offenders.note(&holder(1), at(0)));
        assert!(!offenders.note(&holder(1), at(30)));
        assert!(!offenders.note(&holder(1), at(61)), "the first is long ago");
        assert!(offenders.note(&holder(1), at(70)));
        assert!(offenders.is_closed(&holder(1), at(129)));
        assert!(!offenders.is_closed(&holder(1), at(130)));
        assert!(!offenders.is_closed(&holder(2), at(71)), "another one");
    }

    #[test]
    fn few_are_remembered() {
        let mut offenders = Offenders::default();
        let start = Instant::now();
        for number in 0..=KNOWN as u8 {
            offenders.note(&holder(number), start + Duration::from_secs(number.into()));
        }
        assert_eq!(offenders.0.len(), KNOWN);
        assert!(offenders.find(&holder(0)).is_none());
    }
}
