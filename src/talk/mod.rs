//! Talkback: what a viewer speaks, brought to a camera's speaker.
//!
//! ```text
//! body ─► Upload (blocks) ─► Jitter (an even flow) ─► Decoder, if the speaker wants PCM ─► TalkSink
//! ```
//!
//! One talker has a channel's speaker at a time. Belongs here: turns, the flow of sound. Does not
//! belong here: what containers look like (`proto::voice`), HTTP, hardware.

mod decode;
mod jitter;
mod metrics;
mod session;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

pub use self::{jitter::Pace, metrics::Metrics, session::Talked};
use crate::{
    clock::Clock,
    error::{Error, ErrorKind},
    hal::{BoxFuture, Heard, Talkback},
    media::ChannelId,
};

/// Bounds of talks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Sound waits at most so long before it is played.
    pub jitter: Duration,
    /// Samples per second of sound that does not say so.
    pub sample_rate: u32,
    /// A talker that sends nothing for so long has finished.
    pub idle: Duration,
}

impl Default for Config {
    /// 200 ms, 16 kHz, 15 s.
    fn default() -> Self {
        Self {
            jitter: Duration::from_millis(200),
            sample_rate: 16_000,
            idle: Duration::from_secs(15),
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

/// The speakers of all channels, and who has them.
#[derive(Clone)]
pub struct Talkers {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Clock,
    config: Config,
    speakers: HashMap<ChannelId, Arc<dyn Talkback>>,
    turns: Mutex<Turns>,
    metrics: Metrics,
}

#[derive(Default)]
struct Turns {
    taken: HashMap<ChannelId, Taken>,
    closed: bool,
}

struct Taken {
    viewer: String,
    /// The device ends it.
    hang_up: CancellationToken,
}

/// A talker's turn at a speaker. Dropping it hands the speaker on.
pub struct Turn {
    inner: Arc<Inner>,
    channel: ChannelId,
    speaker: Arc<dyn Talkback>,
    hang_up: CancellationToken,
}

impl Talkers {
    /// These speakers.
    pub fn new(
        clock: Clock,
        config: Config,
        speakers: HashMap<ChannelId, Arc<dyn Talkback>>,
        metrics: Metrics,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                clock,
                config,
                speakers,
                turns: Mutex::default(),
                metrics,
            }),
        }
    }

    /// Whether a viewer could talk now.
    ///
    /// # Errors
    /// As [`Talkers::take`].
    pub fn check(&self, channel: ChannelId) -> Result<(), Error> {
        let speaker = self.speaker(channel)?;
        speaker.check().map_err(|error| session::refused(&error))?;
        match self.inner.turns().taken.contains_key(&channel) {
            true => Err(taken()),
            false => Ok(()),
        }
    }

    /// Takes a speaker for a viewer.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if the channel has no speaker, [`ErrorKind::Busy`] if somebody
    /// talks through it, [`ErrorKind::Unavailable`] at shutdown.
    pub fn take(&self, channel: ChannelId, viewer: &str) -> Result<Turn, Error> {
        let speaker = Arc::clone(self.speaker(channel)?);
        let mut turns = self.inner.turns();
        if turns.closed {
            let reason = "the device is shutting down";
            return Err(Error::new(ErrorKind::Unavailable, reason));
        }
        if turns.taken.contains_key(&channel) {
            return Err(taken());
        }
        let hang_up = CancellationToken::new();
        let entry = Taken {
            viewer: viewer.to_owned(),
            hang_up: hang_up.clone(),
        };
        turns.taken.insert(channel, entry);
        Ok(Turn {
            inner: Arc::clone(&self.inner),
            channel,
            speaker,
            hang_up,
        })
    }

    /// Whether somebody talks through a channel's speaker.
    pub fn is_taken(&self, channel: ChannelId) -> bool {
        self.inner.turns().taken.contains_key(&channel)
    }

    /// Beeps, so that somebody who stands there hears it.
    ///
    /// # Errors
    /// As [`Talkers::take`], and what keeps the speaker from opening.
    pub fn beep(&self, channel: ChannelId) -> Result<(), Error> {
        self.take(channel, "the device itself")?.beep()
    }

    /// What a speaker has played lately.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if there is no speaker, or none that remembers.
    pub fn heard(&self, channel: ChannelId) -> Result<Heard, Error> {
        let heard = self.speaker(channel)?.heard();
        heard.ok_or_else(|| {
            let reason =
                format!("the speaker of channel {channel} does not remember what it played");
            Error::new(ErrorKind::Unsupported, reason)
        })
    }

    /// Ends what a viewer says.
    pub fn hang_up(&self, viewer: &str) {
        let turns = self.inner.turns();
        for taken in turns.taken.values().filter(|taken| taken.viewer == viewer) {
            taken.hang_up.cancel();
        }
    }

    /// Ends every talk, and lets nobody talk any more.
    pub fn close(&self) {
        let mut turns = self.inner.turns();
        turns.closed = true;
        for taken in turns.taken.values() {
            taken.hang_up.cancel();
        }
    }

    fn speaker(&self, channel: ChannelId) -> Result<&Arc<dyn Talkback>, Error> {
        self.inner.speakers.get(&channel).ok_or_else(|| {
            let reason = format!("channel {channel} has no speaker");
            Error::new(ErrorKind::Unsupported, reason)
        })
    }
}

impl Inner {
    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.inner.turns().taken.remove(&self.channel);
    }
}

fn taken() -> Error {
    let reason = "somebody else is talking through this speaker; try again when they have finished";
    Error::new(ErrorKind::Busy, reason)
}
