//! Properties of the device and of its channels: name, form and rights of each, and how it is read
//! and set.
//!
//! Keeps: nobody reads or sets what its scopes and channels do not allow, and no value is set that
//! its form does not have. A row is a variant of [`Property`] and its arm in each match here.
//! Whoever wants to know of changes reads the event stream ([`Property::changed_by`]). Topics of
//! panels are in `custom`, wires above.

use std::{borrow::Cow, sync::Arc};

use peercam_hal::ImagingControl;
use peercam_proto::{
    call::CallState,
    credential::Scope,
    error::{Error, ErrorKind},
    media::ChannelId,
};

use super::{CardState, Device, RecordMode};
use crate::{
    access::{Caller, Need},
    events::Event,
    hal_failure,
};

/// Version of the daemon.
pub(super) const VERSION: &str = concat!("peercam ", env!("CARGO_PKG_VERSION"));

/// Property of the device, or of each of its channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Property {
    /// Set while a channel stands by.
    Standby,
    /// Set if a channel's picture is turned by 180°.
    Mirror,
    /// Set if a channel's camera delivers, as far as anybody knows.
    Online,
    /// Selection of what is recorded of a channel.
    RecordMode,
    /// Set while somebody talks through a channel's speaker.
    TalkBusy,
    /// Viewers that are being sent media.
    Viewers,
    /// State of the card.
    StorageState,
    /// Bytes of all recordings on the card.
    StorageUsed,
    /// Bytes that are free on the card.
    StorageFree,
    /// State of the device's call.
    CallState,
    /// Version of the daemon.
    Version,
}

/// Owner of a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The device.
    Device,
    /// Each channel.
    Channel,
}

/// Form of a property's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Yes or no.
    Flag,
    /// Whole number from 0 to this.
    Number(u64),
    /// One of these words.
    Words(&'static [&'static str]),
    /// Text of at most so many bytes.
    Text(usize),
}

/// Value of a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Yes or no.
    Flag(bool),
    /// A whole number.
    Number(u64),
    /// A word or a text.
    Text(Cow<'static, str>),
}

/// Description of a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Name, which it has wherever it is shown.
    pub name: &'static str,
    /// Owner.
    pub owner: Owner,
    /// Form of its values.
    pub form: Form,
    /// What reading it needs.
    pub read: Need,
    /// What setting it needs; `None` if it cannot be set.
    pub set: Option<Need>,
}

impl Property {
    /// Every property.
    pub const ALL: [Self; 11] = [
        Self::Standby,
        Self::Mirror,
        Self::Online,
        Self::RecordMode,
        Self::TalkBusy,
        Self::Viewers,
        Self::StorageState,
        Self::StorageUsed,
        Self::StorageFree,
        Self::CallState,
        Self::Version,
    ];

    /// Returns its description.
    pub const fn row(self) -> Row {
        const COMMAND: Need = Need::Scope(Scope::Command);
        const ADMIN: Need = Need::Scope(Scope::Admin);
        const VOICE: Need = Need::Scope(Scope::Voice);
        const MODES: Form = Form::Words(&["always", "event", "off"]);
        const STATES: Form = Form::Words(&["starting", "ready", "stuck", "gone"]);
        const CALLS: Form = Form::Words(&["idle", "calling", "called", "talking"]);
        const BYTES: Form = Form::Number(u64::MAX);
        match self {
            Self::Standby => Row::of_channel("standby", Form::Flag, COMMAND).settable(ADMIN),
            Self::Mirror => Row::of_channel("mirror", Form::Flag, COMMAND).settable(COMMAND),
            Self::Online => Row::of_channel("online", Form::Flag, Need::Proof),
            Self::RecordMode => Row::of_channel("record_mode", MODES, Need::Proof),
            Self::TalkBusy => Row::of_channel("talk_busy", Form::Flag, COMMAND),
            Self::Viewers => Row::of_device("viewers", Form::Number(u32::MAX as u64), COMMAND),
            Self::StorageState => Row::of_device("storage_state", STATES, Need::Proof),
            Self::StorageUsed => Row::of_device("storage_used", BYTES, Need::Proof),
            Self::StorageFree => Row::of_device("storage_free", BYTES, Need::Proof),
            Self::CallState => Row::of_device("call_state", CALLS, VOICE),
            Self::Version => Row::of_device("version", Form::Text(64), COMMAND),
        }
    }

    /// Returns the property of which an event says that it may have another value, and the channel
    /// if it is a channel's. Of `talk_busy`, `viewers` and `storage_free` none does; of `online` only
    /// while a stream is read, and of `storage_used` only when a file is whole.
    pub fn changed_by(event: &Event) -> Option<(Self, Option<ChannelId>)> {
        Some(match event {
            Event::Standby { channel, .. } => (Self::Standby, Some(*channel)),
            Event::Mirror { channel, .. } => (Self::Mirror, Some(*channel)),
            Event::CameraOff { stream, .. } | Event::CameraOn { stream } => {
                (Self::Online, Some(stream.channel))
            }
            Event::Storage(_) => (Self::StorageState, None),
            Event::SegmentSealed { .. } => (Self::StorageUsed, None),
            Event::Call { .. } => (Self::CallState, None),
            Event::Detected { .. }
            | Event::ViewerJoined { .. }
            | Event::ViewerLeft { .. }
            | Event::ReachabilityChanged
            | Event::Panicked { .. } => return None,
        })
    }
}

impl Row {
    const fn of_channel(name: &'static str, form: Form, read: Need) -> Self {
        Self {
            name,
            owner: Owner::Channel,
            form,
            read,
            set: None,
        }
    }

    const fn of_device(name: &'static str, form: Form, read: Need) -> Self {
        Self {
            owner: Owner::Device,
            ..Self::of_channel(name, form, read)
        }
    }

    const fn settable(self, need: Need) -> Self {
        Self {
            set: Some(need),
            ..self
        }
    }

    /// Makes sure that a value is one that the property can have.
    ///
    /// # Errors
    /// [`ErrorKind::BadRequest`], saying which those are.
    pub fn check(&self, value: &Value) -> Result<(), Error> {
        let is_one = match (self.form, value) {
            (Form::Flag, Value::Flag(_)) => true,
            (Form::Number(max), Value::Number(number)) => *number <= max,
            (Form::Words(words), Value::Text(text)) => words.contains(&&**text),
            (Form::Text(max), Value::Text(text)) => text.len() <= max,
            _ => false,
        };
        if is_one {
            return Ok(());
        }
        let name = self.name;
        let allowed = match self.form {
            Form::Flag => "true or false".to_owned(),
            Form::Number(max) => format!("a whole number from 0 to {max}"),
            Form::Words(words) => format!("one of {}", words.join(", ")),
            Form::Text(max) => format!("a text of at most {max} bytes"),
        };
        Err(Error::bad_request(format!(
            "the property {name} is {allowed}"
        )))
    }
}

impl Device {
    /// Reads a property: the device's, or this channel's.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`] if the caller may not; [`ErrorKind::NotFound`] if there is no such
    /// channel for it; [`ErrorKind::Unsupported`] if the device or the channel has no such property;
    /// [`ErrorKind::Unavailable`] if it is not known now.
    pub fn property(
        &self,
        caller: &Caller,
        property: Property,
        channel: ChannelId,
    ) -> Result<Value, Error> {
        let row = property.row();
        self.check_property(caller, row, row.read, channel)?;
        let card = || {
            let recording = self.recordings.recording();
            let reason = "nothing is recorded here ([record] in the configuration)";
            let card = recording.map(|recording| recording.state());
            card.ok_or_else(|| Error::new(ErrorKind::Unsupported, reason))
        };
        Ok(match property {
            Property::Standby => Value::Flag(!self.hub.is_working(channel)),
            Property::Mirror => Value::Flag(self.picture(channel)?.is_flipped()),
            Property::Online => Value::Flag(self.hub.offline(channel).is_none()),
            Property::RecordMode => {
                let recording = self.recordings.recording();
                let mode = recording.map(|recording| recording.mode(channel));
                word(match mode.unwrap_or(RecordMode::Off) {
                    RecordMode::Always => "always",
                    RecordMode::Event => "event",
                    RecordMode::Off => "off",
                })
            }
            Property::TalkBusy => Value::Flag(self.speakers.is_taken(channel)),
            Property::Viewers => Value::Number(self.viewers.count() as u64),
            Property::StorageState => word(match card()? {
                CardState {
                    is_known: false, ..
                } => "starting",
                CardState { problem: None, .. } => "ready",
                CardState {
                    is_readable: true, ..
                } => "stuck",
                CardState { .. } => "gone",
            }),
            Property::StorageUsed => Value::Number(card()?.bytes),
            Property::StorageFree => {
                let reason = "nothing was written to the card yet";
                let free = card()?.free;
                Value::Number(free.ok_or_else(|| Error::new(ErrorKind::Unavailable, reason))?)
            }
            Property::CallState => word(match &self.calls.shown().borrow().state {
                CallState::Idle => "idle",
                CallState::Calling { .. } => "calling",
                CallState::Called { .. } => "called",
                CallState::Talking { .. } => "talking",
            }),
            Property::Version => word(VERSION),
        })
    }

    /// Sets a property.
    ///
    /// # Errors
    /// As [`Device::property`]; [`ErrorKind::BadRequest`] for a value that it cannot have,
    /// [`ErrorKind::Unsupported`] if it cannot be set, and why it could not be done.
    pub async fn set_property(
        &self,
        caller: &Caller,
        property: Property,
        channel: ChannelId,
        value: Value,
    ) -> Result<(), Error> {
        let row = property.row();
        let fixed = || {
            let reason = format!("the property {} can be read only", row.name);
            Error::new(ErrorKind::Unsupported, reason)
        };
        // Whoever may set it may read it.
        caller.check(row.read)?;
        self.check_property(caller, row, row.set.ok_or_else(fixed)?, channel)?;
        row.check(&value)?;
        // Flags are all that can be set so far.
        let Value::Flag(is_on) = value else {
            return Err(fixed());
        };
        match property {
            Property::Standby => self.panels.standby.set(channel, !is_on).await,
            Property::Mirror => {
                let picture = self.picture(channel)?;
                let was_on = picture.is_flipped();
                picture
                    .set_flipped(is_on)
                    .map_err(|error| hal_failure::camera(channel, &error))?;
                if was_on != is_on {
                    self.events.publish(Event::Mirror { channel, is_on });
                }
                Ok(())
            }
            Property::Online
            | Property::RecordMode
            | Property::TalkBusy
            | Property::Viewers
            | Property::StorageState
            | Property::StorageUsed
            | Property::StorageFree
            | Property::CallState
            | Property::Version => Err(fixed()),
        }
    }

    fn check_property(
        &self,
        caller: &Caller,
        row: Row,
        need: Need,
        channel: ChannelId,
    ) -> Result<(), Error> {
        caller.check(need)?;
        match row.owner {
            Owner::Device => Ok(()),
            Owner::Channel => self.hub.check_channel(channel, caller.channels()),
        }
    }

    fn picture(&self, channel: ChannelId) -> Result<&Arc<dyn ImagingControl>, Error> {
        self.panels.pictures.get(&channel).ok_or_else(|| {
            let reason = format!("the camera of channel {channel} cannot turn its picture");
            Error::new(ErrorKind::Unsupported, reason)
        })
    }
}

const fn word(word: &'static str) -> Value {
    Value::Text(Cow::Borrowed(word))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use peercam_proto::command::TopicName;

    use super::*;

    #[test]
    fn names_are_identifiers_and_no_two_are_the_same() {
        let names: BTreeSet<_> = Property::ALL.map(|property| property.row().name).into();
        assert_eq!(names.len(), Property::ALL.len());
        let is_fine = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(
            names
                .iter()
                .all(|name| name.len() <= 32 && name.chars().all(is_fine))
        );
    }

    #[test]
    fn topics_of_panels_need_what_the_properties_need_that_they_stand_for() {
        let row = Property::row;
        for (topic, need) in [
            (TopicName::GetStatus, row(Property::Standby).read),
            (TopicName::SetStatus, row(Property::Standby).set.unwrap()),
            (TopicName::MirrorFlip, row(Property::Mirror).set.unwrap()),
            (TopicName::Intercom, row(Property::TalkBusy).read),
            (TopicName::Version, row(Property::Version).read),
        ] {
            assert_eq!(Need::for_topic(topic), need, "{topic:?}");
        }
    }

    #[test]
    fn values_of_another_form_are_refused_and_the_form_is_told() {
        let text = |text: &str| Value::Text(text.to_owned().into());
        let words = Property::RecordMode.row();
        assert_eq!(words.check(&text("event")), Ok(()));
        assert_eq!(Property::Standby.row().check(&Value::Flag(true)), Ok(()));
        assert_eq!(Property::Version.row().check(&text("peercam 1")), Ok(()));
        for (property, value, words) in [
            (
                Property::RecordMode,
                text("never"),
                "one of always, event, off",
            ),
            (
                Property::RecordMode,
                Value::Flag(true),
                "one of always, event, off",
            ),
            (Property::Standby, text("true"), "true or false"),
            (Property::Standby, Value::Number(1), "true or false"),
            (
                Property::Viewers,
                Value::Number(1 << 40),
                "from 0 to 4294967295",
            ),
            (Property::Version, text(&"x".repeat(65)), "at most 64 bytes"),
        ] {
            let error = property.row().check(&value).expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::BadRequest);
            assert!(error.reason().contains(words), "{error}");
            assert!(error.reason().contains(property.row().name), "{error}");
        }
    }
}
