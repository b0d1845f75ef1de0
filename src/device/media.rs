//! Media and talks of the device, whatever transport they are asked for over.
//!
//! Keeps: nobody is given a medium without the scope for it, on a channel that is not its own, or
//! without a permit; and what is given holds its permit. Bytes and HTTP do not belong here.

use std::sync::Arc;

use bytes::Bytes;
use peercam_hal::RecordingFile;
use peercam_proto::{
    command::Window,
    error::Error,
    media::{ChannelId, Content, Quality, StreamId},
    voice::Declared,
};
use peercam_task::boundary::Panicked;
use tokio_util::sync::CancellationToken;

use super::{Device, parse_file_name, stream_permit::StreamPermit};
use crate::{
    access::{Caller, Medium, Need},
    hal_failure,
    live::{self, Subscription},
    playback::Playback,
    talk::{Pace, Pieces, TalkSignals, Talked},
};

/// A medium that a caller was given, and the permit that it has it by.
pub struct Permitted<T> {
    /// The medium.
    pub media: T,
    /// The permit, to be held as long as the medium is sent.
    pub permit: StreamPermit,
}

/// A still, and the permit that it was taken by.
pub struct Still {
    /// The JPEG.
    pub jpeg: Bytes,
    /// The permit, which the camera may hold too.
    pub permit: Arc<StreamPermit>,
}

/// A recorded file.
pub struct FetchedFile {
    /// The file.
    pub file: Box<dyn RecordingFile>,
    /// Content of the file.
    pub content: Content,
}

/// Leave of a caller to talk through a channel's speaker, which is not taken yet.
pub struct AdmittedTalk<'a> {
    device: &'a Device,
    caller: &'a Caller,
    channel: ChannelId,
}

impl Device {
    /// Lets a caller have a medium of a channel. Opens nothing: so it is found out, too, whether it
    /// would be let have it.
    ///
    /// # Errors
    /// [`Forbidden`](peercam_proto::error::ErrorKind::Forbidden) without the scope, [`NotFound`](peercam_proto::error::ErrorKind::NotFound) if there is no such
    /// channel for this caller, or nothing of it is recorded; [`Full`](peercam_proto::error::ErrorKind::Full) if there is no
    /// place.
    pub fn admit(
        &self,
        caller: &Caller,
        channel: ChannelId,
        medium: Medium,
    ) -> Result<StreamPermit, Error> {
        self.check(caller, channel, medium)?;
        if medium == Medium::Playback {
            self.recordings.of(channel)?;
        }
        self.permit(caller, channel, medium, None)
    }

    /// Joins a live stream.
    ///
    /// # Errors
    /// As [`Device::admit`] and [`Hub::subscribe`](live::Hub::subscribe).
    pub async fn watch(
        &self,
        caller: &Caller,
        stream: StreamId,
    ) -> Result<Permitted<Subscription>, Error> {
        let StreamId { channel, quality } = stream;
        self.check(caller, channel, Medium::Live)?;
        let permit = self.permit(caller, channel, Medium::Live, Some(quality))?;
        let media = self.hub.subscribe(stream).await?;
        Ok(Permitted { media, permit })
    }

    /// Starts to play what was recorded in a window.
    ///
    /// # Errors
    /// As [`Device::admit`] and [`PlaybackSessions::start`](crate::playback::PlaybackSessions::start).
    pub async fn play(
        &self,
        caller: &Caller,
        channel: ChannelId,
        window: Window,
    ) -> Result<Permitted<Playback>, Error> {
        let permit = self.admit(caller, channel, Medium::Playback)?;
        let index = self.recordings.of(channel)?;
        let viewer = &caller.viewer;
        let started = self.players.start(viewer, channel, index, window.millis());
        let media = started.await?;
        Ok(Permitted { media, permit })
    }

    /// Opens a recorded file by the name that lists have for it.
    ///
    /// # Errors
    /// As [`Device::admit`], and [`NotFound`](peercam_proto::error::ErrorKind::NotFound) if there is no such file;
    /// [`Unavailable`](peercam_proto::error::ErrorKind::Unavailable) if the recordings cannot be read.
    pub async fn fetch(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<Permitted<FetchedFile>, Error> {
        caller.check(Need::for_medium(Medium::Download))?;
        let (channel, start, content) =
            parse_file_name(name).ok_or_else(hal_failure::no_such_file)?;
        // Which channels there are is not to be found out by names.
        let visible = self.channels.require_visible(channel, caller.channels());
        visible.map_err(|_| hal_failure::no_such_file())?;
        let permit = self.permit(caller, channel, Medium::Download, None)?;
        let index = self
            .recordings
            .of(channel)
            .map_err(|_| hal_failure::no_such_file())?;
        let file = index.fetch(start, content).await;
        let file = file.map_err(|error| hal_failure::file(&error))?;
        let media = FetchedFile { file, content };
        Ok(Permitted { media, permit })
    }

    /// Takes a still.
    ///
    /// # Errors
    /// As [`Device::admit`] and [`Stills::take`](live::Stills::take).
    pub async fn snapshot(&self, caller: &Caller, channel: ChannelId) -> Result<Still, Error> {
        let permit = Arc::new(self.admit(caller, channel, Medium::Still)?);
        let held: live::Permit = Arc::clone(&permit) as _;
        let jpeg = self.stills.take(channel, &held).await?;
        Ok(Still { jpeg, permit })
    }

    /// Lets a caller talk through the speaker of a channel.
    ///
    /// # Errors
    /// As [`Device::admit`].
    pub fn talk<'a>(
        &'a self,
        caller: &'a Caller,
        channel: ChannelId,
    ) -> Result<AdmittedTalk<'a>, Error> {
        self.check(caller, channel, Medium::Talk)?;
        Ok(AdmittedTalk {
            device: self,
            caller,
            channel,
        })
    }

    fn check(&self, caller: &Caller, channel: ChannelId, medium: Medium) -> Result<(), Error> {
        caller.check(Need::for_medium(medium))?;
        let entry = self.channels.require_visible(channel, caller.channels());
        entry.map(|_| ())
    }

    fn permit(
        &self,
        caller: &Caller,
        channel: ChannelId,
        medium: Medium,
        quality: Option<Quality>,
    ) -> Result<StreamPermit, Error> {
        let permits = self.viewers.enter(caller, medium)?;
        let guard = self
            .activity
            .attend_medium(caller, channel, medium, quality);
        Ok(StreamPermit::new(permits, guard))
    }
}

impl AdmittedTalk<'_> {
    /// Takes the speaker and plays a body through it, to its end. Gives back the body as well, as
    /// far as it was not read.
    ///
    /// # Errors
    /// As [`Speakers::take`](crate::talk::Speakers::take) and
    /// [`SpeakerLease::play`](crate::talk::SpeakerLease::play).
    pub async fn play<B: Pieces + 'static>(
        self,
        body: B,
        declared: Declared,
        pace: Pace,
    ) -> (Option<B>, Result<Talked, Error>) {
        let Self {
            device,
            caller,
            channel,
        } = self;
        let _attending = device
            .activity
            .attend_medium(caller, channel, Medium::Talk, None);
        let taken = device
            .speakers
            .take(channel, caller.rank(), &caller.viewer)
            .await;
        let lease = match taken {
            Ok(lease) => lease,
            Err(error) => return (Some(body), Err(error)),
        };
        tracing::info!(%channel, %caller, req_id = caller.req_id, "talk began");
        let sequel = caller.sequel();
        let signals = TalkSignals {
            has_left: CancellationToken::new(),
            is_barred: sequel.ends.clone(),
        };
        let _leaves = signals.has_left.clone().drop_guard();
        let (talker, has_left) = (caller.clone(), signals.has_left.clone());
        let ended = move |talked: Result<&Result<Talked, Error>, Panicked>| match talked {
            Ok(talked) => {
                drop(sequel);
                log_end(&talker, channel, talked, has_left.is_cancelled());
            }
            Err(Panicked) => sequel.panicked(),
        };
        lease.play(body, declared, pace, signals, ended).await
    }
}

/// Says how a talk ended.
fn log_end(caller: &Caller, channel: ChannelId, talked: &Result<Talked, Error>, has_left: bool) {
    let mut how = match talked {
        Ok(talked) => format!(
            "{} ms played, {} blocks lost",
            talked.played_millis, talked.lost
        ),
        Err(error) => error.reason().to_owned(),
    };
    if has_left {
        how += "; its viewer has left";
    }
    let advice = talked.as_ref().ok().and_then(Talked::advice);
    tracing::info!(%channel, %caller, req_id = caller.req_id, how, advice, "talk ended");
}
