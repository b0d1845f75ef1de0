//! Status of the running daemon, asked of its parts.
//!
//! No disk, camera or viewer is waited for: all of it is known already. Its words are in `status`.

use std::{collections::BTreeSet, fs};

use peercam_proto::{media::Quality, network::Peer, viewer::ViewerId};

use super::{
    router::Control,
    status::{Camera, Card, Listener, Media, Memory, Places, Share, Status, Viewer},
};
use crate::{
    budget::{self, Part},
    device::{Audience, CardState, ChannelHealth, MediaView},
    events::ViewerPath,
    log::levels,
    reach::ListenerAccess,
};

impl Control {
    /// Status of the daemon now.
    pub(super) fn status(&self) -> Status {
        let device = &self.app.device;
        let health = device.health(&Audience::DEVICE);
        let reach = self.reach.borrow().clone();
        let (sessions, max_sessions) = self.authority.sessions.connected();
        let (playbacks, max_playbacks) = device.viewers().players();
        let (downloads, max_downloads) = device.viewers().downloads();
        let (followers, max_followers) = self.followers.count();
        let places = [
            ("viewers", health.viewers, health.max_viewers),
            ("playbacks", playbacks, max_playbacks),
            ("downloads", downloads, max_downloads),
            ("sessions", sessions, max_sessions),
            ("followers of events", followers, max_followers),
        ];
        let places = places.map(|(of, taken, max)| Places { of, taken, max });
        let listeners = reach.listeners.iter().map(|listener| Listener {
            address: listener.address.to_string(),
            access: match listener.access {
                ListenerAccess::Open => "open",
                ListenerAccess::Token => "token",
            },
        });
        let date = self.app.clock.date();
        let text = |addresses: &[_]| addresses.iter().map(ToString::to_string).collect();
        Status {
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            ok: health.is_well(),
            device_id: self.authority.device().to_string(),
            data_dir: self.data_dir.clone(),
            uptime_seconds: self.app.started.elapsed().as_secs(),
            clock: date,
            listeners: listeners.collect(),
            lan: text(&reach.lan),
            udp: text(&reach.udp),
            relays: reach.relays,
            problems: health.reports(date),
            memory: self.memory(health.card.as_ref()),
            cameras: health
                .channels
                .into_iter()
                .map(|channel| self.camera(channel))
                .collect(),
            viewers: self.viewers(),
            places: places.to_vec(),
            card: health.card.map(Card::from),
            log: levels::current(),
        }
    }

    fn camera(&self, channel: ChannelHealth) -> Camera {
        let is_working = self.app.device.hub().is_working(channel.id);
        Camera {
            channel: channel.id.0,
            name: channel.name,
            state: match (&channel.offline, is_working) {
                (Some(_), _) => "off",
                (None, true) => "on",
                (None, false) => "standby",
            },
            reason: channel.offline,
        }
    }

    /// Viewers that have a session, oldest first, and then those that have none.
    fn viewers(&self) -> Vec<Viewer> {
        let device = &self.app.device;
        let (notified, media) = (device.sessions(), device.activity().media());
        let sessions = self.authority.sessions.list().into_iter().map(|session| {
            let mut known = notified.iter();
            let known = known.find(|known| known.viewer == session.id);
            let media = of_viewer(&media, &session.id);
            // Over P2P the path may be another one than that by which it came.
            let peer = known.and_then(|known| known.peer);
            let path = match peer {
                Some(Peer::At(_)) => ViewerPath::Direct,
                Some(Peer::Relayed) => ViewerPath::Relay,
                None => session.path,
            };
            Viewer {
                name: session.holder.claims.name.clone(),
                session: Some(session.id.as_str().to_owned()),
                path: path.as_str(),
                address: peer
                    .or(media.first().map(|view| view.peer))
                    .and_then(address),
                seconds: session.since.elapsed().as_secs(),
                media: media.into_iter().map(Media::from).collect(),
            }
        });
        let mut viewers: Vec<_> = sessions.collect();
        let has_session: BTreeSet<_> = viewers
            .iter()
            .filter_map(|viewer| viewer.session.clone())
            .collect();
        let mut told = BTreeSet::new();
        let open = media
            .iter()
            .filter(|view| !has_session.contains(view.viewer.as_str()));
        for view in open {
            if !told.insert(&view.viewer) {
                continue;
            }
            let media = of_viewer(&media, &view.viewer);
            viewers.push(Viewer {
                name: view.name.clone(),
                session: None,
                path: "open",
                address: address(view.peer),
                seconds: view.since.elapsed().as_secs(),
                media: media.into_iter().map(Media::from).collect(),
            });
        }
        viewers
    }

    fn memory(&self, card: Option<&CardState>) -> Memory {
        let budget = self.reloader.budget();
        let recordings = budget.recordings.max(1);
        let used = |share: &budget::Share| match share.part {
            Part::Live => Some(self.app.device.hub().kept_bytes()),
            Part::Catalog => card.map(|card| card.files * (share.bytes / recordings)),
            _ => None,
        };
        let shares = budget.shares.iter().filter(|share| share.most > 0);
        Memory {
            resident_bytes: resident_bytes(),
            budget_bytes: budget.total,
            shares: shares
                .map(|share| Share {
                    part: share.part.as_str(),
                    bytes: share.bytes,
                    used_bytes: used(share),
                })
                .collect(),
        }
    }
}

fn of_viewer<'a>(media: &'a [MediaView], viewer: &ViewerId) -> Vec<&'a MediaView> {
    let its = media.iter().filter(|view| view.viewer == *viewer);
    its.collect()
}

fn address(peer: Peer) -> Option<String> {
    match peer {
        Peer::At(address) => Some(address.to_string()),
        Peer::Relayed => None,
    }
}

/// Bytes of memory that this process has, as the kernel counts them. No disk is asked for that.
fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

impl From<&MediaView> for Media {
    fn from(view: &MediaView) -> Self {
        Self {
            medium: view.medium.as_str(),
            channel: view.channel.0,
            quality: view.quality.map(Quality::as_str),
            seconds: view.since.elapsed().as_secs(),
        }
    }
}

impl From<CardState> for Card {
    fn from(card: CardState) -> Self {
        Self {
            state: match (card.is_known, &card.problem, card.is_readable) {
                (false, ..) => "starting",
                (true, None, _) => "ready",
                (true, Some(_), true) => "read only",
                (true, Some(_), false) => "gone",
            },
            reason: card.problem,
            files: card.files,
            bytes: card.bytes,
            free_bytes: card.free,
        }
    }
}
