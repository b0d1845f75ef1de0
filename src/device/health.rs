//! Health of the device, as somebody may know it: guests hear of their cameras and the card, and only
//! who may do everything of paths and addresses.

use std::time::Duration;

use peercam_proto::{
    credential::{Channels, Scope},
    media::ChannelId,
};
use serde::Serialize;

use super::{
    CardState, Device,
    problems::{Found, Origin, card_failure},
};
use crate::access::{Caller, Need};

/// State of the device as one caller may know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Set unless the device ends: then nobody can be served.
    pub is_serving: bool,
    /// Number of viewers being served.
    pub viewers: usize,
    /// Number of viewers that may be served at a time.
    pub max_viewers: usize,
    /// Running streams of the channels below.
    pub streams: usize,
    /// Channels.
    pub channels: Vec<ChannelHealth>,
    /// The card, where something is recorded.
    pub card: Option<CardState>,
    /// Problems that there are.
    pub problems: Vec<Problem>,
}

/// State of one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelHealth {
    /// Its number.
    pub id: ChannelId,
    /// Its name for people.
    pub name: String,
    /// Reason why it would not deliver now.
    pub offline: Option<String>,
}

/// A thing that does not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The thing.
    pub origin: Origin,
    /// Sentence on it.
    pub what: String,
    /// Time for which it has not worked.
    pub lasts: Duration,
    /// Sentence on what a person can do.
    pub remedy: &'static str,
}

/// A problem as `/healthz` and the status of the daemon tell of it.
#[derive(Clone, Debug, Serialize)]
pub struct ProblemReport {
    /// `camera`, `card`, `relay` or `handler`.
    pub part: &'static str,
    /// Channel of a camera.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<u16>,
    /// Name of the camera, or of a handler's commands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Sentence on it.
    pub what: String,
    /// Seconds since 1970-01-01 UTC at which it began; `None` if the clock was not set.
    pub since: Option<u64>,
    /// Seconds for which it has not worked.
    pub seconds: u64,
    /// Sentence on what a person can do.
    #[serde(rename = "do")]
    pub remedy: &'static str,
}

impl Health {
    /// Returns whether all is as it should be.
    pub fn is_well(&self) -> bool {
        self.is_serving && self.problems.is_empty()
    }

    /// Problems as programs read of them, on this date: a clock that was set meanwhile does not move
    /// their beginnings.
    pub fn reports(&self, date: Option<u64>) -> Vec<ProblemReport> {
        let problems = self.problems.iter().map(|problem| {
            let seconds = problem.lasts.as_secs();
            ProblemReport {
                part: problem.origin.part(),
                channel: problem.origin.channel().map(|channel| channel.0),
                name: self.name_of(&problem.origin).map(str::to_owned),
                what: problem.what.clone(),
                since: date.map(|date| date.saturating_sub(seconds)),
                seconds,
                remedy: problem.remedy,
            }
        });
        problems.collect()
    }

    /// Name of a thing that does not work, if it has one.
    fn name_of<'a>(&'a self, origin: &'a Origin) -> Option<&'a str> {
        match origin {
            Origin::Camera(id) => {
                let mut channels = self.channels.iter();
                let channel = channels.find(|channel| channel.id == *id)?;
                Some(&channel.name)
            }
            Origin::Handler(name) => Some(name),
            Origin::Card | Origin::Relay => None,
        }
    }
}

/// Rights of whoever asks about the device's health.
#[derive(Clone, Copy, Debug)]
pub struct Audience<'a> {
    channels: &'a Channels,
    /// Set if it is told of what is no channel's and no recording's.
    knows_device: bool,
    /// Set if it is told of paths and addresses on the device and around it.
    knows_places: bool,
}

impl<'a> Audience<'a> {
    /// Whoever may know everything: a person at the device.
    pub const DEVICE: Audience<'static> = Audience {
        channels: &Channels::All,
        knows_device: true,
        knows_places: true,
    };

    /// Rights of a caller.
    pub fn of(caller: &'a Caller) -> Self {
        Self {
            channels: caller.channels(),
            knows_device: caller.check(Need::Device(Scope::Metrics)).is_ok(),
            knows_places: caller.is_at_device() || caller.is_device_admin(),
        }
    }

    fn hears_of(&self, origin: &Origin) -> bool {
        match origin {
            Origin::Camera(channel) => self.channels.contains(*channel),
            Origin::Card => true,
            Origin::Relay | Origin::Handler(_) => self.knows_device,
        }
    }

    /// State of the card, without paths for whoever is not told of such.
    fn card(&self, card: CardState) -> CardState {
        if self.knows_places || card.problem.is_none() {
            return card;
        }
        let problem = Some(card_failure(&card).to_owned());
        CardState { problem, ..card }
    }

    fn told(&self, found: Found, lasts: Duration) -> Option<Problem> {
        let Found {
            origin,
            what,
            place,
            remedy,
        } = found;
        let place = place.filter(|_| self.knows_places);
        self.hears_of(&origin).then(|| Problem {
            what: match place {
                Some(place) => format!("{what} ({place})"),
                None => what,
            },
            origin,
            lasts,
            remedy,
        })
    }
}

impl Device {
    /// State of the device, as far as this audience may know it.
    pub fn health(&self, audience: &Audience<'_>) -> Health {
        let visible = audience.channels;
        let channels = self.channels.visible(visible);
        let channels = channels.iter().map(|channel| ChannelHealth {
            id: channel.id,
            name: channel.name.clone(),
            offline: self.hub.offline(channel.id),
        });
        let problems = self.timed_problems().into_iter();
        let told = problems.filter_map(|(found, lasts)| audience.told(found, lasts));
        Health {
            is_serving: !self.hub.is_closed(),
            viewers: self.viewers.count(),
            max_viewers: self.viewers.max(),
            streams: self.hub.running_streams(visible),
            problems: told.collect(),
            channels: channels.collect(),
            card: self
                .recordings
                .recording()
                .map(|card| audience.card(card.state())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_see_one_channel_hears_of_no_other_and_of_no_place() {
        let found = |origin, place: Option<&str>| Found {
            origin,
            what: "it is gone".to_owned(),
            place: place.map(str::to_owned),
            remedy: "look",
        };
        let all = || {
            [
                found(Origin::Camera(ChannelId(0)), None),
                found(Origin::Camera(ChannelId(1)), None),
                found(Origin::Card, None),
                found(Origin::Relay, Some("https://relay.example")),
                found(Origin::Handler("light".to_owned()), Some("/run/light")),
            ]
        };
        let told = |audience: &Audience<'_>| -> Vec<String> {
            let told = all().map(|found| audience.told(found, Duration::ZERO));
            let told = told.into_iter().flatten();
            told.map(|problem| format!("{:?}: {}", problem.origin, problem.what))
                .collect()
        };
        let one = Channels::Only([ChannelId(1)].into());
        let guest = Audience {
            channels: &one,
            knows_device: false,
            knows_places: false,
        };
        assert_eq!(
            told(&guest),
            ["Camera(ChannelId(1)): it is gone", "Card: it is gone"]
        );
        let monitor = Audience {
            channels: &Channels::All,
            knows_device: true,
            knows_places: false,
        };
        let heard = told(&monitor);
        assert_eq!(heard.len(), 5);
        assert!(
            heard.iter().all(|told| told.ends_with("it is gone")),
            "{heard:?}"
        );
        let owner = Audience {
            knows_places: true,
            ..monitor
        };
        let heard = told(&owner);
        assert!(
            heard[3].ends_with("it is gone (https://relay.example)"),
            "{heard:?}"
        );
        assert!(heard[4].ends_with("it is gone (/run/light)"), "{heard:?}");
    }
}
