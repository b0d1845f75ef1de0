//! Other channels, settings and commands while the device serves.
//!
//! Keeps: the list of channels changes at once and as a whole, and what belonged to a camera that is
//! gone ends, in order and with its reason; whoever watches another channel notices nothing. A download
//! needs no camera, and goes on to its end.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use peercam_proto::media::ChannelId;

use super::{CustomCommands, Device};
use crate::{channels::ChannelMap, talk};

/// Reason for viewers of a channel that is no more.
const REMOVED: &str = "this channel was taken out of the device's configuration";
/// Reason for viewers of a channel with another camera.
const REPLACED: &str =
    "the camera of this channel was replaced in the device's configuration; ask for it again";

/// Settings of a device that takes them while it serves.
pub struct Replacement {
    /// All channels.
    pub channels: ChannelMap,
    /// Those that have another camera than before.
    pub cameras: BTreeSet<ChannelId>,
    /// Those that have another speaker, and the same picture.
    pub speakers: BTreeSet<ChannelId>,
    /// Bytes of frames that all streams together keep.
    pub live_memory: usize,
    /// Settings of talks.
    pub talk: talk::Config,
    /// Time for which a call rings.
    pub call_ring: Duration,
    /// Commands of `user_define` that are done; `None` if they are the same.
    pub commands: Option<CustomCommands>,
}

impl Device {
    /// Takes other settings.
    pub fn replace(&self, replacement: Replacement) {
        let Replacement {
            channels,
            cameras,
            speakers,
            live_memory,
            talk,
            call_ring,
            commands,
        } = replacement;
        let before = self.channels.all();
        // Before anybody could have their pictures.
        for (id, entry) in &channels {
            if !before.contains_key(id) {
                self.panels.standby.admit(entry);
            }
        }
        self.hub.set_memory(live_memory);
        self.channels.replace(channels);
        let now = self.channels.all();
        for (id, entry) in before.iter() {
            if !now.contains_key(id) {
                self.hub.end_channel(entry, REMOVED);
                self.hub.forget_metrics(*id);
                self.stills.forget(entry);
                self.players.end_channel(*id, REMOVED);
                self.calls.end_channel(*id);
                self.speakers.end_channel(entry, REMOVED);
                self.panels.ptz.end_channel(entry);
            } else if cameras.contains(id) {
                self.hub.end_channel(entry, REPLACED);
                if self.recordings.recording().is_none() {
                    self.players.end_channel(*id, REPLACED);
                }
                self.speakers.end_channel(entry, REPLACED);
                self.panels.ptz.end_channel(entry);
            } else if speakers.contains(id) {
                self.speakers.end_channel(entry, REPLACED);
            }
        }
        self.speakers.set_config(talk);
        self.calls.set_ring(call_ring);
        if let Some(commands) = commands {
            self.panels.commands.send_replace(Arc::new(commands));
        }
    }
}
