//! Properties of the device and of its channels: name, type and rights of each, and how it is read
//! and set.
//!
//! Keeps: nobody reads or sets what its scopes and channels do not allow, and no value is set that
//! its type does not have. A row is a variant of [`Property`] and its arm in each match here.
//! Whoever wants to know of changes reads the event stream ([`Property::changed_by`]). Topics of
//! panels are in `custom`, wires above.

use std::{borrow::Cow, sync::Arc};

use peercam_hal::ImagingControl;
use peercam_proto::{
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
pub enum Level {
    /// The device.
    Device,
    /// Each channel.
    Channel,
}

/// Type of a property's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataType {
    /// Yes or no.
    Boolean,
    /// Whole number from 0 to this.
    Integer(u64),
    /// One of these words.
    Enum(&'static [&'static str]),
    /// String of at most so many bytes.
    String(usize),
}

/// Value of a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PropertyValue {
    /// Yes or no.
    Flag(bool),
    /// A whole number.
    Number(u64),
    /// A word or a text.
    Text(Cow<'static, str>),
}

/// Description of a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PropertyInfo {
    /// Name, which it has wherever it is shown.
    pub name: &'static str,
    /// Owner.
    pub level: Level,
    /// Form of its values.
    pub data_type: DataType,
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
    pub const fn info(self) -> PropertyInfo {
        const COMMAND: Need = Need::Scope(Scope::Command);
        const ADMIN: Need = Need::Scope(Scope::Admin);
        const VOICE: Need = Need::Scope(Scope::Voice);
        const MODES: DataType = DataType::Enum(&["always", "event", "off"]);
        const STATES: DataType = DataType::Enum(&["starting", "ready", "stuck", "gone"]);
        const CALLS: DataType = DataType::Enum(&["idle", "calling", "called", "talking"]);
        const BYTES: DataType = DataType::Integer(u64::MAX);
        match self {
            Self::Standby => {
                PropertyInfo::of_channel("standby", DataType::Boolean, COMMAND).settable(ADMIN)
            }
            Self::Mirror => {
                PropertyInfo::of_channel("mirror", DataType::Boolean, COMMAND).settable(COMMAND)
            }
            Self::Online => PropertyInfo::of_channel("online", DataType::Boolean, Need::Proof),
            Self::RecordMode => PropertyInfo::of_channel("record_mode", MODES, Need::Proof),
            Self::TalkBusy => PropertyInfo::of_channel("talk_busy", DataType::Boolean, COMMAND),
            Self::Viewers => {
                PropertyInfo::of_device("viewers", DataType::Integer(u32::MAX as u64), COMMAND)
            }
            Self::StorageState => PropertyInfo::of_device("storage_state", STATES, Need::Proof),
            Self::StorageUsed => PropertyInfo::of_device("storage_used", BYTES, Need::Proof),
            Self::StorageFree => PropertyInfo::of_device("storage_free", BYTES, Need::Proof),
            Self::CallState => PropertyInfo::of_device("call_state", CALLS, VOICE),
            Self::Version => PropertyInfo::of_device("version", DataType::String(64), COMMAND),
        }
    }

    /// Returns the property of which an event says that it may have another value, and the channel
    /// if it is a channel's. Of `talk_busy`, `viewers` and `storage_free` none does; of `storage_used` only
    /// when a file is whole. After [`Event::Reloaded`] each may have another one.
    pub fn changed_by(event: &Event) -> Option<(Self, Option<ChannelId>)> {
        Some(match event {
            Event::Standby { channel, .. } => (Self::Standby, Some(*channel)),
            Event::Mirror { channel, .. } => (Self::Mirror, Some(*channel)),
            Event::CameraOffline { stream, .. } | Event::CameraOnline { stream } => {
                (Self::Online, Some(stream.channel))
            }
            Event::Storage(_) => (Self::StorageState, None),
            Event::SegmentClosed { .. } => (Self::StorageUsed, None),
            Event::Call { .. } => (Self::CallState, None),
            Event::Detected { .. }
            | Event::ViewerJoined { .. }
            | Event::ViewerLeft { .. }
            | Event::ReachabilityChanged
            | Event::Reloaded
            | Event::Panicked { .. } => return None,
        })
    }
}

impl PropertyInfo {
    const fn of_channel(name: &'static str, data_type: DataType, read: Need) -> Self {
        Self {
            name,
            level: Level::Channel,
            data_type,
            read,
            set: None,
        }
    }

    const fn of_device(name: &'static str, data_type: DataType, read: Need) -> Self {
        Self {
            level: Level::Device,
            ..Self::of_channel(name, data_type, read)
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
    pub fn check(&self, value: &PropertyValue) -> Result<(), Error> {
        let is_one = match (self.data_type, value) {
            (DataType::Boolean, PropertyValue::Flag(_)) => true,
            (DataType::Integer(max), PropertyValue::Number(number)) => *number <= max,
            (DataType::Enum(words), PropertyValue::Text(text)) => words.contains(&&**text),
            (DataType::String(max), PropertyValue::Text(text)) => text.len() <= max,
            _ => false,
        };
        if is_one {
            return Ok(());
        }
        let name = self.name;
        let allowed = match self.data_type {
            DataType::Boolean => "true or false".to_owned(),
            DataType::Integer(max) => format!("a whole number from 0 to {max}"),
            DataType::Enum(words) => format!("one of {}", words.join(", ")),
            DataType::String(max) => format!("a text of at most {max} bytes"),
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
    ) -> Result<PropertyValue, Error> {
        let info = property.info();
        self.check_property(caller, info, info.read, channel)?;
        self.read_property(property, channel)
    }

    /// The same for whoever has been checked.
    ///
    /// # Errors
    /// As [`Device::property`].
    pub(super) fn read_property(
        &self,
        property: Property,
        channel: ChannelId,
    ) -> Result<PropertyValue, Error> {
        let card = || {
            let recording = self.recordings.recording();
            let reason = "nothing is recorded here ([record] in the configuration)";
            let card = recording.map(|recording| recording.state());
            card.ok_or_else(|| Error::new(ErrorKind::Unsupported, reason))
        };
        Ok(match property {
            Property::Standby => PropertyValue::Flag(!self.hub.is_working(channel)),
            Property::Mirror => PropertyValue::Flag(self.picture(channel)?.is_flipped()),
            Property::Online => PropertyValue::Flag(self.hub.offline(channel).is_none()),
            Property::RecordMode => {
                let recording = self.recordings.recording();
                let mode = recording.map(|recording| recording.mode(channel));
                word(mode.unwrap_or(RecordMode::Off).as_str())
            }
            Property::TalkBusy => PropertyValue::Flag(self.speakers.is_taken(channel)),
            Property::Viewers => PropertyValue::Number(self.viewers.count() as u64),
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
            Property::StorageUsed => PropertyValue::Number(card()?.bytes),
            Property::StorageFree => {
                let reason = "nothing was written to the card yet";
                let free = card()?.free;
                PropertyValue::Number(
                    free.ok_or_else(|| Error::new(ErrorKind::Unavailable, reason))?,
                )
            }
            Property::CallState => word(self.calls.shown().borrow().state.as_str()),
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
        value: PropertyValue,
    ) -> Result<(), Error> {
        let info = property.info();
        let fixed = || {
            let reason = format!("the property {} can be read only", info.name);
            Error::new(ErrorKind::Unsupported, reason)
        };
        // Whoever may set it may read it.
        caller.check(info.read)?;
        self.check_property(caller, info, info.set.ok_or_else(fixed)?, channel)?;
        info.check(&value)?;
        // Flags are all that can be set so far.
        let PropertyValue::Flag(is_on) = value else {
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
        info: PropertyInfo,
        need: Need,
        channel: ChannelId,
    ) -> Result<(), Error> {
        caller.check(need)?;
        match info.level {
            Level::Device => Ok(()),
            Level::Channel => {
                let entry = self.channels.require_visible(channel, caller.channels());
                entry.map(|_| ())
            }
        }
    }

    fn picture(&self, channel: ChannelId) -> Result<Arc<dyn ImagingControl>, Error> {
        self.capabilities(channel).picture.ok_or_else(|| {
            let reason = format!("the camera of channel {channel} cannot turn its picture");
            Error::new(ErrorKind::Unsupported, reason)
        })
    }
}

const fn word(word: &'static str) -> PropertyValue {
    PropertyValue::Text(Cow::Borrowed(word))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use peercam_proto::command::TopicName;

    use super::*;

    #[test]
    fn names_are_identifiers_and_no_two_are_the_same() {
        let names: BTreeSet<_> = Property::ALL.map(|property| property.info().name).into();
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
        let info = Property::info;
        for (topic, need) in [
            (TopicName::GetStatus, info(Property::Standby).read),
            (TopicName::SetStatus, info(Property::Standby).set.unwrap()),
            (TopicName::MirrorFlip, info(Property::Mirror).set.unwrap()),
            (TopicName::Intercom, info(Property::TalkBusy).read),
            (TopicName::Version, info(Property::Version).read),
        ] {
            assert_eq!(Need::for_topic(topic), need, "{topic:?}");
        }
    }

    #[test]
    fn values_of_another_form_are_refused_and_the_form_is_told() {
        let text = |text: &str| PropertyValue::Text(text.to_owned().into());
        let words = Property::RecordMode.info();
        assert_eq!(words.check(&text("event")), Ok(()));
        assert_eq!(
            Property::Standby.info().check(&PropertyValue::Flag(true)),
            Ok(())
        );
        assert_eq!(Property::Version.info().check(&text("peercam 1")), Ok(()));
        for (property, value, words) in [
            (
                Property::RecordMode,
                text("never"),
                "one of always, event, off",
            ),
            (
                Property::RecordMode,
                PropertyValue::Flag(true),
                "one of always, event, off",
            ),
            (Property::Standby, text("true"), "true or false"),
            (Property::Standby, PropertyValue::Number(1), "true or false"),
            (
                Property::Viewers,
                PropertyValue::Number(1 << 40),
                "from 0 to 4294967295",
            ),
            (Property::Version, text(&"x".repeat(65)), "at most 64 bytes"),
        ] {
            let error = property.info().check(&value).expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::BadRequest);
            assert!(error.reason().contains(words), "{error}");
            assert!(error.reason().contains(property.info().name), "{error}");
        }
    }
}
