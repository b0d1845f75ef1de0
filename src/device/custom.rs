//! Commands of `user_define`: topics of panels, words, and those of a maker.
//!
//! Keeps the order in which somebody is found to do one: the caller's rights come first, then a
//! maker's handler, the device itself, the handler for all others, and the firmware. Firmware never
//! gets what the device knows and the configuration forbids. Forms and parsing are in
//! `peercam_proto::command`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use peercam_hal::{BoxFuture, Capabilities, HalError, Maintenance, MakerCommand, PtzPosition};
use peercam_proto::{
    command::{
        CustomCommand, MAX_REPLY, Meaning, PanelError, PanelMessage, PanelReply, Position, Reply,
        StandardCommand, TopicName, encode_topic,
    },
    error::{Error, ErrorKind},
    media::ChannelId,
    refusal,
};
use peercam_task::boundary::Guarded;
use tokio::sync::watch;

use super::{Device, Property, PropertyValue, Standby, properties::VERSION, ptz::PtzController};
use crate::{
    access::{Caller, Need},
    hal_failure,
};

/// Does commands that a maker defined.
pub trait CustomHandler: Send + Sync {
    /// Does a command; gives its answer, of any form.
    ///
    /// # Errors
    /// [`Error`] with the reason for whoever asked.
    fn handle<'a>(
        &'a self,
        caller: &'a Caller,
        channel: ChannelId,
        command: &'a CustomCommand,
    ) -> BoxFuture<'a, Result<String, Error>>;

    /// Reason why it can do none now, as far as that is known.
    fn failure(&self) -> Option<HandlerFailure> {
        None
    }
}

/// Reason why a handler can do no commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandlerFailure {
    /// Sentence on it.
    pub what: String,
    /// Place where it should be, which is not for everybody.
    pub place: String,
}

/// Commands of `user_define` that are done, and who does them.
#[derive(Default)]
pub struct CustomCommands {
    /// Names of those that the device does itself: topics, and `ptz` and `call` for words.
    pub allowed: BTreeSet<String>,
    /// Handlers of others, by name; `*` is for those that nobody does. They come first.
    pub handlers: BTreeMap<String, Arc<dyn CustomHandler>>,
}

/// Time for which a word for formatting the card is good.
const CONFIRM: Duration = Duration::from_secs(60);

/// The parts that panels steer.
pub(super) struct Panels {
    pub(super) ptz: PtzController,
    pub(super) standby: Standby,
    pub(super) commands: watch::Sender<Arc<CustomCommands>>,
    /// The word that formatting the card waits for.
    pub(super) confirm: Guarded<Option<Confirm>>,
}

/// Confirmation that formatting the card waits for. The word is a secret between the device and
/// whoever asked for it, who may come again as another session.
pub(super) struct Confirm {
    word: String,
    since: Instant,
    tries: u8,
}

impl Device {
    pub(super) async fn custom(
        &self,
        caller: &Caller,
        channel: ChannelId,
        command: &CustomCommand,
    ) -> Result<Reply, Error> {
        if let Meaning::Damaged(reason) = command.meaning {
            let reason = format!("this begins as JSON does, and nobody is given it: {reason}");
            return Err(Error::bad_request(reason));
        }
        if command.meaning == Meaning::NoTopic {
            let reason = "this is JSON without a topic of 1 to 64 letters, digits and _, and nobody is given it";
            return Err(Error::new(ErrorKind::Unsupported, reason));
        }
        let mut names = command.names.iter();
        if let Err(error) = names.try_for_each(|name| caller.check(Need::for_topic(*name))) {
            return self.not_done(caller, command, error);
        }
        let commands = self.panels.commands();
        let name = command.name();
        let handler = commands.handlers.get(command.first_word());
        if let Some(handler) = handler.or_else(|| commands.handlers.get(name)) {
            let text = handler.handle(caller, channel, command).await?;
            return Ok(Reply::Text(text));
        }
        let is_allowed = commands.allowed.contains(name);
        match &command.meaning {
            Meaning::Step(direction, speed) if is_allowed => {
                self.panels.ptz.step(channel, *direction, *speed)?;
                return Ok(Reply::Done);
            }
            Meaning::Call(what) if is_allowed => {
                self.calls.apply_request(caller, channel, *what)?;
                return Ok(Reply::Done);
            }
            Meaning::Panel(topic) if is_allowed => match StandardCommand::parse(topic) {
                Ok(panel) => {
                    let done = self.panel(caller, channel, panel).await;
                    let done = done.map_err(|error| self.beside(caller, "", error));
                    return Ok(answer(topic, done.as_ref()));
                }
                Err(PanelError::Damaged(reason)) => {
                    return Ok(answer(topic, Err(&Error::bad_request(reason))));
                }
                Err(PanelError::Unknown) => {}
            },
            _ => {}
        }
        if let Some(handler) = commands.handlers.get("*") {
            let text = handler.handle(caller, channel, command).await?;
            return Ok(Reply::Text(text));
        }
        // What the device knows and the configuration forbids is forbidden, in whatever case.
        let is_known = match &command.meaning {
            Meaning::Step(..) | Meaning::Call(_) => true,
            Meaning::Panel(topic) => TopicName::like(&topic.name).is_some(),
            Meaning::Other | Meaning::NoTopic | Meaning::Damaged(_) => false,
        };
        // Firmware that knows commands of its maker.
        let firmware = self.capabilities(channel).commands;
        if let Some(firmware) = firmware.filter(|_| !is_known) {
            let holder = caller.holder();
            let command = MakerCommand {
                text: &command.text,
                scopes: caller.scopes(),
                credential: holder.map(|holder| (&*holder.issuer, holder.claims.id)),
            };
            match firmware.run(command).await {
                Ok(text) if text.len() > MAX_REPLY => {
                    let reason = format!(
                        "the answer of the camera of channel {channel} is longer than {MAX_REPLY} bytes"
                    );
                    return Err(Error::new(ErrorKind::BadAnswer, reason));
                }
                // It has no commands: nobody knows this one.
                Err(HalError::Unsupported(_)) => {}
                done => {
                    return done
                        .map(Reply::Text)
                        .map_err(|error| hal_failure::camera(channel, &error));
                }
            }
        }
        // It may be somebody else's word too: who does it comes first.
        if command.meaning == Meaning::Other && command.text.eq_ignore_ascii_case("help") {
            return Ok(Reply::Help(Box::new(self.offer(caller))));
        }
        let reason =
            "this device does not know that command, or its configuration does not allow it";
        let error = Error::new(ErrorKind::Unsupported, reason);
        self.not_done(caller, command, error)
    }

    /// The answer to what is not done, in the form in which its kind is answered.
    fn not_done(
        &self,
        caller: &Caller,
        command: &CustomCommand,
        error: Error,
    ) -> Result<Reply, Error> {
        match &command.meaning {
            Meaning::Panel(topic) => {
                let error = self.beside(caller, &topic.name, error);
                Ok(answer(topic, Err(&error)))
            }
            _ => Err(error),
        }
    }

    async fn panel(
        &self,
        caller: &Caller,
        channel: ChannelId,
        panel: StandardCommand,
    ) -> Result<PanelReply, Error> {
        let panels = &self.panels;
        Ok(match panel {
            StandardCommand::Press(direction) => place(panels.ptz.continuous_move(
                channel,
                &caller.viewer,
                direction,
            )?),
            StandardCommand::Release => place(panels.ptz.stop(channel)?),
            StandardCommand::GetStatus => PanelReply::Status {
                working: self.read_property(Property::Standby, channel)?
                    == PropertyValue::Flag(false),
                viewers: self.viewers.count(),
            },
            StandardCommand::SetStatus { working } => {
                let value = PropertyValue::Flag(!working);
                Box::pin(self.set_property(caller, Property::Standby, channel, value)).await?;
                PanelReply::Done
            }
            StandardCommand::Flip { flipped } => {
                let value = PropertyValue::Flag(flipped);
                Box::pin(self.set_property(caller, Property::Mirror, channel, value)).await?;
                PanelReply::Done
            }
            StandardCommand::Version => PanelReply::Version(VERSION),
            StandardCommand::FormatCard { confirm } => {
                Box::pin(self.format(channel, confirm)).await?
            }
            StandardCommand::Reboot => {
                let maintenance = self.maintenance(channel).ok_or_else(|| {
                    let reason = format!("the camera of channel {channel} cannot be started again");
                    Error::new(ErrorKind::Unsupported, reason)
                })?;
                let asked = maintenance.reboot().await;
                asked.map_err(|error| hal_failure::camera(channel, &error))?;
                PanelReply::Done
            }
            StandardCommand::BindStatus => {
                self.speakers.beep(channel)?;
                PanelReply::Done
            }
            StandardCommand::Intercom => PanelReply::Intercom {
                is_used: self.read_property(Property::TalkBusy, channel)?
                    == PropertyValue::Flag(true),
            },
        })
    }

    /// Parts of a channel's camera; none of one that does not exist.
    pub(super) fn capabilities(&self, channel: ChannelId) -> Capabilities {
        let entry = self.channels.get(channel);
        entry.map_or_else(Capabilities::default, |entry| entry.capabilities.clone())
    }

    fn maintenance(&self, channel: ChannelId) -> Option<Arc<dyn Maintenance>> {
        self.capabilities(channel).maintenance
    }

    /// Gives a word, and deletes all recordings when it comes back.
    async fn format(
        &self,
        channel: ChannelId,
        confirm: Option<String>,
    ) -> Result<PanelReply, Error> {
        let maintenance = self.maintenance(channel);
        if self.recordings.recording().is_none() && maintenance.is_none() {
            let reason = "nothing is recorded here ([record] in the configuration)";
            return Err(Error::new(ErrorKind::Unsupported, reason));
        }
        let Some(confirm) = confirm else {
            return Ok(PanelReply::Confirm(self.panels.ask()?));
        };
        if !self.panels.is_confirmed(&confirm) {
            let reason = "this is not the word that was given within the last 60 s; send sd_format without data.confirm for one";
            return Err(Error::new(ErrorKind::Conflict, reason));
        }
        match (self.recordings.recording(), maintenance) {
            (Some(recording), _) if recording.erase().await => Ok(PanelReply::Done),
            (None, Some(maintenance)) => {
                let formatted = maintenance.format().await;
                formatted.map_err(|error| hal_failure::camera(channel, &error))?;
                Ok(PanelReply::Done)
            }
            _ => Err(Error::new(
                ErrorKind::Unavailable,
                "the card failed; /healthz tells why",
            )),
        }
    }
}

impl Panels {
    /// Commands of `user_define` that are done now.
    pub(super) fn commands(&self) -> Arc<CustomCommands> {
        Arc::clone(&self.commands.borrow())
    }

    /// A new word.
    fn ask(&self) -> Result<String, Error> {
        let mut bytes = [0; 4];
        getrandom::fill(&mut bytes)
            .map_err(|error| Error::new(ErrorKind::Unavailable, error.to_string()))?;
        let word = format!("{:08x}", u32::from_be_bytes(bytes));
        let mut waiting = self.confirm.lock();
        *waiting = Some(Confirm {
            word: word.clone(),
            since: Instant::now(),
            tries: 3,
        });
        Ok(word)
    }

    /// Returns whether the word is the one; it is good once, and for three tries.
    fn is_confirmed(&self, word: &str) -> bool {
        let mut waiting = self.confirm.lock();
        let Some(mut confirm) = waiting.take() else {
            return false;
        };
        let is_it = confirm.word == word && confirm.since.elapsed() < CONFIRM;
        confirm.tries -= 1;
        if !is_it && confirm.tries > 0 {
            *waiting = Some(confirm);
        }
        is_it
    }
}

fn answer(topic: &PanelMessage, done: Result<&PanelReply, &Error>) -> Reply {
    let done = done.map_err(|error| (refusal::status(error.kind()), error.reason()));
    Reply::Text(encode_topic(topic, done))
}

fn place((position, is_at_end): (PtzPosition, bool)) -> PanelReply {
    PanelReply::PtzStatus {
        position: Position {
            x: position.x,
            y: position.y,
            x_range: position.x_range,
            y_range: position.y_range,
        },
        is_at_end,
    }
}
