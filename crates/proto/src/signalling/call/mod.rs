//! Calls between the device and its viewers: who rings, who talks. Pure: the clock is the caller's.
//!
//! The device has one call at a time. Either it rings viewers, and the first to answer has it; or
//! a viewer rings it (`docs/protocol.md`, "Calls"). Every move is answered: what cannot be done
//! now is refused with a reason, and changes nothing. The device's owner has a call before guests,
//! and so has whoever rings at the device's own door.

mod rings;

use self::rings::Rings;
use crate::{
    credential::Rank,
    error::{Error, ErrorKind},
    feedback::CallSignal,
    media::{ChannelId, MediaTime},
    viewer::ViewerId,
};

/// Action of a viewer on a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewerCallAction {
    /// `wx_call_start`: it rings the device.
    Start,
    /// `call_answer`: it takes the device's call.
    Answer,
    /// `call_hang_up`: the call is over.
    HangUp,
    /// `call_cancel`: it has rung in vain.
    Cancel,
    /// `call_reject`: it does not want the device's call.
    Reject,
    /// `call_busy`: it is in another call.
    Busy,
    /// `call_timeout`: nobody took it.
    Timeout,
}

/// Action on a call of the device's owner, or of a program for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceCallAction {
    /// The button: ring everybody who can be told.
    Ring,
    /// Take a viewer's call.
    Answer,
    /// Do not take it.
    Reject,
    /// The same, because of another call.
    Busy,
    /// Stop ringing, or end the call.
    HangUp,
}

/// Effect of a move, for the caller to carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Tell a viewer that the device calls.
    Ring(ViewerId, ChannelId),
    /// Tell a viewer what happened.
    Tell(ViewerId, CallSignal),
    /// Stop playing the voice of this viewer.
    EndTalk(ViewerId),
}

/// State of the device's call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CallState {
    /// No call.
    #[default]
    Idle,
    /// The device rings these viewers, until then.
    Calling {
        /// Channel whose picture the call is about.
        channel: ChannelId,
        /// Viewers that have not said no. Never empty.
        viewers: Vec<ViewerId>,
        /// Time at which the device gives up.
        until: MediaTime,
    },
    /// This viewer rings the device, until then.
    Called {
        /// Channel that the viewer wants to see.
        channel: ChannelId,
        /// Viewer that rings.
        viewer: ViewerId,
        /// Time at which the viewer has rung in vain.
        until: MediaTime,
    },
    /// The call was taken: device and viewer talk.
    Talking {
        /// Channel whose picture the call is about.
        channel: ChannelId,
        /// Viewer that talks.
        viewer: ViewerId,
    },
}

impl CallState {
    /// Returns the word by which local routes and properties tell it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Calling { .. } => "calling",
            Self::Called { .. } => "called",
            Self::Talking { .. } => "talking",
        }
    }

    /// Channel that the call is about; `None` without a call.
    pub const fn channel(&self) -> Option<ChannelId> {
        match self {
            Self::Idle => None,
            Self::Calling { channel, .. }
            | Self::Called { channel, .. }
            | Self::Talking { channel, .. } => Some(*channel),
        }
    }
}

/// The device's call.
#[derive(Debug)]
pub struct Call {
    state: CallState,
    /// Rank of the viewer that rings the device or talks with it.
    rank: Rank,
    /// Ring timeout, in microseconds.
    ring: i64,
    rings: Rings,
}

/// A viewer that does something about the call.
#[derive(Clone, Copy, Debug)]
pub struct Party<'a> {
    /// The viewer.
    pub viewer: &'a ViewerId,
    /// Rank of the viewer.
    pub rank: Rank,
    /// Party that answers for it, if it proved a credential: itself, or the back end that let it
    /// in.
    pub answers: Option<&'a str>,
}

type Moved = Result<Vec<Effect>, Error>;

impl Call {
    /// No call. One that comes rings for `ring` microseconds.
    pub fn new(ring: i64) -> Self {
        Self {
            state: CallState::Idle,
            rank: Rank::Guest,
            ring,
            rings: Rings::default(),
        }
    }

    /// Drops the call without telling anybody.
    pub fn forget(&mut self) {
        self.state = CallState::Idle;
    }

    /// Has calls that come ring for `ring` microseconds.
    pub const fn set_ring(&mut self, ring: i64) {
        self.ring = ring;
    }

    /// Returns the state.
    pub fn state(&self) -> &CallState {
        &self.state
    }

    /// Returns the time at which ringing ends in vain; `None` if nothing rings.
    pub fn deadline(&self) -> Option<MediaTime> {
        match self.state {
            CallState::Calling { until, .. } | CallState::Called { until, .. } => Some(until),
            CallState::Idle | CallState::Talking { .. } => None,
        }
    }

    /// The viewers that have a part in it.
    pub fn viewers(&self) -> &[ViewerId] {
        match &self.state {
            CallState::Idle => &[],
            CallState::Calling { viewers, .. } => viewers,
            CallState::Called { viewer, .. } | CallState::Talking { viewer, .. } => {
                std::slice::from_ref(viewer)
            }
        }
    }

    /// The device rings these viewers. One that rings the device gives way, unless it is the owner:
    /// somebody stands at the door.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there are none, [`ErrorKind::Busy`] if there is a call already.
    pub fn ring(&mut self, channel: ChannelId, viewers: Vec<ViewerId>, now: MediaTime) -> Moved {
        let mut effects = match &self.state {
            CallState::Idle => Vec::new(),
            CallState::Called { viewer, .. } if self.rank < Rank::Owner => {
                vec![Effect::Tell(viewer.clone(), CallSignal::Busy)]
            }
            _ => return Err(busy()),
        };
        if viewers.is_empty() {
            let reason = "nobody is there who could be called: viewers over P2P with the scope feedback can be";
            return Err(Error::new(ErrorKind::NotFound, reason));
        }
        let rings = viewers.iter().cloned();
        effects.extend(rings.map(|viewer| Effect::Ring(viewer, channel)));
        self.state = CallState::Calling {
            channel,
            viewers,
            until: now.plus_micros(self.ring),
        };
        Ok(effects)
    }

    /// A viewer does something. Of one with a lower rank it takes the call over, or ends it.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if it has no part in a call, [`ErrorKind::Busy`] if another one is
    /// in it, or if it rings again and again in vain; [`ErrorKind::Conflict`] if this cannot be
    /// done now.
    pub fn apply_request(
        &mut self,
        party: Party<'_>,
        (what, channel): (ViewerCallAction, ChannelId),
        now: MediaTime,
    ) -> Moved {
        let viewer = party.viewer;
        if let Some(moved) = self.take_over(party, what, channel, now) {
            return Ok(moved);
        }
        let is_part = self.viewers().iter().any(|part| part == viewer);
        match (&mut self.state, what) {
            (CallState::Idle, ViewerCallAction::Start) => {
                self.rings.begin(party, self.ring, now)?;
                self.rank = party.rank;
                self.state = CallState::Called {
                    channel,
                    viewer: viewer.clone(),
                    until: now.plus_micros(self.ring),
                };
                Ok(Vec::new())
            }
            (CallState::Idle, _) => Err(no_call()),
            // Whoever has no part in the call is refused; what follows is about the caller's own.
            (_, ViewerCallAction::Start) if !is_part => Err(busy()),
            (_, _) if !is_part => Err(not_part()),
            // Both ring each other: that is an answer.
            (CallState::Calling { .. }, ViewerCallAction::Start | ViewerCallAction::Answer) => {
                Ok(self.answered_by(party))
            }
            // The document has `call_hang_up` after answering only; here it is also what a viewer that
            // has left counts as having said.
            (
                CallState::Calling { viewers, .. },
                ViewerCallAction::Reject
                | ViewerCallAction::Busy
                | ViewerCallAction::Timeout
                | ViewerCallAction::HangUp,
            ) => {
                viewers.retain(|other| other != viewer);
                if viewers.is_empty() {
                    self.state = CallState::Idle;
                }
                Ok(Vec::new())
            }
            (CallState::Called { .. }, ViewerCallAction::Start)
            | (CallState::Talking { .. }, ViewerCallAction::Start | ViewerCallAction::Answer) => {
                Ok(Vec::new())
            }
            (
                CallState::Called { .. },
                ViewerCallAction::Cancel | ViewerCallAction::HangUp | ViewerCallAction::Timeout,
            ) => {
                self.state = CallState::Idle;
                Ok(Vec::new())
            }
            (CallState::Talking { .. }, ViewerCallAction::HangUp | ViewerCallAction::Busy) => {
                self.state = CallState::Idle;
                Ok(vec![Effect::EndTalk(viewer.clone())])
            }
            (CallState::Calling { .. }, ViewerCallAction::Cancel) => {
                Err(conflict("it is the device that calls; call_reject says no"))
            }
            (CallState::Called { .. }, _) => Err(conflict(
                "it is this viewer that calls; call_cancel gives up",
            )),
            (CallState::Talking { .. }, _) => {
                Err(conflict("the call was taken; call_hang_up ends it"))
            }
        }
    }

    /// Takes over or ends the call of a party with a lower rank; `None` if the move does neither.
    fn take_over(
        &mut self,
        party: Party<'_>,
        what: ViewerCallAction,
        channel: ChannelId,
        now: MediaTime,
    ) -> Option<Vec<Effect>> {
        let viewer = party.viewer;
        let is_part = self.viewers().iter().any(|part| part == viewer);
        if is_part || party.rank == Rank::Guest {
            return None;
        }
        let (of, mut effects) = match &self.state {
            // Those that are rung have not said yet that they want it.
            CallState::Calling { .. } => {
                let is_answer = matches!(what, ViewerCallAction::Start | ViewerCallAction::Answer);
                return is_answer.then(|| self.answered_by(party));
            }
            CallState::Called {
                channel, viewer, ..
            } => {
                let told = Effect::Tell(viewer.clone(), CallSignal::Busy);
                (*channel, vec![told])
            }
            CallState::Talking { channel, viewer } => {
                let told = Effect::Tell(viewer.clone(), CallSignal::HangUp);
                (*channel, vec![told, Effect::EndTalk(viewer.clone())])
            }
            CallState::Idle => return None,
        };
        if self.rank >= party.rank {
            return None;
        }
        let is_talking = matches!(self.state, CallState::Talking { .. });
        self.state = match what {
            ViewerCallAction::Start => CallState::Called {
                channel,
                viewer: viewer.clone(),
                until: now.plus_micros(self.ring),
            },
            // It was rung too, and somebody else was faster.
            ViewerCallAction::Answer if is_talking => CallState::Talking {
                channel: of,
                viewer: viewer.clone(),
            },
            ViewerCallAction::HangUp | ViewerCallAction::Reject => CallState::Idle,
            _ => return None,
        };
        if let (ViewerCallAction::Reject, Some(Effect::Tell(_, signal))) =
            (what, effects.first_mut())
        {
            *signal = CallSignal::Reject;
        }
        self.rank = party.rank;
        Some(effects)
    }

    /// The device takes its part.
    ///
    /// # Errors
    /// As [`Call::apply_request`]. [`DeviceCallAction::Ring`] is [`Call::ring`].
    pub fn device_moves(&mut self, what: DeviceCallAction) -> Moved {
        // Taking the state leaves `Idle`: an arm that ends the call has nothing more to set.
        match (std::mem::take(&mut self.state), what) {
            (CallState::Idle, _) => Err(no_call()),
            (
                CallState::Called {
                    channel, viewer, ..
                },
                DeviceCallAction::Answer,
            ) => {
                self.rings.taken(&viewer);
                let told = Effect::Tell(viewer.clone(), CallSignal::Answer);
                self.state = CallState::Talking { channel, viewer };
                Ok(vec![told])
            }
            (
                CallState::Called { viewer, .. },
                DeviceCallAction::Reject | DeviceCallAction::HangUp,
            ) => Ok(vec![Effect::Tell(viewer, CallSignal::Reject)]),
            (CallState::Called { viewer, .. }, DeviceCallAction::Busy) => {
                Ok(vec![Effect::Tell(viewer, CallSignal::Busy)])
            }
            (CallState::Calling { viewers, .. }, DeviceCallAction::HangUp) => {
                Ok(tell_all(viewers, CallSignal::Cancel))
            }
            (CallState::Talking { viewer, .. }, DeviceCallAction::HangUp) => Ok(vec![
                Effect::Tell(viewer.clone(), CallSignal::HangUp),
                Effect::EndTalk(viewer),
            ]),
            (state, _) => {
                self.state = state;
                Err(conflict(
                    "the call is not one that waits for this; hang_up ends it",
                ))
            }
        }
    }

    /// Ends a call that was not taken in time; does nothing before its deadline.
    pub fn expire(&mut self, now: MediaTime) -> Vec<Effect> {
        if self.deadline().is_none_or(|until| until > now) {
            return Vec::new();
        }
        let viewers = self.viewers().to_vec();
        self.state = CallState::Idle;
        tell_all(viewers, CallSignal::Timeout)
    }

    /// A viewer has left, which is as if it had hung up.
    pub fn left(&mut self, viewer: &ViewerId) -> Vec<Effect> {
        // A guest takes nothing over, and hanging up reads neither channel nor time.
        let hangs_up = (ViewerCallAction::HangUp, ChannelId::default());
        let party = Party {
            viewer,
            rank: Rank::Guest,
            answers: None,
        };
        let moved = self.apply_request(party, hangs_up, MediaTime::default());
        moved.unwrap_or_default()
    }

    fn answered_by(&mut self, party: Party<'_>) -> Vec<Effect> {
        let viewer = party.viewer;
        let CallState::Calling {
            channel, viewers, ..
        } = std::mem::take(&mut self.state)
        else {
            return Vec::new();
        };
        self.rank = party.rank;
        self.state = CallState::Talking {
            channel,
            viewer: viewer.clone(),
        };
        let others = viewers.into_iter().filter(|other| other != viewer);
        tell_all(others, CallSignal::Cancel)
    }
}

fn tell_all(viewers: impl IntoIterator<Item = ViewerId>, signal: CallSignal) -> Vec<Effect> {
    let viewers = viewers.into_iter();
    viewers.map(|viewer| Effect::Tell(viewer, signal)).collect()
}

fn no_call() -> Error {
    Error::new(ErrorKind::NotFound, "there is no call")
}

fn not_part() -> Error {
    let reason = "this viewer has no part in the call; somebody else may have taken it";
    Error::new(ErrorKind::NotFound, reason)
}

fn busy() -> Error {
    Error::new(ErrorKind::Busy, "the device is in a call; try again later")
}

fn conflict(reason: &'static str) -> Error {
    Error::new(ErrorKind::Conflict, reason)
}

#[cfg(test)]
mod tests;
