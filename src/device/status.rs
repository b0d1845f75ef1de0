//! `get_device_st`: would such a request be accepted now?

use peercam_proto::{
    command::{Reply, Status, StatusQuery},
    credential::Scope,
    media::ChannelId,
    refusal,
};

use super::Device;
use crate::{
    access::{Caller, Need},
    channels::ChannelEntry,
};

impl Device {
    pub(super) fn status(&self, caller: &Caller, channel: ChannelId, query: StatusQuery) -> Reply {
        let may = match query {
            StatusQuery::Live(_) => caller.check(Need::Scope(Scope::Live)),
            StatusQuery::Playback => caller.check(Need::Scope(Scope::Playback)),
            StatusQuery::Voice => caller.check(Need::Scope(Scope::Voice)),
            StatusQuery::Damaged => Ok(()),
        };
        let (status, reason) = match (
            query,
            self.channels
                .require_visible(channel, caller.channels())
                .and_then(|entry| may.map(|()| entry)),
        ) {
            (StatusQuery::Damaged, _) => {
                let reason = "type is one of live, voice, playback, quality one of standard, high, \
                     super, and channel a number";
                (Status::BadRequest, Some(reason.to_owned()))
            }
            (_, Err(error)) => (
                refusal::status(error.kind()),
                Some(error.reason().to_owned()),
            ),
            (StatusQuery::Voice, Ok(_)) => match self.speakers.check(channel, caller.rank()) {
                Ok(()) => (Status::Ok, None),
                Err(error) => {
                    let error = self.beside(caller, "", error);
                    let status = refusal::status(error.kind());
                    (status, Some(error.reason().to_owned()))
                }
            },
            (StatusQuery::Playback, Ok(_)) => match self.recordings.of(channel) {
                Ok(_) => self
                    .card_problem()
                    .or_else(|| self.no_place(caller))
                    .unwrap_or((Status::Ok, None)),
                Err(error) => (Status::Refused, Some(error.reason().to_owned())),
            },
            (StatusQuery::Live(_), Ok(entry)) => self.live_status(caller, &entry),
        };
        // Apps are told from each other where they prove themselves.
        let (connected, max_connected) = match caller.holder() {
            Some(_) => self.activity.connected(),
            None => (self.viewers.count(), self.viewers.max()),
        };
        Reply::DeviceStatus {
            status,
            connected,
            max_connected,
            reason,
        }
    }

    /// Status while the card cannot be read.
    fn card_problem(&self) -> Option<(Status, Option<String>)> {
        let card = self.recordings.recording()?.state();
        let problem = card.problem.filter(|_| !card.is_readable)?;
        Some((Status::Refused, Some(problem)))
    }

    /// Status while there is no place for this viewer.
    fn no_place(&self, caller: &Caller) -> Option<(Status, Option<String>)> {
        let error = self.viewers.check(caller).err()?;
        Some((Status::TooManyViewers, Some(error.reason().to_owned())))
    }

    fn live_status(&self, caller: &Caller, entry: &ChannelEntry) -> (Status, Option<String>) {
        let channel = entry.id;
        if let Err(error) = entry.check_video() {
            let error = self.beside(caller, "", error);
            let status = refusal::status(error.kind());
            return (status, Some(error.reason().to_owned()));
        }
        if !self.hub.is_working(channel) {
            let reason = format!("the camera of channel {channel} is on standby");
            return (Status::Refused, Some(reason));
        }
        if let Some(refused) = self.no_place(caller) {
            return refused;
        }
        match self.hub.offline(channel) {
            None => (Status::Ok, None),
            Some(reason) => {
                let reason = format!("the camera of channel {channel} is off: {reason}");
                (Status::Refused, Some(reason))
            }
        }
    }
}
