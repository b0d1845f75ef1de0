use super::Caller;
use crate::{
    error::{Error, ErrorKind},
    places::{Claim, NoPlace, Place, Places},
};

/// How many viewers are served, and how many may be. A viewer is one media response under way;
/// its place is free again the moment the response ends, for whatever reason.
///
/// Bound: `max` in all, `share` of one credential. The owner has no share, and gets the place of
/// somebody else where there is none.
#[derive(Clone, Debug)]
pub struct Viewers {
    places: Places,
    share: usize,
}

impl Viewers {
    /// Places for `max` viewers, `share` of them for one credential.
    pub fn new(max: usize, share: usize) -> Self {
        Self {
            places: Places::new(max),
            share,
        }
    }

    /// Takes a place.
    ///
    /// # Errors
    /// [`ErrorKind::Full`] if there is none for this caller.
    pub fn enter(&self, caller: &Caller) -> Result<Place, Error> {
        let claim = Claim {
            rank: caller.rank(),
            whose: caller.party(),
            // Without a credential nobody can be told from others.
            share: match caller.proof {
                Some(_) => self.share,
                None => usize::MAX,
            },
        };
        self.places.take(claim).map_err(|why| match why {
            NoPlace::Share => {
                let reason = format!(
                    "this viewer is being sent {} streams, which is its share; end one of them",
                    self.share
                );
                Error::new(ErrorKind::Full, reason)
            }
            NoPlace::Full => full(self.max()),
            NoPlace::Displaced => Error::new(
                ErrorKind::Full,
                "the device's owner needed this place and was given it; try again when a viewer has left",
            ),
        })
    }

    /// Whether there is a place for this caller.
    ///
    /// # Errors
    /// As [`Viewers::enter`].
    pub fn check(&self, caller: &Caller) -> Result<(), Error> {
        match self.places.has_one_for(caller.rank()) {
            true => Ok(()),
            false => Err(full(self.max())),
        }
    }

    /// Viewers being served.
    pub fn count(&self) -> usize {
        self.places.count()
    }

    /// Viewers that may be served at a time.
    pub fn max(&self) -> usize {
        self.places.max()
    }
}

fn full(max: usize) -> Error {
    let reason = format!(
        "the device serves {max} viewers at a time and all places are taken; try again when one has left"
    );
    Error::new(ErrorKind::Full, reason)
}
