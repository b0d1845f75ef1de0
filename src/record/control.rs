//! The recorder as the device sees it.

use std::sync::Arc;

use peercam_hal::{BoxFuture, RecordingIndex};
use peercam_proto::media::ChannelId;

use super::{Mode, Recorder, State};
use crate::device::{CardState, RecordingControl};

impl RecordingControl for Recorder {
    fn state(&self) -> CardState {
        let state = self.catalog.state().borrow().clone();
        CardState {
            is_known: state != State::Starting,
            is_readable: !matches!(state, State::Gone(_)),
            problem: match state {
                State::Ready => None,
                State::Starting => Some("the card is being looked at".to_owned()),
                State::Stuck(reason) | State::Gone(reason) => Some(reason),
            },
            bytes: self.catalog.bytes(),
            files: self.catalog.count(),
            free: self.catalog.free(),
        }
    }

    fn index(&self, channel: ChannelId) -> Arc<dyn RecordingIndex> {
        self.index_of(channel)
    }

    fn mode(&self, channel: ChannelId) -> Mode {
        self.mode_of(channel)
    }

    fn erase(&self) -> BoxFuture<'_, bool> {
        Box::pin(self.erase_all())
    }
}
