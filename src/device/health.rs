use peercam_proto::{credential::Channels, media::ChannelId};

use super::{CardState, Device};

/// State of the device as one caller may know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
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

impl Health {
    /// Returns whether all is as it should be.
    pub fn is_well(&self) -> bool {
        let mut channels = self.channels.iter();
        let card = self.card.as_ref();
        channels.all(|channel| channel.offline.is_none())
            && card.is_none_or(|card| card.problem.is_none())
    }
}

impl Device {
    /// State of the device, as far as it is about these channels.
    pub fn health(&self, visible: &Channels) -> Health {
        let channels = self.channels.visible(visible);
        let channels = channels.iter().map(|channel| ChannelHealth {
            id: channel.id,
            name: channel.name.clone(),
            offline: self.hub.offline(channel.id),
        });
        Health {
            viewers: self.viewers.count(),
            max_viewers: self.viewers.max(),
            streams: self.hub.running_streams(visible),
            channels: channels.collect(),
            card: self.recordings.recording().map(|card| card.state()),
        }
    }
}
