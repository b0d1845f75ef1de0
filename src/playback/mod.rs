//! Playing recordings to viewers, with everything that a remote control has.
//!
//! ```text
//! RecordingIndex ─► Source (one recording after the other) ─► Player (paced by a Playhead) ─► body
//! ```
//!
//! A player is a task of its own, with a bounded way to its viewer: what the viewer does not take,
//! is not read. Belongs here: the order of recordings, pace, commands. Does not belong here: how
//! recordings are kept, FLV, HTTP.

mod player;
mod source;

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, MutexGuard},
};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use self::{
    player::{Order, Player},
    source::Source,
};
use crate::{
    boundary::{self, Guarded, Part},
    clock::Clock,
    error::{Error, ErrorKind},
    hal::{HalError, RecordingIndex},
    media::{ChannelId, Delivery},
    proto::command::PlaybackCommand,
};

/// Frames on their way to a viewer. What is more stays on the card.
const WAITING_FRAMES: usize = 16;
/// Commands on their way to a player. What is more is refused.
const WAITING_ORDERS: usize = 4;

/// What a player has for its viewer.
#[derive(Clone, Debug)]
pub enum Item {
    /// How long it will be, in milliseconds, if nobody tells it to go elsewhere. It comes first, if
    /// that is known.
    Length(u64),
    /// A frame.
    Frame(Delivery),
    /// Why nothing comes behind this, if it is not simply the end.
    Ended(&'static str),
}

/// Everybody's players: one for each viewer and channel.
#[derive(Clone)]
pub struct Players {
    known: Arc<Guarded<Known>>,
}

#[derive(Default)]
struct Known {
    players: HashMap<(String, ChannelId), Remote>,
    started: u64,
    closed: bool,
}

/// How a player is told something.
struct Remote {
    number: u64,
    orders: mpsc::Sender<Order>,
    replaced: CancellationToken,
}

/// A playback under way. Dropping it ends it.
pub struct Playback {
    items: mpsc::Receiver<Item>,
    _player: boundary::Task,
    _place: Place,
}

/// A player's entry, for as long as it is there.
struct Place {
    players: Players,
    key: (String, ChannelId),
    number: u64,
}

impl Default for Players {
    fn default() -> Self {
        Self {
            known: Arc::new(Guarded::new(Known::default(), |known| {
                known.players.clear();
            })),
        }
    }
}

impl Players {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock()
    }

    /// Starts to play what was recorded in `window` (milliseconds since 1970) to a viewer, in place
    /// of what it was being played of this channel.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is nothing; [`ErrorKind::Unavailable`] if the card cannot be
    /// read.
    pub async fn start(
        &self,
        (viewer, channel): (&str, ChannelId),
        index: Arc<dyn RecordingIndex>,
        window: Range<i64>,
        clock: Clock,
    ) -> Result<Playback, Error> {
        let start = window.start;
        let mut source = Source::new(index, window);
        let found = source.seek(start.saturating_mul(1000)).await;
        if !found.map_err(|error| unreadable(&error))? {
            return Err(Error::new(
                ErrorKind::NotFound,
                "nothing was recorded in this time; get_record_index tells what there is",
            ));
        }
        let (orders, waiting_orders) = mpsc::channel(WAITING_ORDERS);
        let (sender, items) = mpsc::channel(WAITING_FRAMES);
        let replaced = CancellationToken::new();
        let key = (viewer.to_owned(), channel);
        let number = {
            let mut known = self.known();
            if known.closed {
                let reason = "the device is shutting down";
                return Err(Error::new(ErrorKind::Unavailable, reason));
            }
            known.started += 1;
            let number = known.started;
            let remote = Remote {
                number,
                orders,
                replaced: replaced.clone(),
            };
            if let Some(before) = known.players.insert(key.clone(), remote) {
                before.replaced.cancel();
            }
            number
        };
        let player = Player::new(source, start, clock, sender, waiting_orders, replaced);
        Ok(Playback {
            items,
            _player: boundary::spawn(Part::Player, format!("channel {channel}"), player.run()),
            _place: Place {
                players: self.clone(),
                key,
                number,
            },
        })
    }

    /// Tells a viewer's player something; gives where it is, in milliseconds since the start of what
    /// was asked for.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the viewer is being played nothing of this channel, or there is
    /// nothing where it is to go; [`ErrorKind::Full`] if it was told too much at a time.
    pub async fn order(
        &self,
        viewer: &str,
        channel: ChannelId,
        command: PlaybackCommand,
    ) -> Result<u64, Error> {
        let none = || {
            let reason = "nothing of this channel is being played to this viewer; ask for it with action=playback";
            Error::new(ErrorKind::NotFound, reason)
        };
        let (reply, replied) = oneshot::channel();
        {
            let known = self.known();
            let remote = known.players.get(&(viewer.to_owned(), channel));
            let remote = remote.ok_or_else(none)?;
            match remote.orders.try_send(Order { command, reply }) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Closed(_)) => return Err(none()),
                Err(mpsc::error::TrySendError::Full(_)) => {
                    let reason = "this player has several commands to follow already";
                    return Err(Error::new(ErrorKind::Full, reason));
                }
            }
        }
        replied.await.unwrap_or_else(|_| Err(none()))
    }

    /// Ends every playback in order, and starts no more.
    pub fn close(&self) {
        let mut known = self.known();
        known.closed = true;
        known.players.clear();
    }
}

impl Playback {
    /// The next item; `None` at the end.
    pub fn poll_item(
        &mut self,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Item>> {
        self.items.poll_recv(context)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut known = self.players.known();
        let own = known.players.get(&self.key);
        if own.is_some_and(|remote| remote.number == self.number) {
            known.players.remove(&self.key);
        }
    }
}

/// What a viewer is told of a card that cannot be read.
pub fn unreadable(error: &HalError) -> Error {
    match error {
        HalError::Missing => Error::new(ErrorKind::NotFound, "there is no such recording any more"),
        error => Error::new(
            ErrorKind::Unavailable,
            format!("the recordings cannot be read: {error}"),
        ),
    }
}
