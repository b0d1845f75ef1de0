//! Rules of keys when the configuration is read again: applied at once, or kept until a restart. Pure.
//!
//! Keeps: every key has its rule here and nowhere else. Structures are taken apart without `..`, so
//! that the compiler asks for the rule of a new key. What decides who is let in, who listens where,
//! how much memory there is and who the device is needs a restart.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    mem::take,
    path::PathBuf,
};

use peercam_hal::socket;
use peercam_net::Timeouts;
use peercam_proto::media::ChannelId;
use serde::Serialize;

#[cfg(feature = "p2p")]
use super::P2p;
#[cfg(feature = "record")]
use super::Record;
use super::{Access, Channel, Config, Device, Http, Listen, ListenAccess, Runtime, Source};
use crate::{live, talk};

/// Difference between the configuration in force and a new one.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Configuration that is in force once this was applied: the new one, but for what needs a
    /// restart.
    pub config: Config,
    /// Keys that are applied, and channels with theirs, for people.
    pub applied: Vec<String>,
    /// Keys that need a restart, and stay as they were until then.
    pub restart: Vec<String>,
    /// Channels whose camera is another one.
    pub cameras: BTreeSet<ChannelId>,
    /// Channels whose camera is the same, with another speaker.
    pub speakers: BTreeSet<ChannelId>,
}

/// Outcome of a reload, each a sentence without an end, such as `channel 1 (front door): source`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReloadReport {
    /// Configuration that is in force from now on.
    pub applied: Vec<String>,
    /// Keys that have changed and need a restart; until then they stay as they were.
    pub restart: Vec<String>,
}

impl fmt::Display for ReloadReport {
    /// A line for each, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.applied.is_empty() && self.restart.is_empty() {
            return writeln!(f, "the configuration has not changed");
        }
        for what in &self.applied {
            writeln!(f, "applied: {what}")?;
        }
        for what in &self.restart {
            writeln!(f, "needs a restart: {what}")?;
        }
        Ok(())
    }
}

impl Config {
    /// Compares this configuration, which is in force, with a new one. Of a program that makes its
    /// cameras by itself (`own_cameras`) channels and their sources are not taken.
    pub fn change(&self, mut new: Self, own_cameras: bool) -> Change {
        let mut keys = Keys::default();
        let Self {
            file,
            data_dir,
            device,
            listen,
            access,
            #[cfg(feature = "p2p")]
            p2p,
            #[cfg(feature = "record")]
            record,
            #[cfg(feature = "record")]
            no_record,
            talk,
            call_ring,
            user,
            http,
            live,
            hevc,
            runtime,
            channels,
        } = self;
        new.file.clone_from(file);
        keys.restart("data_dir", data_dir, &mut new.data_dir);
        device.change(&mut new.device, &mut keys);
        change_listeners(listen, &mut new.listen, &mut keys);
        let Access { max_sessions } = access;
        keys.restart(
            "access.max_sessions",
            max_sessions,
            &mut new.access.max_sessions,
        );
        #[cfg(feature = "p2p")]
        change_p2p(p2p.as_ref(), &mut new.p2p, &mut keys);
        #[cfg(feature = "record")]
        if *no_record {
            new = new.without_recordings();
        }
        #[cfg(feature = "record")]
        change_record(record.as_ref(), &mut new.record, &mut keys);
        change_talk(talk, &mut new.talk, &mut keys);
        keys.applied("call.ring", call_ring, &new.call_ring);
        keys.applied("user_define.allow", &user.allow, &new.user.allow);
        keys.applied("user_define.handler", &user.handlers, &new.user.handlers);
        http.change(&mut new.http, &mut keys);
        let live::Config {
            memory,
            max_frame: _,
        } = live;
        keys.restart("live.memory", memory, &mut new.live.memory);
        keys.restart("live.hevc", hevc, &mut new.hevc);
        let Runtime { threads, memory } = runtime;
        keys.restart("runtime.threads", threads, &mut new.runtime.threads);
        keys.restart("runtime.memory", memory, &mut new.runtime.memory);
        #[cfg(feature = "record")]
        let is_recorded = record.is_some();
        #[cfg(not(feature = "record"))]
        let is_recorded = false;
        let mut change = Change {
            config: new,
            applied: keys.applied,
            restart: keys.restart,
            cameras: BTreeSet::new(),
            speakers: BTreeSet::new(),
        };
        change.channels(channels, own_cameras, is_recorded);
        change
    }
}

/// Keys that changed.
#[derive(Default)]
struct Keys {
    applied: Vec<String>,
    restart: Vec<String>,
}

impl Keys {
    /// A key whose new value is taken.
    fn applied<T: PartialEq>(&mut self, key: &str, old: &T, new: &T) {
        if old != new {
            self.applied.push(key.to_owned());
        }
    }

    /// A key whose old value is kept.
    fn restart<T: PartialEq + Clone>(&mut self, key: &str, old: &T, new: &mut T) {
        if old != new {
            new.clone_from(old);
            self.restart.push(key.to_owned());
        }
    }
}

impl Device {
    fn change(&self, new: &mut Self, keys: &mut Keys) {
        let Self {
            product_id,
            device_name,
            timezone,
        } = self;
        keys.restart("device.product_id", product_id, &mut new.product_id);
        keys.restart("device.device_name", device_name, &mut new.device_name);
        keys.restart("device.timezone", timezone, &mut new.timezone);
    }
}

impl Http {
    fn change(&self, new: &mut Self, keys: &mut Keys) {
        let Self {
            max_connections,
            max_viewers,
            timeouts:
                Timeouts {
                    header,
                    idle,
                    write,
                },
            body_timeout,
        } = self;
        let timeouts = &mut new.timeouts;
        keys.restart(
            "http.max_connections",
            max_connections,
            &mut new.max_connections,
        );
        keys.restart("http.max_viewers", max_viewers, &mut new.max_viewers);
        keys.restart("http.header_timeout", header, &mut timeouts.header);
        keys.restart("http.idle_timeout", idle, &mut timeouts.idle);
        keys.restart("http.write_timeout", write, &mut timeouts.write);
        keys.restart("http.body_timeout", body_timeout, &mut new.body_timeout);
    }
}

fn change_talk(old: &talk::Config, new: &mut talk::Config, keys: &mut Keys) {
    // The others are no keys.
    let talk::Config {
        jitter,
        sample_rate,
        idle,
        tail: _,
        alone: _,
        ahead: _,
    } = old;
    keys.applied("talkback.jitter", jitter, &new.jitter);
    keys.applied("talkback.sample_rate", sample_rate, &new.sample_rate);
    keys.applied("talkback.idle", idle, &new.idle);
}

/// Takes the origins of listeners, and nothing else of them.
fn change_listeners(old: &[Listen], new: &mut Vec<Listen>, keys: &mut Keys) {
    let mut told = take(new);
    for listener in old {
        let mut kept = listener.clone();
        let address = listener.address;
        let at = told.iter().position(|other| other.address == address);
        let Some(other) = at.map(|at| told.remove(at)) else {
            keys.restart.push(format!("listen {address}: removed"));
            new.push(kept);
            continue;
        };
        let mut restart = |key: &str| keys.restart.push(format!("listen {address}: {key}"));
        match (&mut kept.access, other.access) {
            (
                ListenAccess::Open {
                    allow_origins,
                    allow_insecure_lan,
                    allow_placeholder_hosts,
                },
                ListenAccess::Open {
                    allow_origins: origins,
                    allow_insecure_lan: insecure_lan,
                    allow_placeholder_hosts: placeholder_hosts,
                },
            ) => {
                if *allow_insecure_lan != insecure_lan {
                    restart("allow_insecure_lan");
                }
                if *allow_placeholder_hosts != placeholder_hosts {
                    restart("allow_placeholder_hosts");
                }
                if *allow_origins != origins {
                    *allow_origins = origins;
                    keys.applied
                        .push(format!("listen {address}: allow_origins"));
                }
            }
            (
                ListenAccess::Token { allow_clear_media },
                ListenAccess::Token {
                    allow_clear_media: clear_media,
                },
            ) => {
                if *allow_clear_media != clear_media {
                    restart("allow_clear_media");
                }
            }
            _ => restart("access"),
        }
        new.push(kept);
    }
    for listener in told {
        let address = listener.address;
        keys.restart.push(format!("listen {address}: added"));
    }
}

#[cfg(feature = "p2p")]
fn change_p2p(old: Option<&P2p>, new: &mut Option<P2p>, keys: &mut Keys) {
    match (old, &mut *new) {
        (None, None) => {}
        (Some(old), Some(new)) => {
            let P2p {
                port,
                relays,
                relay_token,
                relay_ca,
            } = old;
            keys.restart("p2p.port", port, &mut new.port);
            keys.restart("p2p.relays", relays, &mut new.relays);
            keys.restart("p2p.relay_token", relay_token, &mut new.relay_token);
            keys.restart("p2p.relay_ca", relay_ca, &mut new.relay_ca);
        }
        _ => {
            *new = old.cloned();
            keys.restart.push("p2p.enabled".to_owned());
        }
    }
}

#[cfg(feature = "record")]
fn change_record(old: Option<&Record>, new: &mut Option<Record>, keys: &mut Keys) {
    let (Some(old), Some(new)) = (old, &mut *new) else {
        if old.is_some() != new.is_some() {
            *new = old.cloned();
            keys.restart.push("record.enabled".to_owned());
        }
        return;
    };
    let Record {
        mode,
        file_list,
        config,
    } = old;
    keys.applied("record.mode", mode, &new.mode);
    keys.restart("record.file_list", file_list, &mut new.file_list);
    let new = &mut new.config;
    let crate::record::Config {
        path,
        mount,
        quality,
        cut,
        limits,
        event_length,
        memory,
        snapshots,
        // No keys.
        fragment: _,
        files: _,
        largest: _,
    } = config;
    keys.restart("record.path", path, &mut new.path);
    keys.restart("record.mount", mount, &mut new.mount);
    keys.applied("record.quality", quality, &new.quality);
    keys.applied("record.segment", &cut.segment, &new.cut.segment);
    keys.applied("record.pre_roll", &cut.pre_roll, &new.cut.pre_roll);
    keys.applied("record.event_length", event_length, &new.event_length);
    keys.applied("record.max_size", &limits.max_size, &new.limits.max_size);
    keys.applied("record.max_age", &limits.max_age, &new.limits.max_age);
    keys.applied("record.min_free", &limits.min_free, &new.limits.min_free);
    keys.applied("record.snapshots", snapshots, &new.snapshots);
    keys.restart("record.memory", memory, &mut new.memory);
    // It follows from the memory.
    new.cut.most_pre_roll = cut.most_pre_roll;
}

impl Change {
    fn channels(&mut self, old: &[Channel], own_cameras: bool, is_recorded: bool) {
        let mut told = BTreeMap::new();
        for channel in take(&mut self.config.channels) {
            told.insert(channel.id, channel);
        }
        let sockets: BTreeMap<_, _> = old.iter().filter_map(socket_of).collect();
        for channel in told.values_mut() {
            self.keep_socket(channel, &sockets);
        }
        let mut kept = Vec::new();
        for channel in old {
            let who = who(channel);
            match told.remove(&channel.id) {
                Some(new) => kept.push(self.channel(channel, new, own_cameras, is_recorded)),
                None if own_cameras => {
                    self.restart.push(format!("{who}: removed"));
                    kept.push(channel.clone());
                }
                None => self.applied.push(format!("{who}: removed")),
            }
        }
        for channel in told.into_values() {
            let who = who(&channel);
            if own_cameras {
                self.restart.push(format!("{who}: added"));
            } else {
                self.applied.push(format!("{who}: added"));
                self.cameras.insert(channel.id);
                kept.push(channel);
            }
        }
        self.config.channels = kept;
    }

    /// Keeps who may connect to a socket that is listened on.
    fn keep_socket(
        &mut self,
        channel: &mut Channel,
        sockets: &BTreeMap<&PathBuf, &socket::Config>,
    ) {
        let who = who(channel);
        if let Source::Socket { config } = &mut channel.source
            && let Some(known) = sockets.get(&config.path)
            && *known != config
        {
            config.clone_from(known);
            let keys = "source.mode, source.users";
            self.restart.push(format!("{who}: {keys}"));
        }
    }

    /// Compares a channel with what it is to be; gives what it is then.
    fn channel(
        &mut self,
        old: &Channel,
        mut new: Channel,
        own_cameras: bool,
        #[cfg_attr(not(feature = "record"), expect(unused_variables))] is_recorded: bool,
    ) -> Channel {
        let Channel {
            id,
            name,
            source,
            sound,
            speaker,
            #[cfg(feature = "record")]
            record,
        } = old;
        let mut keys = Keys::default();
        keys.applied("name", name, &new.name);
        if own_cameras {
            keys.restart("source", source, &mut new.source);
        }
        keys.applied("source", source, &new.source);
        keys.applied("audio", sound, &new.sound);
        if *source != new.source || *sound != new.sound {
            self.cameras.insert(*id);
        } else if *speaker != new.speaker {
            self.speakers.insert(*id);
        }
        keys.applied("speaker", speaker, &new.speaker);
        #[cfg(feature = "record")]
        if is_recorded {
            keys.applied("record", record, &new.record);
        } else {
            keys.restart("record", record, &mut new.record);
        }
        let who = who(&new);
        for (keys, all) in [
            (keys.applied, &mut self.applied),
            (keys.restart, &mut self.restart),
        ] {
            if !keys.is_empty() {
                all.push(format!("{who}: {}", keys.join(", ")));
            }
        }
        new
    }
}

fn socket_of(channel: &Channel) -> Option<(&PathBuf, &socket::Config)> {
    match &channel.source {
        Source::Socket { config } => Some((&config.path, config)),
        _ => None,
    }
}

fn who(channel: &Channel) -> String {
    format!("channel {} ({})", channel.id, channel.name)
}

#[cfg(test)]
mod tests;
