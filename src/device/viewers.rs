//! Permits for the media that viewers are sent.
//!
//! Keeps: no more viewers at a time than `max`, a credential no more than its share, and the owner
//! is let in all the same. Ranks and who gives way are in `peercam_net::permits`.

use peercam_net::permits::{Claim, NoPermit, Permit, Permits};
use peercam_proto::error::{Error, ErrorKind};

use crate::access::{Caller, Medium};

/// Places of viewers, taken and in all. A viewer is one media response under way; its place is free
/// again the moment the response ends, for whatever reason.
///
/// Bound: `max` in all, `share` of one credential; of these, those that are played recordings, and
/// those that fetch files, as memory allows; and one more of each credential for a still. The owner has
/// no share, and gets the place of somebody else where there is none.
#[derive(Clone, Debug)]
pub struct Viewers {
    permits: Permits,
    share: usize,
    players: Permits,
    downloads: Permits,
}

/// A credential that has fewer places than this gives one of them for another: it comes from another
/// network, or changes the quality.
const FEW: usize = 3;

impl Viewers {
    /// Places for `max` viewers, `share` of them for one credential.
    pub fn new(max: usize, share: usize) -> Self {
        Self {
            permits: Permits::new(max),
            share,
            players: Permits::new(max),
            downloads: Permits::new(max),
        }
    }

    /// The same, with no more playbacks and downloads than these.
    #[must_use]
    pub fn with_recordings(self, players: usize, downloads: usize) -> Self {
        Self {
            players: Permits::new(players),
            downloads: Permits::new(downloads),
            ..self
        }
    }

    /// Takes a place among all, and among those that are sent the same. Who talks needs none.
    ///
    /// # Errors
    /// [`ErrorKind::Full`] if there is none for this caller.
    pub fn enter(&self, caller: &Caller, medium: Medium) -> Result<Vec<Permit>, Error> {
        if medium == Medium::Talk {
            return Ok(Vec::new());
        }
        // A still is soon over: it has a place beside what its viewer watches, and ends none of that.
        let is_still = medium == Medium::Still;
        let claim = Claim {
            rank: caller.rank(),
            whose: caller.party(),
            answers: caller.answers(),
            // Without a credential nobody can be told from others.
            share: match caller.holder() {
                Some(_) => self.share + usize::from(is_still),
                None => usize::MAX,
            },
            // With so few, the one before is most often its own that has not ended yet.
            replaces_own: caller.holder().is_some() && self.share < FEW && !is_still,
        };
        let of_medium = match medium {
            Medium::Live | Medium::Still | Medium::Talk => None,
            Medium::Playback => Some((&self.players, "plays recordings to")),
            Medium::Download => Some((&self.downloads, "lets files be fetched by")),
        };
        let all = self.permits.take(claim.clone());
        let mut taken = vec![all.map_err(|why| self.refused(why))?];
        if let Some((permits, does)) = of_medium {
            let claim = Claim {
                share: usize::MAX,
                // Who asks for another one does not always end the first.
                replaces_own: true,
                ..claim
            };
            let permit = permits.take(claim);
            taken.push(permit.map_err(|_| full(does, permits.max()))?);
        }
        Ok(taken)
    }

    fn refused(&self, why: NoPermit) -> Error {
        match why {
            NoPermit::Share => {
                let reason = format!(
                    "this viewer is being sent {} streams, which is its share; end one of them",
                    self.share
                );
                Error::new(ErrorKind::Full, reason)
            }
            NoPermit::Full => full("serves", self.max()),
            NoPermit::Displaced => Error::new(
                ErrorKind::Full,
                "the device's owner needed this place and was given it; try again when a viewer has left",
            ),
        }
    }

    /// Makes sure that there is a place for this caller.
    ///
    /// # Errors
    /// As [`Viewers::enter`].
    pub fn check(&self, caller: &Caller) -> Result<(), Error> {
        if self.permits.has_one_for(caller.rank(), &caller.answers()) {
            Ok(())
        } else {
            Err(full("serves", self.max()))
        }
    }

    /// Viewers being served.
    pub fn count(&self) -> usize {
        self.permits.count()
    }

    /// Viewers that may be served at a time.
    pub fn max(&self) -> usize {
        self.permits.max()
    }

    /// Playbacks under way, and how many there may be.
    pub fn players(&self) -> (usize, usize) {
        (self.players.count(), self.players.max())
    }

    /// Downloads under way, and how many there may be.
    pub fn downloads(&self) -> (usize, usize) {
        (self.downloads.count(), self.downloads.max())
    }
}

fn full(does: &str, max: usize) -> Error {
    let reason = format!(
        "the device {does} {max} viewers at a time and all places are taken; try again when one has left"
    );
    Error::new(ErrorKind::Full, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Authority;
    use peercam_proto::credential::Scope;

    fn caller(address: &str) -> Caller {
        let address = format!("{address}:1").parse();
        Caller::unauthenticated(address.expect("an address"))
    }

    #[test]
    fn recordings_have_fewer_places_and_who_asks_again_keeps_its_own() {
        let viewers = Viewers::new(4, 4).with_recordings(1, 1);
        let one = caller("192.0.2.1");
        let first = viewers.enter(&one, Medium::Playback).expect("free");
        let other = caller("192.0.2.2");
        let refused = viewers.enter(&other, Medium::Playback).expect_err("taken");
        assert!(
            refused.reason().contains("plays recordings to 1"),
            "{refused}"
        );
        assert_eq!(viewers.count(), 1, "who is refused holds nothing");
        let again = viewers.enter(&one, Medium::Playback).expect("instead");
        assert!(viewers.enter(&other, Medium::Live).is_ok());
        assert!(viewers.enter(&other, Medium::Download).is_ok());
        drop((first, again));
        assert!(viewers.enter(&other, Medium::Playback).is_ok());
    }

    #[test]
    fn a_still_has_a_place_beside_what_its_viewer_watches() {
        let viewers = Viewers::new(4, 1);
        let phone = Authority::for_tests().caller_for_tests([Scope::Live]);
        let _live = viewers.enter(&phone, Medium::Live).expect("free");
        let still = viewers.enter(&phone, Medium::Still).expect("one more");
        assert_eq!(viewers.count(), 2, "it ends nothing");
        assert!(viewers.enter(&phone, Medium::Still).is_err());
        drop(still);
        assert!(viewers.enter(&phone, Medium::Still).is_ok());
    }
}
