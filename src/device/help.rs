//! Offer of a device to a caller: never more than the caller may do.

use std::sync::Arc;

use peercam_hal::Capabilities;
use peercam_proto::{
    command::{CALL_WORDS, Command, CustomCommand, INNER, Offer, STEP_WORDS, TopicName},
    credential::Scope,
    error::{Error, ErrorKind},
    media::ChannelId,
};

use super::Device;
use crate::{
    access::{Caller, Need},
    channels::ChannelEntry,
};

/// The name under which `user_define.allow` has calls.
const CALL: &str = "call";

/// Returns whether the camera of one of these channels has something.
fn any(channels: &[Arc<ChannelEntry>], has: fn(&Capabilities) -> bool) -> bool {
    channels.iter().any(|channel| has(&channel.capabilities))
}

impl Device {
    /// Requests and commands that this caller may use here.
    pub(super) fn offer(&self, caller: &Caller) -> Offer {
        let may = |need| caller.check(need).is_ok();
        let channels = self.channels.visible(caller.channels());
        let any = |has: fn(&Capabilities) -> bool| any(&channels, has);
        let mut ids = channels.iter().map(|channel| channel.id);
        let is_recorded = ids.any(|channel| self.recordings.of(channel).is_ok());
        let speaks = any(|camera| camera.talkback.is_some());
        let requests = [
            (
                any(|camera| !camera.stills_only),
                Scope::Live,
                (
                    "GET /ipc.flv?action=live",
                    "channel, quality=standard|high|super",
                ),
            ),
            (
                any(|camera| camera.snapshot.is_some()),
                Scope::Live,
                ("GET /snapshot.jpg", "channel"),
            ),
            (
                is_recorded,
                Scope::Playback,
                (
                    "GET /ipc.flv?action=playback",
                    "channel, start_time, end_time",
                ),
            ),
            (
                is_recorded,
                Scope::Download,
                ("GET /ipc.flv?action=download", "file_name, offset"),
            ),
            (
                speaks,
                Scope::Voice,
                (
                    "POST /voice",
                    "channel, format, sample_rate, channels, recorded=1",
                ),
            ),
        ];
        let requests = requests
            .into_iter()
            .filter(|(is_there, scope, _)| *is_there && may(Need::Scope(*scope)));
        let inner = INNER.into_iter().filter(|inner| match inner.scope {
            None => true,
            Some(scope @ (Scope::Playback | Scope::Download)) => {
                is_recorded && may(Need::Scope(scope))
            }
            Some(scope) => may(Need::Scope(scope)),
        });
        let mut offer = Offer {
            requests: requests.map(|(.., request)| request).collect(),
            inner: inner.collect(),
            ..Offer::default()
        };
        self.offer_user(caller, &channels, &mut offer);
        let channels = channels.iter().map(|channel| channel.id).collect();
        Offer { channels, ..offer }
    }

    /// Adds what `user_define` has for this caller.
    fn offer_user(&self, caller: &Caller, channels: &[Arc<ChannelEntry>], offer: &mut Offer) {
        let may = |need| caller.check(need).is_ok();
        let commands = self.panels.commands();
        let any = |has: fn(&Capabilities) -> bool| any(channels, has);
        let is_allowed = |name: &str| commands.allowed.contains(name);
        let turns = any(|camera| camera.ptz.is_some());
        if is_allowed(CALL) && may(Need::Scope(Scope::Voice)) {
            offer.words.extend(CALL_WORDS.map(|(word, _)| word));
        }
        let programs = commands.handlers.keys().filter(|name| {
            let command = CustomCommand::parse(name);
            let mut names = command.names.iter();
            let may_all = names.all(|name| may(Need::for_topic(*name)));
            let command = Command::Custom {
                channel: ChannelId(0),
                command: command.clone(),
            };
            *name != "*" && may_all && may(Need::for_command(&command))
        });
        offer.programs = programs.cloned().collect();
        if !may(Need::Scope(Scope::Command)) {
            return;
        }
        if is_allowed(TopicName::Ptz.as_str()) && turns {
            offer.words.extend(STEP_WORDS.map(|(word, _)| word));
        }
        let is_maintained = any(|camera| camera.maintenance.is_some());
        let has = |name: TopicName| match name {
            TopicName::Ptz => turns,
            TopicName::MirrorFlip => any(|camera| camera.picture.is_some()),
            TopicName::Reboot => is_maintained,
            TopicName::SdFormat => self.recordings.recording().is_some() || is_maintained,
            TopicName::BindStatus => any(|camera| camera.talkback.is_some()),
            TopicName::GetStatus
            | TopicName::SetStatus
            | TopicName::Version
            | TopicName::Intercom => true,
        };
        let topics = TopicName::ALL
            .into_iter()
            .filter(|name| is_allowed(name.as_str()) && may(Need::for_topic(*name)) && has(*name));
        offer.topics = topics.collect();
        offer.goes_on =
            commands.handlers.contains_key("*") || any(|camera| camera.commands.is_some());
    }

    /// An error; if it says that something is not offered, what is.
    pub fn beside(&self, caller: &Caller, asked: &str, error: Error) -> Error {
        match error.kind() {
            ErrorKind::Unsupported => {
                let offer = self.offer(caller).beside(asked);
                Error::new(error.kind(), format!("{}; {offer}", error.reason()))
            }
            _ => error,
        }
    }
}
