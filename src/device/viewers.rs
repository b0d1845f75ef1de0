use super::places::{Place, Places};
use crate::error::{Error, ErrorKind};

/// How many viewers are served, and how many may be. A viewer is one media response under way;
/// its place is free again the moment the response ends, for whatever reason.
#[derive(Clone, Debug)]
pub struct Viewers {
    places: Places,
    max: usize,
}

impl Viewers {
    /// Places for `max` viewers.
    pub fn new(max: usize) -> Self {
        Self {
            places: Places::default(),
            max,
        }
    }

    /// Takes a place.
    ///
    /// # Errors
    /// [`ErrorKind::Full`] if all are taken.
    pub fn enter(&self) -> Result<Place, Error> {
        let place = self.places.take(self.max);
        place.ok_or_else(|| Error::new(ErrorKind::Full, full(self.max)))
    }

    /// Viewers being served.
    pub fn count(&self) -> usize {
        self.places.count()
    }

    /// Viewers that may be served at a time.
    pub fn max(&self) -> usize {
        self.max
    }
}

/// The sentence for a viewer that finds no place.
pub(super) fn full(max: usize) -> String {
    format!(
        "the device serves {max} viewers at a time and all places are taken; try again when one has left"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_viewer_leaves() {
        let viewers = Viewers::new(2);
        let first = viewers.enter().expect("free");
        let _second = viewers.enter().expect("free");
        assert_eq!(
            viewers.enter().map(|_| ()).map_err(|error| error.kind()),
            Err(ErrorKind::Full)
        );
        drop(first);
        assert_eq!(viewers.count(), 1);
        assert!(viewers.enter().is_ok());
    }
}
