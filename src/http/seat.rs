use crate::device::{Attending, Place};

/// What a viewer holds while it is being sent media, or talks. Dropping it gives all back.
pub(super) struct Seat {
    /// Among all viewers; who talks needs none.
    pub(super) _place: Option<Place>,
    /// Among what this viewer has under way; where there are no sessions, none is needed.
    pub(super) _share: Option<Place>,
    /// It is there.
    pub(super) _attending: Attending,
}
