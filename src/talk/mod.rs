//! Talkback: what a viewer speaks, brought to a camera's speaker.
//!
//! ```text
//! body ─► Ahead ─► Upload (blocks) ─► Jitter (an even flow) ─► Decoder, if the speaker wants PCM ─► TalkSink
//! ```
//!
//! One talker has a channel's speaker at a time; the device's owner gets it from a guest. Belongs here: turns, the flow of sound. Does not
//! belong here: what containers look like (`proto::voice`), HTTP, hardware.

mod ahead;
mod config;
mod decode;
mod jitter;
mod metrics;
mod session;
mod talked;
mod tempo;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use peercam_hal::{BoxFuture, PlayedAudio, Talkback, clock::Clock};
use peercam_net::permits::{Claim, NoPermit, Permit, Permits};
use peercam_proto::{
    credential::Rank,
    error::{Error, ErrorKind},
    media::ChannelId,
    viewer::ViewerId,
};
use peercam_task::boundary::{self, Guarded};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use self::{
    jitter::Pace,
    metrics::Metrics,
    talked::{OtherRate, Talked},
};
use crate::{
    channels::{ChannelEntry, ChannelRegistry},
    hal_failure,
};

/// Bounds of talks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Sound waits at most so long before it is played.
    pub jitter: Duration,
    /// Samples per second of sound of which nobody says so.
    pub sample_rate: u32,
    /// A talker that sends nothing for so long has finished.
    pub idle: Duration,
    /// Time for which a talker is heard who has left in the middle, or whose connection is lost.
    pub tail: Duration,
    /// Time for which a talk of which all has come is heard after its talker has left: a few bytes
    /// may stand for hours of silence.
    pub alone: Duration,
    /// Bytes of all talks together that are read ahead of their playing.
    pub ahead: usize,
}

impl Default for Config {
    /// 200 ms, 8 kHz, 15 s, 3 s, 5 min, 1 MiB, which is a minute of PCM of 8 kHz.
    fn default() -> Self {
        Self {
            jitter: Duration::from_millis(200),
            sample_rate: 8_000,
            idle: Duration::from_secs(15),
            tail: Duration::from_secs(3),
            alone: Duration::from_secs(300),
            ahead: 1 << 20,
        }
    }
}

/// A body on its way up, in pieces as they come.
pub trait Pieces: Send {
    /// The next piece; `None` at the end. Cancel-safe.
    ///
    /// # Errors
    /// [`Error`] if it broke off.
    fn piece(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Error>>;
}

/// Signals of what becomes of a talker while its talk plays.
#[derive(Clone, Debug, Default)]
pub struct TalkSignals {
    /// Cancelled when it has left: unless all of it has come, what has come sounds for three seconds at
    /// most.
    pub has_left: CancellationToken,
    /// Cancelled when it may talk no more: no more of it sounds.
    pub is_barred: CancellationToken,
}

/// The speakers of all channels, and who has them.
#[derive(Clone)]
pub struct Speakers {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Clock,
    config: watch::Sender<Config>,
    channels: ChannelRegistry,
    closed: AtomicBool,
    metrics: Metrics,
}

/// A channel's speaker.
struct Speaker {
    channel: Arc<ChannelEntry>,
    hardware: Arc<dyn Talkback>,
    place: Arc<SpeakerPlace>,
}

/// The one place at a speaker.
struct SpeakerPlace {
    permits: Permits,
    /// The talk that has it, or had it last.
    talk: Guarded<Option<boundary::Task>>,
}

impl Default for SpeakerPlace {
    fn default() -> Self {
        Self {
            permits: Permits::new(1),
            talk: Guarded::default(),
        }
    }
}

/// A talker's turn at a speaker. Dropping it hands the speaker on.
pub struct SpeakerLease {
    inner: Arc<Inner>,
    speaker: Speaker,
    permit: Permit,
    /// Set if somebody had to go for it, whose sound the speaker may play to its end.
    took_over: bool,
}

/// Timeout for a talker who had to go, and its sound, to free the speaker.
const HANDOVER: Duration = Duration::from_secs(3);
/// Party that has the turn of a beep.
const ITSELF: &str = "the device itself";
/// Reason of a talk that the device ends.
const HUNG_UP: &str = "the device has hung up";
/// Reason of a talk whose talker may talk no longer.
const BARRED: &str =
    "the viewer's session has ended: it was revoked, has expired, or its rights have changed";

impl Speakers {
    /// Talkers at the speakers of these channels.
    pub fn new(clock: Clock, config: Config, channels: ChannelRegistry, metrics: Metrics) -> Self {
        Self {
            inner: Arc::new(Inner {
                clock,
                config: watch::Sender::new(config),
                channels,
                closed: AtomicBool::new(false),
                metrics,
            }),
        }
    }

    /// Checks that a viewer of this rank could talk now.
    ///
    /// # Errors
    /// As [`Speakers::take`].
    pub fn check(&self, channel: ChannelId, rank: Rank) -> Result<(), Error> {
        let Speaker {
            hardware, place, ..
        } = self.speaker(channel)?;
        let permits = &place.permits;
        if !permits.has_one_for(rank, "") {
            return Err(taken(NoPermit::Full));
        }
        match permits.count() {
            0 if rank == Rank::Guest => hardware
                .check()
                .map_err(|error| hal_failure::speaker(&error)),
            // It may be busy with somebody who would have to go, or who is heard out.
            _ => Ok(()),
        }
    }

    /// Takes a speaker for a viewer, from one of a lower rank too: that one is told, and waited for.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if the channel has no speaker, [`ErrorKind::Busy`] if somebody
    /// talks through it, [`ErrorKind::Unavailable`] at shutdown.
    pub async fn take(
        &self,
        channel: ChannelId,
        rank: Rank,
        viewer: &ViewerId,
    ) -> Result<SpeakerLease, Error> {
        let mut turn = self.enter(channel, rank, viewer.to_party())?;
        let vacated = tokio::time::timeout(HANDOVER, turn.permit.vacated()).await;
        // Also for one that has just ended by itself, and sounds still.
        turn.took_over = vacated.map_err(|_| taken(NoPermit::Full))? || rank > Rank::Guest;
        Ok(turn)
    }

    fn enter(
        &self,
        channel: ChannelId,
        rank: Rank,
        whose: Arc<str>,
    ) -> Result<SpeakerLease, Error> {
        let speaker = self.speaker(channel)?;
        let claim = Claim {
            rank,
            answers: Arc::clone(&whose),
            whose,
            share: 1,
            replaces_own: false,
        };
        let permit = speaker.place.permits.take(claim).map_err(taken)?;
        // Behind the place: who closes it ends those that have one.
        if self.inner.closed.load(Ordering::SeqCst) {
            let reason = "the device is shutting down";
            return Err(Error::new(ErrorKind::Unavailable, reason));
        }
        Ok(SpeakerLease {
            inner: Arc::clone(&self.inner),
            speaker,
            permit,
            took_over: false,
        })
    }

    /// Returns whether somebody talks through a channel's speaker.
    pub fn is_taken(&self, channel: ChannelId) -> bool {
        let entry = self.inner.channels.get(channel);
        entry.is_some_and(|entry| entry.state::<SpeakerPlace>().permits.count() > 0)
    }

    /// Beeps, so that somebody who stands there hears it.
    ///
    /// # Errors
    /// As [`Speakers::take`], and what keeps the speaker from opening.
    pub fn beep(&self, channel: ChannelId) -> Result<(), Error> {
        self.enter(channel, Rank::Guest, ITSELF.into())?.beep()
    }

    /// Sound that a speaker has played lately.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if there is no speaker, or none that remembers.
    pub fn heard(&self, channel: ChannelId) -> Result<PlayedAudio, Error> {
        let heard = self.speaker(channel)?.hardware.heard();
        heard.ok_or_else(|| {
            let reason =
                format!("the speaker of channel {channel} does not remember what it played");
            Error::new(ErrorKind::Unsupported, reason)
        })
    }

    /// Ends what a viewer says.
    pub fn hang_up(&self, viewer: &ViewerId) {
        for entry in self.inner.channels.all().values() {
            let place = entry.state::<SpeakerPlace>();
            place.permits.end_of(viewer.as_str(), HUNG_UP);
        }
    }

    /// Has talks that begin from now on go by another configuration.
    pub fn set_config(&self, config: Config) {
        self.inner.config.send_replace(config);
    }

    /// Ends the talk at a channel whose speaker has been replaced or taken away.
    pub fn end_channel(&self, entry: &ChannelEntry, reason: &'static str) {
        entry.state::<SpeakerPlace>().permits.end_all(reason);
    }

    /// Ends every talk, and lets nobody talk any more.
    pub fn close(&self) {
        self.inner.closed.store(true, Ordering::SeqCst);
        for entry in self.inner.channels.all().values() {
            entry.state::<SpeakerPlace>().permits.end_all(HUNG_UP);
        }
    }

    fn speaker(&self, channel: ChannelId) -> Result<Speaker, Error> {
        let speaker = || {
            let channel = self.inner.channels.get(channel)?;
            Some(Speaker {
                hardware: channel.capabilities.talkback.clone()?,
                place: channel.state(),
                channel,
            })
        };
        speaker().ok_or_else(|| {
            let reason = format!("channel {channel} has no speaker");
            Error::new(ErrorKind::Unsupported, reason)
        })
    }
}

impl Inner {
    /// Bytes that each talk may read ahead of its playing.
    fn ahead(&self) -> usize {
        let channels = self.channels.all();
        let speaks = |entry: &&Arc<ChannelEntry>| entry.capabilities.talkback.is_some();
        let speakers = channels.values().filter(speaks).count();
        // A piece at least, or nothing would be read.
        (self.config.borrow().ahead / speakers.max(1)).max(1)
    }
}

fn taken(why: NoPermit) -> Error {
    let reason = match why {
        NoPermit::Displaced => {
            "the device's owner needed this speaker and was given it; try again when they have finished"
        }
        NoPermit::Share | NoPermit::Full => {
            "somebody else is talking through this speaker; try again when they have finished"
        }
    };
    Error::new(ErrorKind::Busy, reason)
}

#[cfg(test)]
mod tests;
