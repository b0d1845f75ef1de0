use peercam_proto::{
    command::{PlaybackCommand, Reply},
    error::Error,
    media::ChannelId,
    viewer::ViewerId,
};

use super::Device;

impl Device {
    /// A viewer's remote control of what it is being played of a channel.
    pub(super) async fn remote_control(
        &self,
        viewer: &ViewerId,
        channel: ChannelId,
        command: PlaybackCommand,
    ) -> Result<Reply, Error> {
        // Where there are no recordings, no playback comes that a command could wait for.
        let may_come = self.recordings.of(channel).is_ok();
        let told = self.players.order(viewer, channel, command, may_come);
        let millis = told.await?;
        Ok(match command {
            PlaybackCommand::Progress => Reply::Progress(millis),
            _ => Reply::Done,
        })
    }
}
