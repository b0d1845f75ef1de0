//! Policy: the table of the scope that each request needs.
//!
//! Each decision about a request's scope is made here. Which channels there are for a caller is
//! beside it, in its credential.

use peercam_proto::{
    command::{Command, Meaning, TopicName},
    credential::{Channels, Scope, Scopes},
    error::{Error, ErrorKind},
    route::Route,
};

/// Kind of media that a viewer is sent, or sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// The picture of now.
    Live,
    /// A recording, as it was.
    Playback,
    /// A file.
    Download,
    /// One picture of now.
    Still,
    /// Speech, for a speaker.
    Talk,
}

impl Medium {
    /// Returns its word for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Playback => "playback",
            Self::Download => "download",
            Self::Still => "snapshot",
            Self::Talk => "talk",
        }
    }
}

/// Authorization requirement of a request. The match in each function is the whole table: a new
/// request does not compile before its row is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A credential, whatever its scopes.
    Proof,
    /// A credential with this scope.
    Scope(Scope),
    /// A credential with this scope and for all channels: it is about the device as a whole.
    Device(Scope),
}

impl Need {
    /// Makes sure that these scopes, for these channels, are enough.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`], naming what is missing.
    pub fn check(self, scopes: Scopes, channels: &Channels) -> Result<(), Error> {
        let (Self::Scope(scope) | Self::Device(scope)) = self else {
            return Ok(());
        };
        if !scopes.contains(scope) {
            let reason = format!(
                "this credential does not have the scope {}; pair again with it",
                scope.as_str()
            );
            return Err(Error::new(ErrorKind::Forbidden, reason));
        }
        if matches!(self, Self::Device(_)) && *channels != Channels::All {
            let reason = "this is about all channels, and this credential is for some";
            return Err(Error::new(ErrorKind::Forbidden, reason));
        }
        Ok(())
    }

    /// Returns the need of a route as such, before its parameters are looked at.
    pub const fn for_route(route: Route) -> Self {
        match route {
            Route::Metrics => Self::Device(Scope::Metrics),
            Route::Voice => Self::for_medium(Medium::Talk),
            Route::Snapshot => Self::for_medium(Medium::Still),
            Route::Media | Route::Command | Route::Health => Self::Proof,
        }
    }

    /// Returns the need of a medium.
    pub const fn for_medium(medium: Medium) -> Self {
        match medium {
            Medium::Live | Medium::Still => Self::Scope(Scope::Live),
            Medium::Playback => Self::Scope(Scope::Playback),
            Medium::Download => Self::Scope(Scope::Download),
            Medium::Talk => Self::Scope(Scope::Voice),
        }
    }

    /// Returns the need of a command. Questions about the device's state need no scope: they tell
    /// only about the channels of the credential.
    pub const fn for_command(command: &Command) -> Self {
        match command {
            Command::DeviceStatus { .. } | Command::ChannelList | Command::Help => Self::Proof,
            Command::RecordIndex { .. }
            | Command::MonthRecord { .. }
            | Command::Playback { .. } => Self::Scope(Scope::Playback),
            Command::FileList { .. } => Self::Scope(Scope::Download),
            Command::Call { .. } => Self::Scope(Scope::Voice),
            Command::Custom { command, .. } => match &command.meaning {
                Meaning::Call(_) => Self::Scope(Scope::Voice),
                _ => Self::Scope(Scope::Command),
            },
            // It is answered with "not offered", whoever asks.
            Command::Unknown(_) => Self::Proof,
        }
    }

    /// Returns the need of a topic beside its command's, whoever does it: the device, a program on
    /// it, or firmware.
    pub const fn for_topic(name: TopicName) -> Self {
        match name {
            TopicName::Ptz
            | TopicName::GetStatus
            | TopicName::MirrorFlip
            | TopicName::Version
            | TopicName::BindStatus
            | TopicName::Intercom => Self::Scope(Scope::Command),
            TopicName::SetStatus => Self::Scope(Scope::Admin),
            TopicName::SdFormat | TopicName::Reboot => Self::Device(Scope::Admin),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peercam_proto::command::{INNER, Inner, decode_request};

    #[test]
    fn what_is_offered_needs_what_is_asked_for() {
        for Inner { name, scope, .. } in INNER {
            let needed = "progress=1&value=1&speed=1";
            let text = match name {
                "get_month_record" => {
                    "action=inner_define&cmd=get_month_record&time=202401".to_owned()
                }
                name => format!("action=inner_define&cmd={name}&{needed}"),
            };
            let (command, _) = decode_request(&text, "").expect(name);
            let need = scope.map_or(Need::Proof, Need::Scope);
            assert_eq!(Need::for_command(&command), need, "{name}");
        }
    }
}
