//! The sound of a camera on its way to viewers and recordings: one policy for every kind of source.

mod path;
mod silence;
#[cfg(feature = "aac")]
mod transcode;

use std::{collections::VecDeque, sync::Arc};

use peercam_proto::media::{ChannelId, Quality, StreamId};

use self::path::AudioPath;
use super::{BoxFuture, Camera, Capabilities, HalError, MediaInput, MediaSource, SourceEvent};

/// Policy for a camera's sound: the form in which viewers get it.
///
/// Whatever it is but [`AudioPolicy::Off`]: sound that a camera promises and does not send is made
/// up for with silence, because players that are told of sound wait for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AudioPolicy {
    /// Sound as the camera sends it.
    Pass,
    /// AAC; made of G.711, which browsers and mini-programs do not play. Without the feature `aac`
    /// G.711 is passed.
    Aac,
    /// The same, and silence where a camera has no sound.
    #[default]
    Silence,
    /// No sound.
    Off,
}

/// A camera whose sound is as a policy says.
pub struct WithAudio {
    camera: Arc<dyn Camera>,
    channel: ChannelId,
    policy: AudioPolicy,
}

impl WithAudio {
    /// `camera`, which is that of `channel`, with sound as `policy` says.
    pub fn new(camera: Arc<dyn Camera>, channel: ChannelId, policy: AudioPolicy) -> Self {
        Self {
            camera,
            channel,
            policy,
        }
    }
}

impl Camera for WithAudio {
    fn open(&self, quality: Quality) -> Result<MediaInput, HalError> {
        let MediaInput { source, control } = self.camera.open(quality)?;
        let source = Sounding {
            source,
            stream: StreamId {
                channel: self.channel,
                quality,
            },
            path: AudioPath::new(self.policy),
            made: VecDeque::new(),
        };
        Ok(MediaInput {
            source: Box::new(source),
            control,
        })
    }

    fn capabilities(&self) -> Capabilities {
        self.camera.capabilities()
    }

    fn offline(&self) -> Option<String> {
        self.camera.offline()
    }

    fn remedy(&self) -> &'static str {
        self.camera.remedy()
    }
}

/// A source whose sound is as a policy says.
struct Sounding {
    source: Box<dyn MediaSource>,
    stream: StreamId,
    path: AudioPath,
    /// Events made of the last one. Bound: see [`AudioPath::push`].
    made: VecDeque<SourceEvent>,
}

impl MediaSource for Sounding {
    fn next(&mut self) -> BoxFuture<'_, SourceEvent> {
        Box::pin(async {
            loop {
                if let Some(event) = self.made.pop_front() {
                    return event;
                }
                let event = self.source.next().await;
                let made = &mut self.made;
                self.path.push(event, |event| made.push_back(event));
                if self.path.take_complaint() {
                    tracing::warn!(stream = %self.stream, "the camera announces sound and sends none; viewers get silence");
                }
            }
        })
    }
}
