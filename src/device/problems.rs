//! Things that do not work now: cameras, the card, the way to a relay, programs that do commands.
//!
//! Keeps: for each problem when it began, by a clock that is never set, and what a person can do. Who
//! is told which of them, and in which words, is decided in `health`.

use std::{collections::BTreeMap, time::Duration};

use peercam_proto::media::ChannelId;
use peercam_task::boundary::Guarded;
use tokio::time::Instant;

use super::{CardState, Device};

/// Time without a relay before that is a problem: connections are made anew now and then.
const RELAY_GRACE: Duration = Duration::from_secs(30);

/// Thing that does not work.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A camera, by its channel.
    Camera(ChannelId),
    /// The card that recordings go to.
    Card,
    /// Every relay.
    Relay,
    /// A program that does commands, by the name of the commands.
    Handler(String),
}

impl Origin {
    /// Returns the word for its sort.
    pub const fn part(&self) -> &'static str {
        match self {
            Self::Camera(_) => "camera",
            Self::Card => "card",
            Self::Relay => "relay",
            Self::Handler(_) => "handler",
        }
    }

    /// Channel of a camera.
    pub const fn channel(&self) -> Option<ChannelId> {
        match self {
            Self::Camera(channel) => Some(*channel),
            Self::Card | Self::Relay | Self::Handler(_) => None,
        }
    }
}

/// Something that does not work, as it is found.
pub(super) struct Found {
    pub(super) origin: Origin,
    pub(super) what: String,
    /// Paths and addresses that belong to it, which are not for everybody.
    pub(super) place: Option<String>,
    pub(super) remedy: &'static str,
}

/// Times at which problems began.
///
/// Bound: one for each thing that can fail.
#[derive(Default)]
pub(super) struct ProblemTimes(Guarded<BTreeMap<Origin, Instant>>);

impl ProblemTimes {
    /// Notes what does not work now, and gives how long it has not. A reason that changes is the same
    /// problem.
    fn note(&self, found: Vec<Found>) -> Vec<(Found, Duration)> {
        let now = Instant::now();
        let mut began = self.0.lock();
        began.retain(|origin, _| found.iter().any(|found| found.origin == *origin));
        let timed = found.into_iter().map(|found| {
            let began = began.entry(found.origin.clone()).or_insert(now);
            let lasts = now.saturating_duration_since(*began);
            (found, lasts)
        });
        timed
            .filter(|(found, lasts)| found.origin != Origin::Relay || *lasts >= RELAY_GRACE)
            .collect()
    }
}

impl Device {
    /// Notes when problems begin. To be called about once a second, whoever asks for them.
    pub fn note_problems(&self) {
        self.timed_problems();
    }

    /// Things that do not work, and for how long.
    pub(super) fn timed_problems(&self) -> Vec<(Found, Duration)> {
        let cameras = self.hub.outages().into_iter().map(|outage| Found {
            origin: Origin::Camera(outage.channel),
            what: outage.reason,
            place: None,
            remedy: outage.remedy,
        });
        let card = self.recordings.recording().map(|card| card.state());
        let found = cameras
            .chain(card.and_then(card_problem))
            .chain(self.relay_problem())
            .chain(self.handler_problems());
        self.problems.note(found.collect())
    }

    fn relay_problem(&self) -> Option<Found> {
        let place = self.reach.borrow().relay_failure.clone()?;
        Some(Found {
            origin: Origin::Relay,
            what: "no relay is reached, so viewers in other networks may not find the device"
                .to_owned(),
            place: Some(place),
            remedy: "look whether the device has internet and the relay of [p2p] relays runs: peercam doctor tries it",
        })
    }

    fn handler_problems(&self) -> Vec<Found> {
        let commands = self.panels.commands();
        let handlers = commands.handlers.iter();
        let problems = handlers.filter_map(|(name, handler)| {
            let failure = handler.failure()?;
            Some(Found {
                origin: Origin::Handler(name.clone()),
                what: failure.what,
                place: Some(failure.place),
                remedy: "start the program that does these commands, or mend the url of its [[user_define.handler]]",
            })
        });
        problems.collect()
    }
}

fn card_problem(card: CardState) -> Option<Found> {
    let remedy = if !card.is_known {
        "wait a moment: after a start the recordings are looked through"
    } else if card.is_readable {
        "look whether the card is full of other files, read-only or worn out; recording goes on by itself once it can be written to"
    } else {
        "insert and mount the card, or another one; recording goes on by itself"
    };
    Some(Found {
        origin: Origin::Card,
        what: card_failure(&card).to_owned(),
        // It may name the directory.
        place: Some(card.problem?),
        remedy,
    })
}

/// Sentence on a card that does not work, without a path.
pub(super) fn card_failure(card: &CardState) -> &'static str {
    if !card.is_known {
        "it is not known yet what is on the card"
    } else if card.is_readable {
        "nothing can be recorded on the card"
    } else {
        "there is no card that can be used"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(origin: Origin, what: &str) -> Found {
        Found {
            origin,
            what: what.to_owned(),
            place: None,
            remedy: "",
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_problem_lasts_from_its_beginning_until_it_is_gone() {
        let times = ProblemTimes::default();
        let lasts = |found: Vec<Found>| {
            let timed = times.note(found).into_iter();
            timed.map(|(_, lasts)| lasts.as_secs()).collect::<Vec<_>>()
        };
        let camera = |what| found(Origin::Camera(ChannelId(1)), what);
        let second = || tokio::time::advance(Duration::from_secs(1));
        assert_eq!(lasts(vec![camera("no power")]), [0]);
        second().await;
        let other = found(Origin::Card, "full");
        assert_eq!(lasts(vec![camera("no route"), other]), [1, 0]);
        second().await;
        assert_eq!(lasts(vec![found(Origin::Card, "full")]), [1]);
        second().await;
        assert_eq!(
            lasts(vec![camera("no power")]),
            [0],
            "it was gone meanwhile"
        );
        let relay = || found(Origin::Relay, "none answers");
        assert_eq!(lasts(vec![relay()]), [] as [u64; 0], "that happens");
        tokio::time::advance(RELAY_GRACE).await;
        assert_eq!(lasts(vec![relay()]), [30]);
    }
}
