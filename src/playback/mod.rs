//! Playing recordings to viewers, with everything that a remote control has.
//!
//! ```text
//! RecordingIndex ─► Source (one recording after the other) ─► Player (paced by a Playhead) ─► body
//! ```
//!
//! A player is a task of its own, with a bounded way to its viewer: what the viewer does not take,
//! is not read. Belongs here: the order of recordings, pace, commands. Does not belong here: how
//! recordings are kept, FLV, HTTP.

mod early_commands;
mod player;
mod source;

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, MutexGuard},
    time::Instant,
};

use peercam_hal::{RecordingIndex, clock::Clock};
use peercam_proto::{
    command::PlaybackCommand,
    error::{Error, ErrorKind},
    media::{ChannelId, Delivery},
    viewer::ViewerId,
};
use peercam_task::boundary::{self, Guarded, Part};
use tokio::sync::{mpsc, oneshot, watch};

use self::{
    early_commands::{EarlyCommands, Key},
    player::{Player, PlayerCommand},
    source::Source,
};
use crate::hal_failure;

/// Frames on their way to a viewer. What is more stays on the card.
const WAITING_FRAMES: usize = 16;
/// Commands on their way to a player. What is more is refused.
const WAITING_ORDERS: usize = 4;

/// Item that a player has for its viewer.
#[derive(Clone, Debug)]
pub enum Item {
    /// Length of the playback in milliseconds, if nobody tells it to go elsewhere. Comes first, if
    /// it is known.
    Length(u64),
    /// A frame.
    Frame(Delivery),
    /// Reason why nothing comes behind this, if it is not simply the end.
    Ended(&'static str),
}

/// Everybody's players: one for each viewer and channel.
#[derive(Clone)]
pub struct PlaybackSessions {
    clock: Clock,
    table: Arc<Guarded<PlayerTable>>,
}

#[derive(Default)]
struct PlayerTable {
    players: HashMap<Key, PlayerHandle>,
    early: EarlyCommands,
    started: u64,
    closed: bool,
}

/// Handle of a player, by which it is given commands.
struct PlayerHandle {
    number: u64,
    window: Range<i64>,
    orders: mpsc::Sender<PlayerCommand>,
    /// Reason why it has to end.
    ends: watch::Sender<Option<&'static str>>,
}

/// Outcome of giving a command.
enum CommandOutcome {
    /// A player has it, and replies.
    Player(oneshot::Receiver<Result<u64, Error>>),
    /// Kept for the playback that may come.
    Kept,
}

/// A playback under way. Dropping it ends it.
pub struct Playback {
    items: mpsc::Receiver<Item>,
    _player: boundary::Task,
    _place: PlayerEntry,
}

/// A player's entry, for as long as it is there.
struct PlayerEntry {
    players: PlaybackSessions,
    key: Key,
    number: u64,
}

impl PlaybackSessions {
    /// No players.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            table: Arc::new(Guarded::new(PlayerTable::default(), |table| {
                table.players.clear();
                table.early = EarlyCommands::default();
            })),
        }
    }

    fn table(&self) -> MutexGuard<'_, PlayerTable> {
        self.table.lock()
    }

    /// Starts to play what was recorded in `window` (milliseconds since 1970) to a viewer, in place
    /// of what it was being played of this channel.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is nothing; [`ErrorKind::Unavailable`] if the card cannot be
    /// read.
    pub async fn start(
        &self,
        viewer: &ViewerId,
        channel: ChannelId,
        index: Arc<dyn RecordingIndex>,
        window: Range<i64>,
    ) -> Result<Playback, Error> {
        let start = window.start;
        let mut source = Source::new(index, window.clone());
        let found = source.seek(start.saturating_mul(1000)).await;
        if !found.map_err(|error| hal_failure::recordings(&error))? {
            return Err(Error::new(
                ErrorKind::NotFound,
                "nothing was recorded in this time; get_record_index tells what there is",
            ));
        }
        let (orders, waiting_orders) = mpsc::channel(WAITING_ORDERS);
        let (sender, items) = mpsc::channel(WAITING_FRAMES);
        let (ends, ended) = watch::channel(None);
        let key = (viewer.clone(), channel);
        let number = {
            let mut table = self.table();
            if table.closed {
                let reason = "the device is shutting down";
                return Err(Error::new(ErrorKind::Unavailable, reason));
            }
            table.started += 1;
            let number = table.started;
            for command in table.early.take(&key, &window, Instant::now()) {
                // There is room for them all, and who gave them has its answer.
                let (reply, _) = oneshot::channel();
                let _ = orders.try_send(PlayerCommand { command, reply });
            }
            let remote = PlayerHandle {
                number,
                window,
                orders,
                ends,
            };
            if let Some(before) = table.players.insert(key.clone(), remote) {
                let reason = "this viewer has asked for another playback of this channel";
                before.ends.send_replace(Some(reason));
            }
            number
        };
        let player = Player::new(source, start, self.clock, sender, waiting_orders, ended);
        Ok(Playback {
            items,
            _player: boundary::spawn(Part::Player, format!("channel {channel}"), player.run()),
            _place: PlayerEntry {
                players: self.clone(),
                key,
                number,
            },
        })
    }

    /// Tells a viewer's player something; gives where it is, in milliseconds since the start of what
    /// was asked for. Where one `may_come`, what is to begin somewhere, or at some pace, waits for it
    /// for 2 s.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the viewer is being played nothing of this channel, or there is
    /// nothing where it is to go; [`ErrorKind::Full`] if it was told too much at a time.
    pub async fn order(
        &self,
        viewer: &ViewerId,
        channel: ChannelId,
        command: PlaybackCommand,
        may_come: bool,
    ) -> Result<u64, Error> {
        let key = (viewer.clone(), channel);
        // A player may be gone before it has followed; then the one counts that took its place.
        for _ in 0..2 {
            match self.tell(&key, command, may_come)? {
                CommandOutcome::Kept => return Ok(0),
                CommandOutcome::Player(replied) => {
                    if let Ok(result) = replied.await {
                        return result;
                    }
                }
            }
        }
        Err(not_played())
    }

    fn tell(
        &self,
        key: &Key,
        command: PlaybackCommand,
        may_come: bool,
    ) -> Result<CommandOutcome, Error> {
        let now = Instant::now();
        let PlayerTable {
            players,
            early,
            closed,
            ..
        } = &mut *self.table();
        if let Some(remote) = players.get(key) {
            let (reply, replied) = oneshot::channel();
            match remote.orders.try_send(PlayerCommand { command, reply }) {
                Ok(()) => {
                    early.given(key, command, &remote.window, now);
                    return Ok(CommandOutcome::Player(replied));
                }
                Err(mpsc::error::TrySendError::Closed(_)) => {}
                Err(mpsc::error::TrySendError::Full(_)) => {
                    let reason = "this player has several commands to follow already";
                    return Err(Error::new(ErrorKind::Full, reason));
                }
            }
        }
        if may_come && !*closed && early.keep(key, command, now) {
            Ok(CommandOutcome::Kept)
        } else {
            Err(not_played())
        }
    }

    /// Ends the playbacks of a channel, with this reason.
    pub fn end_channel(&self, channel: ChannelId, reason: &'static str) {
        for ((_, of), player) in &self.table().players {
            if *of == channel {
                player.ends.send_replace(Some(reason));
            }
        }
    }

    /// Ends every playback in order, and starts no more.
    pub fn close(&self) {
        let mut table = self.table();
        table.closed = true;
        table.players.clear();
        table.early = EarlyCommands::default();
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

impl Drop for PlayerEntry {
    fn drop(&mut self) {
        let mut table = self.players.table();
        let own = table.players.get(&self.key);
        if own.is_some_and(|remote| remote.number == self.number) {
            table.players.remove(&self.key);
        }
    }
}

fn not_played() -> Error {
    let reason =
        "nothing of this channel is being played to this viewer; ask for it with action=playback";
    Error::new(ErrorKind::NotFound, reason)
}
