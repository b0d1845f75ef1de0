//! Offer of a device to a caller: never more than the caller may do.

use peercam_proto::{
    command::{Command, CustomCommand, INNER, Offer, TopicName},
    credential::Scope,
    error::{Error, ErrorKind},
    media::ChannelId,
};

use super::Device;
use crate::access::{Caller, Need};

/// The name under which `user_define.allow` has calls.
const CALL: &str = "call";

impl Device {
    /// Requests and commands that this caller may use here.
    pub(super) fn offer(&self, caller: &Caller) -> Offer {
        let may = |need| caller.check(need).is_ok();
        let channels = self.hub.channels();
        let channels: Vec<_> = channels
            .map(|(channel, _)| channel)
            .filter(|channel| caller.channels().contains(*channel))
            .collect();
        let any = |has: &dyn Fn(&ChannelId) -> bool| channels.iter().any(has);
        let is_recorded = any(&|channel| self.recordings.of(*channel).is_ok());
        let speaks = any(&|channel| self.speakers.has(*channel));
        let requests = [
            (
                any(&|channel| self.hub.check_video(*channel).is_ok()),
                Scope::Live,
                (
                    "GET /ipc.flv?action=live",
                    "channel, quality=standard|high|super",
                ),
            ),
            (
                any(&|channel| self.stills.has(*channel)),
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
                ("POST /voice", "channel, sample_rate, recorded=1"),
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
        Offer { channels, ..offer }
    }

    /// Adds what `user_define` has for this caller.
    fn offer_user(&self, caller: &Caller, channels: &[ChannelId], offer: &mut Offer) {
        let may = |need| caller.check(need).is_ok();
        let panels = &self.panels;
        let commands = &panels.commands;
        let any = |has: &dyn Fn(&ChannelId) -> bool| channels.iter().any(has);
        let is_allowed = |name: &str| commands.allowed.contains(name);
        let turns = any(&|channel| panels.ptz.has(*channel));
        if is_allowed(CALL) && may(Need::Scope(Scope::Voice)) {
            offer.words.extend([
                "wx_call_start",
                "wx_call_cancel",
                "wx_call_hangup",
                "wx_call_timeout",
            ]);
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
            offer
                .words
                .extend(["ptz_left", "ptz_right", "ptz_up", "ptz_down"]);
        }
        let has = |name: TopicName| match name {
            TopicName::Ptz => turns,
            TopicName::MirrorFlip => any(&|channel| panels.pictures.contains_key(channel)),
            TopicName::Reboot => any(&|channel| panels.maintenance.contains_key(channel)),
            TopicName::SdFormat => {
                self.recordings.recording().is_some()
                    || any(&|channel| panels.maintenance.contains_key(channel))
            }
            TopicName::BindStatus => any(&|channel| self.speakers.has(*channel)),
            TopicName::GetStatus
            | TopicName::SetStatus
            | TopicName::Version
            | TopicName::Intercom => true,
        };
        let topics = TopicName::ALL
            .into_iter()
            .filter(|name| is_allowed(name.as_str()) && may(Need::for_topic(*name)) && has(*name));
        offer.topics = topics.collect();
        offer.goes_on = commands.handlers.contains_key("*")
            || any(&|channel| panels.firmware.contains_key(channel));
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
