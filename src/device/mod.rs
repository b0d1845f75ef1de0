//! The device as apps see it: one entrance for commands and media, whatever wire they came by.
//!
//! Keeps: every command has an answer, and nothing is done or given that the caller's scopes and
//! channels do not allow. Wires, HTTP and the proof of who calls do not belong here.

mod activity;
mod calls;
mod card;
mod custom;
mod health;
mod help;
mod listing;
mod media;
mod notifier;
mod problems;
mod properties;
mod ptz;
mod recordings;
mod remote;
mod replacement;
mod standby;
mod status;
mod stream_permit;
mod viewers;

use std::sync::Arc;

use peercam_hal::PlayedAudio;
use peercam_proto::{
    call::DeviceCallAction,
    command::{ChannelState, Command, Reply, Window},
    error::{Error, ErrorKind},
    feedback::{CallSignal, Feedback, FeedbackKind},
    firmware_api::EventRequest,
    media::ChannelId,
    refusal,
    viewer::ViewerId,
};
use tokio::sync::watch;

pub use activity::{ActivityTracker, MediaView, RequestGuard};
pub use calls::{CallTask, CallView, Calls};
pub use card::{CardState, RecordMode, RecordingControl};
pub use custom::{CustomCommands, CustomHandler, HandlerFailure};
pub use health::{Audience, ChannelHealth, Health, Problem, ProblemReport};
pub use listing::{Listed, Listing};
pub use media::{AdmittedTalk, FetchedFile, Permitted, Still};
pub use notifier::{SessionInfo, ViewerNotifier};
pub use problems::Origin;
pub use properties::{DataType, Level, Property, PropertyInfo, PropertyValue};
pub use recordings::{Recordings, parse_file_name};
pub use replacement::Replacement;
pub use standby::Standby;
pub use stream_permit::StreamPermit;
pub use viewers::Viewers;

use self::{custom::Panels, problems::ProblemTimes, ptz::PtzController};
use crate::{
    access::{Caller, Need},
    channels::ChannelRegistry,
    events::{Event, Events},
    live::{Hub, Stills},
    playback::PlaybackSessions,
    reach::Reachability,
    talk::Speakers,
};

/// A command that was not done, with the status of its reason.
fn refused(error: &Error) -> Reply {
    Reply::Status {
        status: refusal::status(error.kind()),
        reason: error.reason().to_owned(),
    }
}

/// Answer to a command.
pub enum Answer {
    /// One reply.
    Whole(Reply),
    /// A list, which begins with this text and is told piece by piece.
    List(String, Box<Listing>),
}

/// The device that commands act on.
pub struct Device {
    channels: ChannelRegistry,
    hub: Hub,
    viewers: Viewers,
    notifier: Option<Arc<dyn ViewerNotifier>>,
    recordings: Recordings,
    players: PlaybackSessions,
    speakers: Speakers,
    calls: Calls,
    activity: ActivityTracker,
    events: Events,
    stills: Stills,
    panels: Panels,
    reach: watch::Receiver<Reachability>,
    problems: ProblemTimes,
}

/// Parts of a device.
pub struct DeviceParts {
    /// The channels.
    pub channels: ChannelRegistry,
    /// Their live streams.
    pub hub: Hub,
    /// Pictures by themselves.
    pub stills: Stills,
    /// Places for viewers.
    pub viewers: Viewers,
    /// Way to its viewers; `None`: nobody can be told anything.
    pub notifier: Option<Arc<dyn ViewerNotifier>>,
    /// Recordings of all channels.
    pub recordings: Recordings,
    /// Playbacks under way.
    pub players: PlaybackSessions,
    /// Speakers.
    pub speakers: Speakers,
    /// Calls.
    pub calls: Calls,
    /// Viewers that are there.
    pub activity: ActivityTracker,
    /// Stream in which it is published what happens.
    pub events: Events,
    /// Cameras that stand by.
    pub standby: Standby,
    /// Commands of `user_define` that are done.
    pub commands: CustomCommands,
    /// Ways to reach it.
    pub reach: watch::Receiver<Reachability>,
}

impl Device {
    /// A device of these parts.
    pub fn new(parts: DeviceParts) -> Self {
        let panels = Panels {
            ptz: PtzController::new(parts.channels.clone(), parts.activity.clone()),
            standby: parts.standby,
            commands: watch::Sender::new(Arc::new(parts.commands)),
            confirm: Default::default(),
        };
        Self {
            channels: parts.channels,
            hub: parts.hub,
            viewers: parts.viewers,
            notifier: parts.notifier,
            recordings: parts.recordings,
            players: parts.players,
            speakers: parts.speakers,
            calls: parts.calls,
            activity: parts.activity,
            events: parts.events,
            stills: parts.stills,
            panels,
            reach: parts.reach,
            problems: ProblemTimes::default(),
        }
    }

    /// Ends what is sent to viewers, in order, and lets go of what moves and sounds.
    pub fn close(&self) {
        self.hub.close();
        self.stills.close();
        self.players.close();
        self.panels.ptz.close();
        self.speakers.close();
    }

    /// Speakers.
    pub fn speakers(&self) -> &Speakers {
        &self.speakers
    }

    /// Places for media.
    pub fn viewers(&self) -> &Viewers {
        &self.viewers
    }

    /// Viewers that are there.
    pub fn activity(&self) -> &ActivityTracker {
        &self.activity
    }

    /// Stream of what happens.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// The device's call.
    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    /// Sound that a channel's speaker has played lately.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such channel; [`ErrorKind::Unsupported`] if there is no speaker, or none that remembers.
    pub fn heard(&self, channel: ChannelId) -> Result<PlayedAudio, Error> {
        self.channels.require(channel)?;
        self.speakers.heard(channel)
    }

    /// Applies what the device's owner, or a program for them, does about a call.
    ///
    /// # Errors
    /// As [`Calls::ring`] and [`Calls::device_moves`].
    pub fn move_call(&self, channel: ChannelId, what: DeviceCallAction) -> Result<(), Error> {
        if what != DeviceCallAction::Ring {
            return self.calls.device_moves(what);
        }
        self.channels.require(channel)?;
        let sessions = self.sessions().into_iter();
        let told = sessions.filter(|session| session.can_be_called(channel));
        self.calls
            .ring(channel, told.map(|session| session.viewer).collect())
    }

    /// Publishes something that firmware, or a program for it, has seen or heard.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such channel, or it is not recorded; others hear of the
    /// latter all the same.
    pub fn note_event(&self, event: EventRequest) -> Result<(), Error> {
        let EventRequest {
            channel,
            kind,
            length,
        } = event;
        self.channels.require(channel)?;
        self.events.publish(Event::Detected {
            channel,
            kind,
            length,
        });
        let recording = self.recordings.recording();
        if recording.is_none_or(|recording| recording.mode(channel) == RecordMode::Off) {
            return Err(recordings::not_recorded(channel));
        }
        tracing::info!(%channel, kind, "event");
        Ok(())
    }

    /// The channels.
    pub fn channels(&self) -> &ChannelRegistry {
        &self.channels
    }

    /// Live streams.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// The viewers that are there and proved themselves.
    pub fn sessions(&self) -> Vec<SessionInfo> {
        let notifier = self.notifier.as_ref();
        notifier.map_or_else(Vec::new, |notifier| notifier.sessions())
    }

    /// Says something to a viewer with a session and gives its reply.
    ///
    /// # Errors
    /// As [`ViewerNotifier::send`].
    pub async fn tell(&self, viewer: &ViewerId, message: Feedback) -> Result<String, Error> {
        if matches!(
            message.kind(),
            FeedbackKind::Call(CallSignal::ReceiveStop | CallSignal::HangUp)
        ) {
            self.speakers.hang_up(viewer);
        }
        match &self.notifier {
            Some(notifier) => notifier.send(viewer, message).await,
            None => Err(Error::new(
                ErrorKind::NotFound,
                "this device has P2P off, and only viewers over P2P can be told something",
            )),
        }
    }

    /// Does what a command says and gives the answer. Every command has an answer.
    pub async fn apply(&self, caller: &Caller, command: Command) -> Answer {
        tracing::debug!(%caller, req_id = caller.req_id, ?command, "command");
        self.activity.note(&caller.viewer);
        let asked = command.name().to_owned();
        let done = self.perform(caller, command).await;
        done.unwrap_or_else(|error| Answer::Whole(refused(&self.beside(caller, &asked, error))))
    }

    /// A list, which is as long as there are recordings; of a short one the whole.
    async fn list(
        &self,
        channel: ChannelId,
        window: Window,
        limit: Option<usize>,
        listed: Listed,
    ) -> Result<Answer, Error> {
        let mut listing = self.recordings.listing(channel, window, limit, listed);
        let text = listing.next().await?.unwrap_or_default();
        Ok(if listing.is_over() {
            Answer::Whole(Reply::Text(text))
        } else {
            Answer::List(text, Box::new(listing))
        })
    }

    async fn perform(&self, caller: &Caller, command: Command) -> Result<Answer, Error> {
        caller.check(Need::for_command(&command))?;
        if let Some(channel) = command.channel() {
            self.channels.require_visible(channel, caller.channels())?;
        }
        let reply = match command {
            Command::DeviceStatus { channel, query } => self.status(caller, channel, query),
            Command::RecordIndex {
                channel,
                window,
                kind,
                limit,
            } => {
                if let Some(window) = window {
                    let listed = Listed::Spans(kind);
                    return self.list(channel, window, limit, listed).await;
                }
                self.recordings.newest_spans(channel, kind, limit).await?
            }
            Command::MonthRecord { channel, month } => self.recordings.days(channel, month).await?,
            Command::FileList {
                channel,
                window,
                content,
                limit,
            } => {
                if let Some(window) = window {
                    let listed = Listed::Files(content);
                    return self.list(channel, window, limit, listed).await;
                }
                self.recordings
                    .newest_files(channel, content, limit)
                    .await?
            }
            Command::Playback { channel, command } => {
                self.remote_control(&caller.viewer, channel, command)
                    .await?
            }
            Command::ChannelList => Reply::ChannelList(
                self.channels
                    .visible(caller.channels())
                    .iter()
                    .map(|channel| ChannelState {
                        name: channel.name.clone(),
                        channel: channel.id,
                        online: self.hub.offline(channel.id).is_none(),
                    })
                    .collect(),
            ),
            Command::Call { channel, what } => {
                self.calls.apply_request(caller, channel, what)?;
                Reply::Done
            }
            Command::Custom { channel, command } => self.custom(caller, channel, &command).await?,
            Command::Help => Reply::Help(Box::new(self.offer(caller))),
            Command::Unknown(_) => {
                let reason = "this device does not offer that command";
                return Err(Error::new(ErrorKind::Unsupported, reason));
            }
        };
        Ok(Answer::Whole(reply))
    }
}
